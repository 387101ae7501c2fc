# SPDX-License-Identifier: MIT
"""Direct ports: what is to be translated goes past nvi0, from port to port; what cannot goes its
usual way. The bpf engine whatever VIADUCT_ENGINE says, since no other has them."""

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess

import pytest

import lab as labs
from packets import ICMPV6, TCP, UDP, Capture, Connection, TcpEcho, UdpEcho, checksum_problem, \
    drain, injector, parse, udp, udp_socket

SO_NO_CHECK = 11
ACT_UNSPEC, ACT_SHOT = -1, 2
SYS_BPF, PROG_LOAD, SCHED_CLS = 321, 5, 3  # of x86-64, which is what we run on
LIBC = ctypes.CDLL(None, use_errno=True)
TARGET = labs.embed(labs.SERVER)
PORTS = ["lan", "wan"]


def start(lab, ports=tuple(PORTS), mode="tc", wrapper=(), **sections):
    nvi = {"engine": "bpf", "direct_mode": mode}
    if ports:
        nvi["direct"] = list(ports)
    return lab.start_daemon(wrapper=wrapper, nvi=nvi, **sections)


def states(lab):
    return {port["port"]: port["mode"] for port in lab.show("status")[0]["direct"]}


def programs(lab, port):
    """The names of our programs on a port: XDP, then tc."""
    link = json.loads(lab.gateway.run("ip", "-j", "-d", "link", "show", "dev", port).stdout)[0]
    xdp = [f'{entry["mode"]} {entry["prog"]["name"]}' for entry in [link.get("xdp", {})]
           if "prog" in entry]
    return xdp + [entry["options"]["bpf_name"].split(":")[0]
            for entry in json.loads(lab.gateway.run("tc", "-j", "filter", "show", "dev", port,
                                                    "ingress").stdout or "[]")
            if "bpf_name" in entry.get("options", {})]


def clsact(lab, port):
    return "clsact" in lab.gateway.run("tc", "qdisc", "show", "dev", port).stdout


def drop_all(lab, port, way, priority, action):
    """Somebody else's program on a port: two instructions, which say `action` to every packet."""
    code = struct.pack("<BBhi", 0xB7, 0, 0, action) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    text, license_ = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    load = struct.pack("<IIQQ", SCHED_CLS, 2, ctypes.addressof(text), ctypes.addressof(license_))
    attribute = ctypes.create_string_buffer(load.ljust(128, b"\0"))
    program = LIBC.syscall(SYS_BPF, PROG_LOAD, attribute, 128)
    assert program >= 0, os.strerror(ctypes.get_errno())
    if not clsact(lab, port):
        lab.gateway.run("tc", "qdisc", "add", "dev", port, "clsact")
    index = lab.gateway.ip_json("link", "show", "dev", port)[0]["ifindex"]
    parent = 0xFFFFFFF2 if way == "ingress" else 0xFFFFFFF3
    body = struct.pack("=BxxxiIII", 0, index, 0, parent, priority << 16 | socket.htons(3))
    options = attr(6, struct.pack("=I", program)) + attr(8, struct.pack("=I", 1))  # FD, FLAGS
    body += attr(1, b"bpf\0") + attr(2, options)
    request = struct.pack("=IHHII", 16 + len(body), 44, 0x605, 1, 0) + body  # RTM_NEWTFILTER
    netlink = lab.gateway.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    netlink.send(request)
    code = struct.unpack("=i", netlink.recv(65536)[16:20])[0]
    netlink.close()
    os.close(program)
    assert code == 0, os.strerror(-code)


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


@contextlib.contextmanager
def counted(lab):
    """Afterwards its `grown` says by how much each counter grew."""
    class Counts:
        grown = {}

    before, counts = lab.counters(), Counts()
    yield counts
    counts.grown = {name: value - before[name] for name, value in lab.counters().items()
                    if value != before[name]}


def crossed_nvi(lab):
    """Packets that came out of nvi0, translated."""
    text = lab.gateway.run("ip", "-j", "-s", "link", "show", "dev", "nvi0").stdout
    return json.loads(text)[0]["stats64"]["rx"]["packets"]


def udp4_socket(namespace, address, port=0):
    made = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(10)
    made.bind((address, port))
    return made


def make_lab(mode="tc", offloads=False):
    """XDP loses partial checksums, which only senders without that offload do not have; and what it
    sends a veth takes only where the other end has GRO on."""
    lab = labs.Lab(offloads=offloads)
    if mode == "xdp":
        for where in (lab.client, lab.server):
            where.run("ethtool", "-K", "eth0", "gro", "on")
    return lab


