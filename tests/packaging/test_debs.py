# SPDX-License-Identifier: MIT
"""The Debian packages (scripts/package): what they say and hold, and that dpkg installs, removes and purges them in a
root to throw away, an overlay over this machine's own. What systemd does with them: tests/kernels/systemd."""

import hashlib
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["VIADUCT_BIN"]).parent
PACKAGES = pathlib.Path(os.environ["VIADUCT_PACKAGES"])
NAMES = ["viaduct", "viaduct-agent"]
VERSION = re.search(r"^project\(viaduct VERSION (\S+)", (TOP / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
PACKED = VERSION + "~test"  # what CMakeLists.txt here has them called

AGENT_FILES = """
/etc/viaduct-agent/agent.toml
/lib/systemd/system/viaduct-agent.service
/usr/sbin/viaduct-agent
/usr/share/bash-completion/completions/viaduct-agent
/usr/share/doc/viaduct-agent/agent.md
/usr/share/doc/viaduct-agent/changelog.gz
/usr/share/doc/viaduct-agent/copyright
/usr/share/doc/viaduct-agent/from-toa.md
/usr/share/fish/vendor_completions.d/viaduct-agent.fish
/usr/share/man/man8/viaduct-agent.8.gz
/usr/share/zsh/vendor-completions/_viaduct-agent
""".split()

# Libraries only, and of those none of the gateway's own (libmnl, libpcap).
AGENT_DEPENDS = {"libbpf1", "libc6", "libfmt9", "libgcc-s1", "libmicrohttpd12", "libspdlog1.10-fmt9", "libstdc++6",
                 "libsystemd0"}


def run(*command, check=True, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def deb(name):
    return next(PACKAGES.glob(f"{name}_{PACKED}_*.deb"))


def field(name, which):
    return run("dpkg-deb", "--field", deb(name), which).stdout.strip()


def names_of(dependencies):
    return {re.match(r"[a-z0-9.+-]+", item.strip())[0] for item in re.split(r"[,|]", dependencies) if item.strip()}


def listing(name):
    """{path: (mode, owner)} of the files in it."""
    lines = [line.split(None, 5) for line in run("dpkg-deb", "--contents", deb(name)).stdout.splitlines()]
    return {line[5][1:]: (line[0], line[1]) for line in lines if not line[0].startswith("d")}


# --- what they say and hold ----------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
def test_the_control_fields(name):
    assert field(name, "Package") == name
    assert field(name, "Version") == PACKED
    assert field(name, "Architecture") == run("dpkg", "--print-architecture").stdout.strip()
    assert field(name, "Section") == "net"
    assert 50 < int(field(name, "Installed-Size")) < 30000
    assert len(field(name, "Description").splitlines()) > 3


def test_the_agent_ships_alone():
    assert names_of(field("viaduct-agent", "Depends")) <= AGENT_DEPENDS
    assert {"libbpf1", "libc6"} <= names_of(field("viaduct-agent", "Depends"))
    for which in ("Pre-Depends", "Recommends", "Suggests"):
        assert field("viaduct-agent", which) == ""
    # dh_compress leaves short documents as they are.
    assert {re.sub(r"\.md\.gz$", ".md", path) for path in listing("viaduct-agent")} == set(AGENT_FILES)


def test_the_gateway_has_what_it_runs():
    assert {"libmnl0", "libpcap0.8", "libbpf1"} <= names_of(field("viaduct", "Depends"))
    assert "viaduct-agent" not in field("viaduct", "Depends")
    assert names_of(field("viaduct", "Recommends")) == {"dns-root-data", "unbound"}
    files = listing("viaduct")
    assert {"/usr/sbin/viaductd", "/usr/sbin/viaduct", "/lib/systemd/system/viaductd.service",
            "/usr/share/man/man5/viaduct.toml.5.gz", "/usr/share/man/man8/viaductd.8.gz",
            "/usr/share/doc/viaduct/examples/viaduct.toml", "/usr/share/doc/viaduct/examples/prometheus-alerts.yml",
            "/usr/share/doc/viaduct/examples/grafana-dashboard.json"} <= set(files)
    assert not [path for path in files if "agent" in path or path.startswith("/etc")]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_roots_and_nobody_may_write_them(name):
    for path, (mode, owner) in listing(name).items():
        assert owner == "root/root", path
        assert mode == ("-rwxr-xr-x" if "/sbin/" in path else "-rw-r--r--"), path


def test_the_configuration_belongs_to_the_administrator():
    def conffiles(name):
        return run("dpkg-deb", "--info", deb(name), "conffiles", check=False).stdout.split()

    assert conffiles("viaduct-agent") == ["/etc/viaduct-agent/agent.toml"]
    assert conffiles("viaduct") == []


@pytest.mark.parametrize("name, unit", [("viaduct", "viaductd"), ("viaduct-agent", "viaduct-agent")])
def test_the_unit_starts_the_packages_program(name, unit, tmp_path):
    run("dpkg-deb", "--extract", deb(name), tmp_path)
    text = (tmp_path / f"lib/systemd/system/{unit}.service").read_text()
    assert "/usr/local" not in text and "Copy to" not in text
    for program in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
        assert os.access(tmp_path / program[1:], os.X_OK), program


def test_packing_again_gives_the_same_bytes(tmp_path):
    run(TOP / "scripts/package", "--deb", "--build", BUILD, "--output", tmp_path, "--version", PACKED)
    for name in NAMES:
        first, second = (hashlib.sha256(path.read_bytes()).hexdigest()
                         for path in (deb(name), tmp_path / deb(name).name))
        assert first == second, name


@pytest.mark.parametrize("arguments, word", [
    (["--zip"], "unknown option --zip"), (["--build", "/nonexistent"], "no build folder"),
    (["--build"], "wants a value"), (["--deb", "--tarball", "--build", BUILD], "one of"),
    (["--version", "one", "--build", BUILD], "no version"), (["--tarball", "--build", BUILD], "no static build")])
def test_it_says_what_is_wrong(arguments, word, tmp_path):
    done = run(TOP / "scripts/package", "--output", tmp_path, *arguments, check=False)
    assert done.returncode == 1 and word in done.stderr and list(tmp_path.iterdir()) == []


# --- what dpkg makes of them ---------------------------------------------------------------------

SETUP = """
mount -t tmpfs tmpfs "$1" && mkdir "$1/changes" "$1/work" "$1/root" &&
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" "$1/root" &&
mount -t proc proc "$1/root/proc" && mount --rbind /dev "$1/root/dev" && mount -t tmpfs tmpfs "$1/root/run" &&
mount --bind "$2" "$1/root/mnt" && rm -f "$1/root/var/lib/man-db/auto-update" || exit 1
echo ready
exec cat
"""


class Root:
    """This machine's root under an overlay, as in `chroot`; what is written goes when it ends."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="viaduct-root-")
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP, "sh", self.folder.name, PACKAGES],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.works = self.holder.stdout.readline() == "ready\n"

    def run(self, *command, check=True):
        return run("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", "chroot", f"{self.folder.name}/root",
                   *command, check=check)

    def has(self, path):
        return self.run("test", "-e", path, "-o", "-L", path, check=False).returncode == 0

    def traces(self):
        """What was written that has our name, but dpkg's own memory of an installed package."""
        found = run("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", "find",
                    f"{self.folder.name}/changes", "-name", "*viaduct*").stdout.split()
        return sorted(path.removeprefix(f"{self.folder.name}/changes") for path in found)

    def close(self):
        said = self.holder.communicate()[1]
        self.folder.cleanup()
        return said


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    made = Root()
    if not made.works:
        pytest.skip("no overlay over this root: " + made.close().strip().replace("\n", "; "))
    yield made
    made.close()


def test_the_agent_comes_and_goes(root):
    package = f"/mnt/{deb('viaduct-agent').name}"
    enabled = "/etc/systemd/system/multi-user.target.wants/viaduct-agent.service"
    root.run("dpkg", "--install", package)
    assert root.run("dpkg", "--verify", "viaduct-agent").stdout == ""
    assert root.run("viaduct-agent", "--version").stdout == f"viaduct-agent {VERSION}\n"
    assert "good" in root.run("viaduct-agent", "check", "/etc/viaduct-agent/agent.toml").stdout
    assert "not found" not in root.run("ldd", "/usr/sbin/viaduct-agent").stdout
    assert root.has(enabled)

    root.run("sed", "-i", "s/^# senders/senders/", "/etc/viaduct-agent/agent.toml")
    root.run("dpkg", "--install", package)  # again: no question, and the administrator's file stays
    assert root.run("grep", "-c", "^senders", "/etc/viaduct-agent/agent.toml").stdout == "1\n"

    # As an agent leaves it that has mounted cgroup v2 for itself and was killed: what lies in there stays.
    root.run("sh", "-c", "mkdir -p /run/viaduct-agent/cgroup2 /tmp/cgroups && mount -t tmpfs none /tmp/cgroups && "
             "mkdir /tmp/cgroups/system.slice && mount --bind /tmp/cgroups /run/viaduct-agent/cgroup2")
    root.run("dpkg", "--remove", "viaduct-agent")
    assert root.has("/tmp/cgroups/system.slice")
    root.run("umount", "/tmp/cgroups")
    assert not root.has("/usr/sbin/viaduct-agent") and not root.has("/run/viaduct-agent")
    assert root.has("/etc/viaduct-agent/agent.toml")
    root.run("dpkg", "--purge", "viaduct-agent")
    assert root.traces() == []
    assert not root.has(enabled)


def test_the_gateway_comes_and_goes(root):
    root.run("dpkg", "--install", f"/mnt/{deb('viaduct').name}")
    assert root.run("dpkg", "--verify", "viaduct").stdout == ""
    assert root.run("viaduct", "version").stdout.startswith(f"viaduct {VERSION}")
    assert root.run("viaductd", "--version").stdout.startswith(f"viaductd {VERSION}")
    root.run("viaduct", "check", "/usr/share/doc/viaduct/examples/viaduct.toml")
    # It waits for its addresses.
    assert not root.has("/etc/systemd/system/multi-user.target.wants/viaductd.service")
    root.run("dpkg", "--purge", "viaduct")
    assert root.traces() == []
