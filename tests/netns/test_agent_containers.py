# SPDX-License-Identifier: MIT
"""Listeners in containers: cgroup, network, mounts and processes of their own, reached through the host's routing
or its port forwarding, from an agent on the host; cgroups that others have put programs on; and `[agent] cgroup`.

    sender                       backend, the host                     pod, the container's network
    192.0.2.10 ---------- eth0  192.0.2.80       pod0 ---------- eth0  198.51.100.2, 2001:db8:51::2
                            forwards, and :8088 to the container
"""

import contextlib
import json
import signal
import subprocess

import pytest

import lab as labs
from agent_lab import (BACKEND, CLIENT, CLIENT6, HERE, LISTED, LISTED6, PORT, STRANGER, AgentLab, toa4,
                       toa6)

POD, POD6 = "198.51.100.2", "2001:db8:51::2"
PUBLISHED, INSIDE = 8088, 8080
SEEN = ("connections", "headers", "names", "flags")
RTO, ALL, UNKNOWN = 1 << 0, 1 << 4, 1 << 5  # linux/bpf.h: ..., PARSE_ALL_HDR_OPT, PARSE_UNKNOWN_HDR_OPT
STRANGE_OPTION = bytes([200, 4, 1, 2])  # no TOA

# What a container runtime does: a new mount, process and cgroup namespace, nothing of the host's BPF to be seen.
_CONTAINED = ("mount -t tmpfs none /sys/fs/bpf && mount -t tmpfs none /run && "
              "{ umount -l /sys/fs/cgroup 2>/dev/null || true; } && exec \"$@\"")


class Host(AgentLab):
    """The agent's lab with a container's network, and cgroups below its own."""

    def __init__(self):
        self.below, self.contained = [], []
        super().__init__()
        self.pod = labs.Namespace(self.backend.name + "-pod")
        self.namespaces.append(self.pod)
        subprocess.run(["ip", "link", "add", "pod0", "netns", self.backend.name, "type", "veth", "peer",
                        "name", "eth0", "netns", self.pod.name], check=True)
        self.backend.ip("link", "set", "pod0", "up")
        self.pod.ip("link", "set", "eth0", "up")
        self.backend.ip("address", "add", "198.51.100.1/24", "dev", "pod0")
        self.backend.ip("address", "add", "2001:db8:51::1/64", "dev", "pod0", "nodad")
        self.pod.ip("address", "add", f"{POD}/24", "dev", "eth0")
        self.pod.ip("address", "add", f"{POD6}/64", "dev", "eth0", "nodad")
        self.pod.ip("route", "add", "default", "via", "198.51.100.1")
        self.pod.ip("route", "add", "default", "via", "2001:db8:51::1")
        for family in ("ipv4", "ipv6"):
            self.backend.sysctl(f"net/{family}/conf/all/forwarding", 1)

    def cgroup_below(self, *names):
        path = self.cgroup
        for name in names:
            path = path / name
            path.mkdir()
            self.below.append(path)
        return path

    def start_contained(self, cgroup, address, port=None):
        """agent_server.py in a container; its port."""
        port = port or next(self.ports)
        script = f"echo $$ > {cgroup}/cgroup.procs && exec \"$@\""
        server = self._start(f"contained-{port}", self.pod.command([
            "sh", "-c", script, "sh", "unshare", "--cgroup", "--mount", "--pid", "--fork",
            "--kill-child", "--mount-proc", "sh", "-c", _CONTAINED, "sh", "/usr/bin/python3", "-B",
            HERE / "agent_server.py", address, port]))
        self.contained.append(server)
        labs.wait_for("the server listens", lambda: "listens" in server.said(), 30)
        return port

    def close(self):
        for server in self.contained:
            server.stop(signal.SIGKILL)  # of the others unshare takes no notice
        for process in reversed(self.processes):
            with contextlib.suppress(labs.LabError):
                process.stop()
        for path in reversed(self.below):
            with contextlib.suppress(labs.LabError):
                labs.wait_for("the cgroup is empty", lambda p=path: _removed(p), 5)
        self.below = []
        super().close()

    def to_pod(self, port, source=LISTED):
        connection = self.connection(port, source)
        connection.server = POD6 if connection.six else POD
        return connection


def _removed(path):
    with contextlib.suppress(OSError):
        path.rmdir()
    return not path.exists()


@pytest.fixture
def host():
    with Host() as made:
        yield made


