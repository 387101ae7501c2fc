# SPDX-License-Identifier: MIT
"""A TCP server that tells each client who it takes him for: a line of JSON for each line it gets, with the
address that accept() gave, those that getpeername() and getsockname() give now, and getsockopt 4096's answer.

    agent_server.py ADDRESS PORT [defer] [fastopen] [mptcp] [syns]
"""

import errno
import json
import socket
import sys
import threading

IPPROTO_MPTCP = 262
TOA_SO_GET_LOOKUP = 4096
TCP_SAVE_SYN, WITH_LINK_HEADER = 27, 2


def nat64(connection, length=20):
    try:
        answer = connection.getsockopt(socket.IPPROTO_IP, TOA_SO_GET_LOOKUP, length)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return [len(answer), socket.inet_ntop(socket.AF_INET6, answer[:16]),
            int.from_bytes(answer[16:18], "big")]


def name(address):
    return list(address[:2])


def serve(connection, accepted):
    with connection:
        while connection.recv(2048):
            told = {"accepted": name(accepted), "peer": name(connection.getpeername()),
                    "own": name(connection.getsockname()), "nat64": nat64(connection), "short": nat64(connection, 19)}
            connection.sendall(json.dumps(told).encode() + b"\n")


def main():
    address, port, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM,
                             IPPROTO_MPTCP if "mptcp" in wanted else socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if "defer" in wanted:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    if "fastopen" in wanted:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    if "syns" in wanted:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, WITH_LINK_HEADER)
    listener.bind((address, port))
    listener.listen(256)
    print("listens", flush=True)
    while True:
        connection, accepted = listener.accept()
        threading.Thread(target=serve, args=(connection, accepted), daemon=True).start()


if __name__ == "__main__":
    main()
