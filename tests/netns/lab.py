# SPDX-License-Identifier: MIT
"""The lab: three network namespaces, the real viaductd between two of them.

           client                        gateway                         server
    +------------------+      +-------------------------------+     +------------------+
    |  IPv6 only       |      |            viaductd           |     |  IPv4 only       |
    |                  |      |  64:ff9b::/96 -> nvi0 <- pool |     |  nginx, unbound  |
    |             eth0 +------+ lan            |          wan +-----+ eth0             |
    +------------------+      +-------------------------------+     +------------------+
      2001:db8:64::10/64        2001:db8:64::1/64                     198.51.100.80/24
      2001:db8:bad::10/64       2001:db8:bad::1/64                    198.51.100.81/24
      (only what a test adds)   198.51.100.1/24
                                pool4: 198.51.100.64 (proxied ARP)    203.0.113.0/24 via the gateway
                                       203.0.113.10  (routed), where a test asks for it

The server has a real zone, example.net, and ipv4only.arpa (RFC 7050), served by an unbound of its
own as authoritative zones; the gateway's DNS64 is the unbound that viaductd runs. The MTU is 1500
everywhere, unless a test asks for another.

A test about paths longer than that calls extend(), and client and server become the first routers:

    far_client ──── router6 ──MTU── client ── gateway ── server ──MTU── router4 ──── far_server
    2001:db8:67::10          2001:db8:66::/64              192.0.2.128/30            192.0.2.10

Standard library only: the smoke test runs it inside virtual machines that have little else. Names
carry the process id, so that several labs live side by side. Everything a lab makes is removed by
close(): processes by their pid, namespaces, the folder with sockets, configurations and logs.
"""

import atexit
import contextlib
import ctypes
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import lab_files

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ENGINE = os.environ.get("VIADUCT_ENGINE") or "tun"  # or "bpf"
REAL_TRAFFIC, MOST_HANDED_UP = 500, 0.01  # packets; a share of them
BIN = pathlib.Path(os.environ.get("VIADUCT_BIN") or REPOSITORY / "build" / "bin")

PREFIX = "64:ff9b::"
CLIENT = "2001:db8:64::10"
GATEWAY6 = "2001:db8:64::1"
GATEWAY4 = "198.51.100.1"
SERVER = "198.51.100.80"
SERVER2 = "198.51.100.81"
POOL = "198.51.100.64"
POOL_ROUTED = "203.0.113.10"
STRANGER = "2001:db8:bad::10"
PLAIN_SERVER6 = "2001:db8:80::80"

FAR_CLIENT = "2001:db8:67::10"
ROUTER6 = "2001:db8:66::2"  # towards the gateway; the client's side of that link is ::1
FAR_SERVER = "192.0.2.10"
ROUTER4 = "192.0.2.130"  # towards the gateway; the server's side of that link is .129

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_serial = 0


class Carried:
    """What all labs of this program have carried by the BPF engine, but for those that may hand up."""

    translated = ended = handed_up = 0

    @classmethod
    def add(cls, counters):
        """Those of a lab that ends. What was handed up is counted where its way ends, too."""
        for item in counters:
            cls.translated += item["value"] if item["name"].startswith("translated_") else 0
            cls.ended += item["value"] if item["kind"] in ("done", "held", "drop", "pass") else 0
            cls.handed_up += item["value"] if item["kind"] == "punt" else 0

    @classmethod
    def problem(cls):
        """Of real traffic the kernel takes all but a hundredth; "" where it has."""
        if cls.translated < REAL_TRAFFIC or cls.handed_up <= MOST_HANDED_UP * cls.ended:
            return ""
        return f"{cls.handed_up} of {cls.ended} packets were handed up by the BPF programs"


class LabError(Exception):
    """Something the lab needs did not happen; the text says what, and what the program said."""


def embed(ipv4, prefix=PREFIX):
    """The IPv6 address under which a /96 prefix shows an IPv4 address (RFC 6052)."""
    base = int(ipaddress.IPv6Address(prefix))
    return str(ipaddress.IPv6Address(base | int(ipaddress.IPv4Address(ipv4))))


def wait_for(what, condition, seconds=10.0, every=0.05):
    """Polls until condition() is true and returns its value; says what did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def end_on_signals():
    """SIGTERM and Ctrl-C end the program as an exception, so that labs are taken down."""
    def end(*_):
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def cannot_run():
    """Why this machine cannot run a lab; empty where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nsenter"):
        if not shutil.which(program):
            return f"{program} is not installed"
    name = f"viaduct-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


