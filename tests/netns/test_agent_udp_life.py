# SPDX-License-Identifier: MIT
"""UDP through start, reload, restart, kill -9 and the end; ports that come and go."""

import ctypes
import signal
import socket
import struct
import subprocess

import pytest

import lab as labs
from agent_lab import CLIENT, LISTED, PORT, UDP_HOOKS
from agent_udp import Flow, protocol_248, start_server, uoa4

BPF, BPF_PROG_QUERY, TCX_INGRESS = 321, 16, 46
libc = ctypes.CDLL(None)


def udp_hooks(lab):
    return [name for name in lab.hooks_attached() if name.startswith("agent_udp_")]


def on_the_port(lab):
    """The programs at the port's ingress, by tcx or, on older kernels, by tc."""
    with lab.backend.entered():
        query = ctypes.create_string_buffer(struct.pack("=IIIIQI", socket.if_nametoindex("eth0"), TCX_INGRESS, 0, 0,
                                                        0, 0), 64)
        if libc.syscall(BPF, BPF_PROG_QUERY, query, 64) == 0:
            return struct.unpack("=IIIIQI", query.raw[:28])[5]
    return lab.backend.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout.count("agent_udp_port")


def taken(lab, port="eth0"):
    return {item["name"]: item["taken"] for item in lab.show("status")[0]["udp_ports"]}[port]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR1])
def test_flows_outlive_the_agent(bare_agent_lab, how):
    lab = bare_agent_lab
    lab.start_agent(udp_ports=["eth0"])
    port = start_server(lab)
    old = Flow(lab, port)
    assert old.ask(between=protocol_248(uoa4()))["from"] == [CLIENT, PORT]
    lab.stop_agent(how)
    assert old.ask()["from"] == [CLIENT, PORT]
    between = Flow(lab, port)
    assert between.ask(between=protocol_248(uoa4("203.0.113.20")))["from"] == ["203.0.113.20", PORT]
    lab.start_agent(udp_ports=["eth0"])
    assert udp_hooks(lab) == UDP_HOOKS
    assert (old.ask()["from"], between.ask()["from"]) == ([CLIENT, PORT], ["203.0.113.20", PORT])
    new = Flow(lab, port)
    assert new.ask(between=protocol_248(uoa4("203.0.113.30")))["from"] == ["203.0.113.30", PORT]
    assert lab.counters()["uoa_taken_off"] == 3
    # A successor that is told of no port takes the program off.
    lab.stop_agent(how)
    lab.start_agent(udp=True)
    assert on_the_port(lab) == 0
    assert new.ask()["from"] == ["203.0.113.30", PORT]


def test_sigterm_removes_everything(bare_agent_lab):
    lab = bare_agent_lab
    before = lab.backend.run("tc", "qdisc", "show", "dev", "eth0").stdout
    lab.start_agent(udp_ports=["eth0"])
    flow = Flow(lab, start_server(lab))
    assert flow.ask(between=protocol_248(uoa4()))["from"] == [CLIENT, PORT]
    assert on_the_port(lab) == 1 and udp_hooks(lab) == UDP_HOOKS
    assert lab.stop_agent() == 0
    labs.wait_for("the hooks are gone", lambda: udp_hooks(lab) == [], 10)
    labs.wait_for("the port is free", lambda: on_the_port(lab) == 0, 10)
    assert lab.backend.run("tc", "qdisc", "show", "dev", "eth0").stdout == before
    assert not (lab.bpf / "viaduct-agent").exists()
    assert flow.ask()["from"] == [LISTED, flow.port]


