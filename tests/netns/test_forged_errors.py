# SPDX-License-Identifier: MIT
"""ICMP errors are easy to forge: those that are about no session, wrong in themselves or about
another error end under their counter, and a transfer that runs meanwhile does not notice. Forged
MTUs never take an IPv6 sender below 1280."""

import hashlib
import os
import socket
import threading

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

import lab as labs
from packets import Capture, Connection, TcpEcho, UdpEcho, drain, injector, udp_socket

TARGET = labs.embed(labs.SERVER)
IPV6_MTU = 24
TIMES = 20
BYTES = 20_000_000
CONNECTION = ("translated_6to4", "translated_4to6")  # what its own packets may count meanwhile


def outside_of(lab, protocol, inside_port=""):
    """(pool port, server port) of a session: the only one of its protocol, or of this port."""
    outside, = [item["outside"] for item in lab.sessions(protocol=protocol)
                if not inside_port or item["inside"]["source"].endswith(f"]:{inside_port}")]
    return tuple(int(outside[end].rsplit(":", 1)[1]) for end in ("source", "destination"))


def about(inner, kind=3, code=4, mtu=1000, source=labs.SERVER):
    return IP(src=source, dst=labs.POOL) / ICMP(type=kind, code=code, nexthopmtu=mtu) / inner


def about6(inner, mtu=1280):
    return IPv6(src=labs.CLIENT, dst=TARGET) / ICMPv6PacketTooBig(mtu=mtu) / inner


def lies(port, server_port):
    """name: (the counter, the port it comes in by, a packet), around the session of a transfer."""
    ours = IP(src=labs.POOL, dst=labs.SERVER) / TCP(sport=port, dport=server_port)
    theirs = IPv6(src=TARGET, dst=labs.CLIENT)
    other = port ^ 1
    return {
        "another pool port": ("error_without_session", "wan", about(
            IP(src=labs.POOL, dst=labs.SERVER) / TCP(sport=other, dport=server_port))),
        "another server": ("error_without_session", "wan", about(
            IP(src=labs.POOL, dst=labs.SERVER2) / TCP(sport=port, dport=server_port))),
        "another server port": ("error_without_session", "wan", about(
            IP(src=labs.POOL, dst=labs.SERVER) / TCP(sport=port, dport=server_port + 1))),
        "another protocol": ("error_without_session", "wan", about(
            IP(src=labs.POOL, dst=labs.SERVER) / UDP(sport=port, dport=server_port))),
        "a packet that we did not send": ("error_without_session", "wan", about(
            IP(src="192.0.2.9", dst=labs.SERVER) / TCP(sport=port, dport=server_port))),
        "port unreachable about no session": ("error_without_session", "wan", about(
            IP(src=labs.POOL, dst=labs.SERVER) / UDP(sport=other, dport=53), code=3, mtu=0)),
        "too big, about no session, from the client": ("error_without_session", "lan", about6(
            theirs / UDP(sport=53, dport=4))),
        "too big, about another host's packet": ("error_without_session", "lan", about6(
            IPv6(src=TARGET, dst="2001:db8:64::99") / TCP(sport=server_port, dport=1))),
        "a guessed sequence number": ("error_out_of_window", "wan", about(ours)),
        "an error about an error": ("inner_error", "wan", about(
            IP(src=labs.POOL, dst=labs.SERVER) / ICMP(type=3, code=1) / ours)),
        "an error about an error, from the client": ("inner_error", "lan", about6(
            theirs / ICMPv6DestUnreach() / IPv6(src=labs.CLIENT, dst=TARGET) / UDP())),
        "a packet inside that ends too early": ("inner_packet", "wan", about(
            Raw(bytes(ours)[:24]))),
        "no packet inside": ("inner_packet", "wan", about(Raw(b"\0" * 28))),
        "a redirect": ("icmp_type", "wan", about(ours, kind=5, code=1, mtu=0)),
        "source quench": ("icmp_type", "wan", about(ours, kind=4, code=0, mtu=0)),
    }


@pytest.fixture
def transfer(nat_lab):
    """A connection over which BYTES run in both directions; finish() says that they arrived."""
    data = os.urandom(BYTES)
    with TcpEcho(nat_lab.server, labs.SERVER, 7), \
            Connection(nat_lab.client, TARGET, 7) as connection:
        connection.socket.settimeout(20)
        got, go = hashlib.sha256(), threading.Event()

        def receive():
            left = BYTES
            while left:
                piece = connection.socket.recv(1 << 16)
                got.update(piece)
                left -= len(piece)

        def send():
            half = BYTES // 2
            connection.socket.sendall(data[:half])
            go.wait(30)  # the second half comes after all the lies
            connection.socket.sendall(data[half:])

        threads = [threading.Thread(target=work, daemon=True) for work in (receive, send)]
        for thread in threads:
            thread.start()

        def finish():
            go.set()
            for thread in threads:
                thread.join(20)
            return got.digest() == hashlib.sha256(data).digest()

        yield finish


