# SPDX-License-Identifier: MIT
"""What `viaduct-agent doctor` says, each with the one thing that it must notice."""

import json
import signal
import subprocess

import pytest

import lab as labs
from agent_lab import CLIENT, HERE, LISTED, PORT, toa4

IN_A_MOUNT_NAMESPACE = ["unshare", "--mount", "sh", "-c"]


def findings(lab):
    done = lab.command("doctor", "--json", check=False)
    return done.returncode, {item["check"]: item for item in json.loads(done.stdout)}


def listeners(lab):
    return findings(lab)[1]["listeners"]["text"]


def start_outside(lab, port):
    server = lab._start(f"outside-{port}", lab.backend.command(
        ["/usr/bin/python3", "-B", HERE / "agent_server.py", "0.0.0.0", port]))
    labs.wait_for("the server listens", lambda: "listens" in server.said(), 30)


# --- listeners older than the agent -----------------------------------------------------------------

def keeps_syns(lab, port):
    """Whether an option that only the SYN has arrives."""
    connection = lab.connection(port).open(syn=toa4())
    told = connection.ask()["peer"]
    connection.close()
    assert told in ([CLIENT, PORT], [LISTED, connection.port])
    return told == [CLIENT, PORT]


def test_older_listeners_keep_syns_from_the_start(bare_agent_lab):
    lab = bare_agent_lab
    port, dual = lab.start_server(), lab.start_server("::")
    start_outside(lab, 7999)
    lab.start_agent()
    assert keeps_syns(lab, port)
    assert lab.connection(dual).open(syn=toa4()).ask()["accepted"] == ["::ffff:" + CLIENT, PORT]
    assert findings(lab)[1]["listeners"]["level"] == "ok"
    assert not keeps_syns(lab, 7999)


def test_older_listeners_keep_syns_from_a_reload_that_makes_them_ours(bare_agent_lab):
    lab = bare_agent_lab
    first, second = lab.start_server(), lab.start_server()
    lab.start_agent(ports=[first])
    later = lab.start_server()  # the hooks see it begin, and it is none of theirs
    assert keeps_syns(lab, first) and not keeps_syns(lab, second) and not keeps_syns(lab, later)
    assert findings(lab)[1]["listeners"]["level"] == "ok"  # theirs alone are looked at
    lab.configure()
    lab.command("reload")
    assert all(keeps_syns(lab, port) for port in (first, second, later))


