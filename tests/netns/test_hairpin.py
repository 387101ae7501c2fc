# SPDX-License-Identifier: MIT
"""Two IPv6 hosts reach each other by the pool's address: two passes through nvi0 (RFC 6146 3.5.1,
RFC 4787 REQ-9: each sees the other's outside address)."""

import lab as labs
from packets import UdpEcho, udp_socket


def test_udp_by_the_pool_address(nat_lab):
    with UdpEcho(nat_lab.server, labs.SERVER, 7001):
        endpoints = []
        for port in (40001, 40002):
            host = udp_socket(nat_lab.client, labs.CLIENT, port)
            host.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
            endpoints.append((host, int(host.recv(200).split()[1])))
    (one, port_one), (two, port_two) = endpoints
    one.sendto(b"to the other", (labs.embed(labs.POOL), port_two))
    assert two.recvfrom(200)[:2] == (b"to the other", (labs.embed(labs.POOL), port_one, 0, 0))
    two.sendto(b"and back", (labs.embed(labs.POOL), port_one))
    assert one.recvfrom(200)[:2] == (b"and back", (labs.embed(labs.POOL), port_two, 0, 0))
    one.close()
    two.close()
