# SPDX-License-Identifier: MIT
"""Every way that carries a TOA, for every family of socket, under everything that changes a handshake, from listed
senders and strangers, with every kind: accept, getpeername and getsockopt 4096 give what they should, or the socket's
own. Connections of tables; one test for each handshake and socket."""

import itertools
import struct

import pytest

from agent_lab import (ACK, CLIENT, CLIENT6, LISTED, LISTED6, PORT, STRANGER, STRANGER6, SYN, AgentLab,
                       toa4, toa6)
from lab import LabError

KINDS = [254, 253, 200, 28]
WAYS = ["syn", "ack", "data", "ack+data"]
MSS = b"\x02\x04\x05\xb4"
FAST_OPEN = 63881
SMC = 58068  # and an address of 195.217.0.0/16: the number of another experiment

# family of the server's socket, sender, stranger, whether the client is IPv6, how programs see it
SOCKETS = {
    "ip4": ("0.0.0.0", LISTED, STRANGER, False, CLIENT),
    "ip6": ("::", LISTED6, STRANGER6, True, CLIENT6),
    "dual-stack": ("::", LISTED, STRANGER, False, "::ffff:" + CLIENT),
    "nat64": ("0.0.0.0", LISTED, STRANGER, True, None),
}


def timestamps(echoed=0):
    return bytes([1, 1, 8, 10]) + struct.pack("!II", 100, echoed)


def option_of(lab_socket, kind, port=PORT):
    """A TOA of this kind, and the port that it brings: kind 28 has none."""
    six = SOCKETS[lab_socket][3]
    whole = toa6(port=port, kind=kind) if six else toa4(port=port, kind=kind)
    if kind != 28:
        return whole, port
    return bytes([28, len(whole) - 1, 1]) + whole[4:], None


class Plain:
    """A handshake as it usually is. What others change is overridden."""

    syn = ack = data = b""  # options beside the TOA
    server = ()
    cookies = 1
    lost = ()  # ways whose option the kernel throws away

    def prepare(self, lab):
        lab.backend.sysctl("net/ipv4/tcp_syncookies", self.cookies)

    def fits(self, way, option):
        return all(len(beside) + len(option) <= 40 for part, beside in (
            ("syn", MSS + self.syn), ("ack", self.ack), ("data", self.data)) if part in way)

    def run(self, connection, way, option):
        syn, ack, data = (option if part in way else b"" for part in ("syn", "ack", "data"))
        connection.open(syn=self.syn + syn, bare_ack=False)
        connection.send(ACK, self.ack + ack)
        return connection.ask(self.data + data)

    def accepted_late(self, way):
        """Whether accept may answer before the option comes."""
        return way == "data"


class NoCookies(Plain):
    cookies = 0


class Cookies(Plain):
    cookies = 2
    lost = ("syn",)


class DeferAccept(Plain):
    server = ("defer",)
    lost = ("ack",)  # the kernel drops that packet

    def accepted_late(self, way):
        return False


class FastOpen(Plain):
    """The connection is made by the SYN, with data that the program has read when more comes."""

    server = ("fastopen",)
    lost = ("ack",)  # the kernel does not show that packet's header

    def prepare(self, lab):
        super().prepare(lab)
        lab.backend.sysctl("net/ipv4/tcp_fastopen", 0x203)  # without a cookie

    def run(self, connection, way, option):
        syn, ack, data = (option if part in way else b"" for part in ("syn", "ack", "data"))
        connection.send(SYN, MSS + syn, b"?")
        while True:
            answer = connection.receive()
            if not answer:
                raise LabError("no SYN-ACK came")
            if answer[0] & SYN:
                break
        connection.acknowledged = answer[1] + 1
        connection.send(ACK, ack)
        connection.told()  # for the SYN's data
        return connection.ask(data)

    def accepted_late(self, way):
        return "data" in way


class Multipath(Plain):
    server = ("mptcp",)
    syn = bytes([30, 4, 0x01, 0x01])

    def fits(self, way, option):
        return {"syn": 8, "ack": 20, "data": 28, "ack+data": 28}[way] + len(option) <= 40

    def run(self, connection, way, option):
        syn, ack, data = (option if part in way else b"" for part in ("syn", "ack", "data"))
        connection.open(syn=self.syn + syn, bare_ack=False)
        options = connection.syn_ack[20:(connection.syn_ack[12] >> 4) * 4]
        at = options.find(bytes([30, 12]))
        assert at >= 0, "the server does not speak MPTCP"
        keys = bytes(range(8)) + options[at + 4:at + 12]
        connection.send(ACK, bytes([30, 20, 0x01, 0x01]) + keys + ack)
        return connection.ask(bytes([30, 22, 0x01, 0x01]) + keys + b"\x00\x01\x01\x01" + data)


class Timestamps(Plain):
    syn = timestamps()

    def run(self, connection, way, option):
        syn, ack, data = (option if part in way else b"" for part in ("syn", "ack", "data"))
        connection.open(syn=self.syn + syn, bare_ack=False)
        options = connection.syn_ack[20:(connection.syn_ack[12] >> 4) * 4]
        at = options.find(bytes([8, 10]))
        assert at >= 0, "the server does not echo timestamps"
        mine = timestamps(struct.unpack("!I", options[at + 2:at + 6])[0])
        connection.send(ACK, mine + ack)
        return connection.ask(mine + data)

    ack = data = timestamps()


class Sack(Plain):
    """With a block of what nobody has sent: a receiver of data passes over it."""

    syn = bytes([4, 2, 1, 1])
    ack = data = bytes([1, 1, 5, 10]) + struct.pack("!II", 1, 2)