def test_older_listeners_in_containers_are_named(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_elsewhere(7001)
    lab.start_elsewhere(7002)
    lab.start_agent(ports=[7001])
    number = lab.sender.run("stat", "--dereference", "--format", "%i", "/proc/self/ns/net").stdout.strip()

    def check():
        code, found = findings(lab)
        assert code in (3, 4) and found["listeners"]["level"] == "warn", found
        assert f"0.0.0.0:7001 (network namespace {number})" in found["listeners"]["text"]
        assert "7002" not in found["listeners"]["text"]  # not at our ports

    check()
    lab.stop_agent(signal.SIGKILL)
    lab.start_agent(ports=[7001])  # who takes over knows them, too
    check()
    lab.stop_agent()
    lab.start_agent(network_namespace="own")
    assert findings(lab)[1]["listeners"]["level"] == "ok"


def test_listeners_of_other_cgroups_are_not_named(bare_agent_lab):
    lab = bare_agent_lab
    inside, outside = lab.cgroup / "inside", lab.cgroup / "outside"
    try:
        for folder in (inside, outside):
            folder.mkdir()
        lab.start_elsewhere(7001, inside)
        lab.start_elsewhere(7002, outside)
        lab.start_agent(cgroup=str(inside))
        assert ":7001 " in listeners(lab) and ":7002 " not in listeners(lab)
    finally:
        for process in reversed(lab.processes):
            process.stop()
        for folder in (inside, outside):
            labs.wait_for(f"{folder} is empty", lambda folder=folder: "populated 0" in
                          (folder / "cgroup.events").read_text(), 10)
            folder.rmdir()


# --- other programs ---------------------------------------------------------------------------------

@pytest.mark.parametrize("where", ["at", "above", "below"])
def test_somebody_elses_program_whatever_its_name(bare_agent_lab, where):
    lab = bare_agent_lab
    inner = lab.cgroup / "inner"
    inner.mkdir()
    ours, theirs = {"at": (lab.cgroup, lab.cgroup), "above": (inner, lab.cgroup),
                    "below": (lab.cgroup, inner)}[where]
    source, compiled, pin = (lab.folder / "other.bpf.c", lab.folder / "other.bpf.o", lab.bpf / "other")
    source.write_text('#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n'
                      'SEC("cgroup/getpeername4") int agent_of_others(struct bpf_sock_addr *ctx) { return 1; }\n'
                      'char licence[] SEC("license") = "GPL";\n', encoding="utf-8")
    machine = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    for command in (["clang-14", "-target", "bpf", "-O2", "-g", f"-I/usr/include/{machine}", "-c", source, "-o",
                     compiled],
                    ["bpftool", "prog", "load", compiled, pin],
                    ["bpftool", "cgroup", "attach", theirs, "cgroup_inet4_getpeername", "pinned", pin, "multi"]):
        subprocess.run(command, check=True)
    try:
        lab.start_agent(cgroup=str(ours))
        found = findings(lab)[1]["beside"]
        assert "getpeername4 agent_of_others" in found["text"], found
        assert "agent_getpeername4" not in found["text"], found  # our own
    finally:
        lab.stop_agent()
        inner.rmdir()


# --- the machine ------------------------------------------------------------------------------------

def test_what_is_not_asked_for_is_not_missing(bare_agent_lab):
    """A kernel without programs at getsockopt, and a configuration that wants none."""
    lab = bare_agent_lab
    lab.start_agent()
    for what, name in (("sockopt", "getsockopt"), ("skb", "udp")):
        lab.refuse(what)
        found = findings(lab)[1][name]
        assert found["level"] == "ok" and "not asked for" in found["text"], found
    lab.configure(nat64_getsockopt=True, udp=True)
    lab.command("reload")
    for what, name in (("sockopt", "getsockopt"), ("skb", "udp")):
        lab.refuse(what)
        code, found = findings(lab)
        assert code == 3 and found[name]["level"] == "fail", found


def test_toa_ko(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent()
    assert findings(lab)[1]["toa_ko"]["text"] == "not loaded"
    hide = "mount -t tmpfs none /sys/module && mkdir /sys/module/toa && exec \"$@\""
    lab.wrapper = [*IN_A_MOUNT_NAMESPACE, hide, "sh"]
    code, found = findings(lab)
    assert code in (3, 4) and found["toa_ko"]["level"] == "warn" and "rmmod" in found["toa_ko"]["advice"], found


def test_cgroups_and_bpf_are_found_or_made(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent()
    code, found = findings(lab)
    assert found["cgroup"]["level"] == "ok" and "version 2 at /" in found["cgroup"]["text"], found
    hide = ("for mount in $(awk '$3 == \"cgroup2\" || $3 == \"bpf\" { print $2 }' /proc/mounts); "
            "do umount -l $mount; done; exec \"$@\"")
    lab.wrapper = [*IN_A_MOUNT_NAMESPACE, hide, "sh"]
    code, found = findings(lab)
    assert "mounted nowhere, the agent mounts it" in found["cgroup"]["text"], found
    assert "not mounted at /sys/fs/bpf, the agent mounts it" in found["bpf_fs"]["text"], found
    assert code in (3, 4) and found["beside"]["level"] == "warn", found  # nobody can be asked


def test_no_agent(bare_agent_lab):
    lab = bare_agent_lab
    code, found = findings(lab)
    assert code == 3 and found["agent"]["level"] == "fail" and found["agent"]["advice"], found
    assert "listeners" not in found and found["hooks"]["level"] == "ok", found