def toml(sections):
    """{"nat64": {"prefix": ...}, ...} as text; a section that is None is left out, one that is a list
    is an array of tables."""

    def value(item):
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{k} = {value(v)}" for k, v in item.items()) + " }"
        if isinstance(item, (list, tuple)):
            return "[" + ", ".join(value(v) for v in item) + "]"
        return json.dumps(item)

    lines = []
    for name, keys in sections.items():
        if keys is None:
            continue
        tables = keys if isinstance(keys, list) else [keys]
        for table in tables:
            lines.append(f"[[{name}]]" if table is not keys else f"[{name}]")
            lines += [f"{key} = {value(item)}" for key, item in table.items()]
            lines.append("")
    return "\n".join(lines)


class Namespace:
    """One network namespace; commands, sockets and sysctls in it."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        for family in ("ipv4", "ipv6"):
            for scope in ("all", "default"):
                self.sysctl(f"net/{family}/conf/{scope}/forwarding", 0)
        for scope in ("all", "default"):
            self.sysctl(f"net/ipv6/conf/{scope}/accept_dad", 0)
            self.sysctl(f"net/ipv6/conf/{scope}/accept_ra", 0)
            self.sysctl(f"net/ipv6/conf/{scope}/router_solicitations", 0)
        self.ip("link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self):
        """This thread is in the namespace meanwhile; sockets opened stay in it."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            _setns(there)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(there)
            os.close(home)

    def socket(self, *args):
        with self.entered():
            return socket.socket(*args)

    def sysctl(self, key, value=None):
        path = f"/proc/sys/{key}"
        with self.entered():
            if value is None:
                with open(path, encoding="ascii", errors="replace") as file:
                    return file.read().strip()
            with open(path, "w", encoding="ascii") as file:
                file.write(str(value))
        return None

    def command(self, args):
        return ["nsenter", f"--net={self.path}", "--", *map(str, args)]

    def run(self, *args, check=True, timeout=30, **options):
        done = subprocess.run(self.command(args), capture_output=True, text=True, timeout=timeout,
                              **options)
        if check and done.returncode != 0:
            raise LabError(f"in {self.name}: {' '.join(map(str, args))}\nexit code "
                           f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def ip(self, *args):
        return self.run("ip", *args).stdout

    def ip_json(self, *args):
        text = self.run("ip", "-j", *args).stdout.strip()
        return json.loads(text) if text else []

    def routes(self):
        """All routes of all tables, without those that come by themselves, somewhat later than
        the link (link-local, multicast)."""
        return [route for family in ("-4", "-6")
                for route in self.ip_json(family, "route", "show", "table", "all")
                if not route["dst"].startswith(("fe80:", "ff00:"))]

    def mac(self, device):
        return self.ip_json("link", "show", "dev", device)[0]["address"]

    def pids(self):
        text = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True,
                              text=True).stdout
        return [int(pid) for pid in text.split()]

    def pids_of(self, program):
        """The processes in here whose program has this name."""
        return [pid for pid in self.pids() if _program_of(pid) == program]

    def close(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(LabError):
            wait_for(f"the end of every process in {self.name}", lambda: not self.pids(), 2)
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


def _program_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Process:
    """A program that runs until it is stopped; what it says is kept for the failure report."""

    def __init__(self, name, args, folder, **options):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            # A session of its own: Ctrl-C is for the lab, which then ends its programs in order.
            self.popen = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, start_new_session=True,
                                          **options)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def said(self):
        with contextlib.suppress(FileNotFoundError):  # gone with its lab
            return self.log.read_text(encoding="utf-8", errors="replace")
        return ""

    def stop(self, how=signal.SIGTERM, seconds=10):
        """Ends it and returns its exit code; negative where a signal ended it."""
        if self.running():
            self.popen.send_signal(how)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise LabError(f"{self.name} did not end within {seconds} s\n{self.said()}") from None