@pytest.fixture(scope="module", params=[("tc", True), ("tc", False), ("xdp", False),
                                        ("xdp-generic", False)],
                ids=["tc-offloads", "tc", "xdp", "xdp-generic"])
def direct_lab(request):
    with make_lab(*request.param) as lab:
        lab.mode = request.param[0]
        lab.start_web()
        start(lab, mode=lab.mode)
        lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)  # the neighbours are known
        yield lab


def test_the_ports_are_direct(direct_lab):
    mode = direct_lab.mode
    assert states(direct_lab) == {port: mode for port in PORTS}
    assert f"lan ({mode}), wan ({mode})" in direct_lab.viaduct("show", "status").stdout


def test_tcp_both_directions(direct_lab):
    lab = direct_lab
    data = os.urandom(5_000_000)
    (lab.folder / "www" / "five.bin").write_bytes(data)
    (lab.folder / "got.bin").unlink(missing_ok=True)
    before = crossed_nvi(lab)
    with counted(lab) as counts:
        lab.client.run("curl", "--silent", "--fail", "--max-time", "30", "--output",
                       lab.folder / "got.bin", f"http://[{TARGET}]/five.bin")
        with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as echoed:
            echoed.talk(data[:1_000_000])
    assert hashlib.sha256((lab.folder / "got.bin").read_bytes()).digest() == \
        hashlib.sha256(data).digest()
    taken = counts.grown["direct_taken"]
    assert taken > 100
    assert taken == counts.grown["translated_6to4"] + counts.grown["translated_4to6"] - \
        (crossed_nvi(lab) - before)
    assert crossed_nvi(lab) - before <= taken / 100


def test_udp_of_every_length(direct_lab):
    with counted(direct_lab) as counts, \
            UdpEcho(direct_lab.server, labs.SERVER, 7007, answer=lambda data, _: data):
        client = udp_socket(direct_lab.client, labs.CLIENT)
        for length in range(0, 1452, 13):
            data = os.urandom(length)
            client.sendto(data, (TARGET, 7007))
            assert client.recv(65536) == data
        client.close()
    assert counts.grown["direct_taken"] == 2 * len(range(0, 1452, 13))


def test_ping(direct_lab):
    with counted(direct_lab) as counts:
        direct_lab.client.run("ping", "-c", "3", "-i", "0.2", "-W", "5", "-s", "1000", TARGET)
    assert counts.grown["direct_taken"] == 6


def test_an_ipv4_host_opens(direct_lab):
    """To a port that a binding has opened, a session is made from the other side."""
    lab = direct_lab
    with UdpEcho(lab.server, labs.SERVER, 7007):
        inside = udp_socket(lab.client, labs.CLIENT)
        inside.sendto(b"open", (TARGET, 7007))
        address, port = inside.recv(65536).decode().rsplit(" ", 1)
    other = udp4_socket(lab.server, labs.SERVER2)
    with counted(lab) as counts:
        other.sendto(b"from another", (address, int(port)))
        data, sender = inside.recvfrom(65536)
        inside.sendto(b"back", sender[:2])
        assert other.recv(65536) == b"back"
    inside.close()
    other.close()
    assert data == b"from another" and sender[0] == labs.embed(labs.SERVER2)
    assert counts.grown["session_made"] == 1
    assert counts.grown["direct_taken"] + counts.grown.get("direct_left_neighbour", 0) == 2


def test_one_hop_each_way(direct_lab):
    lab = direct_lab
    with Capture(lab.client, "eth0") as client, Capture(lab.server, "eth0") as server:
        lab.client.run("ping", "-c", "1", "-W", "5", "-t", "64", TARGET)
        drain(lambda: False, 0.2)
    requests = [packet for packet in server.arrived if packet[0] >> 4 == 4 and packet[9] == 1]
    replies = [packet for packet in client.arrived
               if packet[0] >> 4 == 6 and parse(packet)[3] == ICMPV6 and parse(packet)[4][0] == 129]
    assert [packet[8] for packet in requests] == [63]
    assert [packet[7] for packet in replies] == [63]


def test_the_kernel_answers_where_the_hop_limit_ends(direct_lab):
    with counted(direct_lab) as counts:
        said = direct_lab.client.run("ping", "-c", "1", "-W", "5", "-t", "1", TARGET, check=False)
    assert f"From {labs.GATEWAY6}" in said.stdout and "Time exceeded" in said.stdout
    assert counts.grown["direct_left_hop_limit"] == 1


