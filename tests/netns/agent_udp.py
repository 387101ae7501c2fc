# SPDX-License-Identifier: MIT
"""UDP for the agent's lab: datagrams by hand, with a UOA as IPv4 option or as protocol 248, and what comes back
on the wire. Standard library only, as agent_lab is."""

import contextlib
import itertools
import json
import socket
import struct
import time

import lab as labs
from agent_lab import BACKEND, BACKEND6, HERE, LISTED, _checksum, toa4, toa6

UOA, OPTION_PROTOCOL, UDP, FRAGMENTS = 31, 248, 17, 0x2000
_ports = itertools.count(30001)


def uoa4(*what, **named):
    return toa4(*what, kind=UOA, **named)


def uoa6(*what, **named):
    return toa6(*what, kind=UOA, **named)


def protocol_248(option, version=None, length=None, protocol=UDP):
    """The header of protocol 248 with the options in it; `version`, `length`, `protocol`: if not the truth."""
    version = version if version is not None else 2 if option[1:2] == b"\x14" else 1
    return struct.pack("!BBH", version << 4, protocol, length or 4 + len(option)) + option


class Flow:
    """What a load balancer sends from one of its ports to one of ours, and gets from there."""

    def __init__(self, lab, port, source=LISTED, server=None, source_port=None):
        self.lab, self.source, self.port = lab, source, source_port or next(_ports)
        self.six = ":" in source
        self.server = server or (BACKEND6 if self.six else BACKEND)
        self.server_port = port

    def _address(self, text):
        return socket.inet_pton(socket.AF_INET6 if self.six else socket.AF_INET, text)

    def send(self, data=b"?", option=b"", between=b"", checksum=True, fragment=0):
        """`option`: IPv4 options. `between`: a header of protocol 248."""
        source, server = self._address(self.source), self._address(self.server)
        length = 8 + len(data)
        head = struct.pack("!HHHH", self.port, self.server_port, length, 0)
        pseudo = source + server + struct.pack("!II", length, UDP)
        check = struct.pack("!H", _checksum(pseudo + head + data) or 0xffff)
        segment = between + head[:6] + (check if checksum else b"\0\0") + data
        protocol = OPTION_PROTOCOL if between else UDP
        if self.six:
            packet = struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + source + server
        else:
            option += b"\0" * (-len(option) % 4)
            words = 5 + len(option) // 4
            packet = struct.pack("!BBHHHBBH", 4 << 4 | words, 0, words * 4 + len(segment), 7, fragment, 64,
                                 protocol, 0) + source + server + option
            packet = packet[:10] + struct.pack("!H", _checksum(packet)) + packet[12:]
        self.lab.wire.send(self.lab.backend_mac + self.lab.sender_mac +
                           (b"\x86\xdd" if self.six else b"\x08\x00") + packet + segment)

    def receive(self, seconds=10):
        """The data of the next datagram that the server sends to the load balancer's port; None if none comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.lab.wire.settimeout(left)
            with contextlib.suppress(TimeoutError):
                data = self._mine(self.lab.wire.recv(65535))
                if data is not None:
                    return data
        return None

    def _mine(self, frame):
        kind, packet = frame[12:14], frame[14:]
        if kind == b"\x86\xdd" and self.six and packet[6] == UDP:
            source, server, segment = packet[24:40], packet[8:24], packet[40:]
        elif kind == b"\x08\x00" and not self.six and packet[9] == UDP:
            source, server, segment = packet[16:20], packet[12:16], packet[20:]
        else:
            return None
        ports = struct.unpack("!HHH", segment[:6])
        if (source, server) != (self._address(self.source), self._address(self.server)) or \
                ports[:2] != (self.server_port, self.port):
            return None
        return segment[8:ports[2]]

    def ask(self, *what, seconds=10, **named):
        """Who the server takes us for."""
        self.send(*what, **named)
        answer = self.receive(seconds)
        if answer is None:
            raise labs.LabError("the server did not answer")
        return json.loads(answer)


def start_server(lab, address="0.0.0.0", *wanted, inside=None):
    """Is bound when it returns, in the cgroup; its port. `inside`: another network namespace."""
    port = next(lab.ports)
    command = lab.in_cgroup("/usr/bin/python3", "-B", HERE / "agent_udp_server.py", address, port, *wanted)
    if inside:
        script = f"echo $$ > {lab.cgroup}/cgroup.procs && exec \"$@\""
        command = inside.command(["sh", "-c", script, "sh", "/usr/bin/python3", "-B",
                                  HERE / "agent_udp_server.py", address, port, *wanted])
    server = lab._start(f"udp-server-{port}", command)
    labs.wait_for("the server is bound", lambda: "bound" in server.said(), 30)
    return port
