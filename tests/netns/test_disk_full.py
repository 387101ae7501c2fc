# SPDX-License-Identifier: MIT
"""The disk that holds the socket's folder and unbound's files is full: viaductd starts, translates and
answers, unbound runs on what it has in memory, and the log names what could not be written."""

import subprocess

import pytest

import lab as labs

WEB = "web.example.net"


@pytest.fixture
def small_disk(bare_lab):
    """A lab whose daemon has its socket, unbound's files and its log on a disk of 64 KB."""
    lab = bare_lab
    disk = lab.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none", disk], check=True)
    lab.disk, lab.socket_path = disk, disk / "control.sock"
    try:
        lab.start_dns()
        yield lab
    finally:
        if lab.daemon:
            lab.stop_daemon()
        subprocess.run(["umount", disk], check=True)


def fill(lab):
    with pytest.raises(OSError, match="No space left"):
        with open(lab.disk / "filler", "ab", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)


def works(lab):
    answer = lab.client.run("dig", f"@{labs.GATEWAY6}", "+short", "+tries=2", "+time=3", WEB, "AAAA")
    assert answer.stdout.split() == [labs.embed(labs.SERVER)]
    lab.client.run("ping", "-6", "-c", "2", "-i", "0.2", "-W", "5", labs.embed(labs.SERVER))


def complaints(lab):
    return lab.daemon.said().count("No space left on device")


def test_at_the_start(small_disk):
    lab = small_disk
    fill(lab)
    lab.start_daemon(dns64=lab.DNS64)
    assert complaints(lab) == 1
    assert "unbound.conf" in lab.daemon.said() or "ipv4only.arpa.zone" in lab.daemon.said()
    works(lab)


def test_while_it_runs(small_disk):
    lab = small_disk
    lab.start_daemon(dns64=lab.DNS64)
    assert complaints(lab) == 0
    fill(lab)
    works(lab)
    lab.write_config(dns64={**lab.DNS64, "synthesize": "always"})
    lab.viaduct("reload")
    lab.wait_dns64()
    assert complaints(lab) == 1
    works(lab)
    assert labs.embed(labs.SERVER) in lab.client.run("dig", f"@{labs.GATEWAY6}", "+short",
                                                     "dual.example.net", "AAAA").stdout


def test_its_log_is_on_it(small_disk):
    """What is said is lost; nothing else is."""
    lab = small_disk
    fill(lab)
    wrapper = ["sh", "-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", lab.disk / "log"]
    lab.start_daemon(wrapper=wrapper, dns64=lab.DNS64)
    works(lab)
    lab.viaduct("reload")
    assert (lab.disk / "log").stat().st_size == 0
    works(lab)