def test_a_traceroute_shows_the_gateway_once(direct_lab):
    said = direct_lab.client.run("traceroute", "-6", "-n", "-q", "1", "-N", "1", "-w", "5", "-m",
                                 "5", "-I", TARGET).stdout
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    assert hops == [labs.GATEWAY6, TARGET], said


def test_the_gateway_itself_is_reached(direct_lab):
    """What is not translated passes the programs; what is for the gateway's own address does not
    leave by a port."""
    with counted(direct_lab) as counts:
        direct_lab.client.run("ping", "-c", "1", "-W", "5", labs.GATEWAY6)
        direct_lab.server.run("ping", "-c", "1", "-W", "5", labs.GATEWAY4)
    assert not [name for name in counts.grown if name.startswith("direct_")]
    with counted(direct_lab) as counts:
        direct_lab.client.run("ping", "-c", "1", "-W", "5", labs.embed(labs.GATEWAY4))
    assert counts.grown["direct_left_route"] == 1


def test_an_unknown_neighbour_is_resolved_by_the_stack(direct_lab):
    lab = direct_lab
    for how in ("-4", "-6"):
        lab.gateway.ip(how, "neighbour", "flush", "all", "nud", "all")
    with counted(lab) as counts:
        lab.client.run("ping", "-c", "3", "-i", "0.2", "-W", "5", TARGET)
    assert counts.grown["direct_left_neighbour"] >= 1
    assert counts.grown["direct_taken"] >= 3
    assert counts.grown["translated_6to4"] == counts.grown["translated_4to6"] == 3


def test_what_was_left_is_accounted_once(direct_lab):
    lab = direct_lab
    with UdpEcho(lab.server, labs.SERVER, 7008, answer=lambda data, _: data):
        client = udp_socket(lab.client, labs.CLIENT)
        for number in range(4):
            lab.gateway.ip("-4", "neighbour", "flush", "all", "nud", "all")
            with counted(lab) as counts:
                client.sendto(b"x" * 100, (TARGET, 7008))
                assert client.recv(65536)
            assert counts.grown["direct_left_neighbour"] >= 1, number
        port = client.getsockname()[1]
        client.close()
    source = f"[{labs.CLIENT}]:{port}"
    found = [item for item in lab.sessions(protocol="udp") if item["inside"]["source"] == source]
    assert [(item["packets"], item["bytes"]) for item in found] == [(8, 8 * (40 + 8 + 100))]


def test_no_route_is_answered_by_the_kernel(direct_lab):
    """Unreachable is the second routing pass's to say."""
    with counted(direct_lab) as counts:
        said = direct_lab.client.run("ping", "-c", "1", "-W", "5", labs.embed("192.0.2.77"),
                                     check=False)
    assert counts.grown["direct_left_route"] == 1 and said.returncode != 0
    assert "unreachable" in said.stdout.lower() or "No route" in said.stdout, said.stdout


def frame(lab, packet, to=None, tag=b""):
    to = to or lab.gateway.mac("lan")
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return (bytes.fromhex((to + lab.client.mac("eth0")).replace(":", "")) + tag + kind + packet)


@pytest.mark.parametrize("case", ["ours", "of a VLAN", "to somebody else"])
def test_only_the_ports_own_frames_are_taken(direct_lab, case):
    """All but the first would be sent on if nobody looked at more than the IP header."""
    lab = direct_lab
    packet = udp(labs.CLIENT, 5555, TARGET, 7009, b"whose?")
    data = {"ours": frame(lab, packet), "of a VLAN": frame(lab, packet, tag=b"\x81\x00\x00\x05"),
            "to somebody else": frame(lab, packet, "02:00:00:00:00:99")}[case]
    lab.gateway.ip("link", "set", "lan", "promisc", "on")
    with counted(lab) as counts, Capture(lab.server, "eth0") as server:
        raw = lab.client.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind(("eth0", 0))
        raw.send(data)
        raw.close()
        drain(lambda: any(b"whose?" in seen for seen in server.arrived),
              0.5 if case != "ours" else 10)
    lab.gateway.ip("link", "set", "lan", "promisc", "off")
    arrived = [seen for seen in server.arrived if b"whose?" in seen]
    assert len(arrived) == (case == "ours")
    assert counts.grown.get("direct_taken", 0) == (case == "ours")


