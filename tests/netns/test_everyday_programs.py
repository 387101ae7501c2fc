# SPDX-License-Identifier: MIT
"""What people do all day: a page from a name with both kinds of addresses, a download resumed, files
copied over ssh, a repository cloned."""

import os

import pytest

import lab as labs
from sshd import TARGET, SshServer

BYTES = 3_000_000


@pytest.fixture(scope="module")
def lab():
    with labs.Lab() as made:
        made.start_web()
        made.start_dns()
        made.start_daemon(dns64=made.DNS64)
        yield made


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def page(lab, *args):
    """(the page, the address it came from)"""
    done = lab.on_client("curl", "-gsS", "--max-time", "10", "-w", "%{remote_ip}", *args,
                         "http://web.example.net/")
    return done.stdout.split("\n")


def test_curl_on_a_host_that_believes_it_has_ipv4(lab):
    """Happy eyeballs (RFC 8305): the name has an address of each family, IPv4 leads nowhere."""
    lab.client.ip("address", "add", "10.0.0.5/24", "dev", "eth0")
    lab.client.ip("route", "add", "default", "via", "10.0.0.1")
    assert page(lab) == ["Hello from the IPv4-only server.", TARGET]
    lab.client.ip("address", "del", "10.0.0.5/24", "dev", "eth0")


def test_curl_tries_the_next_address(lab):
    dead = f"web.example.net:80:[{labs.PLAIN_SERVER6}],[{TARGET}]"
    assert page(lab, "--resolve", dead) == ["Hello from the IPv4-only server.", TARGET]


def test_wget_resumes(lab):
    whole = os.urandom(BYTES)
    (lab.folder / "www/resume").write_bytes(whole)
    got = lab.folder / "resumed"
    got.write_bytes(whole[:BYTES // 3])
    lab.on_client("wget", "--no-verbose", "--tries=2", "--timeout=5", "--continue", "-O", got,
                  "http://web.example.net/resume")
    assert got.read_bytes() == whole
    last = lab.web_log.read_text().splitlines()[-1].split()
    assert last[8:10] == ["206", str(BYTES - BYTES // 3)], "only what was missing"


def test_rsync_over_ssh(lab):
    ssh = " ".join(["ssh", *SshServer(lab).options])
    tree, there, back = (lab.folder / name for name in ("tree", "there", "back"))
    for number in range(100):
        path = tree / f"{number % 10}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 300))
    lab.client.run("rsync", "-a", "-e", ssh, f"{tree}/", f"[{TARGET}]:{there}/")
    (tree / "3/33").write_bytes(b"changed")
    again = lab.client.run("rsync", "-a", "--checksum", "--out-format=%n", "-e", ssh, f"{tree}/",
                           f"[{TARGET}]:{there}/")
    assert again.stdout.split("\n")[:-1] in (["3/33"], ["3/", "3/33"]), again.stdout
    lab.client.run("rsync", "-a", "-e", ssh, f"[{TARGET}]:{there}/", f"{back}/")
    assert contents(there) == contents(tree) == contents(back)


def test_git_clone(lab):
    work, bare, copy = lab.folder / "work", lab.folder / "www/project.git", lab.folder / "copy"
    git = ["env", "-i", f"PATH={os.environ['PATH']}", f"HOME={lab.folder}",
           "GIT_CONFIG_NOSYSTEM=1", "git", "-c", "user.name=x", "-c", "user.email=x@example.net"]
    lab.server.run(*git, "init", "-q", work)
    for number in range(30):
        (work / f"file-{number}").write_bytes(os.urandom(20_000))
        lab.server.run(*git, "-C", work, "add", ".")
        lab.server.run(*git, "-C", work, "commit", "-qm", f"change {number}")
    lab.server.run(*git, "clone", "-q", "--bare", work, bare)
    lab.server.run(*git, "-C", bare, "update-server-info")  # plain HTTP, as nginx serves files
    lab.on_client(*git, "clone", "-q", "http://web.example.net/project.git", copy)
    assert lab.client.run(*git, "-C", copy, "log", "--format=%H").stdout == lab.server.run(
        *git, "-C", work, "log", "--format=%H").stdout
    lab.client.run(*git, "-C", copy, "fsck", "--strict")


