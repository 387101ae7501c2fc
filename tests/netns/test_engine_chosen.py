# SPDX-License-Identifier: MIT
"""engine = "auto" takes BPF where it loads, tun otherwise, and everybody says which and why."""

import json

import lab as labs

# CAP_SYS_ADMIN stands for all of them.
WITHOUT_BPF = ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin",
               "--inh-caps=-bpf,-perfmon,-sys_admin"]
METRICS = "127.0.0.1:9464"


def start(lab, wrapper=()):
    lab.start_daemon(wrapper=wrapper, nvi={"engine": "auto"},
                     control={"metrics": METRICS})


def metric(lab, name):
    read = lab.gateway.run("curl", "--silent", "--fail", f"http://{METRICS}/metrics").stdout
    return [line for line in read.splitlines() if line.startswith(name)]


def doctor(lab, check):
    said = lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout
    return next(item for item in json.loads(said) if item["check"] == check)


def ping(lab):
    lab.client.run("ping", "-6", "-c", "3", "-i", "0.2", "-W", "10", labs.embed(labs.SERVER))


def test_bpf_where_it_loads(bare_lab):
    start(bare_lab)
    status = bare_lab.show("status")[0]
    assert status["engine"] == "bpf", status
    assert status["why_not_bpf"] == ""
    assert 'engine="bpf"' in metric(bare_lab, "viaduct_build_info")[0]
    assert metric(bare_lab, "viaduct_engine_fallback") == ["viaduct_engine_fallback 0"]
    assert doctor(bare_lab, "engine")["level"] == "ok"
    assert "of the kernel" in doctor(bare_lab, "memory")["text"]
    assert "engine=bpf" in bare_lab.daemon.said()
    ping(bare_lab)
    assert bare_lab.show("status")[0]["handed_up"] == 0


def test_tun_where_it_does_not(bare_lab):
    start(bare_lab, WITHOUT_BPF)
    status = bare_lab.show("status")[0]
    assert status["engine"] == "tun", status
    assert "Operation not permitted" in status["why_not_bpf"]
    assert 'engine="tun"' in metric(bare_lab, "viaduct_build_info")[0]
    assert metric(bare_lab, "viaduct_engine_fallback") == ["viaduct_engine_fallback 1"]
    found = doctor(bare_lab, "engine")
    assert found["level"] == "warn" and "Operation not permitted" in found["text"], found
    assert "of the kernel" not in doctor(bare_lab, "memory")["text"]
    assert "why_not_bpf=" in bare_lab.daemon.said()
    assert "not bpf" in bare_lab.viaduct("show", "status").stdout
    ping(bare_lab)


def test_bpf_that_was_asked_for_is_no_wish(bare_lab):
    bare_lab.write_config(nvi={"engine": "bpf"})
    done = bare_lab.run_daemon_once(WITHOUT_BPF)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stdout + done.stderr
