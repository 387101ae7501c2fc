# SPDX-License-Identifier: MIT
"""The agent's lab: a sender of TOA, and a backend with viaduct-agent and a server.

        sender                         backend
    +--------------+        +--------------------------+
    |        eth0  +--------+ eth0  192.0.2.80/24      |   a cgroup of its own for the servers; nothing
    |              |        |       2001:db8:2::80/64  |   else on the machine is touched
    +--------------+        +--------------------------+

The sender's handshakes are made by hand, byte by byte, from addresses that its kernel does not have (so it
sends no resets): LISTED and LISTED6, whose TOA the agent believes, and STRANGER and STRANGER6.

Standard library only: tests/kernels runs it where there is little else.
"""

import atexit
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import lab as labs

BIN = labs.BIN
HERE = pathlib.Path(__file__).resolve().parent

BACKEND, BACKEND6 = "192.0.2.80", "2001:db8:2::80"
LISTED, LISTED6 = "192.0.2.10", "2001:db8:2::10"
STRANGER, STRANGER6 = "192.0.2.99", "2001:db8:2::99"
CLIENT, CLIENT6 = "203.0.113.9", "2001:db8:99::9"
PORT = 12345  # the client's

UDP_HOOKS = sorted(f"agent_udp_{name}" for name in (
    "connect4", "connect6", "getpeername4", "getpeername6", "ingress", "recvmsg4", "recvmsg6", "sendmsg4",
    "sendmsg6"))

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETH_P_ALL = 3
_serial = itertools.count(1)


def toa4(address=CLIENT, port=PORT, kind=254):
    return bytes([kind, 8]) + struct.pack("!H", port) + socket.inet_aton(address)


def toa6(address=CLIENT6, port=PORT, kind=254):
    return (bytes([kind, 20]) + struct.pack("!H", port) +
            socket.inet_pton(socket.AF_INET6, address))


def _cgroup2():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words[words.index("-") + 1] == "cgroup2" and words[3] == "/":
                return pathlib.Path(words[4])
    return None


def _checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Connection:
    """A TCP connection by hand: each packet's options are what the test says."""

    def __init__(self, lab, source, port, server=None):
        self.lab = lab
        self.source = source
        self.six = ":" in source
        self.server = server or (BACKEND6 if self.six else BACKEND)
        self.server_port = port
        self.port = 20000 + next(_serial)
        self.sequence = 1000
        self.acknowledged = 0

    def _address(self, text):
        return socket.inet_pton(socket.AF_INET6 if self.six else socket.AF_INET, text)

    def send(self, flags, options=b"", data=b"", offset=None):
        """`offset`: what the header says of its own length, if not the truth."""
        options += b"\0" * (-len(options) % 4)
        words = 5 + len(options) // 4 if offset is None else offset
        head = struct.pack("!HHIIBBHHH", self.port, self.server_port, self.sequence,
                           self.acknowledged, words << 4, flags, 65535, 0, 0)
        segment = head + options + data
        source, server = self._address(self.source), self._address(self.server)
        if self.six:
            pseudo = source + server + struct.pack("!II", len(segment), 6)
            packet = struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + source + server
        else:
            pseudo = source + server + struct.pack("!HH", 6, len(segment))
            packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0, source,
                                 server)
            packet = packet[:10] + struct.pack("!H", _checksum(packet)) + packet[12:]
        check = struct.pack("!H", _checksum(pseudo + segment))
        self.lab.wire.send(self.lab.backend_mac + self.lab.sender_mac +
                           (b"\x86\xdd" if self.six else b"\x08\x00") + packet + segment[:16] +
                           check + segment[18:])
        self.sequence += len(data) + (1 if flags & (SYN | FIN) else 0)

    def receive(self, seconds=10):
        """The next packet of this connection: flags, sequence, data; None if nothing comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.lab.wire.settimeout(left)
            with contextlib.suppress(TimeoutError):
                found = self._mine(self.lab.wire.recv(65535))
                if found:
                    return found
        return None

    def _mine(self, frame):
        kind, packet = frame[12:14], frame[14:]
        if kind == b"\x86\xdd" and self.six and packet[6] == 6:
            source, server, segment = packet[24:40], packet[8:24], packet[40:]
            segment = segment[:struct.unpack("!H", packet[4:6])[0]]
        elif kind == b"\x08\x00" and not self.six and packet[9] == 6:
            source, server, segment = packet[16:20], packet[12:16], packet[20:]
            segment = segment[:struct.unpack("!H", packet[2:4])[0] - 20]
        else:
            return None
        ports = struct.unpack("!HH", segment[:4])
        if (source, server) != (self._address(self.source), self._address(self.server)) or \
                ports != (self.server_port, self.port):
            return None
        sequence, acknowledged = struct.unpack("!II", segment[4:12])
        del acknowledged
        return segment[13], sequence, segment[(segment[12] >> 4) * 4:], segment

    def open(self, syn=b"", ack=b"", bare_ack=True):
        """The handshake; `bare_ack` false leaves its third packet to ask()."""
        self.send(SYN, b"\x02\x04\x05\xb4" + syn)
        while True:
            answer = self.receive()
            if not answer:
                raise labs.LabError("no SYN-ACK came")
            if answer[0] & RST:
                raise labs.LabError("the connection was refused")
            if answer[0] & SYN:
                break
        self.syn_ack = answer[3]
        self.acknowledged = answer[1] + 1
        if bare_ack:
            self.send(ACK, ack)
        return self

    def ask(self, options=b"", seconds=10):
        """Who the server takes us for."""
        self.send(ACK | PSH, options, b"?")
        return self.told(seconds)

    def told(self, seconds=10):
        """The server's next line."""
        answer = b""
        while not answer.endswith(b"\n"):
            packet = self.receive(seconds)
            if not packet:
                raise labs.LabError("the server did not answer")
            if packet[0] & RST:
                raise labs.LabError("the server has reset the connection")
            if packet[2] and packet[1] == self.acknowledged:
                answer += packet[2]
                self.acknowledged += len(packet[2])
                self.send(ACK)
        return json.loads(answer)

    def close(self):
        self.send(RST | ACK)


