# SPDX-License-Identifier: MIT
"""Every packet that arrives has right checksums: IPv4 header, TCP, UDP, ICMP and ICMPv6.

With the offloads off nobody repairs a checksum on the way: what the translation made is what the
capture sees. (With them on, a veth carries half-made checksums: the transfers of the other tests
and their comparison of what arrived stand for that case.)
"""

import os

import pytest

import lab as labs
from packets import ICMP, ICMPV6, TCP, UDP, Capture, Connection, TcpEcho, UdpEcho, \
    checksum_problem, drain, parse, udp_socket


@pytest.fixture(scope="module")
def seen():
    """What arrived at both ends of a download, an upload, datagrams and pings."""
    with labs.Lab(offloads=False) as lab:
        root = lab.start_web()
        (root / "two.bin").write_bytes(os.urandom(2_000_000))
        lab.start_daemon()
        target = labs.embed(labs.SERVER)
        with Capture(lab.client, "eth0") as client, Capture(lab.server, "eth0") as server:
            lab.client.run("curl", "--silent", "--fail", "--max-time", "20", "--output",
                           "/dev/null", f"http://[{target}]/two.bin")
            with UdpEcho(lab.server, labs.SERVER, 7007, answer=lambda data, _: data):
                socket = udp_socket(lab.client, labs.CLIENT)
                for length in range(0, 1452, 13):
                    socket.sendto(os.urandom(length), (target, 7007))
                    assert len(socket.recv(65536)) == length
                socket.close()
            for size in range(0, 1452, 50):
                lab.client.run("ping", "-c", "1", "-W", "2", "-s", size, target)
            with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, target, 7) as echoed:
                for length in (1, 3, 100_001):
                    echoed.talk(os.urandom(length))
            drain(lambda: False, 0.3)
        yield {"client": client.arrived, "server": server.arrived}


@pytest.mark.parametrize("end", ["client", "server"])
def test_every_checksum_is_right(seen, end):
    packets = seen[end]
    wrong = [(checksum_problem(packet), packet[:64].hex())
             for packet in packets if checksum_problem(packet)]
    assert not wrong, f"{len(wrong)} of {len(packets)} packets; the first: {wrong[0]}"


@pytest.mark.parametrize("end, kinds", [("client", {TCP, UDP, ICMPV6}),
                                        ("server", {TCP, UDP, ICMP})])
def test_every_protocol_was_seen(seen, end, kinds):
    """What the test above says about nothing would be worth nothing."""
    counted = {kind: sum(parse(packet)[3] == kind for packet in seen[end]) for kind in kinds}
    assert all(number >= 25 for number in counted.values()), counted


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_changed_packet_would_be_noticed(seen, end):
    """The judge judges: one bit less or more in the last byte of a packet is a wrong checksum."""
    known = [packet for packet in seen[end] if parse(packet)[3] in (TCP, UDP, ICMP, ICMPV6)]
    for packet in known[::50]:
        assert checksum_problem(packet[:-1] + bytes([packet[-1] ^ 1]))
