# SPDX-License-Identifier: MIT
"""A UDP server that tells each client who it takes him for: a datagram of JSON for each that it gets, with the
address that recvfrom() gave, and how many came before. A datagram of JSON is a question for getsockopt 2048
(family, source, port, length; the source is who sent it if none is named), whose answer is told, too.

    agent_udp_server.py ADDRESS PORT [connect]

connect: each client gets a socket of his own, connected to him, as QUIC servers have it.
"""

import ctypes
import errno
import json
import select
import socket
import struct
import sys

UOA_SO_GET_LOOKUP = 2048
libc = ctypes.CDLL(None, use_errno=True)


def getsockopt_2048(sock, question, client):
    """DPVS's struct: family, source, destination, ports; the real family, source and port behind them."""
    family = question.get("family", 4)
    source, port = question.get("source", client)
    number, size = (socket.AF_INET, 4) if family == 4 else (socket.AF_INET6, 16)
    half = struct.pack("=H16s16s", number, socket.inet_pton(number, source), b"") + struct.pack(
        "!HH", port, sock.getsockname()[1])
    buffer = ctypes.create_string_buffer(half + bytes(20), 58)
    length = ctypes.c_int(question.get("length", 58))
    if libc.getsockopt(sock.fileno(), socket.IPPROTO_IP, UOA_SO_GET_LOOKUP, buffer, ctypes.byref(length)):
        return errno.errorcode[ctypes.get_errno()]
    told = buffer.raw
    number = struct.unpack("=H", told[38:40])[0]
    size = 4 if number == socket.AF_INET else 16
    return [length.value, told[:38] == half, socket.inet_ntop(number, told[40:40 + size]),
            *struct.unpack("!H", told[56:58])]


def bound(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((address, port))
    return sock


def main():
    address, port, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    listener = bound(address, port)
    sockets, count = [listener], 0
    print("bound", flush=True)
    while True:
        for sock in select.select(sockets, [], [])[0]:
            data, client = sock.recvfrom(65535)
            count += 1
            told = {"from": list(client[:2]), "length": len(data), "count": count}
            if data.startswith(b"{"):
                told["answer"] = getsockopt_2048(sock, json.loads(data), client[:2])
            if sock is listener and "connect" in wanted:
                sock = bound(address, port)
                sock.connect(client)
                sockets.append(sock)
            if sock is not listener:
                told["peer"] = list(sock.getpeername()[:2])
                sock.send(json.dumps(told).encode())
            else:
                sock.sendto(json.dumps(told).encode(), client)


if __name__ == "__main__":
    main()
