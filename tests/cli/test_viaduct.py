# SPDX-License-Identifier: MIT
"""The command `viaduct` as a person or a script meets it: what it prints, where, and its exit code.

Runs the built binary (environment VIADUCT) against fake_daemon (FAKE_DAEMON): the real control
server, whose tables are made up (tests/cli/fake_tables.h).
"""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import pytest

VIADUCT = os.environ["VIADUCT"]
FAKE_DAEMON = os.environ["FAKE_DAEMON"]
VERSION = os.environ["VIADUCT_VERSION"]

GOOD_CONFIGURATION = """
[nat64]
prefix = "64:ff9b::/96"
pool4 = ["203.0.113.10"]
"""


class Daemon:
    def __init__(self, directory, sessions=3, reload_error=""):
        self.socket = os.path.join(directory, "control.sock")
        self.process = subprocess.Popen(
            [FAKE_DAEMON, self.socket, str(sessions), reload_error],
            stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        self.process.stdout.close()


@pytest.fixture
def directory():
    path = tempfile.mkdtemp(prefix="viaduct-cli-")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(directory):
    daemon = Daemon(directory)
    yield daemon
    daemon.stop()
    assert not os.path.exists(daemon.socket)


def viaduct(*arguments, environment=None, **options):
    """Runs it without VIADUCT_SOCKET unless `environment` gives one."""
    clean = {name: value for name, value in os.environ.items() if name != "VIADUCT_SOCKET"}
    clean.update(environment or {})
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([VIADUCT, *arguments], stderr=subprocess.PIPE, text=True, timeout=30,
                          env=clean, **options)


def good(result):
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def failed(result, code=1):
    assert result.returncode == code, (result.stdout, result.stderr)
    assert result.stdout == ""
    for line in result.stderr.splitlines():
        assert line.startswith("viaduct: ")
    return result.stderr


# --- show ----------------------------------------------------------------------------------------

def test_show_status(daemon):
    text = good(viaduct("show", "status", "--socket", daemon.socket))
    assert text == good(viaduct("--socket", daemon.socket, "show"))
    lines = dict(re.match(r"(\S+) +(.*)", line).groups() for line in text.splitlines())
    assert lines == {
        "version": VERSION,
        "running": "2h02m, pid 4711",
        "configuration": "/etc/viaduct/viaduct.toml",
        "engine": "tun",
        "interface": "nvi0",
        "workers": "2",
        "offloads": "tso4, tso6 (not given by the kernel: tso_ecn) (refused: uso6)",
        "prefixes": "64:ff9b::/96",
        "sessions": "3 of 1000000 (2 entries of the tables are lost)",
        "bindings": "3",
        "dns64": "healthy, restarts: 1 (unbound answers)",
    }


def columns_of(table):
    """Rows as lists; every cell must stand under its title, so the cut is at the titles' columns."""
    lines = table.splitlines()
    assert all(line == line.rstrip() for line in lines)
    return [re.split(r"  +", line.strip()) for line in lines]


def test_show_sessions(daemon):
    table = good(viaduct("show", "sessions", "--socket", daemon.socket))
    assert columns_of(table) == [
        ["PROTOCOL", "INSIDE SOURCE", "INSIDE DESTINATION", "OUTSIDE SOURCE",
         "OUTSIDE DESTINATION", "STATE", "EXPIRES", "PACKETS", "BYTES"],
        ["tcp", "[2001:db8:1::64]:1024", "[64:ff9b::c000:250]:443", "203.0.113.10:1024",
         "192.0.2.80:443", "established", "4m12s", "7", "1.5 KiB"],
        ["udp", "[2001:db8:1::64]:1025", "[64:ff9b::c000:250]:443", "203.0.113.10:1025",
         "192.0.2.80:443", "open", "4m12s", "7", "1.5 KiB"],
        ["icmp", "[2001:db8:1::64]:1026", "64:ff9b::c000:250", "203.0.113.10:1026",
         "192.0.2.80", "open", "4m12s", "7", "1.5 KiB"],
    ]
    lines = table.splitlines()
    for title, cell in (("INSIDE SOURCE", "[2001"), ("OUTSIDE SOURCE", "203."), ("STATE", "open")):
        assert lines[0].index(title) == lines[2].index(cell)
    assert len({len(line) for line in lines}) == 1  # numbers end at the right edge


def test_show_bindings(daemon):
    table = good(viaduct("show", "bindings", "--socket", daemon.socket))
    assert columns_of(table)[:2] == [
        ["PROTOCOL", "INSIDE", "OUTSIDE", "SESSIONS"],
        ["tcp", "[2001:db8:1::64]:1024", "203.0.113.10:1024", "2"]]


def test_show_pools(daemon):
    table = good(viaduct("show", "pools", "--socket", daemon.socket))
    assert columns_of(table) == [
        ["ADDRESS", "PORTS", "TCP USED", "UDP USED", "ICMP USED", "TCP MOST", "UDP MOST", "ICMP MOST"],
        ["203.0.113.10", "1024-65535", "1", "1", "1", "11", "12", "13"],
        ["203.0.113.11", "2000-2999", "0", "0", "0", "0", "0", "0"]]


def test_show_maps(daemon):
    table = good(viaduct("show", "maps", "--socket", daemon.socket))
    assert columns_of(table) == [
        ["INSIDE", "OUTSIDE"],
        ["2001:db8:a::7/128", "192.0.2.7/32"],
        ["2001:db8:a::/64", "198.51.100.0/24"]]


def test_show_counters_leaves_zeros_out_of_the_table_unless_asked(daemon):
    table = good(viaduct("show", "counters", "--socket", daemon.socket))
    assert columns_of(table) == [
        ["COUNTER", "VALUE", "KIND", "MEANING"],
        ["translated_6to4", "123456", "done", "IPv6 packets sent on as IPv4"],
        ["no_port", "3", "drop", "no port of the pool is free"]]
    everything = good(viaduct("show", "counters", "--all", "--socket", daemon.socket))
    assert len(everything.splitlines()) > 30
    assert "bad_ipv4_checksum" in everything
    for options in ([], ["--all"]):  # for machines every name is there
        every = json.loads(good(viaduct("show", "counters", "--json", *options,
                                        "--socket", daemon.socket)))
        assert len(every) == len(everything.splitlines()) - 1


def test_an_empty_table_is_its_header(directory):
    daemon = Daemon(directory, sessions=0)
    assert good(viaduct("show", "sessions", "--socket", daemon.socket)).startswith("PROTOCOL")
    assert json.loads(good(viaduct("show", "sessions", "--json", "--socket", daemon.socket))) == []
    daemon.stop()


@pytest.mark.parametrize("what", ["status", "sessions", "bindings", "pools", "maps", "counters"])
def test_json_is_one_array_of_objects(daemon, what):
    items = json.loads(good(viaduct("show", what, "--json", "--socket", daemon.socket)))
    assert isinstance(items, list) and items
    assert all(isinstance(item, dict) for item in items)


def test_json_of_a_session_and_of_the_status(daemon):
    sessions = json.loads(good(viaduct("show", "sessions", "--json", "--socket", daemon.socket)))
    assert sessions[0] == {
        "protocol": "tcp",
        "inside": {"source": "[2001:db8:1::64]:1024", "destination": "[64:ff9b::c000:250]:443"},
        "outside": {"source": "203.0.113.10:1024", "destination": "192.0.2.80:443"},
        "state": "established", "expires_seconds": 252, "packets": 7, "bytes": 1536}
    status, = json.loads(good(viaduct("show", "--json", "--socket", daemon.socket)))
    assert status["engine"] == "tun" and status["version"] == VERSION


def test_many_sessions_stream(directory):
    daemon = Daemon(directory, sessions=50000)
    items = json.loads(good(viaduct("show", "sessions", "--json", "--socket", daemon.socket)))
    assert len(items) == 50000
    assert items[-1]["outside"]["source"] == "203.0.113.10:51023"
    table = good(viaduct("show", "sessions", "--socket", daemon.socket))
    assert len(table.splitlines()) == 50001
    daemon.stop()


# --- where the socket is -------------------------------------------------------------------------

def test_environment_and_option(daemon, directory):
    here = {"VIADUCT_SOCKET": daemon.socket}
    elsewhere = {"VIADUCT_SOCKET": os.path.join(directory, "elsewhere")}
    good(viaduct("show", environment=here))
    good(viaduct("show", "--socket", daemon.socket, environment=elsewhere))
    assert "elsewhere" in failed(viaduct("show", environment=elsewhere))


@pytest.mark.parametrize("arguments", [["show"], ["show", "sessions", "--json"], ["reload"]])
def test_without_a_daemon(directory, arguments):
    path = os.path.join(directory, "none.sock")
    assert failed(viaduct(*arguments, "--socket", path)) == (
        f"viaduct: nothing listens on {path}: viaductd is not running, or listens elsewhere "
        "(--socket)\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_without_permission_it_says_who_may(daemon, directory):
    os.chmod(directory, 0o755)
    os.chown(daemon.socket, 0, 4)  # adm, on Debian
    binary = os.path.join(directory, "viaduct")
    shutil.copy(VIADUCT, binary)
    result = subprocess.run([binary, "show", "--socket", daemon.socket], capture_output=True,
                            text=True, timeout=30, user=pwd.getpwnam("nobody").pw_uid,
                            extra_groups=[], group=65534, env={})
    assert failed(result) == (f"viaduct: no permission for {daemon.socket}: "
                              "root and the members of group adm may use it\n")


def test_the_daemon_goes_away_in_the_middle(directory):
    path = os.path.join(directory, "cut.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def answer():
        peer, _ = listener.accept()
        peer.recv(4096)
        peer.sendall(b'{"item":{"protocol":"tcp"}}\n{"item":')
        peer.close()

    thread = threading.Thread(target=answer)
    thread.start()
    result = viaduct("show", "sessions", "--json", "--socket", path)
    thread.join()
    listener.close()
    assert result.returncode == 1
    assert "before the answer was whole" in result.stderr
    with pytest.raises(ValueError):  # half an answer must not look like a whole one
        json.loads(result.stdout)


# --- filter, watch, clear ------------------------------------------------------------------------

# Row i of the fake tables: tcp, udp, icmp in turn; ports 1024 + i; remote port 443.
@pytest.mark.parametrize("what, terms, ports", [
    ("sessions", "protocol=tcp", [1024, 1027]), ("bindings", "protocol=udp,icmp", [1025, 1026, 1028]),
    ("sessions", "protocol!=tcp,udp", [1026]), ("sessions", "state=established", [1024, 1027]),
    ("sessions", "state!=established protocol=udp", [1025, 1028]),
    ("sessions", "inside=2001:db8:1::/48 inside-port=1025-1026", [1025, 1026]),
    ("sessions", "inside=2001:db8:1::65", []), ("sessions", "outside=203.0.113.10 outside-port=1026", [1026]),
    ("sessions", "remote=192.0.2.0/24", [1024, 1025, 1026, 1027, 1028]), ("sessions", "remote=192.0.3.0/24", []),
    ("sessions", "remote-port=443", [1024, 1025, 1027, 1028]), ("sessions", "port=443", [1024, 1025, 1027, 1028]),
    ("sessions", "remote-port!=443", [1026]), ("bindings", "port=443", []), ("bindings", "port=1024", [1024]),
    ("sessions", "  port=1024   protocol=tcp ", [1024])])
def test_filter(directory, what, terms, ports):
    daemon = Daemon(directory, sessions=5)
    shown = json.loads(good(viaduct("show", what, "--json", "--filter", terms, "--socket", daemon.socket)))
    sources = [item["inside"]["source"] if what == "sessions" else item["inside"] for item in shown]
    assert sources == [f"[2001:db8:1::64]:{port}" for port in ports]
    if what == "sessions":  # the same would be ended
        clear = viaduct("clear", "sessions", "--filter", terms, "--socket", daemon.socket)
        assert good(clear) == f"{len(ports)} session{'' if len(ports) == 1 else 's'} ended\n"
    daemon.stop()


def test_filters_add_up(daemon):
    table = good(viaduct("show", "sessions", "--filter", "protocol=tcp,udp", "--filter", "port=1025",
                         "--socket", daemon.socket))
    assert len(table.splitlines()) == 2 and table.splitlines()[1].startswith("udp")


@pytest.mark.parametrize("what, terms, complaint", [
    ("sessions", "", "empty"), ("sessions", "tcp", "expected KEY=VALUE"), ("sessions", "=tcp", "expected KEY=VALUE"),
    ("sessions", "proto=tcp", 'unknown key "proto", expected one of protocol, inside'),
    ("sessions", "protocol=sctp", 'protocol: found "sctp", expected tcp, udp or icmp'),
    ("sessions", "protocol=tcp,", 'found ""'), ("sessions", "state=open,closed", 'state: found "closed"'),
    ("sessions", "inside=192.0.2.1", "inside: found"), ("sessions", "inside=2001:db8::1/64", "inside: found"),
    ("sessions", "remote=2001:db8::1", "remote: found"), ("sessions", "remote=192.0.2.1/33", "remote: found"),
    ("sessions", "port=65536", "port: found"), ("sessions", "port=2-1", "port: found"),
    ("sessions", "port=-1", "port: found"), ("sessions", "port=1-", "port: found"),
    ("sessions", "port=" + "1," * 80 + "1", "more than 16 terms or 64 values"),
    ("sessions", "port=1 " * 17, "more than 16 terms or 64 values"), ("sessions", "x" * 3000, "longer than 2048"),
    ("sessions", "\x1b[31m=" + "y" * 1000, "unknown key"),
    ("bindings", "remote=192.0.2.1", "a binding has no remote"), ("bindings", "state=open", "has no state")])
def test_wrong_filters(daemon, what, terms, complaint):
    message = failed(viaduct("show", what, "--filter", terms, "--socket", daemon.socket))
    assert complaint in message and len(message.splitlines()) == 1 and len(message) < 300
    if what == "sessions":
        assert complaint in failed(viaduct("clear", "sessions", "--filter", terms, "--socket", daemon.socket))


def test_clear_of_all_must_be_said(daemon):
    for arguments in ([], ["--all", "--filter", "protocol=tcp"]):
        message = failed(viaduct("clear", "sessions", *arguments, "--socket", daemon.socket), 2)
        assert message == "viaduct: clear sessions needs either --filter TERMS or --all\n"
    assert good(viaduct("clear", "sessions", "--all", "--socket", daemon.socket)) == "3 sessions ended\n"
    assert json.loads(good(viaduct("clear", "sessions", "--all", "--json", "--socket", daemon.socket))) == [
        {"ended": 3}]


@pytest.mark.parametrize("request_line", [
    '{"command":"clear"}', '{"command":"clear","all":false}', '{"command":"clear","all":"true"}',
    '{"command":"clear","all":true,"filter":"protocol=tcp"}', '{"command":"clear","filter":7}',
    '{"command":"clear","filter":""}', '{"command":"sessions","filter":["protocol=tcp"]}'])
def test_requests_that_must_be_refused(daemon, request_line):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        client.sendall(request_line.encode() + b"\n")
        assert client.makefile().readline().startswith('{"error":')


# --- trace ---------------------------------------------------------------------------------------

UDP6 = "udp from 2001:db8:64::10 port 4000 to 64:ff9b::c000:250 port 443".split()
UDP4 = "udp from 192.0.2.80 port 443 to 203.0.113.10 port 1024".split()


def test_trace_of_a_packet_that_goes_on(daemon):
    result = viaduct("trace", *UDP6, "--socket", daemon.socket)
    assert good(result).splitlines() == [
        "STEP     STANDARD                        DECISION",
        "session  RFC 6146 3.5.1, 3.5.2.2, 3.5.3  a session would be made: v6_init, for 240 s",
        "end      RFC 7915 5                      would go on: translated_6to4 (IPv6 packets sent on as IPv4)",
        "leaves                                   IPv4 udp from 203.0.113.10:1024 to 192.0.2.80:443, 28 bytes, "
        "time to live 63, fragment from byte 0, more follow",
        "leaves                                   IPv4 udp from 203.0.113.10:1024 to 192.0.2.80:443, 28 bytes, "
        "time to live 63",
        "counts                                   session_made +2, translated_6to4",
    ]


def test_trace_of_a_packet_that_is_dropped(daemon):
    result = viaduct("trace", *UDP4, "--socket", daemon.socket)
    assert (result.returncode, result.stderr) == (3, "")
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"end +RFC 6146 3.5.1 +would be dropped: no_binding "
                        r"\(to the pool, but no binding has this port\)", lines[2])
    assert lines[3].startswith("answer  ") and "IPv4 udp from 203.0.113.10:1024" in lines[3]
    # and what `viaduct explain` says
    assert result.stdout.split("\n\n")[1] == good(viaduct("explain", "no_binding")).split("standard")[1].split(
        "\n", 1)[1]


def test_trace_as_json(daemon):
    items = json.loads(good(viaduct("trace", "--json", *UDP6, "--socket", daemon.socket)))
    assert [sorted(item) for item in items] == [
        ["decision", "rfc", "step", "text"],
        ["advice", "answer", "causes", "counts", "help", "kind", "leaves", "reason", "rfc", "verdict"]]
    assert items[1]["verdict"] == "forward" and items[1]["leaves"][1]["source"] == "203.0.113.10:1024"
    result = viaduct("trace", *UDP4, "--json", "--socket", daemon.socket)
    assert result.returncode == 3 and json.loads(result.stdout)[1]["answer"]["family"] == 4


@pytest.mark.parametrize("arguments", [[], ["--pcap", "x", "tcp"], [*UDP6, "--packet", "1"], ["sctp"],
                                       ["--pcap", "/nonexistent"], ["--pcap", "/dev/null"],
                                       ["--pcap", "/dev/null", "--packet", "0"], ["tcp", "from", "nowhere"]])
def test_trace_refuses_what_is_no_packet(daemon, arguments):
    failed(viaduct("trace", *arguments, "--socket", daemon.socket), 2)


def test_trace_needs_the_daemon(directory):
    assert "nothing listens" in failed(viaduct("trace", *UDP6, "--socket", f"{directory}/none"))


def pcap_of(packets, link, shorten=0):
    """A classic capture file."""
    parts = [struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, link)]
    for packet in packets:
        kept = packet[:len(packet) - shorten]
        parts.append(struct.pack("<IIII", 0, 0, len(kept), len(packet)) + kept)
    return b"".join(parts)


def pcapng_of(packets, link):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    return (block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", link, 0, 0)) +
            b"".join(block(6, struct.pack("<IIIII", 0, 0, 0, len(p), len(p)) + p) for p in packets))


def test_trace_takes_a_packet_out_of_a_capture(daemon, directory):
    four = bytes.fromhex("4500001c0007000040110000cb00710ac0000250040001bb00080000")
    six = bytes.fromhex("6000000000081140" + "20010db8006400000000000000000010" +
                        "0064ff9b0000000000000000c0000250" + "0fa001bb00080000")
    captures = {"raw.pcap": pcap_of([four, six], 101), "ether.pcap": pcap_of(
        [bytes(12) + b"\x08\x00" + four, bytes(12) + b"\x86\xdd" + six], 1), "raw.pcapng": pcapng_of([four, six], 101)}
    for name, content in captures.items():
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(content)
        assert viaduct("trace", "--pcap", path, "--socket", daemon.socket).returncode == 3
        assert viaduct("trace", "--pcap", path, "--packet", "2", "--socket", daemon.socket).returncode == 0
        assert failed(viaduct("trace", "--pcap", path, "--packet=3", "--socket", daemon.socket), 2).endswith(
            "has 2 packets, and no packet 3\n")
        os.unlink(path)


def test_trace_says_what_it_has_not_seen(daemon, directory):
    path = os.path.join(directory, "short.pcap")
    long = bytes.fromhex("60000000") + (3000 - 40).to_bytes(2, "big") + bytes([17, 64]) + b"\x20" * 2992
    for content, sentence in ((pcap_of([long], 101), "only the first 2000 bytes of the packet are looked at"),
                              (pcap_of([long], 101, 1500), "1500 bytes of the packet were not captured")):
        with open(path, "wb") as file:
            file.write(content)
        result = viaduct("trace", "--pcap", path, "--socket", daemon.socket)
        assert result.returncode == 0 and sentence in result.stderr
    os.unlink(path)


# --- monitor -------------------------------------------------------------------------------------

def monitor(daemon, *arguments):
    return subprocess.Popen([VIADUCT, "monitor", *arguments, "--socket", daemon.socket], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_monitor_shows_a_line_for_each_event_until_interrupted(daemon):
    command = monitor(daemon)
    lines = [command.stdout.readline() for _ in range(7)]
    ends = "[2001:db8:1::64]:1024 to 192.0.2.80:443 as 203.0.113.10:1024"
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  ", "", line) for line in lines] == [
        "begun          what happens from here on\n",
        "binding_made   tcp   [2001:db8:1::64]:1024 as 203.0.113.10:1024\n",
        f"session_made   tcp   {ends}, v6_init\n",
        f"session_moved  tcp   {ends}, v6_init to established\n",
        f"session_ended  tcp   {ends}, closed, 7 packets, 1536 bytes\n",
        "binding_ended  tcp   [2001:db8:1::64]:1024 as 203.0.113.10:1024\n",
        "lost           12 events lost\n",
    ]
    command.send_signal(signal.SIGINT)
    assert command.communicate(timeout=10) == ("", "") and command.returncode == 0


def test_monitor_as_json_ends_with_its_daemon(directory):
    daemon = Daemon(directory)
    command = monitor(daemon, "--json", "--filter", "protocol=tcp", "--filter", "remote-port=443")
    assert json.loads(command.stdout.readline())["event"] == "begun"
    items = [json.loads(command.stdout.readline()) for _ in range(4)]
    assert [item["event"] for item in items] == ["session_made", "session_moved", "session_ended", "lost"]
    assert (items[1]["from"], items[2]["why"], items[3]["count"]) == ("v6_init", "closed", 12)
    daemon.stop()
    out, err = command.communicate(timeout=10)
    assert (out, command.returncode) == ("", 1) and "closed the connection" in err


def test_monitor_refuses_a_wrong_filter_and_a_ninth(daemon):
    assert "filter" in failed(viaduct("monitor", "--filter", "colour=red", "--socket", daemon.socket))
    running = [monitor(daemon) for _ in range(8)]
    for command in running:
        command.stdout.readline()
    assert "8 monitors run already" in failed(viaduct("monitor", "--socket", daemon.socket))
    for command in running:
        command.terminate()
        assert command.wait(10) == 0
        command.stdout.close()
        command.stderr.close()


def test_watch_shows_again_and_ends_with_its_daemon(directory):
    daemon = Daemon(directory)
    command = subprocess.Popen([VIADUCT, "show", "sessions", "--watch=0.1", "--filter", "protocol=udp",
                                "--socket", daemon.socket],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rounds = [[command.stdout.readline() for _ in range(3)] for _ in range(3)]
    assert all(one[0].startswith("PROTOCOL") and one[1].startswith("udp") and one[2] == "---\n"
               for one in rounds)
    daemon.stop()
    rest = command.communicate(timeout=10)
    assert command.returncode == 1 and "nothing listens" in rest[1]


def test_watch_ends_quietly_when_its_reader_goes_away(daemon):
    command = subprocess.Popen([VIADUCT, "show", "--watch=0.1", "--socket", daemon.socket],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command.stdout.readline()
    command.stdout.close()
    assert command.wait(10) == 0
    assert command.stderr.read() == ""
    command.stderr.close()


# --- explain -------------------------------------------------------------------------------------

REASONS = [(name, kind, rfc, text.replace("\\", "")) for name, kind, rfc, text in re.findall(
    r'^REASON\((\w+), (\w+), "([^"]*)",\s*"((?:[^"\\]|\\.)*)"\)',
    open(os.environ["REASONS_DEF"]).read(), re.MULTILINE)]


def test_explain_lists_every_counter_of_reasons_def():
    lines = good(viaduct("explain")).splitlines()
    assert [line.split()[0] for line in lines] == ["COUNTER"] + [name for name, *_ in REASONS]
    items = json.loads(good(viaduct("explain", "--json")))
    assert [(item["name"], item["kind"].upper(), item["rfc"], item["help"]) for item in items] == REASONS


@pytest.mark.parametrize("name, kind, rfc, text", REASONS)
def test_explain_one(name, kind, rfc, text):
    output = good(viaduct("explain", name))
    assert output.startswith(f"{name}\n\n")
    assert all(len(line) <= 80 and line == line.rstrip() for line in output.splitlines())
    titles = [line.split()[0] for line in output.splitlines()[2:] if not line.startswith(" ")]
    assert titles == ["means", "kind", "standard", "causes", "do"]
    words = " ".join(output.split())
    assert f"means {text} kind {kind.lower()}: " in words
    assert f"standard {rfc or 'none: our own'} causes " in words
    item, = json.loads(good(viaduct("explain", name, "--json")))
    assert item["name"] == name
    assert words.endswith(f"causes {item['causes']} do {item['advice']}")
    assert len(item["causes"]) > 20 and item["advice"].endswith(".")


@pytest.mark.parametrize("word, near", [
    ("no_prot", ["no_port"]), ("tcp_not_sin", ["tcp_not_syn"]), ("dieing", ["dying"]),
    ("quota", ["subscriber_quota"]), ("none", [])])
def test_explain_of_an_unknown_name_says_the_nearest(word, near):
    message = failed(viaduct("explain", word), 2)
    assert f'there is no counter "{word}"' in message
    for name in near:
        assert name in message


def test_explain_of_garbage():
    for word in ("x" * 100000, "\x1b[31m", "é" * 30, " "):
        assert len(failed(viaduct("explain", word), 2)) < 200


# --- reload, version, check ----------------------------------------------------------------------

def test_reload(daemon):
    assert good(viaduct("reload", "--socket", daemon.socket)) == "reloaded\n"


def test_reload_that_the_daemon_refuses(directory):
    daemon = Daemon(directory, reload_error="viaduct.toml:3:1: found \"x\"\x1b[31m")
    message = failed(viaduct("reload", "--socket", daemon.socket))
    assert message == "viaduct: viaduct.toml:3:1: found \"x\"?[31m\n"
    daemon.stop()


def test_version(daemon, directory):
    assert good(viaduct("--version")) == f"viaduct {VERSION}\n"
    assert good(viaduct("version", "--socket", os.path.join(directory, "none"))) == (
        f"viaduct {VERSION}\n")
    assert good(viaduct("version", "--socket", daemon.socket)) == (
        f"viaduct {VERSION}\nviaductd {VERSION}, running\n")
    assert json.loads(good(viaduct("version", "--json", "--socket", daemon.socket))) == [
        {"program": "viaduct", "version": VERSION}, {"program": "viaductd", "version": VERSION}]


def test_check(directory):
    path = os.path.join(directory, "viaduct.toml")
    with open(path, "w") as file:
        file.write(GOOD_CONFIGURATION)
    assert good(viaduct("check", path)) == f"{path}: good\n"
    assert json.loads(good(viaduct("check", path, "--json"))) == []
    canonical = good(viaduct("check", path, "--canonical"))
    assert canonical == good(viaduct("check", path, "--print"))
    with open(path, "w") as file:
        file.write(canonical)
    assert good(viaduct("check", path, "--canonical")) == canonical


def test_check_of_a_wrong_configuration(directory):
    path = os.path.join(directory, "viaduct.toml")
    with open(path, "w") as file:
        file.write(GOOD_CONFIGURATION + "polo4 = 7\n")
    assert failed(viaduct("check", path), 2).startswith(f"viaduct: {path}:5:1: ")
    result = viaduct("check", path, "--json")
    assert result.returncode == 2 and result.stderr == ""
    problem, = json.loads(result.stdout)
    assert (problem["file"], problem["line"], problem["column"]) == (path, 5, 1)
    assert "polo4" in problem["message"]
    assert path + "x" in failed(viaduct("check", path + "x"), 2)


# --- usage ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    [], ["shwo"], ["show", "everything"], ["show", "sessions", "--all"], ["show", "status", "more"],
    ["check"], ["reload", "now"], ["--socket"], ["show", "--wrong"], ["check", "x", "--json=7x"],
    ["check", "x", "--json", "--canonical"], ["explain", "no_port", "dying"], ["clear"], ["clear", "bindings", "--all"],
    ["show", "counters", "--filter", "port=1"], ["show", "--watch=0"], ["show", "--watch=-1"],
    ["show", "--watch=nan"], ["show", "--watch=x"], ["show", "--watch", "--json"]])
def test_wrong_usage(arguments):
    message = failed(viaduct(*arguments), 2)
    assert len(message.splitlines()) == 1


def test_help():
    text = good(viaduct("--help"))
    for word in ("check", "show", "clear", "reload", "explain", "version", "--socket", "VIADUCT_SOCKET",
                 "/run/viaduct/control.sock", "Exit codes"):
        assert word in text
    assert "--json" in good(viaduct("show", "--help"))


# --- the output ----------------------------------------------------------------------------------

@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_goes_away_ends_it_quietly(directory, form):
    daemon = Daemon(directory, sessions=50000)
    command = subprocess.Popen([VIADUCT, "show", "sessions", "--socket", daemon.socket, *form],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command.stdout.readline()
    command.stdout.close()
    assert command.wait(10) == 0
    assert command.stderr.read() == ""
    command.stderr.close()
    daemon.stop()


@pytest.mark.parametrize("arguments", [["show"], ["show", "--json"], ["version"], ["--help"]])
def test_a_failed_write_is_an_error(daemon, arguments):
    with open("/dev/full", "w") as full:
        result = viaduct(*arguments, "--socket", daemon.socket, stdout=full)
    assert result.returncode == 1
    assert result.stderr == "viaduct: cannot write the output: No space left on device\n"
