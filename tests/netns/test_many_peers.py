# SPDX-License-Identifier: MIT
"""BitTorrent's pattern: one socket of one host talks to a thousand peers, and peers it has never
spoken to find it at the same port. One binding, and a session for each peer."""

import ipaddress
import socket
import struct
import threading

import lab as labs
from packets import drain, udp_socket

# A prefix of our own, so that the peers' addresses may be private ones (RFC 6052 3.1).
PREFIX = "2001:db8:64:64::"
PEERS = ipaddress.ip_network("10.77.0.0/16")
COUNT, NEW = 1000, 200
PORT = 6881
IP_PKTINFO = 8


def peer(number):
    return str(PEERS[number + 1])


class Swarm:
    """All peers in one: answers every datagram from the address it came to, and knows what came."""

    def __init__(self, namespace):
        self.seen = {}
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("0.0.0.0", PORT))
        self.socket.settimeout(0.1)
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def send(self, address, data, to):
        info = struct.pack("i4s4s", 0, socket.inet_aton(address), bytes(4))
        self.socket.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, to)

    def _serve(self):
        while not self._stop:
            try:
                data, [(_, _, info)], _, sender = self.socket.recvmsg(2000, 100)
            except TimeoutError:
                continue
            address = socket.inet_ntoa(info[8:12])
            self.seen[address] = (data, sender)
            if data != b"thanks":
                self.send(address, b"answer to " + data, sender)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join()
        self.socket.close()


def receive(client, count):
    """{peer's address: what it sent} of that many peers."""
    got = {}
    while len(got) < count:
        data, sender = client.recvfrom(2000)
        embedded = ipaddress.IPv6Address(sender[0])
        assert str(embedded).startswith(PREFIX) and sender[1] == PORT
        got[str(ipaddress.IPv4Address(int(embedded) & 0xFFFFFFFF))] = data
    return got


def test_a_thousand_peers(bare_lab):
    lab = bare_lab
    lab.server.ip("route", "add", "local", str(PEERS), "dev", "lo")
    lab.gateway.ip("route", "add", str(PEERS), "via", labs.SERVER)
    lab.start_daemon(nat64={"prefix": f"{PREFIX}/96"})
    with Swarm(lab.server) as swarm:
        client = udp_socket(lab.client, labs.CLIENT, PORT, timeout=5)
        for first in range(0, COUNT, 100):  # by hundreds: no queue on the way overflows
            for number in range(first, first + 100):
                client.sendto(b"hello %d" % number, (labs.embed(peer(number), PREFIX), PORT))
            assert receive(client, 100) == {
                peer(number): b"answer to hello %d" % number
                for number in range(first, first + 100)}
        (endpoint,) = {sender for _, sender in swarm.seen.values()}
        assert endpoint[0] == labs.POOL and len(swarm.seen) == COUNT
        (binding,) = lab.show("bindings")
        assert binding["sessions"] == COUNT
        assert binding["outside"] == f"{labs.POOL}:{endpoint[1]}"

        strangers = [peer(number) for number in range(COUNT, COUNT + NEW)]
        for address in strangers:
            swarm.send(address, b"hello from " + address.encode(), endpoint)
        assert receive(client, NEW) == {
            address: b"hello from " + address.encode() for address in strangers}
        for address in strangers:
            client.sendto(b"thanks", (labs.embed(address, PREFIX), PORT))
        drain(lambda: len(swarm.seen) == COUNT + NEW)
        assert {swarm.seen[address] for address in strangers} == {(b"thanks", endpoint)}
        (binding,) = lab.show("bindings")
        assert binding["sessions"] == COUNT + NEW
        client.close()
    counters = lab.counters()
    assert counters["binding_made"] == 1 and counters["session_made"] == COUNT + NEW
