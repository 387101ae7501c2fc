# SPDX-License-Identifier: MIT
"""toalab (bench/toalab) in the agent's lab: servers in its cgroup, a sender on its wire."""

import contextlib
import json
import pathlib
import subprocess

import agent_lab as agent_labs
import lab as labs

TOALAB = labs.BIN / "toalab"
OWN = "192.0.2.11"  # the sender's kernel's, where it makes connections itself


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


class Server:
    """One of toalab's programs that listen, in the lab's cgroup, or where `place` says."""

    def __init__(self, lab, what, address, *options, cpus=None, place=None):
        self.port = next(lab.ports)
        command = [TOALAB, what, address, self.port, *options]
        if cpus:
            command = ["taskset", "--cpu-list", ",".join(map(str, cpus)), *command]
        self.process = lab._start(f"toalab-{what}-{self.port}", (place or lab.in_cgroup)(*command))
        labs.wait_for("toalab listens", lambda: "listens" in self.process.said(), 30)

    def ended(self):
        """What it has said last, when it has come to its end."""
        labs.wait_for("toalab's end", lambda: not self.process.running(), 60)
        return self.sums()

    def sums(self):
        """Ends it."""
        if self.process.stop() != 0:
            raise labs.LabError(f"toalab ended badly\n{self.process.said()}")
        return last_json(self.process.said())


def send(lab, port4, port6=1, cpus=None, patience=300, **options):
    """The sender's sums."""
    words = [TOALAB, "send", "eth0", "--to", lab.backend.mac("eth0"),
             "--server4", agent_labs.BACKEND, "--server6", agent_labs.BACKEND6,
             "--port4", port4, "--port6", port6,
             "--listed4", agent_labs.LISTED, "--listed6", agent_labs.LISTED6,
             "--stranger4", agent_labs.STRANGER, "--stranger6", agent_labs.STRANGER6]
    for name, value in options.items():
        words += [f"--{name}", value]
    if cpus:
        words = ["taskset", "--cpu-list", ",".join(map(str, cpus)), *words]
    return last_json(lab.sender.run(*words, timeout=patience).stdout)


@contextlib.contextmanager
def own_address(lab):
    """The sender's kernel has an address meanwhile, for connections of its own."""
    lab.sender.ip("address", "add", f"{OWN}/24", "dev", "eth0")
    try:
        yield
    finally:
        lab.sender.ip("address", "del", f"{OWN}/24", "dev", "eth0")


@contextlib.contextmanager
def cgroup_of_sender(lab):
    """Beside the servers', so that what is attached there is not attached here."""
    folder = lab.cgroup.with_name(lab.cgroup.name + "-sender")
    folder.mkdir()
    try:
        yield folder
    finally:
        labs.wait_for("the sender's cgroup is empty", lambda: _removed(folder), 5)


def _removed(folder):
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def connect(lab, port, toa=False, **options):
    """What the sender's kernel has connected to a server that resets, or (`ask`) answers: sums. `toa`: each with a TOA on
    its third packet."""
    if not toa:
        return _connect(lab, port, **options)
    with cgroup_of_sender(lab) as folder:
        return _connect(lab, port, toa=folder, **options)


def _connect(lab, port, ask=False, cpus=None, patience=300, **options):
    words = [TOALAB, "connect", agent_labs.BACKEND, port, *(["--ask"] if ask else [])]
    for name, value in options.items():
        words += [f"--{name}", value]
    if cpus:
        words = ["taskset", "--cpu-list", ",".join(map(str, cpus)), *words]
    with own_address(lab):
        return last_json(lab.sender.run(*words, timeout=patience).stdout)


def quiet(lab):
    """The wire is toalab's alone, and no handshake is forgotten: no cookies, room for all of them."""
    lab.wire.close()  # whatever the lab's own connections would have to read
    lab.backend.sysctl("net/ipv4/tcp_syncookies", 0)
    lab.backend.sysctl("net/ipv4/tcp_max_syn_backlog", 4096)
    lab.backend.sysctl("net/core/somaxconn", 4096)


def pinned(lab, name):
    """The path at which the agent has pinned a map."""
    found = list(pathlib.Path(lab.bpf, "viaduct-agent").glob(f"*/{name}"))
    if len(found) != 1:
        raise labs.LabError(f"the agent has pinned {len(found)} maps {name}")
    return found[0]


def sockets_with(lab, name):
    """How many sockets have something in a map of socket storage; None: this kernel lets nobody count."""
    done = subprocess.run([TOALAB, "sockets", pinned(lab, name)], capture_output=True, text=True)
    if "the kernel refused the iterator" in done.stderr:
        return None
    if done.returncode != 0:
        raise labs.LabError(done.stderr)
    return int(done.stdout)


def resident(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines()
                if line.startswith("VmRSS:"))


def maps_of(process):
    """Bytes of the BPF maps that a process holds, by map."""
    sizes = {}
    for entry in pathlib.Path(f"/proc/{process.pid}/fdinfo").iterdir():
        fields = dict(line.split(":", 1) for line in entry.read_text(encoding="ascii").splitlines()
                      if ":" in line)
        if "map_id" in fields:
            sizes[fields["map_id"].strip()] = int(fields["memlock"])
    return sizes
