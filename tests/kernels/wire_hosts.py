#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The hosts of two-guests: what they send each other through the gateway arrives as it was, and no kernel
has seen a wrong checksum. Once for each way that the gateway takes: wire_hosts.py WAY..."""

import os
import socket
import subprocess
import sys
import time

SERVER, SERVER6 = "198.51.100.80", "64:ff9b::c633:6450"
GATEWAY = "2001:db8:64::1"
ERRORS = ["TcpInCsumErrors", "UdpInCsumErrors", "IcmpInCsumErrors", "Udp6InCsumErrors",
          "Icmp6InCsumErrors"]
DATAGRAMS = [0, 1, 2, 3, 100, 999, 1000, 1232, 1440, 1452, 1453, 4000]


def sh(command):
    subprocess.run(command, shell=True, check=True)


def on(namespace, *command, **options):
    return subprocess.run(["ip", "netns", "exec", namespace, *command], text=True,
                          capture_output=True, **options)


def topology():
    sh("modprobe virtio_net")
    for name, card, address, way in (
            ("client", "eth0", "2001:db8:64::10/64", f"default via {GATEWAY}"),
            ("server", "eth1", f"{SERVER}/24", "")):
        sh(f"ip netns add {name} && ip link set {card} netns {name}"
           f" && ip -n {name} link set lo up && ip -n {name} link set {card} up"
           f" && ip -n {name} address add {address} dev {card}" + (" nodad" if way else ""))
        if way:
            sh(f"ip -n {name} -6 route add {way}")


def echo_server():
    """TCP and UDP, port 7, in this process' namespace, for ever."""
    if os.fork() == 0:
        server = socket.create_server((SERVER, 7))
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                while data := connection.recv(65536):
                    connection.sendall(data)
                os._exit(0)
            connection.close()
    if os.fork() == 0:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((SERVER, 7))
        while True:
            data, source = server.recvfrom(65536)
            server.sendto(data, source)
    while True:
        time.sleep(1000)


def pings():
    return on("client", "ping", "-c", "1", "-W", "5", SERVER6).returncode == 0


def tcp(size):
    sent, got = os.urandom(size), b""
    with socket.create_connection((SERVER6, 7), timeout=60) as connection:
        for start in range(0, size, 50000):
            piece = sent[start:start + 50000]
            connection.sendall(piece)
            left = len(piece)
            while left:
                data = connection.recv(left)
                assert data, "the connection ended"
                got += data
                left -= len(data)
    assert got == sent, "TCP brought other bytes back"


def udp(size):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        sent = os.urandom(size)
        for _ in range(3):  # the first may wait for a neighbour
            client.sendto(sent, (SERVER6, 7))
            try:
                assert client.recv(65536) == sent, f"UDP brought other bytes back ({size})"
                return
            except TimeoutError:
                continue
    raise AssertionError(f"no answer to a datagram of {size} bytes")


def gateway_with(way, end):
    """A connection to the gateway, which takes that way now."""
    while time.monotonic() < end:
        try:
            connection = socket.create_connection((GATEWAY, 9), timeout=10)
            if connection.recv(4) == way.encode():
                return connection
            connection.close()
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the gateway does not run {way}")


def client(way):
    end = time.monotonic() + 250
    gateway = gateway_with(way, end)
    while not pings():
        assert time.monotonic() < end, "the gateway does not translate"
    tcp(1_000_000)
    for size in DATAGRAMS:
        udp(size)
    assert on("client", "ping", "-c", "3", "-s", "1000", "-W", "10", SERVER6).returncode == 0
    gateway.sendall(b"done")
    gateway.close()


def wrong_checksums():
    wrong = {}
    for namespace in ("client", "server"):
        for line in on(namespace, "nstat", "-az", *ERRORS).stdout.splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ERRORS and words[1] != "0":
                wrong[f"{namespace} {words[0]}"] = words[1]
    return wrong


def in_namespace(name, function):
    """function in a child of ours, in the namespace; its process."""
    child = os.fork()
    if child:
        return child
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    os.setns(fd, os.CLONE_NEWNET) if hasattr(os, "setns") else _setns(fd)
    try:
        function()
    except BaseException as failure:  # pylint: disable=broad-except
        print(f"FAIL: {failure!r}", flush=True)
        os._exit(1)
    os._exit(0)


def _setns(fd):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def main():
    topology()
    in_namespace("server", echo_server)
    for way in sys.argv[1:]:
        _, status = os.waitpid(in_namespace("client", lambda: client(way)), 0)  # pylint: disable=cell-var-from-loop
        wrong = wrong_checksums()
        if status != 0 or wrong:
            print(f"FAIL: with {way}: {wrong or 'see above'}", flush=True)
            return 1
        print(f"{way}: ping, 1,000,000 bytes of TCP there and back, {len(DATAGRAMS)} datagrams,"
              " no wrong checksum", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
