# SPDX-License-Identifier: MIT
"""Packets as the tests see them: capture at a port, raw injection, and checksums verified by hand.

The verification is written here and not taken from scapy, which computes checksums where it builds
packets: what is to be judged should not be rebuilt by the judge.
"""

import contextlib
import hashlib
import os
import select
import socket
import struct
import threading
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
SYN, RST, ACK = 2, 4, 16


class Capture:
    """What passes a device while the block runs: `arrived` and `left`, IP packets as bytes.

    `head` cuts what is kept of each packet; `lengths` always has the whole ones' lengths.
    """

    def __init__(self, namespace, device, ethernet=True, head=None):
        self._offset = 14 if ethernet else 0
        self._head = head
        self._stop = False
        self.arrived, self.left = [], []
        self.lengths = {"arrived": [], "left": []}
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind((device, ETH_P_ALL))
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self):
        buffer = bytearray(70000)
        view = memoryview(buffer)
        while True:
            ready, _, _ = select.select([self._socket], [], [], 0.1)
            if not ready:
                if self._stop:
                    return
                continue
            length, sender = self._socket.recvfrom_into(buffer)
            if sender[1] not in (0x0800, 0x86DD):
                continue
            way = "left" if sender[2] == PACKET_OUTGOING else "arrived"
            self.lengths[way].append(length - self._offset)
            end = length if self._head is None else min(length, self._offset + self._head)
            getattr(self, way).append(bytes(view[self._offset:end]))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join()
        lost = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        self._socket.close()
        assert lost == 0, f"the capture itself lost {lost} packets: nothing can be said from it"


def move(source, sink, count):
    """Sends `count` random bytes over a connection; what arrives is what was sent."""
    data = os.urandom(count)
    sink.settimeout(20)
    sender = threading.Thread(target=source.sendall, args=(data,), daemon=True)
    sender.start()
    digest, left = hashlib.sha256(), count
    while left > 0:
        piece = sink.recv(min(left, 1 << 20))
        assert piece, f"the connection ended with {left} bytes to come"
        digest.update(piece)
        left -= len(piece)
    sender.join()
    assert digest.digest() == hashlib.sha256(data).digest(), "other bytes arrived than were sent"


def ones_sum(data):
    """The Internet checksum's sum, folded (RFC 1071); 0xffff where the checksum inside is right."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def parse(packet):
    """(version, source, destination, protocol, payload) of a packet without extension headers."""
    version = packet[0] >> 4
    if version == 4:
        header, total = (packet[0] & 15) * 4, struct.unpack("!H", packet[2:4])[0]
        return 4, packet[12:16], packet[16:20], packet[9], packet[header:total]
    length = struct.unpack("!H", packet[4:6])[0]
    return 6, packet[8:24], packet[24:40], packet[6], packet[40:40 + length]


def checksum_problem(packet):
    """What is wrong with a packet's checksums; empty where all of them are right."""
    version, source, destination, protocol, payload = parse(packet)
    if version == 4:
        if ones_sum(packet[:(packet[0] & 15) * 4]) != 0xFFFF:
            return "IPv4 header checksum"
        if protocol == ICMP:
            return "" if ones_sum(payload) == 0xFFFF else "ICMP checksum"
    if protocol not in (TCP, UDP, ICMPV6):
        return ""
    if protocol == UDP and payload[6:8] == b"\0\0":
        return "UDP without a checksum"
    pseudo = source + destination + struct.pack("!II", len(payload), protocol)
    return "" if ones_sum(pseudo + payload) == 0xFFFF else f"protocol {protocol} checksum"


def _packet(source, destination, protocol, segment, checksum_at):
    """A whole packet of either family; the segment's checksum is filled in."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    total = ones_sum(addresses + struct.pack("!II", len(segment), protocol) + segment)
    segment = (segment[:checksum_at] + struct.pack("!H", 0xFFFF - total or 0xFFFF) +
               segment[checksum_at + 2:])
    if family == socket.AF_INET6:
        return struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + addresses + segment
    header = [0x4500, 20 + len(segment), 0, 0x4000, 64 << 8 | protocol, 0]
    total = ones_sum(struct.pack("!6H", *header) + addresses)
    return struct.pack("!6H", *header[:5], 0xFFFF - total) + addresses + segment


def tcp(source, sport, destination, dport, flags, sequence=0):
    """A TCP segment without data, as bytes: floods have no time for scapy."""
    segment = struct.pack("!HHIIBBHHH", sport, dport, sequence, 0, 5 << 4, flags, 65535, 0, 0)
    return _packet(source, destination, TCP, segment, 16)


def udp(source, sport, destination, dport, data=b""):
    segment = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return _packet(source, destination, UDP, segment, 6)


@contextlib.contextmanager
def injector(namespace, device, gateway_mac):
    """A function that puts one IP packet (bytes or scapy) on the wire towards the gateway."""
    raw = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.bind((device, 0))
    header = bytes.fromhex(gateway_mac.replace(":", "")) + bytes.fromhex(
        namespace.mac(device).replace(":", ""))

    def send(packet):
        data = bytes(packet)
        raw.send(header + (b"\x86\xdd" if data[0] >> 4 == 6 else b"\x08\x00") + data)

    try:
        yield send
    finally:
        raw.close()


class UdpEcho:
    """Answers every datagram with `answer(data, sender)`; by default with the sender as text."""

    def __init__(self, namespace, address, port, answer=None):
        self.address, self.port = address, port
        self.seen = []
        self._answer = answer or (lambda _, sender: f"{sender[0]} {sender[1]}".encode())
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(0.1)
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while not self._stop:
            try:
                data, sender = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            self.seen.append((data, sender))
            self.socket.sendto(self._answer(data, sender), sender)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join()
        self.socket.close()


class TcpEcho:
    """Accepts connections on the server and sends back what arrives, until the block ends."""

    def __init__(self, namespace, address, port):
        self.address, self.port = address, port
        self.peers = []
        self._connections = []
        self._listener = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(16)
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while not self._stop:
            ready, _, _ = select.select([self._listener, *self._connections], [], [], 0.1)
            for item in ready:
                if item is self._listener:
                    connection, peer = item.accept()
                    self._connections.append(connection)
                    self.peers.append(peer)
                    continue
                try:
                    data = item.recv(65536)
                    if data:
                        item.sendall(data)
                        continue
                except OSError:
                    pass
                self._connections.remove(item)
                item.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join()
        for item in (self._listener, *self._connections):
            item.close()


class Connection:
    """A TCP connection of the client through the gateway; talk() proves that it is alive."""

    def __init__(self, namespace, address, port):
        self.socket = namespace.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.socket.settimeout(5)
        self.socket.connect((address, port))

    def talk(self, text=b"still there?"):
        self.socket.sendall(text)
        answer = b""
        while len(answer) < len(text):
            piece = self.socket.recv(65536)
            assert piece, "the other end closed the connection"
            answer += piece
        assert answer == text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def udp_socket(namespace, address, port=0, timeout=2.0):
    """The client's UDP socket, bound."""
    made = namespace.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.bind((address, port))
    made.settimeout(timeout)
    return made


def drain(condition, seconds=10.0):
    """Waits until condition() holds or the time is up; the caller asserts what it needs."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
