# SPDX-License-Identifier: MIT
"""Trains of datagrams (UDP_SEGMENT, as QUIC senders use it) go through nvi0 as one super-packet
where the kernel can (Linux 6.2), and each datagram arrives as it was sent."""

import os
import socket

import pytest

import lab as labs
from packets import Capture, udp_socket

UDP_SEGMENT = 103
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2
PORT = 7000


def send_train(sender, data, size, target=None):
    """`data` in datagrams of `size` bytes, by one call."""
    train = [(socket.IPPROTO_UDP, UDP_SEGMENT, size.to_bytes(2, "little"))]
    if target:
        assert sender.sendmsg([data], train, 0, target) == len(data)
    else:
        assert sender.sendmsg([data], train) == len(data)


def receive(sink, count):
    return [sink.recvfrom(65535) for _ in range(count)]


def pieces(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def train_lab(request):
    with labs.Lab(offloads=request.param) as lab:
        lab.start_daemon()
        yield lab


@pytest.fixture
def ends(train_lab):
    """A socket on the server, one on the client, and where the server sees the client."""
    server = train_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((labs.SERVER, PORT))
    client = udp_socket(train_lab.client, labs.CLIENT, 40100)
    client.sendto(b"hello", (labs.embed(labs.SERVER), PORT))
    for end in (server, client):
        end.settimeout(5)
    _, seen = server.recvfrom(100)
    yield server, client, seen
    server.close()
    client.close()


def largest(packets, lengths, form):
    return max((length for packet, length in zip(packets, lengths) if packet[0] >> 4 == form),
               default=0)


def expect_whole(lab, nvi, size, before, after):
    """One super-packet in and out; where the kernel has none single datagrams come in, of which
    the worker may make one again. What the BPF engine's program takes is not seen going in."""
    whole = lab.offloads and "uso4" in lab.show("status")[0]["offloads"]
    got_in = largest(nvi.left, nvi.lengths["left"], before)
    got_out = largest(nvi.arrived, nvi.lengths["arrived"], after)
    longest_out = size + (48 if after == 6 else 28)
    if whole and labs.ENGINE == "bpf":
        assert (got_in, got_out) == (0, longest_out)
    elif whole:
        assert (got_in, got_out) == (size + (48 if before == 6 else 28), longest_out)
    else:
        assert got_in <= 1500 and 0 < got_out <= longest_out


@pytest.mark.parametrize("size", [100, 1200, 1212, 1213, 1400])
def test_from_ipv6(train_lab, ends, size):
    server, client, _ = ends
    data = os.urandom(size * 9 + 17)
    with Capture(train_lab.gateway, "nvi0", ethernet=False, head=40) as nvi:
        send_train(client, data, size, (labs.embed(labs.SERVER), PORT))
        got = receive(server, 10)
    assert [datagram for datagram, _ in got] == pieces(data, size)
    assert len({address for _, address in got}) == 1
    expect_whole(train_lab, nvi, len(data), 6, 4)


@pytest.mark.parametrize("size", [100, 1200, 1232, 1400])
def test_from_ipv4(train_lab, ends, size):
    server, client, seen = ends
    server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)  # as QUIC does
    data = os.urandom(size * 9 + 17)
    with Capture(train_lab.gateway, "nvi0", ethernet=False, head=40) as nvi:
        send_train(server, data, size, seen)
        got = receive(client, 10)
    assert [datagram for datagram, _ in got] == pieces(data, size)
    assert {address[0] for _, address in got} == {labs.embed(labs.SERVER)}
    expect_whole(train_lab, nvi, len(data), 4, 6)


@pytest.mark.parametrize("size", [1200, 1400])
def test_from_ipv4_with_df_clear(train_lab, ends, size):
    """Datagrams that IPv6 may not carry whole are fragmented, each by itself (RFC 7915 4.1). The BPF
    engine hands those up, and the short one at the end may overtake them."""
    server, client, seen = ends
    server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    data = os.urandom(size * 9 + 17)
    send_train(server, data, size, seen)
    got, sent = [datagram for datagram, _ in receive(client, 10)], pieces(data, size)
    assert (sorted(got) == sorted(sent)) if labs.ENGINE == "bpf" else (got == sent)


def test_nothing_was_lost_on_the_way(train_lab):
    """After the others."""
    counters = train_lab.counters()
    for name in ("tun_bad_frame", "tun_write_failed", "bad_offload", "super_packet_refused"):
        assert counters[name] == 0
