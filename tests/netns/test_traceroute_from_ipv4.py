# SPDX-License-Identifier: MIT
"""traceroute from an IPv4 host to a port that an IPv6 host has open: routers of the IPv6 side have
no IPv4 address, so they answer from the pool address, and the host itself answers at the end."""

import socket
import struct
import threading

import lab as labs
from packets import UdpEcho, drain, udp_socket

IP_RECVERR, TIME_EXCEEDED = 11, 11


def open_port(lab):
    """A UDP socket of the far client, and the address and port it has outside."""
    with UdpEcho(lab.far_server, labs.FAR_SERVER, 7001):
        client = udp_socket(lab.far_client, labs.FAR_CLIENT)
        client.sendto(b"who am I?", (labs.embed(labs.FAR_SERVER), 7001))
        address, port = client.recv(200).decode().split()
    return client, (address, int(port))


def test_every_hop_answers(far_lab):
    """One datagram for each hop limit, and what the sender's socket hears about it."""
    client, outside = open_port(far_lab)
    sender = far_lab.far_server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    sender.connect(outside)
    heard = []
    for ttl in range(1, 7):
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        sender.send(b"hop?")
        heard.append(labs.wait_for(f"an answer about TTL {ttl}", lambda: error_of(sender), 3, 0.01))
    assert heard == [(TIME_EXCEEDED, 0, hop) for hop in (
        "192.0.2.9", "192.0.2.129", labs.GATEWAY4,  # as they are: not translated
        labs.POOL, labs.POOL, labs.POOL)]  # the gateway's second pass, client, router6
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 7)
    sender.send(b"arrived?")
    assert client.recvfrom(100)[0] == b"arrived?"
    sender.close()
    client.close()


def error_of(sender):
    """(type, code, address) of the ICMP error that waits at a socket; None where none does."""
    try:
        _, control, _, _ = sender.recvmsg(2000, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    data = next(data for _, kind, data in control if kind == IP_RECVERR)
    _, _, kind, code = struct.unpack("IBBB", data[:7])  # struct sock_extended_err
    return kind, code, socket.inet_ntoa(data[20:24])


def test_traceroute_reaches_the_host(far_lab):
    client, (address, port) = open_port(far_lab)
    client.settimeout(0.1)
    stop = threading.Event()

    def answer():
        while not stop.is_set():
            try:
                client.sendto(b"here", client.recvfrom(2000)[1])
            except TimeoutError:
                pass

    host = threading.Thread(target=answer, daemon=True)
    host.start()
    before = far_lab.counters()
    said = far_lab.far_server.run("traceroute", "-4", "-n", "-q", "1", "-N", "1", "-w", "2", "-m",
                                  "12", "-U", "-p", port, address).stdout
    stop.set()
    host.join()
    client.close()
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    assert hops == ["192.0.2.9", "192.0.2.129", labs.GATEWAY4] + [labs.POOL] * 4, said
    drain(lambda: far_lab.counters()["translated_error_6to4"] >= before["translated_error_6to4"])
    after = far_lab.counters()
    assert after["translated_error_6to4"] - before["translated_error_6to4"] == 3
