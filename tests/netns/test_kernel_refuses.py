# SPDX-License-Identifier: MIT
"""A kernel that refuses what the BPF engine needs: "auto" starts on the other one, and the log, the
status and the doctor name what was refused; what is missing and not needed changes nothing."""

import json
import os
import pathlib
import subprocess

import pytest

import lab as labs


@pytest.fixture
def shim(bare_lab):
    file = bare_lab.folder / "refuse_bpf.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", file,
                    pathlib.Path(__file__).with_name("refuse_bpf.c"), "-ldl"], check=True)
    # a build with AddressSanitizer wants its own library first, and need not have it
    sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
    return lambda what: ["env", f"LD_PRELOAD={file}", f"REFUSE={what}", f"ASAN_OPTIONS={sanitizer}"]


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