def test_lies_do_not_disturb_a_transfer(nat_lab, transfer):
    nat_lab.may_hand_up = True  # ICMP errors are
    before, expected = nat_lab.counters(), {}
    with injector(nat_lab.server, "eth0", nat_lab.gateway.mac("wan")) as from_wan, \
            injector(nat_lab.client, "eth0", nat_lab.gateway.mac("lan")) as from_lan:
        for counter, port, packet in lies(*outside_of(nat_lab, "tcp")).values():
            expected[counter] = expected.get(counter, 0) + TIMES
            for _ in range(TIMES):
                (from_wan if port == "wan" else from_lan)(packet)

    def counted():
        after = nat_lab.counters()
        return {name: after[name] - before[name] for name in expected}

    drain(lambda: counted() == expected, 3)
    assert counted() == expected
    after = nat_lab.counters()
    for name in ("translated_error_4to6", "translated_error_6to4", "session_made", "session_ended"):
        assert after[name] == before[name], name
    assert transfer(), "every byte came back"


@pytest.mark.parametrize("name", lies(1000, 7))
def test_each_lie_has_its_counter(shared, name):
    lab, connection = shared
    counter, port, packet = lies(*outside_of(lab, "tcp"))[name]
    before = lab.counters()
    where = lab.server if port == "wan" else lab.client
    with injector(where, "eth0", lab.gateway.mac(port)) as send:
        send(packet)
    drain(lambda: lab.counters()[counter] > before[counter], 2)
    after = lab.counters()
    assert {key: after[key] - before[key] for key in after
            if after[key] != before[key] and key not in CONNECTION} == {counter: 1}
    connection.talk()


@pytest.fixture(scope="module")
def shared():
    with labs.Lab() as lab:
        lab.may_hand_up = True
        lab.start_daemon()
        with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as connection:
            connection.talk()
            yield lab, connection


@pytest.mark.parametrize("mtu", [0, 1, 67, 68, 576, 1259])
def test_udp_never_goes_below_1280(shared, mtu):
    """The lie has everything right: a router on the path, or who has seen a packet, can send it."""
    lab, _ = shared
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data):
        client = udp_socket(lab.client, labs.CLIENT)
        client.connect((TARGET, 7001))
        client.send(b"open")
        assert client.recv(100) == b"open"
        pool_port, _ = outside_of(lab, "udp", client.getsockname()[1])
        inner = IP(src=labs.POOL, dst=labs.SERVER) / UDP(
            sport=pool_port, dport=7001, len=8 + 100) / (b"x" * 100)
        hear_too_big(lab, inner, mtu)
        assert client.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU) == 1280
        client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the answer's may still be pending
        client.send(b"l" * (1280 - 48))
        assert client.recv(2000) == b"l" * (1280 - 48)
        client.close()
    lab.client.ip("-6", "route", "flush", "cache")


def hear_too_big(lab, inner, mtu):
    """Sends the lie and waits until the client has it, with an MTU of at least 1280."""
    with Capture(lab.client, "eth0") as heard, \
            injector(lab.server, "eth0", lab.gateway.mac("wan")) as send:
        send(about(inner, mtu=mtu))
        drain(lambda: any(packet[6] == 58 and packet[40] == 2 for packet in heard.arrived))
        drain(lambda: False, 0.1)
    told = [int.from_bytes(packet[44:48], "big") for packet in heard.arrived
            if packet[6] == 58 and packet[40] == 2]
    assert told == [1280]


def last_segment(lab, connection):
    """With the right sequence number, as a router on the path knows it."""
    with Capture(lab.server, "eth0") as seen:
        connection.talk()
        drain(lambda: len(seen.arrived) > 1, 1)
    last = [packet for packet in seen.arrived if packet[0] >> 4 == 4 and packet[9] == 6][-1]
    return IP(last[:40])


def test_a_wrong_checksum_is_counted(shared):
    lab, connection = shared
    damaged = about(last_segment(lab, connection))
    damaged[ICMP].chksum = 0x1234
    before = lab.counters()["icmp_checksum"]
    with injector(lab.server, "eth0", lab.gateway.mac("wan")) as send:
        send(damaged)
    drain(lambda: lab.counters()["icmp_checksum"] > before, 2)
    assert lab.counters()["icmp_checksum"] == before + 1
    connection.talk()


@pytest.mark.parametrize("mtu", [0, 68])
def test_tcp_never_goes_below_1280(shared, mtu):
    lab, connection = shared
    inner = last_segment(lab, connection)
    before = lab.counters()["translated_error_4to6"]
    hear_too_big(lab, inner, mtu)
    assert lab.counters()["translated_error_4to6"] == before + 1
    route = lab.client.ip_json("-6", "route", "get", TARGET)[0]
    assert all(metric.get("mtu", 1280) >= 1280 for metric in route.get("metrics", []))
    connection.talk(os.urandom(200_000))
    lab.client.ip("-6", "route", "flush", "cache")