def test_padding_does_not_arrive(direct_lab):
    """A short IPv4 datagram in a frame of the least length, with something behind it."""
    lab = direct_lab
    with UdpEcho(lab.server, labs.SERVER, 7007):
        inside = udp_socket(lab.client, labs.CLIENT)
        inside.sendto(b"open", (TARGET, 7007))
        address, port = inside.recv(65536).decode().rsplit(" ", 1)
    packet = udp(labs.SERVER, 7007, address, int(port), b"hi")
    with counted(lab) as counts, Capture(lab.client, "eth0") as client, \
            injector(lab.server, "eth0", lab.gateway.mac("wan")) as send:
        send(packet + b"\xaa" * (46 - len(packet)))
        assert inside.recv(65536) == b"hi"
        drain(lambda: False, 0.2)
    inside.close()
    assert counts.grown["direct_taken"] == 1
    lengths = [length for length, seen in zip(client.lengths["arrived"], client.arrived)
               if parse(seen)[3] == UDP and parse(seen)[4].endswith(b"hi")]
    assert lengths == [40 + 8 + 2]


@pytest.mark.parametrize("mode", ["tc", "xdp", "xdp-generic"])
def test_checksums_arrive_right(mode):
    """With the offloads off nobody repairs a checksum on the way."""
    with make_lab(mode) as lab:
        root = lab.start_web()
        (root / "two.bin").write_bytes(os.urandom(500_000))
        start(lab, mode=mode)
        lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
        with counted(lab) as counts, Capture(lab.client, "eth0") as at_client, \
                Capture(lab.server, "eth0") as server:
            lab.client.run("curl", "--silent", "--fail", "--max-time", "30", "--output",
                           "/dev/null", f"http://[{TARGET}]/two.bin")
            with UdpEcho(lab.server, labs.SERVER, 7007, answer=lambda data, _: data):
                client = udp_socket(lab.client, labs.CLIENT)
                for length in range(0, 1400, 23):
                    client.sendto(os.urandom(length), (TARGET, 7007))
                    assert len(client.recv(65536)) == length
                client.close()
            lab.client.run("ping", "-c", "1", "-W", "5", "-s", "777", TARGET)
            # From IPv4 without a checksum: it gets one.
            plain = udp4_socket(lab.server, labs.SERVER, 7011)
            plain.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            inside = udp_socket(lab.client, labs.CLIENT)
            inside.sendto(b"open", (TARGET, 7011))
            _, sender = plain.recvfrom(65536)
            plain.sendto(os.urandom(701), sender)
            assert len(inside.recv(65536)) == 701
            inside.close()
            plain.close()
            drain(lambda: False, 0.3)
        for arrived in (at_client.arrived, server.arrived):
            # GRO, where it must be on, leaves what it puts together without a checksum.
            packets = [packet for packet in arrived if len(packet) <= 1500]
            wrong = [(checksum_problem(packet), packet[:64].hex()) for packet in packets
                     if checksum_problem(packet)]
            assert not wrong, wrong[:3]
            assert sum(parse(packet)[3] in (TCP, UDP) for packet in packets) > 60
        assert counts.grown["direct_taken"] > 150


@pytest.mark.parametrize("clamp", [False, True], ids=["too-big", "mss-clamp"])
@pytest.mark.parametrize("mode", ["tc", "xdp", "xdp-generic"])
def test_a_smaller_link_behind_the_gateway(mode, clamp):
    """Longer than the way out: the kernel says so, and what is sent then fits. With mss_clamp all of it does."""
    with make_lab(mode) as lab:
        root = lab.start_web()
        data = os.urandom(300_000)
        (root / "file.bin").write_bytes(data)
        lab.gateway.ip("link", "set", "lan", "mtu", "1400")
        start(lab, mode=mode, nat64={"mss_clamp": clamp})
        lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
        with counted(lab) as counts:
            lab.client.run("curl", "--silent", "--fail", "--max-time", "30", "--output",
                           lab.folder / "got.bin", f"http://[{TARGET}]/file.bin")
        assert (lab.folder / "got.bin").read_bytes() == data
        if clamp:
            assert counts.grown["mss_clamped"] == 2 and "direct_left_too_big" not in counts.grown
        else:
            assert counts.grown["direct_left_too_big"] >= 1
        assert counts.grown["direct_taken"] > 200


# --- the ports -------------------------------------------------------------------------------------


