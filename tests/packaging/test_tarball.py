# SPDX-License-Identifier: MIT
"""The agent's tarball (scripts/package --tarball): its program runs in a root that holds nothing else, and does its
work there; install.sh puts everything in its place, and takes it away."""

import hashlib
import os
import pathlib
import socket
import subprocess
import sys
import tarfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
STATIC = pathlib.Path(os.environ["VIADUCT_STATIC"])
sys.path.insert(0, str(TOP / "tests/netns"))

import agent_lab  # noqa: E402
import lab as labs  # noqa: E402
from agent_lab import BACKEND, CLIENT, CLIENT6, LISTED6, PORT, toa4, toa6  # noqa: E402


def make(folder):
    if not (STATIC / "bin/viaduct-agent").exists():
        pytest.skip("the static agent is not built: run scripts/build static")
    done = subprocess.run([TOP / "scripts/package", "--tarball", "--build", STATIC, "--output", folder],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("viaduct-agent-*-linux-*.tar.gz"))


@pytest.fixture(scope="module")
def tarball(tmp_path_factory):
    return make(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def unpacked(tarball, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(tarball) as archive:
        archive.extractall(folder)
    return next(folder.iterdir())


@pytest.fixture
def empty_root(unpacked, tmp_path):
    """Nothing but the program and its configuration."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("viaduct-agent", "agent.toml"):
        (root / name).write_bytes((unpacked / name).read_bytes())
    (root / "viaduct-agent").chmod(0o755)
    return root


def in_root(root, *words):
    return subprocess.run(["chroot", root, "/viaduct-agent", *words], capture_output=True, text=True)


def needs_root():
    reason = labs.cannot_run()
    if reason:
        pytest.skip(reason)


def test_what_is_in_it(tarball, unpacked):
    assert tarball.name == unpacked.name + f"-linux-{os.uname().machine}.tar.gz"
    with tarfile.open(tarball) as archive:
        members = archive.getmembers()
    names = {member.name.removeprefix(unpacked.name).lstrip("/") for member in members}
    assert {"viaduct-agent", "viaduct-agent.service", "viaduct-agent.8", "agent.toml", "install.sh", "README", "LICENSE",
            "agent.md", "from-toa.md", "completion/viaduct-agent.bash", "licences/libbpf-dev"} <= names
    assert {member.uid for member in members} == {member.gid for member in members} == {0}
    assert len({member.mtime for member in members}) == 1


def test_packing_again_gives_the_same_bytes(tarball, tmp_path):
    again = make(tmp_path)
    assert again.name == tarball.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(tarball.read_bytes()).digest()


def test_it_needs_no_library(unpacked):
    program = unpacked / "viaduct-agent"
    assert "statically linked" in subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    headers = subprocess.run(["readelf", "--program-headers", "--dynamic", "--wide", program], capture_output=True,
                             text=True, check=True).stdout
    assert "INTERP" not in headers and "(NEEDED)" not in headers
    assert "GNU_RELRO" in headers and "PIE" in headers


def test_it_runs_in_an_empty_root(empty_root):
    needs_root()
    said = in_root(empty_root, "--version")
    assert (said.returncode, said.stderr) == (0, "") and said.stdout.startswith("viaduct-agent ")
    said = in_root(empty_root, "check", "/agent.toml")
    assert said.returncode == 0 and said.stdout.startswith("/agent.toml: good\n")
    (empty_root / "wrong.toml").write_text("[agent]\nsender = []\n")
    said = in_root(empty_root, "check", "/wrong.toml")
    assert said.returncode == 2 and "/wrong.toml:2:" in said.stderr


class RootLab(agent_lab.AgentLab):
    """The agent's lab with the static agent in an empty root: what it finds there is the kernel's, and the lab's folder."""

    def __init__(self, root):
        super().__init__()
        self.root = root

    def _agent_command(self, *words):
        cgroups = agent_lab._cgroup2() or self.folder / "cgroup"
        script = ("set -e; root=$1 cgroups=$2 folder=$3 bpf=$4; shift 4; mkdir -p $root/proc $root/sys $root/$folder; "
                  "mount -t proc proc $root/proc; mount -t sysfs sysfs $root/sys; mount --bind $folder $root/$folder; "
                  "mount --bind $bpf $root/sys/fs/bpf; mount -t tmpfs tmpfs $root/sys/fs/cgroup; "
                  "mkdir -p $root/$cgroups; mount --bind $cgroups $root/$cgroups; exec chroot $root /viaduct-agent \"$@\"")
        return self.backend.command(["unshare", "--mount", "sh", "-c", script, "sh", self.root, cgroups, self.folder,
                                     self.bpf, *words])


def test_it_does_its_work_in_an_empty_root(empty_root):
    needs_root()
    with RootLab(empty_root) as lab:
        # What systemd gives a service of Type=notify.
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.bind(str(lab.folder / "notify"))
        ready.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = str(lab.folder / "notify")
        try:
            lab.start_agent({"metrics": f"{BACKEND}:9465"}, nat64_getsockopt=True)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        with ready:
            assert ready.recv(100) == b"READY=1"
        port = lab.start_server()
        assert lab.connection(port).open(syn=toa4()).ask()["accepted"] == [CLIENT, PORT]
        assert lab.connection(port).open(ack=toa6()).ask()["nat64"] == [20, CLIENT6, PORT]
        dual = lab.start_server("::")
        assert lab.connection(dual, LISTED6).open().ask(toa6())["peer"] == [CLIENT6, PORT]
        clients = [item.get("client") for item in lab.show("connections")]
        assert f"{CLIENT}:{PORT}" in clients
        with lab.backend.entered():
            scrape = socket.create_connection((BACKEND, 9465), 10)
        with scrape:
            scrape.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: scrape.recv(65536), b"")).decode()
        assert 'viaduct_agent_events_total{event="source_ack"} 1\n' in text
        assert lab.stop_agent() == 0
        assert not (lab.bpf / "viaduct-agent").exists()


def placed(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_install_sh(unpacked, tmp_path):
    def install(*words):
        done = subprocess.run([unpacked / "install.sh", *words], capture_output=True, text=True, check=True,
                              env={**os.environ, "DESTDIR": str(tmp_path)})
        assert done.stderr == ""
        return placed(tmp_path)

    unit = (unpacked / "viaduct-agent.service").read_text()
    there = install()
    assert there == {"etc/viaduct-agent/agent.toml", "etc/systemd/system/viaduct-agent.service",
                     "usr/local/sbin/viaduct-agent", "usr/local/share/man/man8/viaduct-agent.8",
                     "usr/local/share/bash-completion/completions/viaduct-agent",
                     "usr/local/share/fish/vendor_completions.d/viaduct-agent.fish",
                     "usr/local/share/zsh/site-functions/_viaduct-agent"}
    assert "ExecStart=/usr/local/sbin/viaduct-agent run --config /etc/viaduct-agent/agent.toml\n" in unit
    assert os.access(tmp_path / "usr/local/sbin/viaduct-agent", os.X_OK)
    (tmp_path / "etc/viaduct-agent/agent.toml").write_text("mine")
    assert install() == there
    assert (tmp_path / "etc/viaduct-agent/agent.toml").read_text() == "mine"
    assert install("--uninstall") == {"etc/viaduct-agent/agent.toml"}
    assert install("--purge") == set()
    assert not (tmp_path / "etc/viaduct-agent").exists()
    assert subprocess.run([unpacked / "install.sh", "--nonsense"], capture_output=True).returncode == 2
