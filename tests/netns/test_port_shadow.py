# SPDX-License-Identifier: MIT
"""A host that takes the source port of a service on the gateway itself does not shadow it (Port
Shadow, CVE-2021-3773): the pool's addresses are not the gateway's."""

import socket

import lab as labs
from packets import UdpEcho, udp_socket

PORT = 7001


def ask(lab, address):
    with lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.bind((labs.SERVER, 9999))
        asking.sendto(b"who are you?", (address, PORT))
        return asking.recvfrom(100)


def test_the_gateways_own_service_stays(nat_lab):
    here = udp_socket(nat_lab.client, labs.CLIENT, PORT, timeout=0.3)
    with UdpEcho(nat_lab.gateway, labs.GATEWAY4, PORT, lambda *_: b"the gateway"):
        for target in (labs.SERVER, labs.GATEWAY4):  # ports on both ends as the service has them
            here.sendto(b"mine", (labs.embed(target), 9999))
            here.sendto(b"mine", (labs.embed(target), PORT))
        assert here.recv(100) == b"the gateway"
        for _ in range(3):
            assert ask(nat_lab, labs.GATEWAY4) == (b"the gateway", (labs.GATEWAY4, PORT))
        outside = {item["outside"]["source"].split(":")[0] for item in nat_lab.sessions()}
        assert outside == {labs.POOL}
    here.close()
