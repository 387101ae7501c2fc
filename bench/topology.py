# SPDX-License-Identifier: MIT
"""The packet lab: the namespaces of tests/netns/lab.py with what a benchmark needs besides.

           client                          gateway                           server
    +--------------------+      +--------------------------+      +-----------------------+
    | packetlab generate |      |  a candidate             |      | packetlab sink (XDP)  |
    | iperf3 --client    |      |                          |      | iperf3 --server       |
    |               eth0 +------+ lan                  wan +------+ eth0                  |
    +--------------------+      +--------------------------+      +-----------------------+
      2001:db8:64::10             2001:db8:64::1  198.51.100.1      198.51.100.80
      10.0.0.2/8                  10.0.0.1  2001:db8:80::1          2001:db8:80::80

The generated hosts are 2001:db8:4000:0::1, 2001:db8:4000:1::1, ..., a /64 each, or 10.64.0.0,
10.64.0.1, ...: behind the client, for who looks from the gateway. They pretend, nobody answers
them; 64 flows come from each.
"""

import contextlib
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "netns"))

import lab as labs  # noqa: E402

REPOSITORY = labs.REPOSITORY
PACKETLAB = labs.BIN / "packetlab"

CLIENT4, GATEWAY4_LAN = "10.0.0.2", "10.0.0.1"
GATEWAY6_WAN = "2001:db8:80::1"
HOSTS6 = "2001:db8:4000::/34"
POOL = [f"203.0.113.{i}" for i in range(64)]
PORTS_PER_HOST = 64
# Where the kernel does not group processes by session there is nothing to write to, and nothing to say.
GIVES_WAY = ["setsid", "--wait", "sh", "-c", "echo 19 2>/dev/null >/proc/self/autogroup; "
             "exec nice -n 19 \"$@\"", "sh"]


class Topology(labs.Lab):
    """Wired and addressed for IPv4 and IPv6 alike; what goes on in the gateway is the candidate's."""

    def __init__(self, offloads=True):
        self._attached = []
        super().__init__(offloads=offloads, pool4=POOL)
        try:
            self._address()
        except BaseException:
            self.close()
            raise

    def _address(self):
        self.client.ip("address", "add", f"{CLIENT4}/8", "dev", "eth0")
        self.client.ip("route", "add", "default", "via", GATEWAY4_LAN)
        self.gateway.ip("address", "add", f"{GATEWAY4_LAN}/8", "dev", "lan")
        self.gateway.ip("-6", "address", "add", f"{GATEWAY6_WAN}/64", "dev", "wan", "nodad")
        self.gateway.ip("-6", "route", "add", HOSTS6, "via", labs.CLIENT)
        self.server.ip("-6", "address", "add", f"{labs.PLAIN_SERVER6}/64", "dev", "eth0", "nodad")
        self.server.ip("-6", "route", "add", "default", "via", GATEWAY6_WAN)
        # No neighbour is forgotten or asked for while frames are counted.
        for where, device, address, who, port in (
                (self.gateway, "lan", labs.CLIENT, self.client, "eth0"),
                (self.gateway, "lan", CLIENT4, self.client, "eth0"),
                (self.gateway, "wan", labs.SERVER, self.server, "eth0"),
                (self.gateway, "wan", labs.PLAIN_SERVER6, self.server, "eth0")):
            where.ip("neighbour", "replace", address, "lladdr", who.mac(port), "dev", device, "nud",
                     "permanent")

    def forward(self):
        for family in ("ipv4", "ipv6"):
            self.gateway.sysctl(f"net/{family}/conf/all/forwarding", 1)

    @contextlib.contextmanager
    def frames(self):
        """Frames that a program redirects into a veth arrive only where its peer polls (NAPI)."""
        self.gateway.run("ethtool", "-K", "lan", "gro", "on")
        try:
            yield
        finally:
            self.gateway.run("ethtool", "-K", "lan", "gro", "off")

    def attach(self, *args):
        """A packetlab program on the gateway's ports, until the lab ends."""
        self._attached.append(Attached(self.gateway, *args))

    def close(self):
        for attached in self._attached:
            attached.close()
        super().close()

    def generate(self, target, gives_way=False, **options):
        """Sends frames from the client; {"sent": ..., "seconds": ...}. `gives_way`: with the lowest
        weight there is, in a session of its own (autogroups), so that the gateway gets the processor
        that the generator waits on."""
        words = []
        for name, value in options.items():
            words += [f"--{name}"] if value is True else [f"--{name}", value]
        done = self.client.run(*(GIVES_WAY if gives_way else []), "taskset", "--cpu-list", "0",
                               PACKETLAB, "generate", "eth0", target, "--to",
                               self.gateway.mac("lan"), *words,
                               timeout=60 + options.get("seconds", 0))
        return json.loads(done.stdout)


class Attached:
    """A packetlab program that stays attached to a port until it is closed."""

    def __init__(self, where, *args):
        self._popen = subprocess.Popen(where.command([PACKETLAB, *args]), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._popen.stdout.readline() != "ready\n":
            self._popen.wait(10)
            raise labs.LabError(f"{' '.join(args)}: {self._popen.stderr.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self):
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        return json.loads(self._popen.stdout.readline())

    def close(self):
        if self._popen.poll() is None:
            self._popen.stdin.close()
            self._popen.wait(10)


class Sink(Attached):
    """Counts and drops what the generator sends, on the server's port (or on the one named)."""

    def __init__(self, where, device="eth0", verify=False):
        super().__init__(where, "sink", device, *(["--verify"] if verify else []))

    def arrived(self):
        """Since the start: packets, bytes, bad (wrong checksums, with verify) and latencies, a
        dictionary of nanoseconds to frames."""
        counts = self.ask()
        counts["latencies"] = {int(ns): frames for ns, frames in counts["latencies"].items()}
        return counts
