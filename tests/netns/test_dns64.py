# SPDX-License-Identifier: MIT
"""DNS64 by the supervised unbound: addresses for names that have only IPv4, `synthesize`, `allow`,
its health in `show status`, and its return after a crash."""

import os
import signal
import socket
import struct

import pytest

import lab as labs
from packets import udp_socket


@pytest.fixture
def dns_lab(bare_lab):
    bare_lab.start_dns()
    return bare_lab


def aaaa(lab, name, *more):
    return lab.client.run("dig", f"@{labs.GATEWAY6}", "+short", "+tries=2", "+time=3", *more, name,
                          "AAAA").stdout.split()


def test_names_with_ipv4_only_get_an_address(dns_lab):
    dns_lab.start_daemon(dns64=dns_lab.DNS64)
    assert aaaa(dns_lab, "web.example.net") == [labs.embed(labs.SERVER)]
    assert aaaa(dns_lab, "web2.example.net", "+tcp") == [labs.embed(labs.SERVER2)]
    assert sorted(aaaa(dns_lab, "ipv4only.arpa")) == sorted(
        labs.embed(address) for address in ("192.0.0.170", "192.0.0.171"))
    assert aaaa(dns_lab, "dual.example.net") == [labs.PLAIN_SERVER6]
    assert aaaa(dns_lab, "nothing.example.net") == []


def test_another_prefix(dns_lab):
    dns_lab.start_daemon(dns64=dns_lab.DNS64, nat64={"prefix": "2001:db8:ff9b::/96"})
    assert aaaa(dns_lab, "web.example.net") == [labs.embed(labs.SERVER, "2001:db8:ff9b::")]
    said = dns_lab.on_client("ping", "-c", "1", "-W", "2", "web.example.net").stdout
    assert "1 received" in said


def test_synthesize_always(dns_lab):
    dns_lab.start_daemon(dns64={**dns_lab.DNS64, "synthesize": "always"})
    assert aaaa(dns_lab, "dual.example.net") == [labs.embed(labs.SERVER)]
    assert aaaa(dns_lab, "web.example.net") == [labs.embed(labs.SERVER)]


def test_who_is_not_allowed_is_refused(dns_lab):
    dns_lab.client.ip("address", "add", f"{labs.STRANGER}/64", "dev", "eth0", "nodad")
    dns_lab.gateway.ip("address", "add", "2001:db8:bad::1/64", "dev", "lan", "nodad")
    dns_lab.start_daemon(dns64=dns_lab.DNS64)
    said = dns_lab.client.run("dig", "-b", labs.STRANGER, f"@{labs.GATEWAY6}", "+tries=1",
                              "+time=1", "web.example.net", "AAAA", check=False).stdout
    assert "status: REFUSED" in said or "no servers could be reached" in said or "timed out" in said
    assert labs.embed(labs.SERVER) not in said
    assert aaaa(dns_lab, "web.example.net", "-b", labs.CLIENT) == [labs.embed(labs.SERVER)]


def test_a_burst_of_questions(dns_lab):
    """A thousand hosts at the same moment: none has to ask twice."""
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        if int(file.read()) < 4 << 20:
            pytest.skip("net.core.rmem_max is below the 4 MiB that unbound asks for")
    dns_lab.start_daemon(dns64=dns_lab.DNS64)
    question = (struct.pack("!6H", 1, 0x100, 1, 0, 0, 0) + b"\3web\7example\3net\0" +
                struct.pack("!2H", 28, 1))
    hosts = [udp_socket(dns_lab.client, labs.CLIENT, timeout=5) for _ in range(1000)]
    for host in hosts:
        host.connect((labs.GATEWAY6, 53))
        host.send(question)
    for host in hosts:
        assert socket.inet_pton(socket.AF_INET6, labs.embed(labs.SERVER)) in host.recv(1000)
        host.close()


def test_it_comes_back_after_a_crash(dns_lab):
    dns_lab.start_daemon(dns64=dns_lab.DNS64)
    assert dns_lab.show("status")[0]["dns64"]["restarts"] == 0
    before = dns_lab.gateway.pids_of("unbound")
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    labs.wait_for("the restart is counted",
                  lambda: dns_lab.show("status")[0]["dns64"]["restarts"] >= 1, 10)
    dns_lab.wait_dns64()
    after = dns_lab.gateway.pids_of("unbound")
    assert after and not set(after) & set(before)
    assert aaaa(dns_lab, "web.example.net") == [labs.embed(labs.SERVER)]


def test_an_address_in_use_shows_as_failing_and_heals(dns_lab):
    with dns_lab.gateway.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind((labs.GATEWAY6, 53))
        dns_lab.start_daemon()  # NAT64 does not wait for DNS64
        dns_lab.write_config(dns64=dns_lab.DNS64)
        dns_lab.viaduct("reload", check=False)
        shown = labs.wait_for("DNS64 is seen to fail", lambda: [
            item["dns64"] for item in dns_lab.show("status")
            if item["dns64"]["state"] == "failing"], 10)
        assert "in use" in shown[0]["detail"] and "[dns64] listen" in shown[0]["detail"]
        dns_lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER))
    dns_lab.wait_dns64()
    assert aaaa(dns_lab, "web.example.net") == [labs.embed(labs.SERVER)]


def test_reload_switches_it_on_and_off(dns_lab):
    dns_lab.start_daemon()
    assert dns_lab.gateway.pids_of("unbound") == []
    dns_lab.write_config(dns64=dns_lab.DNS64)
    dns_lab.viaduct("reload")
    dns_lab.wait_dns64()
    assert aaaa(dns_lab, "web.example.net") == [labs.embed(labs.SERVER)]
    dns_lab.write_config(dns64={**dns_lab.DNS64, "synthesize": "always"})
    dns_lab.viaduct("reload")
    dns_lab.wait_dns64()
    assert aaaa(dns_lab, "dual.example.net") == [labs.embed(labs.SERVER)]
    dns_lab.write_config()
    dns_lab.viaduct("reload")
    assert dns_lab.show("status")[0]["dns64"]["state"] == "off"
    assert dns_lab.gateway.pids_of("unbound") == []