def test_reload(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent(udp=True)
    port = start_server(lab)
    assert Flow(lab, port).ask(option=uoa4())["from"] == [CLIENT, PORT]
    refused = Flow(lab, port)
    refused.send(between=protocol_248(uoa4()))
    assert refused.ask()["from"] == [LISTED, refused.port]
    lab.configure(udp_ports=["eth0"])
    lab.command("reload")
    flow = Flow(lab, port)
    assert flow.ask(between=protocol_248(uoa4()))["from"] == [CLIENT, PORT]
    lab.configure(udp=True, senders=[])
    lab.command("reload")
    assert on_the_port(lab) == 0
    assert flow.ask()["from"] == [LISTED, flow.port]  # who is not listed any more
    lab.configure(udp=False, udp_ports=["eth0"])
    lab.command("reload")
    assert udp_hooks(lab) == [] and on_the_port(lab) == 0
    assert flow.ask(option=uoa4())["from"] == [LISTED, flow.port]
    lab.configure(udp=True)
    lab.command("reload")
    assert udp_hooks(lab) == UDP_HOOKS
    assert flow.ask(option=uoa4())["from"] == [CLIENT, PORT]


def test_only_who_asks_for_it(bare_agent_lab):
    """Its hooks cost every packet, TCP's too."""
    lab = bare_agent_lab
    lab.start_agent()
    flow = Flow(lab, start_server(lab))
    assert udp_hooks(lab) == [] and lab.show("status")[0]["udp"] is False
    assert flow.ask(option=uoa4())["from"] == [LISTED, flow.port]
    for wanted in ({"udp_ports": ["eth0"]}, {"uoa_getsockopt": True}, {"udp": True}):
        lab.configure(**wanted)
        lab.command("reload")
        assert set(UDP_HOOKS) <= set(udp_hooks(lab))
        assert Flow(lab, flow.server_port).ask(option=uoa4())["from"] == [CLIENT, PORT]
        lab.configure()
        lab.command("reload")
        assert udp_hooks(lab) == []


def test_port_that_comes_and_goes(bare_agent_lab):
    lab = bare_agent_lab
    agent = lab.start_agent(udp_ports=["eth0", "later"])
    assert (taken(lab), taken(lab, "later")) == (True, False)
    assert "later" in agent.said() and "there is no such port" in lab.command("show", "status").stdout
    doctor = lab.command("doctor", check=False)
    assert doctor.returncode == 4 and "later" in doctor.stdout
    for _ in range(2):
        lab.backend.ip("link", "add", "later", "type", "veth", "peer", "name", "other")
        labs.wait_for("the port is taken", lambda: taken(lab, "later"), 30)
        lab.backend.ip("link", "delete", "later")
        labs.wait_for("it is gone", lambda: not taken(lab, "later"), 30)
    assert taken(lab)
    pins = [path.name for path in (lab.bpf / "viaduct-agent").glob("*/link_port_*")]
    assert len(pins) <= 1, pins


def test_port_without_ethernet(bare_agent_lab):
    """Where the IP header is not where the program looks for it."""
    lab = bare_agent_lab
    lab.backend.ip("tuntap", "add", "dev", "tun0", "mode", "tun")
    lab.start_agent(udp_ports=["tun0"])
    assert not taken(lab, "tun0")
    assert "no Ethernet" in lab.command("show", "status").stdout


def test_beside_a_filter_of_somebody_else(bare_agent_lab):
    lab = bare_agent_lab
    lab.backend.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    lab.backend.run("tc", "filter", "add", "dev", "eth0", "ingress", "prio", "5", "bpf",
                    "bytecode", "1,6 0 0 4294967295,")
    before = lab.backend.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout
    lab.start_agent(udp_ports=["eth0"])
    flow = Flow(lab, start_server(lab))
    assert flow.ask(between=protocol_248(uoa4()))["from"] == [CLIENT, PORT]
    assert lab.stop_agent() == 0
    assert lab.backend.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout == before


def test_the_issues_own_example(bare_agent_lab):
    file = bare_agent_lab.folder / "example.toml"
    file.write_text("""\
[agent]
senders = ["192.0.2.0/24", "2001:db8::/32"]   # whose TOA is believed; ["any"] warns
kinds = ["254/8", "254/20"]
nat64_getsockopt = true                       # serve getsockopt 4096
udp_ports = ["eth0"]                          # tc ingress that takes UOA off; none by default
[control]
socket = "/run/viaduct-agent/control.sock"
metrics = "127.0.0.1:9465"
""", encoding="utf-8")
    done = subprocess.run([labs.BIN / "viaduct-agent", "check", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