def test_addresses_in_a_container(host):
    """From all the packets that may carry them, to a listener two cgroups below."""
    host.start_agent(nat64_getsockopt=True)
    cgroup = host.cgroup_below("pod", "container")
    four, dual = host.start_contained(cgroup, "0.0.0.0"), host.start_contained(cgroup, "::")
    for way in ("syn", "ack"):
        told = host.to_pod(four).open(**{way: toa4()}).ask()
        assert told["accepted"] == told["peer"] == [CLIENT, PORT]
        told = host.to_pod(dual, LISTED6).open(**{way: toa6()}).ask()
        assert told["accepted"] == told["peer"] == [CLIENT6, PORT]
        told = host.to_pod(dual).open(**{way: toa4()}).ask()
        assert told["accepted"] == told["peer"] == ["::ffff:" + CLIENT, PORT]
        assert host.to_pod(four).open(**{way: toa6()}).ask()["nat64"] == [20, CLIENT6, PORT]
    assert host.to_pod(four).open().ask(toa4())["peer"] == [CLIENT, PORT]
    plain = host.to_pod(four).open()
    assert plain.ask()["peer"] == [LISTED, plain.port]
    shown = {item["peer"]: item for item in host.show("connections")}
    assert {item["client"] for item in shown.values()} == {
        f"{CLIENT}:{PORT}", f"[{CLIENT6}]:{PORT}"}


def test_behind_a_published_port(host):
    """As a container's port is published: the destination is rewritten on the host."""
    host.start_agent()
    host.start_contained(host.cgroup_below("container"), "0.0.0.0", INSIDE)
    host.backend.run("nft", "add table ip nat; add chain ip nat in { type nat hook prerouting priority -100; }; "
                     f"add rule ip nat in tcp dport {PUBLISHED} dnat to {POD}:{INSIDE}")
    for way in ("syn", "ack"):
        connection = host.connection(PUBLISHED)
        assert connection.server == BACKEND
        told = connection.open(**{way: toa4()}).ask()
        assert told["accepted"] == told["peer"] == [CLIENT, PORT]


def test_scope_is_a_containers_cgroup(host):
    """`[agent] cgroup` names one of two containers: the other keeps its own addresses."""
    inside, outside = host.cgroup_below("inside"), host.cgroup_below("outside")
    host.start_agent(cgroup=str(inside))
    served, not_served = (host.start_contained(each, "0.0.0.0") for each in (inside, outside))
    assert host.to_pod(served).open(ack=toa4()).ask()["accepted"] == [CLIENT, PORT]
    connection = host.to_pod(not_served).open(syn=toa4(), ack=toa4())
    assert connection.ask(toa4())["peer"] == [LISTED, connection.port]
    counters = host.counters()
    assert (counters["source_ack"], counters["getname_toa_empty"]) == (1, 0)


# --- beside other programs --------------------------------------------------------------------------