def test_they_are_removed_at_the_end(bare_lab):
    lab = bare_lab
    drop_all(lab, "wan", "egress", 1, ACT_UNSPEC)
    start(lab)
    assert programs(lab, "lan") == programs(lab, "wan") == ["direct_tc"]
    assert lab.stop_daemon() == 0
    assert programs(lab, "lan") == programs(lab, "wan") == []
    assert not clsact(lab, "lan")
    assert clsact(lab, "wan"), "somebody else's filters are none of ours to remove"


def test_a_successor_takes_over(bare_lab):
    """kill -9 leaves the programs; a successor puts his own in, and takes off what is too much."""
    lab = bare_lab
    start(lab)
    lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
    assert lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
    assert programs(lab, "lan") == programs(lab, "wan") == ["direct_tc"]
    start(lab, ["wan"])
    assert programs(lab, "lan") == [] and not clsact(lab, "lan")
    assert programs(lab, "wan") == ["direct_tc"]
    with counted(lab) as counts:
        lab.client.run("ping", "-c", "3", "-i", "0.2", "-W", "5", TARGET)
    assert counts.grown["translated_6to4"] == counts.grown["translated_4to6"] == 3
    assert 2 <= counts.grown["direct_taken"] <= 3  # those that came in by wan
    assert lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
    lab.start_daemon(nvi={"engine": "tun"})
    assert programs(lab, "wan") == [] and not clsact(lab, "wan")
    lab.client.run("ping", "-c", "1", "-W", "5", TARGET)


XDP_NAMES = {"tc": ["direct_tc"], "xdp": ["1 direct_xdp"], "xdp-generic": ["2 direct_xdp"]}


def test_modes_change_and_end():
    """By reload from each to each, also over what a predecessor left; nothing stays at the end."""
    with make_lab("xdp") as lab:
        start(lab)
        for number, mode in enumerate(["xdp", "xdp-generic", "tc", "xdp-generic", "xdp"]):
            lab.write_config(nvi={"engine": "bpf", "direct": PORTS, "direct_mode": mode})
            if number == 2:
                assert lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
                start(lab, mode=mode)
            else:
                lab.viaduct("reload")
            assert states(lab) == {port: mode for port in PORTS}
            assert programs(lab, "lan") == programs(lab, "wan") == XDP_NAMES[mode]
            with counted(lab) as counts:
                lab.client.run("ping", "-c", "3", "-i", "0.2", "-W", "5", TARGET)
            assert counts.grown["translated_6to4"] == counts.grown["translated_4to6"] == 3
            assert counts.grown["direct_taken"] >= 4
        assert lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
        start(lab, [])
        assert programs(lab, "lan") == programs(lab, "wan") == []


WITHOUT_SYS_ADMIN = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]


def xdp_ids(lab):
    return [json.loads(lab.gateway.run("ip", "-j", "-d", "link", "show", "dev", port).stdout)[0]
            ["xdp"]["prog"]["id"] for port in PORTS]


def test_a_successor_takes_xdp_over():
    """As under the systemd unit, where nobody may ask the kernel whose a program is."""
    with make_lab("xdp") as lab:
        start(lab, mode="xdp", wrapper=WITHOUT_SYS_ADMIN)
        lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
        before = xdp_ids(lab)
        assert lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
        lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
        assert xdp_ids(lab) == before, "it goes on without viaductd"
        start(lab, mode="xdp", wrapper=WITHOUT_SYS_ADMIN)
        assert states(lab) == {port: "xdp" for port in PORTS}
        assert not set(xdp_ids(lab)) & set(before), "the successor's own"
        assert lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
        start(lab, ["wan"], wrapper=WITHOUT_SYS_ADMIN)
        assert programs(lab, "lan") == [] and programs(lab, "wan") == ["direct_tc"]
        assert lab.stop_daemon() == 0
        assert programs(lab, "wan") == []


