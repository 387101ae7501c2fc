# SPDX-License-Identifier: MIT
"""One source port has one pool address and port, whichever server it talks to (RFC 6146 3.5.1,
RFC 4787 REQ-1)."""

import lab as labs
from packets import UdpEcho, udp_socket

OFFLOADS_OFF_TOO = True


def test_two_servers_see_the_same_endpoint(nat_lab):
    with UdpEcho(nat_lab.server, labs.SERVER, 7001), UdpEcho(nat_lab.server, labs.SERVER2, 7002):
        client = udp_socket(nat_lab.client, labs.CLIENT, 40123)
        answers = []
        for server, port in ((labs.SERVER, 7001), (labs.SERVER2, 7002), (labs.SERVER, 7001)):
            client.sendto(b"who am I?", (labs.embed(server), port))
            answers.append(client.recv(200).decode())
        client.close()
    assert len(set(answers)) == 1, answers
    address, port = answers[0].split()
    assert address == labs.POOL
    bindings = nat_lab.show("bindings")
    assert [(b["protocol"], b["inside"], b["outside"], b["sessions"]) for b in bindings] == [
        ("udp", f"[{labs.CLIENT}]:40123", f"{labs.POOL}:{port}", 2)]


def test_other_source_ports_have_other_endpoints(nat_lab):
    with UdpEcho(nat_lab.server, labs.SERVER, 7001):
        answers = set()
        for port in range(40200, 40250):
            client = udp_socket(nat_lab.client, labs.CLIENT, port)
            client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
            answers.add(client.recv(200))
            client.close()
    assert len(answers) == 50
