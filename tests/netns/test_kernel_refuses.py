# SPDX-License-Identifier: MIT
"""A kernel that refuses what the BPF engine needs: "auto" starts on the other one, and the log, the
status and the doctor name what was refused; what is missing and not needed changes nothing."""

import json
import os
import pathlib

import pytest

import lab as labs


@pytest.fixture
def shim(bare_lab):
    return lambda what: bare_lab.preload("refuse_bpf.c", REFUSE=what)


def doctor(lab, check):
    said = lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout
    return next(item for item in json.loads(said) if item["check"] == check)


def ping(lab):
    lab.client.run("ping", "-6", "-c", "3", "-i", "0.2", "-W", "10", labs.embed(labs.SERVER))


REFUSED = {
    "program": ["the kernel refused the BPF programs", "R7 is not what it should be"],
    "maps": ["Cannot allocate memory"],
    "btf": ["the kernel refused the BPF programs"],
    "filter": ["cannot attach the BPF program to the interface", "Operation not supported"],
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_starts_on_the_other_engine(bare_lab, shim, what):
    lab = bare_lab
    lab.start_daemon(wrapper=shim(what), nvi={"engine": "auto"})
    status = lab.show("status")[0]
    assert status["engine"] == "tun"
    found = doctor(lab, "engine")
    assert found["level"] == "warn" and found["advice"]
    assert "why_not_bpf=" in lab.daemon.said()
    for words in REFUSED[what]:
        assert words in status["why_not_bpf"], status
        assert words in found["text"], found
    assert lab.pins() == []
    ping(lab)


@pytest.mark.parametrize("what", REFUSED)
def test_bpf_that_was_asked_for_is_no_wish(bare_lab, shim, what):
    lab = bare_lab
    before = [link["ifname"] for link in lab.gateway.ip_json("link", "show")]
    lab.write_config(nvi={"engine": "bpf"})
    done = lab.run_daemon_once(shim(what))
    assert done.returncode == 1
    for words in REFUSED[what]:
        assert words in done.stdout + done.stderr
    assert lab.pins() == []
    assert [link["ifname"] for link in lab.gateway.ip_json("link", "show")] == before


# Most kernels are built without their interpreter, and do not take 0: the sysctl, which the machine's own
# network namespace has, is a file that says it.
NO_JIT = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc/sys/net/core && "
          'echo 0 >/proc/sys/net/core/bpf_jit_enable && exec "$@"', "sh"]


def test_programs_are_not_compiled(bare_lab, shim):
    lab = bare_lab
    lab.start_daemon(wrapper=[*NO_JIT, *shim("jit")], nvi={"engine": "auto"})
    assert lab.show("status")[0]["engine"] == "tun"
    said = lab.gateway.run(*NO_JIT, labs.BIN / "viaduct", "--socket", lab.socket_path, "doctor", "--json",
                           lab.config_path, check=False).stdout
    found = {item["check"]: item for item in json.loads(said)}
    assert found["bpf"]["level"] == "warn" and "bpf_jit_enable=1" in found["bpf"]["advice"], found["bpf"]
    assert "non-JITed" in found["engine"]["text"], found["engine"]
    ping(lab)


@pytest.fixture
def memory_group(bare_lab):
    """A group of processes with a limit of memory, the kernel's for them included."""
    for folder, file in ((pathlib.Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
                         (pathlib.Path("/sys/fs/cgroup"), "memory.max")):
        group = folder / f"viaduct-lab-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / file).exists():
            break
        group.rmdir()
    else:
        pytest.skip("no group with the memory controller can be made")
    (group / file).write_text(str(256 << 20), encoding="ascii")
    yield group
    if bare_lab.daemon:
        bare_lab.stop_daemon()
    labs.wait_for("the group is empty", lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_the_memory_that_it_may_have_is_too_little_for_maps(bare_lab, memory_group):
    """As MemoryMax= in a unit, or a container's limit: since Linux 5.11 maps count there."""
    lab = bare_lab
    into = ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", memory_group]
    lab.start_daemon(wrapper=into, nvi={"engine": "auto"}, nat64={"max_sessions": 2_000_000})
    status = lab.show("status")[0]
    assert status["engine"] == "tun", status
    assert "Cannot allocate memory" in status["why_not_bpf"], status
    found = doctor(lab, "engine")
    assert found["level"] == "warn" and "Cannot allocate memory" in found["text"], found
    assert lab.pins() == []
    ping(lab)


def test_locked_memory_is_not_needed(bare_lab):
    """What maps counted as before Linux 5.11."""
    lab = bare_lab
    nothing = ["prlimit", "--memlock=0:0", "setpriv", "--bounding-set=-ipc_lock,-sys_resource",
               "--inh-caps=-ipc_lock,-sys_resource"]
    lab.start_daemon(wrapper=nothing, nvi={"engine": "auto"})
    assert lab.show("status")[0]["engine"] == "bpf", lab.show("status")
    ping(lab)


def test_the_kernels_own_types_are_not_needed(bare_lab):
    """A kernel without CONFIG_DEBUG_INFO_BTF."""
    lab = bare_lab
    hide = 'if [ -d /sys/kernel/btf ]; then mount -t tmpfs none /sys/kernel/btf; fi; exec "$@"'
    lab.start_daemon(wrapper=["sh", "-c", hide, "sh"], nvi={"engine": "auto"})
    assert lab.show("status")[0]["engine"] == "bpf"
    ping(lab)


def test_a_filter_of_the_predecessor_that_cannot_be_replaced(bare_lab, shim):
    """An upgrade of the kernel's modules in between, say: no program is left that goes on by itself."""
    lab = bare_lab
    lab.start_daemon(nvi={"engine": "auto"})
    assert lab.show("status")[0]["engine"] == "bpf"
    lab.stop_daemon(labs.signal.SIGKILL)
    lab.start_daemon(wrapper=shim("filter"), nvi={"engine": "auto"})
    assert lab.show("status")[0]["engine"] == "tun"
    assert lab.gateway.run("tc", "filter", "show", "dev", "nvi0", "egress").stdout == ""
    assert lab.pins() == []
    ping(lab)