def test_somebody_elses_xdp_program_stays():
    with make_lab("xdp") as lab:
        other = subprocess.Popen(
            lab.gateway.command([labs.BIN / "packetlab", "forward", *PORTS]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert other.stdout.readline() == "ready\n"
            before = xdp_ids(lab)
            start(lab, mode="xdp")
            assert states(lab) == {port: "tc" for port in PORTS}
            assert "lan (tc: not by XDP: another XDP program is there" in \
                lab.viaduct("show", "status").stdout
            assert lab.stop_daemon() == 0
            assert xdp_ids(lab) == before
        finally:
            other.stdin.close()
            other.wait(10)


def test_auto_is_tc_where_a_port_is_no_card(bare_lab):
    start(bare_lab, mode="auto")
    assert states(bare_lab) == {port: "tc" for port in PORTS}
    assert bare_lab.show("status")[0]["direct"][0]["detail"] == ""


def test_xdp_sends_by_xdp_ports_only():
    """To a port that is not direct it leaves the packet to the stack."""
    with make_lab("xdp") as lab:
        start(lab, ["lan"], mode="xdp")
        lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
        with counted(lab) as counts:
            lab.client.run("ping", "-c", "3", "-i", "0.2", "-W", "5", TARGET)
        assert counts.grown["direct_left_port"] == 3 and "direct_taken" not in counts.grown
        assert counts.grown["translated_6to4"] == counts.grown["translated_4to6"] == 3
        found = lab.sessions(protocol="icmp")
        assert sorted(item["packets"] for item in found) == [4, 6]


def test_a_reload_changes_them(bare_lab):
    lab = bare_lab
    start(lab, [])
    assert states(lab) == {} and "\ndirect " not in lab.viaduct("show", "status").stdout
    with UdpEcho(lab.server, labs.SERVER, 7007):
        client = udp_socket(lab.client, labs.CLIENT)
        said = set()
        for ports in (["lan"], ["lan", "wan"], ["wan"]):
            client.sendto(b"x", (TARGET, 7007))
            said.add(client.recv(65536))
            lab.write_config(nvi={"engine": "bpf", "direct": ports, "direct_mode": "tc"})
            lab.viaduct("reload")
            assert states(lab) == {port: "tc" for port in ports}
            for port in PORTS:
                assert programs(lab, port) == (["direct_tc"] if port in ports else []), port
        assert len(said) == 1, "the session stayed"
        client.close()


def test_ports_come_and_go(bare_lab):
    lab = bare_lab
    start(lab, ["lan", "late"])
    assert states(lab) == {"lan": "tc", "late": ""}
    assert "late (off: there is no interface of this name)" in \
        lab.viaduct("show", "status").stdout
    lab.gateway.ip("link", "add", "late", "type", "veth", "peer", "name", "other")
    labs.wait_for("the port that came is direct", lambda: states(lab)["late"] == "tc")
    assert programs(lab, "late") == ["direct_tc"]
    lab.gateway.ip("link", "del", "late")
    labs.wait_for("the port that went is not", lambda: states(lab)["late"] == "")
    lab.client.run("ping", "-c", "1", "-W", "5", TARGET)


def test_who_takes_the_program_off_finds_it_again(bare_lab):
    start(bare_lab)
    before = programs(bare_lab, "lan")
    bare_lab.gateway.run("tc", "qdisc", "del", "dev", "lan", "clsact")
    labs.wait_for("the program is back", lambda: programs(bare_lab, "lan") == before, 10)
    assert before and set(states(bare_lab).values()) == {"tc"}


def test_what_cannot_be_direct(bare_lab):
    lab = bare_lab
    lab.gateway.ip("tuntap", "add", "dev", "ppp", "mode", "tun")
    start(lab, ["lan", "ppp", "lo"])
    assert states(lab) == {"lan": "tc", "ppp": "", "lo": ""}
    shown = lab.viaduct("show", "status").stdout
    assert "ppp (off: it is not an Ethernet port), lo (off: it is not an Ethernet port)" in shown
    said = lab.viaduct("doctor", lab.config_path, check=False).stdout
    assert "ppp" in next(line for line in said.splitlines() if "direct" in line), said


def test_somebody_elses_program_behind_ours(bare_lab):
    """It sees what is left to the stack, and not what was taken."""
    lab = bare_lab
    start(lab)
    lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "5", TARGET)
    lab.client.run("ping", "-c", "1", "-W", "5", labs.GATEWAY6)
    drop_all(lab, "lan", "ingress", 100, ACT_SHOT)
    lab.client.run("ping", "-c", "1", "-W", "5", TARGET)
    assert lab.client.run("ping", "-c", "1", "-W", "1", labs.GATEWAY6, check=False).returncode != 0


def test_not_with_the_tun_engine(bare_lab):
    bare_lab.write_config(nvi={"engine": "tun", "direct": PORTS})
    refused = bare_lab.run_daemon_once()
    assert refused.returncode != 0
    assert 'nvi.direct: found ports with engine = "tun"' in refused.stderr + refused.stdout