class AgentLab:
    def __init__(self):
        self.processes = []
        self.namespaces = []
        self.agent = None
        self.wrapper = []  # what goes before each command of the agent's
        self.cgroup = None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="viaduct-agent-lab-"))
        self.folder.chmod(0o755)
        atexit.register(self.close)
        self.bpf = self.folder / "bpf"
        self.bpf.mkdir()
        self.socket_path = self.folder / "control.sock"
        self.config_path = self.folder / "agent.toml"
        self.ports = itertools.count(8001)
        try:
            subprocess.run(["mount", "-t", "bpf", "bpf", self.bpf], check=True)
            self._make_cgroup()
            self._wire()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _make_cgroup(self):
        root = _cgroup2()
        if root is None:
            root = self.folder / "cgroup"
            root.mkdir()
            subprocess.run(["mount", "-t", "cgroup2", "cgroup2", root], check=True)
        self.cgroup = root / self.folder.name
        self.cgroup.mkdir()

    def _wire(self):
        tag = f"va{os.getpid()}-{next(_serial)}"
        self.sender, self.backend = (labs.Namespace(f"{tag}-{role}")
                                     for role in ("sender", "backend"))
        self.namespaces = [self.sender, self.backend]
        subprocess.run(["ip", "link", "add", "eth0", "netns", self.sender.name, "type", "veth", "peer",
                        "name", "eth0", "netns", self.backend.name], check=True)
        for namespace in self.namespaces:
            namespace.ip("link", "set", "eth0", "up")
        self.backend.ip("address", "add", f"{BACKEND}/24", "dev", "eth0")
        self.backend.ip("address", "add", f"{BACKEND6}/64", "dev", "eth0", "nodad")
        self.sender_mac, self.backend_mac = (bytes.fromhex(n.mac("eth0").replace(":", ""))
                                             for n in self.namespaces)
        for address in (LISTED, STRANGER, LISTED6, STRANGER6):
            self.backend.ip("neighbour", "add", address, "lladdr", self.sender.mac("eth0"), "dev",
                            "eth0", "nud", "permanent")
        with self.sender.entered():
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.wire.bind(("eth0", 0))

    # --- what runs ------------------------------------------------------------------------------

    def _start(self, name, command, **options):
        process = labs.Process(name, command, self.folder, **options)
        self.processes.append(process)
        return process

    def configure(self, control=None, **agent):
        agent = {"senders": [LISTED + "/32", LISTED6 + "/128"], "cgroup": str(self.cgroup), **agent}
        self.config_path.write_text(
            labs.toml({"agent": agent, "control": {"socket": str(self.socket_path),
                                                   **(control or {})}}), encoding="utf-8")

    def _agent_command(self, *words):
        script = f"mount --bind {self.bpf} /sys/fs/bpf && exec \"$@\""
        return self.backend.command(["unshare", "--mount", "sh", "-c", script, "sh", *self.wrapper,
                                     BIN / "viaduct-agent", *words])

    def start_agent(self, control=None, **agent):
        self.configure(control, **agent)
        self.agent = self._start("viaduct-agent",
                                 self._agent_command("run", "--config", self.config_path))
        self.wait_ready()
        return self.agent

    def wait_ready(self):
        def ready():
            if not self.agent.running():
                raise labs.LabError(f"viaduct-agent has ended\n{self.agent.said()}")
            # While the kernel verifies the programs, which an emulated processor does slowly, it answers nobody.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.command("show", "status", check=False).returncode == 0
            return False

        labs.wait_for("viaduct-agent answers", ready, 180)

    def refuse(self, what):
        """From now on the agent's commands run on a kernel that lacks something: `what` of refuse_bpf.c."""
        file = self.folder / "refuse_bpf.so"
        if not file.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", file, HERE / "refuse_bpf.c", "-ldl"], check=True)
        # a build with AddressSanitizer wants its own library first, and need not have it
        sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
        self.wrapper = ["env", f"LD_PRELOAD={file}", f"REFUSE={what}", f"ASAN_OPTIONS={sanitizer}"]

    def stop_agent(self, how=signal.SIGTERM):
        return self.agent.stop(how)

    def command(self, *words, check=True):
        return self.backend.run(*self.wrapper, BIN / "viaduct-agent", "--socket", self.socket_path, *words,
                                check=check)

    def show(self, what):
        return json.loads(self.command("show", what, "--json").stdout)

    def counters(self):
        return {item["name"]: item["value"] for item in self.show("counters")}

    def in_cgroup(self, *command):
        script = f"echo $$ > {self.cgroup}/cgroup.procs && exec \"$@\""
        return self.backend.command(["sh", "-c", script, "sh", *command])

    def start_server(self, address="0.0.0.0", *wanted):
        """Listens when it returns, in the cgroup; its port."""
        port = next(self.ports)
        server = self._start(f"server-{port}", self.in_cgroup(
            "/usr/bin/python3", "-B", HERE / "agent_server.py", address, port, *wanted))
        labs.wait_for("the server listens", lambda: "listens" in server.said(), 30)
        return port

    def start_nginx(self, config, port, *before, sockets=1):
        """With this text as its configuration, in the cgroup; listens at so many sockets when it returns. `before`: words
        in front of its command."""
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if not program:
            raise labs.LabError("nginx is not installed: run scripts/install-deps demo")
        path = self.folder / "nginx.conf"
        path.write_text(config, encoding="utf-8")
        process = self._start("nginx", self.in_cgroup(*before, program, "-p", self.folder, "-e", "stderr", "-c", path))

        def listening():
            return self.backend.run("ss", "-ltnH", "sport", "=", f":{port}").stdout.splitlines()

        labs.wait_for("nginx listens", lambda: len(listening()) == sockets, 30)
        return process

    def start_elsewhere(self, port, cgroup=None):
        """The same in another network namespace than the agent's, as in a container."""
        script = f"echo $$ > {cgroup or self.cgroup}/cgroup.procs && exec \"$@\""
        server = self._start(f"elsewhere-{port}", self.sender.command(
            ["sh", "-c", script, "sh", "/usr/bin/python3", "-B", HERE / "agent_server.py", "0.0.0.0", port]))
        labs.wait_for("the server listens", lambda: "listens" in server.said(), 30)

    def connection(self, port, source=LISTED):
        return Connection(self, source, port)

    def hooks_attached(self):
        text = subprocess.run(["bpftool", "cgroup", "show", self.cgroup], capture_output=True,
                              text=True).stdout
        return sorted(word for word in text.split() if word.startswith("agent_"))

    # --- the end --------------------------------------------------------------------------------

    def logs(self):
        return "\n".join(f"--- {p.name}\n{p.said()[-6000:]}" for p in self.processes)

    def close(self):
        atexit.unregister(self.close)
        for process in reversed(self.processes):
            with contextlib.suppress(labs.LabError):
                process.stop()
        self.processes = []
        for namespace in self.namespaces:
            namespace.close()
        self.namespaces = []
        if self.cgroup:
            with contextlib.suppress(OSError):
                labs.wait_for("the cgroup is empty", self._remove_cgroup, 5)
        for mount in (self.bpf, self.folder / "cgroup"):
            subprocess.run(["umount", mount], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_cgroup(self):
        with contextlib.suppress(OSError):
            self.cgroup.rmdir()
        return not self.cgroup.exists()