class Neighbour:
    """tests/netns/neighbour.bpf.c, attached to a cgroup."""

    def __init__(self, host, cgroup, wanted=UNKNOWN, how=("multi",), later=0):
        folder = host.bpf / "neighbour"
        folder.mkdir()
        source, self.object = HERE / "neighbour.bpf.c", host.folder / "neighbour.bpf.o"
        machine = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=True)
        subprocess.run(["clang-14", "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror",
                        f"-DWANTED={wanted}", f"-DLATER={later}", f"-I/usr/include/{machine.stdout.strip()}", "-c", source, "-o", self.object], check=True)
        self.folder, self.cgroup = folder, cgroup
        self._bpftool("prog", "loadall", self.object, folder, "pinmaps", folder)
        for hook, program in (("cgroup_sock_ops", "neighbour_sock_ops"),
                              ("cgroup_inet4_getpeername", "neighbour_getpeername")):
            self._bpftool("cgroup", "attach", cgroup, hook, "pinned", folder / program, *how)

    @staticmethod
    def _bpftool(*words):
        done = subprocess.run(["bpftool", *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise labs.LabError(f"bpftool {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return done.stdout

    def seen(self):
        rows = json.loads(self._bpftool("-j", "map", "dump", "pinned", self.folder / "seen"))
        return {SEEN[row["formatted"]["key"]]: row["formatted"]["value"] for row in rows}


# Who comes last at a cgroup is asked last, who sits below is asked first. One that is asked after the agent and wants
# all headers, too, is not to be told from it (docs/agent.md).
@pytest.mark.parametrize("order, where, wanted", [
    ("before", "same", RTO | UNKNOWN), ("after", "same", RTO | UNKNOWN), ("before", "below", RTO | UNKNOWN),
    ("after", "below", RTO | UNKNOWN), ("before", "same", RTO | ALL), ("before", "below", RTO | ALL),
    ("after", "below", RTO | ALL)])
def test_beside_a_neighbour(host, order, where, wanted):
    """Both see what they would see alone, whoever came first; nobody's flags in a socket are taken away."""
    cgroup = host.cgroup_below("delegated") if where == "below" else host.cgroup
    if order == "before":
        neighbour = Neighbour(host, cgroup, wanted)
        host.start_agent()
    else:
        host.start_agent()
        neighbour = Neighbour(host, cgroup, wanted)
    port = host.start_contained(cgroup, "0.0.0.0")
    for options in ({"syn": toa4()}, {"ack": toa4()}):
        told = host.to_pod(port).open(**options).ask()
        assert told["accepted"] == told["peer"] == [CLIENT, PORT]
    late, plain = host.to_pod(port).open(), host.to_pod(port).open()
    assert late.ask(toa4())["peer"] == [CLIENT, PORT]
    assert plain.ask()["peer"] == [LISTED, plain.port]
    seen = neighbour.seen()
    assert seen["connections"] == 4
    assert seen["names"] >= 8  # accept and getpeername of each
    # The agent stops to look at headers with the first one that comes behind data (of packets without options the kernel
    # shows none); the neighbour goes on, also when the agent has gone.
    for connection in (late, plain):
        connection.ask(STRANGE_OPTION)
        before = neighbour.seen()["headers"]
        connection.ask(STRANGE_OPTION)
        after = neighbour.seen()
        assert after["headers"] > before
        assert after["flags"] & (RTO | ALL | UNKNOWN) == wanted
    assert host.stop_agent() == 0
    before = neighbour.seen()["headers"]
    plain.ask(STRANGE_OPTION)
    assert neighbour.seen()["headers"] > before


@pytest.mark.parametrize("source, options", [(LISTED, {}), (LISTED, {"syn": toa4()}), (STRANGER, {}),
                                             (STRANGER, {"ack": toa4()})])
def test_a_flag_that_comes_later_stays(host, source, options):
    """The agent had the same flag in that socket before, or had no use for it: this one is not its own."""
    host.start_agent()
    neighbour = Neighbour(host, host.cgroup, RTO | UNKNOWN, later=ALL)
    connection = host.to_pod(host.start_contained(host.cgroup, "0.0.0.0"), source).open(**options)
    for option in (b"", STRANGE_OPTION, STRANGE_OPTION, STRANGE_OPTION):
        connection.ask(option)
    assert neighbour.seen()["flags"] & (RTO | ALL | UNKNOWN) == RTO | UNKNOWN | ALL


@pytest.mark.parametrize("keeps", [(), ("syns",)], ids=["by-the-agent", "by-the-program"])
@pytest.mark.parametrize("source, unseen", [(STRANGER, "ports"), (STRANGER, "no-agent"), (LISTED, "ports")])
def test_what_was_made_unseen_is_not_believed(host, source, unseen, keeps):
    """A connection made while its port was nobody's, or no agent there: the listener keeps SYNs all the same, and another
    program sees to it that its headers are shown."""
    host.start_agent()
    port = host.start_server("0.0.0.0", *keeps)
    neighbour = Neighbour(host, host.cgroup, RTO | ALL)
    if unseen == "ports":
        host.configure(ports=[1])
        host.command("reload")
    else:
        assert host.stop_agent() == 0
    connection = host.connection(port, source).open()
    labs.wait_for("the connection is made", lambda: neighbour.seen()["connections"] == 1)
    if unseen == "ports":
        host.configure()
        host.command("reload")
    else:
        host.start_agent()
    told = connection.ask(toa4())
    if source == STRANGER or not keeps:  # of a program's own SYNs docs/agent.md tells
        assert told["peer"] == [source, connection.port]
    assert host.counters()["late_found"] == (1 if told["peer"] == [CLIENT, PORT] else 0)


def test_a_cgroup_that_is_not_shared(host):
    """Somebody has attached without "multi": the agent says where it cannot be, and takes nothing away."""
    neighbour = Neighbour(host, host.cgroup, how=())
    host.configure()
    agent = host._start("refused", host._agent_command("run", "--config", host.config_path))
    assert agent.popen.wait(60) == 1
    assert "cannot attach" in agent.said() and str(host.cgroup) in agent.said()
    assert not (host.bpf / "viaduct-agent").exists()
    port = host.start_contained(host.cgroup, "0.0.0.0")
    connection = host.to_pod(port).open(ack=toa4())
    assert connection.ask()["peer"] == [LISTED, connection.port]
    assert neighbour.seen()["connections"] == 1
