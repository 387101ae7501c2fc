# SPDX-License-Identifier: MIT
"""BitTorrent's pattern: one socket of one host talks to a thousand peers, and peers it has never
spoken to find it at the same port, unless filtering = "address". One binding, and a session for
each peer."""

import contextlib
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
IP_PKTINFO, SO_RCVBUFFORCE = 8, 33


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


@contextlib.contextmanager
def introduced(lab, filtering):
    """(swarm, client's socket, its endpoint outside) once a thousand peers have been spoken to."""
    lab.server.ip("route", "add", "local", str(PEERS), "dev", "lo")
    lab.gateway.ip("route", "add", str(PEERS), "via", labs.SERVER)
    lab.start_daemon(nat64={"prefix": f"{PREFIX}/96", "filtering": filtering})
    with Swarm(lab.server) as swarm:
        client = udp_socket(lab.client, labs.CLIENT, PORT, timeout=5)
        # Room for all strangers at once: a datagram that was not copied on its way takes more of it.
        client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
        for first in range(0, COUNT, 100):  # by hundreds: no queue on the way overflows
            hundred = range(first, first + 100)
            for number in hundred:
                client.sendto(b"hello %d" % number, (labs.embed(peer(number), PREFIX), PORT))
            assert receive(client, 100) == {
                peer(number): b"answer to hello %d" % number for number in hundred}
        (endpoint,) = {sender for _, sender in swarm.seen.values()}
        assert endpoint[0] == labs.POOL and len(swarm.seen) == COUNT
        (binding,) = lab.show("bindings")
        assert binding["outside"] == f"{labs.POOL}:{endpoint[1]}" and binding["sessions"] == COUNT
        try:
            yield swarm, client, endpoint
        finally:
            client.close()


STRANGERS = [peer(number) for number in range(COUNT, COUNT + NEW)]


def test_peers_never_spoken_to_get_in(bare_lab):
    with introduced(bare_lab, "endpoint") as (swarm, client, endpoint):
        for address in STRANGERS:
            swarm.send(address, b"hello from " + address.encode(), endpoint)
        assert receive(client, NEW) == {
            address: b"hello from " + address.encode() for address in STRANGERS}
        for address in STRANGERS:
            client.sendto(b"thanks", (labs.embed(address, PREFIX), PORT))
        drain(lambda: len(swarm.seen) == COUNT + NEW)
        assert {swarm.seen[address] for address in STRANGERS} == {(b"thanks", endpoint)}
    (binding,) = bare_lab.show("bindings")
    assert binding["sessions"] == COUNT + NEW
    counters = bare_lab.counters()
    assert counters["binding_made"] == 1 and counters["session_made"] == COUNT + NEW


def test_peers_never_spoken_to_stay_out(bare_lab):
    with introduced(bare_lab, "address") as (swarm, client, endpoint):
        for address in STRANGERS:
            swarm.send(address, b"unasked", endpoint)
        drain(lambda: bare_lab.counters()["filtered"] == NEW)
        assert bare_lab.counters()["filtered"] == NEW
        swarm.send(peer(0), b"one of us", endpoint)
        assert receive(client, 1) == {peer(0): b"one of us"}
    (binding,) = bare_lab.show("bindings")
    assert binding["sessions"] == COUNT