class Lab:
    """The three namespaces, what runs in them, and the user's own command to ask with."""

    def __init__(self, offloads=True, pool4=(POOL,), mtu=1500, bpf_file_system=True):
        global _serial
        _serial += 1
        self._closed = False
        self.offloads = offloads
        self.mtu = mtu
        self.processes = []
        self.namespaces = []
        self.daemon = None
        self.may_hand_up = False  # the test is about what BPF leaves to the workers
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="viaduct-lab-"))
        self.folder.chmod(0o755)
        atexit.register(self.close)
        self.socket_path = self.folder / "control.sock"
        self.config_path = self.folder / "viaduct.toml"
        self.pool4 = list(pool4)
        self.bpf = self.folder / "bpf"  # what the lab's daemons see at /sys/fs/bpf
        self.bpf.mkdir()
        try:
            if bpf_file_system:
                subprocess.run(["mount", "-t", "bpf", "bpf", self.bpf], check=True)
            self._wire(f"vl{os.getpid()}-{_serial}")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, problem, *_):
        if problem:
            self.may_hand_up = True  # one problem is enough
        self.close()

    def _namespace(self, role):
        made = Namespace(f"{self._tag}-{role}")
        self.namespaces.append(made)
        return made

    def _link(self, mtu, *ends):
        """A cable between two (namespace, device)."""
        (one, device), (other, peer) = ends
        subprocess.run(["ip", "link", "add", device, "mtu", str(mtu), "netns", one.name, "type",
                        "veth", "peer", "name", peer, "mtu", str(mtu), "netns", other.name],
                       check=True)
        for where, name in ends:
            where.ip("link", "set", name, "up")
            if not self.offloads:
                where.run("ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro",
                          "off")
        wait_for(f"{device} and {peer} have their cable", lambda: all(
            where.ip_json("link", "show", "dev", name)[0]["operstate"] == "UP"
            for where, name in ends), every=0.01)

    def _wire(self, tag):
        self._tag = tag
        self.client, self.gateway, self.server = map(self._namespace,
                                                     ("client", "gateway", "server"))
        self._link(self.mtu, (self.gateway, "lan"), (self.client, "eth0"))
        self._link(self.mtu, (self.gateway, "wan"), (self.server, "eth0"))
        self.client.ip("address", "add", f"{CLIENT}/64", "dev", "eth0", "nodad")
        self.gateway.ip("address", "add", f"{GATEWAY6}/64", "dev", "lan", "nodad")
        self.gateway.ip("address", "add", f"{GATEWAY4}/24", "dev", "wan")
        for address in (SERVER, SERVER2):
            self.server.ip("address", "add", f"{address}/24", "dev", "eth0")
        self.client.ip("-6", "route", "add", "default", "via", GATEWAY6)
        self.server.ip("route", "add", "203.0.113.0/24", "via", GATEWAY4)

    def extend(self, mtu6=None, mtu4=None):
        """Two more hosts on each side, see the drawing above. The MTUs are those of the links in
        the middle, which no sender and no receiver sees: only an ICMP error tells of them."""
        self.router6, self.far_client, self.router4, self.far_server = map(
            self._namespace, ("router6", "farclient", "router4", "farserver"))
        self._link(mtu6 or self.mtu, (self.client, "far"), (self.router6, "near"))
        self._link(self.mtu, (self.router6, "far"), (self.far_client, "eth0"))
        self._link(mtu4 or self.mtu, (self.server, "far"), (self.router4, "near"))
        self._link(self.mtu, (self.router4, "far"), (self.far_server, "eth0"))
        for where in (self.client, self.router6):
            where.sysctl("net/ipv6/conf/all/forwarding", 1)
        for where in (self.server, self.router4):
            where.sysctl("net/ipv4/conf/all/forwarding", 1)
        for where in self.namespaces:
            # Errors are what these tests count; no test waits for the kernel's limit.
            where.sysctl("net/ipv6/icmp/ratelimit", 0)
            where.sysctl("net/ipv4/icmp_ratelimit", 0)
            where.sysctl("net/ipv4/tcp_mtu_probing", 0)

        self._extend6("2001:db8:66::1", "2001:db8:67::1")
        self._extend4("192.0.2.129", "192.0.2.9")

    def _extend6(self, first, second):
        self.client.ip("address", "add", f"{first}/64", "dev", "far", "nodad")
        self.router6.ip("address", "add", f"{ROUTER6}/64", "dev", "near", "nodad")
        self.router6.ip("address", "add", f"{second}/64", "dev", "far", "nodad")
        self.far_client.ip("address", "add", f"{FAR_CLIENT}/64", "dev", "eth0", "nodad")
        self.far_client.ip("-6", "route", "add", "default", "via", second)
        self.router6.ip("-6", "route", "add", "default", "via", first)
        self.client.ip("-6", "route", "add", "2001:db8:67::/64", "via", ROUTER6)
        self.gateway.ip("-6", "route", "add", "2001:db8:66::/47", "via", CLIENT)

    def _extend4(self, first, second):
        self.server.ip("address", "add", f"{first}/30", "dev", "far")
        self.router4.ip("address", "add", f"{ROUTER4}/30", "dev", "near")
        self.router4.ip("address", "add", f"{second}/29", "dev", "far")
        self.far_server.ip("address", "add", f"{FAR_SERVER}/29", "dev", "eth0")
        self.far_server.ip("route", "add", "default", "via", second)
        self.router4.ip("route", "add", "default", "via", first)
        self.server.ip("route", "add", "192.0.2.8/29", "via", ROUTER4)
        self.gateway.ip("route", "add", "192.0.2.0/24", "via", SERVER)

    # Who may use the gateway once there are hosts further away.
    ALLOW_FAR = {"allow": ["2001:db8:64::/64", "2001:db8:66::/47"]}

    # --- programs -------------------------------------------------------------------------------

    def start(self, name, where, args, **options):
        process = Process(name, where.command(args), self.folder, **options)
        self.processes.append(process)
        return process

    def start_listening(self, name, args, address, port, where=None):
        """Starts a server (on the server) and waits until it takes a TCP connection."""
        where = where or self.server
        process = self.start(name, where, args)

        def ready():
            if not process.running():
                raise LabError(f"{name} ended at its start\n{process.said()}")
            with where.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                return probe.connect_ex((address, port)) == 0

        wait_for(f"{name} listens at {address}:{port}", ready)
        return process

    def start_web(self, where=None, address=SERVER, more=""):
        """nginx (on the server); returns the folder it serves. `more` goes into its http block."""
        root = self.folder / "www"
        root.mkdir(exist_ok=True)
        (root / "index.html").write_text("Hello from the IPv4-only server.\n", encoding="ascii")
        self.web_log = self.folder / "access.log"
        config = self.folder / "nginx.conf"
        config.write_text(lab_files.NGINX.format(folder=self.folder, address=address, more=more),
                          encoding="ascii")
        self.start_listening("nginx", ["prlimit", "--nofile=8192:8192", "nginx", "-p", self.folder,
                                       "-e", "stderr", "-c", config], address, 80, where)
        return root

    def start_dns(self):
        """The server's own unbound, authoritative for example.net and ipv4only.arpa."""
        zones = {"example.net": _EXAMPLE_NET, "ipv4only.arpa": _IPV4ONLY_ARPA, ".": _ROOT}
        text = lab_files.UNBOUND.format(folder=self.folder, address=SERVER)
        for zone, records in zones.items():
            file = self.folder / f"zone-{zone.replace('.', '-')}"
            file.write_text(records, encoding="ascii")
            text += (f'auth-zone:\n  name: "{zone}"\n  zonefile: "{file}"\n'
                     "  for-downstream: yes\n  for-upstream: no\n  fallback-enabled: no\n")
        config = self.folder / "zones.conf"
        config.write_text(text, encoding="ascii")
        self.start_listening("zones", ["unbound", "-d", "-p", "-c", config], SERVER, 53)

    def command_with_dns(self, args, resolver=GATEWAY6):
        """args for Namespace.run, with an /etc/resolv.conf of their own that names the resolver."""
        resolv = self.folder / "resolv.conf"
        resolv.write_text(f"nameserver {resolver}\noptions timeout:2 attempts:3\n",
                          encoding="ascii")
        switch = self.folder / "nsswitch.conf"
        switch.write_text("passwd: files\ngroup: files\nhosts: files dns\n", encoding="ascii")
        script = ('mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/nsswitch.conf '
                  '&& shift 2 && exec "$@"')
        return ["unshare", "--mount", "sh", "-c", script, "sh", resolv, switch, *args]

    def on_client(self, *args, **options):
        """Runs a program on the client, which finds names through the gateway's DNS64."""
        return self.client.run(*self.command_with_dns(args), **options)

    # --- the daemon -----------------------------------------------------------------------------

    def config(self, **sections):
        """The lab's configuration; a section given here adds or replaces keys, None removes it."""
        whole = {
            "nvi": {"name": "nvi0", "engine": ENGINE},
            "nat64": {"prefix": f"{PREFIX}/96", "pool4": self.pool4,
                      "allow": ["2001:db8:64::/64"]},
            "dns64": None,
            "control": {"socket": str(self.socket_path)},
        }
        for name, keys in sections.items():
            whole[name] = {**(whole.get(name) or {}), **keys} if isinstance(keys, dict) else keys
        return {name: keys for name, keys in whole.items() if keys is not None}

    DNS64 = {"listen": [GATEWAY6], "upstream": [SERVER]}

    def write_config(self, **sections):
        self.config_path.write_text(toml(self.config(**sections)), encoding="utf-8")

    def start_daemon(self, wait=True, wrapper=(), **sections):
        """viaductd on the gateway; returns when the user's command gets an answer from it."""
        self.write_config(**sections)
        self.daemon = self.start("viaductd", self.gateway, self._daemon(wrapper))
        if wait:
            self.wait_daemon()
            if sections.get("dns64"):
                self.wait_dns64()
        return self.daemon

    def _daemon(self, wrapper):
        """The daemon has a mount namespace of its own, where the BPF file system is the lab's."""
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" /sys/fs/bpf && shift && exec "$@"',
                "sh", self.bpf, *wrapper, BIN / "viaductd", "--config", self.config_path]

    def preload(self, source, **environment):
        """A wrapper for start_daemon(): a shared object made of `source`, beside this file, is loaded
        before the program's own, to be a kernel that refuses something."""
        file = self.folder / f"{source}.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", file,
                        pathlib.Path(__file__).with_name(source), "-ldl"], check=True)
        # a build with AddressSanitizer wants its own library first, and need not have it
        sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
        return ["env", f"LD_PRELOAD={file}", f"ASAN_OPTIONS={sanitizer}",
                *(f"{name}={value}" for name, value in environment.items())]

    def pins(self):
        """The folders in which the BPF engine's maps are pinned."""
        folder = self.bpf / "viaduct"
        return sorted(folder.iterdir()) if folder.exists() else []

    def wait_daemon(self):
        def ready():
            if not self.daemon.running():
                raise LabError(f"viaductd ended at its start, exit code "
                               f"{self.daemon.popen.returncode}\n{self.daemon.said()}")
            return self.viaduct("show", "status", "--json", check=False).returncode == 0

        wait_for("viaductd answers `viaduct show status`", ready, 60)  # an emulated kernel verifies

    def wait_dns64(self, seconds=20):
        wait_for("DNS64 is healthy",
                 lambda: self.show("status")[0]["dns64"]["state"] == "healthy", seconds, 0.1)

    def run_daemon_once(self, wrapper=(), timeout=20):
        """Runs viaductd with the present configuration where it is expected to refuse."""
        return self.gateway.run(*self._daemon(wrapper), check=False, timeout=timeout)

    def stop_daemon(self, how=signal.SIGTERM):
        return self.daemon.stop(how)

    def resident(self):
        """The daemon's memory, in kB."""
        status = pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0])

    def viaduct(self, *args, check=True, timeout=20):
        return self.gateway.run(BIN / "viaduct", "--socket", self.socket_path, *args, check=check,
                                timeout=timeout)

    def show(self, what):
        return json.loads(self.viaduct("show", what, "--json").stdout)

    def counters(self):
        """What became of packets. What BPF has handed up is counted where its way ends, too."""
        return {item["name"]: item["value"] for item in self.all_counters() if item["kind"] != "punt"}

    def all_counters(self):
        return json.loads(self.viaduct("show", "counters", "--all", "--json").stdout)

    def sessions(self, **wanted):
        return [item for item in self.show("sessions")
                if all(item[key] == value for key, value in wanted.items())]

    # --- the end --------------------------------------------------------------------------------

    def logs(self):
        parts = []
        for process in self.processes:
            code = process.popen.poll()
            state = "still runs" if code is None else f"exit code {code}"
            parts.append(f"--- {process.name} (pid {process.pid}, {state})\n"
                         f"{process.said()[-6000:]}")
        return "\n".join(parts)

    def close(self):
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            if ENGINE == "bpf" and not self.may_hand_up and self.daemon and self.daemon.running():
                Carried.add(self.all_counters())
        finally:
            for process in reversed(self.processes):
                with contextlib.suppress(LabError):
                    process.stop()
            for namespace in self.namespaces:
                namespace.close()
            subprocess.run(["umount", self.bpf], stderr=subprocess.DEVNULL)  # with all pins
            shutil.rmtree(self.folder, ignore_errors=True)


_SOA = ("@ 60 IN SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 60\n"
        "@ 60 IN NS ns.example.net.\n")

_EXAMPLE_NET = ("$ORIGIN example.net.\n" + _SOA + f"""\
ns    60 IN A {SERVER}
web   60 IN A {SERVER}
web2  60 IN A {SERVER2}
dual  60 IN A {SERVER}
dual  60 IN AAAA {PLAIN_SERVER6}
big   60 IN TXT """ + " ".join('"' + letter * 232 + '"' for letter in "abcde") +
                "\nhuge  60 IN TXT " + " ".join('"' + letter * 232 + '"'
                                               for letter in "abcdefghijklmnop") + "\n")

_IPV4ONLY_ARPA = ("$ORIGIN ipv4only.arpa.\n" + _SOA +
                  "@ 60 IN A 192.0.0.170\n@ 60 IN A 192.0.0.171\n")

_ROOT = "$ORIGIN .\n" + _SOA
