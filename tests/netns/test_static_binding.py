# SPDX-License-Identifier: MIT
"""[[static]] protocol, outside, inside: an IPv6 server has a port of the pool (RFC 6146 3.1), also
outside the range that is given out; a reload takes it away and gives it to another host."""

import socket

import lab as labs
from packets import drain

WEB = {"protocol": "tcp", "outside": f"{labs.POOL}:80", "inside": f"[{labs.CLIENT}]:8080"}


def listener(namespace, address, port):
    made = namespace.socket(socket.AF_INET6, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(4)
    made.settimeout(5)
    return made


def test_a_server_behind_the_gateway(bare_lab):
    bare_lab.start_daemon(static=[WEB])
    assert [item["outside"] for item in bare_lab.show("bindings")] == [f"{labs.POOL}:80"]
    server = listener(bare_lab.client, labs.CLIENT, 8080)
    visitor = bare_lab.server.socket(socket.AF_INET, socket.SOCK_STREAM)
    visitor.settimeout(5)
    visitor.connect((labs.POOL, 80))
    accepted, peer = server.accept()
    assert peer[0] == labs.embed(labs.SERVER)
    visitor.sendall(b"hello")
    assert accepted.recv(100) == b"hello"
    accepted.sendall(b"hello yourself")
    assert visitor.recv(100) == b"hello yourself"

    # A reload that leaves it alone changes nothing.
    bare_lab.viaduct("reload")
    visitor.sendall(b"again")
    assert accepted.recv(100) == b"again"

    # One without it ends its sessions: the port is not of the range that is given out.
    bare_lab.write_config()
    bare_lab.viaduct("reload")
    drain(lambda: bare_lab.show("bindings") == [])
    assert bare_lab.show("bindings") == [] and bare_lab.show("sessions") == []
    for item in (visitor, accepted, server):
        item.close()