HANDSHAKES = {"plain": Plain, "no-cookies": NoCookies, "cookies": Cookies, "defer-accept": DeferAccept,
              "fast-open": FastOpen, "mptcp": Multipath, "timestamps": Timestamps, "sack": Sack}


@pytest.fixture(scope="module")
def lab():
    with AgentLab() as made:
        made.start_agent(nat64_getsockopt=True, kinds=[
            f"{kind}/{length}" for kind in KINDS for length in ((7, 19) if kind == 28 else (8, 20))])
        yield made


@pytest.fixture(scope="module")
def servers():
    return {}  # ports, by address and what else a server is


def server(lab, servers, address, wanted):
    if (address, wanted) not in servers:
        try:
            servers[address, wanted] = lab.start_server(address, *wanted)
        except LabError as problem:
            if "mptcp" in wanted:
                pytest.skip(f"no MPTCP here: {problem}")
            raise
    return servers[address, wanted]


def own_name(connection, address):
    return ["::ffff:" + connection.source if address == "::" and not connection.six
            else connection.source, connection.port]


def expect(name, connection, port, believed):
    """What getpeername and getsockopt 4096 must say."""
    address, _, _, six, shown = SOCKETS[name]
    own = own_name(connection, address)
    if not believed:
        return own, "EINVAL"
    port = port or connection.port
    if name == "nat64":
        return own, [20, CLIENT6, port]
    return [shown, port], "EFAULT"


@pytest.mark.parametrize("name", SOCKETS)
@pytest.mark.parametrize("how", HANDSHAKES)
def test_matrix(lab, servers, how, name):
    handshake = HANDSHAKES[how]()
    handshake.prepare(lab)
    address, listed, stranger, _, _ = SOCKETS[name]
    where = server(lab, servers, address, handshake.server)
    tried = 0
    for way, kind, source in itertools.product(WAYS, KINDS, (listed, stranger)):
        option, port = option_of(name, kind)
        if not handshake.fits(way, option):
            continue
        case = f"{how}, {name}, {way}, kind {kind}, {source}"
        connection = lab.connection(where, source)
        told = handshake.run(connection, way, option)
        connection.close()
        believed = source == listed and way not in handshake.lost
        peer, nat64 = expect(name, connection, port, believed)
        assert told["peer"] == peer, case
        assert told["nat64"] == nat64, case
        assert told["accepted"] == peer or (
            handshake.accepted_late(way) and told["accepted"] == own_name(connection, address)), case
        tried += 1
    # With IPv6 and MPTCP the first data packet has no room for it.
    assert tried == (16 if (how, option_of(name, 254)[0][1]) == ("mptcp", 20) else 32)


def malformed(kind):
    """Lengths that a kind never has, and such that go over the end of the header, by few bytes: of 18 and more the
    kernel may look for a signature in them (RFC 2385), and drop the packet itself."""
    body = b"\x30\x39" + bytes([203, 0, 113, 9]) * 10
    for length in (0, 1, 2, 3, 6, 7, 8, 9, 15, 17, 19, 20, 21, 36):
        if length in ((7, 19) if kind == 28 else (8, 20)):
            continue
        yield f"{kind}/{length}", bytes([kind, length]) + body[:max(length, 8) - 2]
    yield f"{kind}/40 of 16", bytes([kind, 40]) + body[:14]
    yield f"{kind}/20 of 12", bytes([kind, 20]) + body[:10]
    yield f"{kind} alone at the end", b"\x01" * 3 + bytes([kind])


@pytest.mark.parametrize("way", ["syn", "ack", "data"])
@pytest.mark.parametrize("name", ["ip4", "ip6", "dual-stack"])
def test_malformed(lab, servers, name, way):
    Plain().prepare(lab)
    address, source, _, _, _ = SOCKETS[name]
    where = server(lab, servers, address, ())
    before = lab.counters()["malformed"]
    tried = 0
    for kind in KINDS:
        for case, option in malformed(kind):
            connection = lab.connection(where, source)
            told = Plain().run(connection, way, option)
            connection.close()
            own = own_name(connection, address)
            assert (told["peer"], told["accepted"], told["nat64"]) == (own, own, "EINVAL"), case
            tried += 1
    assert lab.counters()["malformed"] == before + tried
    assert tried == 60


@pytest.mark.parametrize("name", SOCKETS)
def test_port_63881(lab, servers, name):
    """With the kinds of experiments it may be a Fast Open cookie, only in a SYN, and not if a later packet says the same."""
    Plain().prepare(lab)
    address, source, _, _, _ = SOCKETS[name]
    where = server(lab, servers, address, ())
    for way, kind in itertools.product([*WAYS, "syn+ack"], (254, 253, 200)):
        option, port = option_of(name, kind, FAST_OPEN)
        connection = lab.connection(where, source)
        told = Plain().run(connection, way, option)
        connection.close()
        peer, nat64 = expect(name, connection, port, kind == 200 or way != "syn")
        assert (told["peer"], told["nat64"]) == (peer, nat64), (way, kind)


@pytest.mark.parametrize("way", ["syn", "ack", "data"])
def test_number_of_another_experiment(lab, servers, way):
    """Of SMC-R's option only the first bytes are alike: its length is 6."""
    Plain().prepare(lab)
    connection = lab.connection(server(lab, servers, "0.0.0.0", ()))
    told = Plain().run(connection, way, toa4("195.217.1.1", SMC))
    connection.close()
    assert told["peer"] == ["195.217.1.1", SMC]
