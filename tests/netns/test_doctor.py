# SPDX-License-Identifier: MIT
"""viaduct doctor on a real gateway: nothing to say of a healthy one, and of one in which a single thing is
broken exactly the line that names it. It changes nothing, and is quick."""

import json
import subprocess
import time

import pytest

import lab as labs

GOOD, SICK, WORRYING = 0, 3, 4


@pytest.fixture(scope="module")
def lab():
    with labs.Lab() as made:
        made.start_dns()
        made.start_daemon(dns64=made.DNS64)
        yield made


def doctor(lab, *args, wrapper=()):
    """(exit code, {check: its line})"""
    done = lab.gateway.run(*wrapper, labs.BIN / "viaduct", "--socket", lab.socket_path, "doctor", "--json",
                           lab.config_path, *args, check=False)
    assert done.stderr == ""
    return done.returncode, {line["check"]: line for line in json.loads(done.stdout)}


def sick(lines):
    """{check: level} of those that have something to say."""
    return {name: line["level"] for name, line in lines.items() if line["level"] in ("warn", "fail")}


def the_only_one(lab, check, level, *words):
    code, lines = doctor(lab)
    assert sick(lines) == {check: level}, lines
    assert code == (SICK if level == "fail" else WORRYING)
    said = lines[check]["text"] + " | " + lines[check]["advice"]
    for word in words:
        assert word in said, said
    assert lines[check]["advice"]


def healthy(lab):
    code, lines = doctor(lab)
    assert (code, sick(lines)) == (GOOD, {}), lines
    return lines


def test_a_healthy_gateway(lab):
    def state():
        return (lab.gateway.ip("route", "show", "table", "all"), lab.gateway.ip("link", "show"),
                lab.gateway.ip("address", "show"), lab.show("bindings"))

    before = state()
    start = time.monotonic()
    lines = healthy(lab)
    assert time.monotonic() - start < 3
    assert state() == before
    skipped = {name for name, line in lines.items() if line["level"] == "skip"}
    assert not skipped, [lines[name] for name in skipped]
    assert str(lab.daemon.pid) in lines["daemon"]["text"]
    assert "lan 1500, wan 1500, nvi0 1500" == lines["mtu"]["text"]
    assert "64:ff9b::/96" in lines["dns64"]["text"]


def test_for_people(lab):
    done = lab.viaduct("doctor", lab.config_path)
    lines = done.stdout.splitlines()
    assert len(lines) == len(healthy(lab))
    assert all(line.startswith("ok ") for line in lines)
    lab.gateway.sysctl("net/ipv4/ip_forward", 0)
    try:
        done = lab.viaduct("doctor", lab.config_path, check=False)
    finally:
        lab.gateway.sysctl("net/ipv4/ip_forward", 1)
    assert done.returncode == SICK
    told = [line for line in done.stdout.splitlines() if not line.startswith("ok ")]
    assert len(told) == 2 and told[0].startswith("fail  forwarding ") and "do: " in told[1]


def test_forwarding(lab):
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        lab.gateway.sysctl(name, 0)
        try:
            the_only_one(lab, "forwarding", "fail", name)
        finally:
            lab.gateway.sysctl(name, 1)
    healthy(lab)


def test_strict_reverse_path_filter_and_two_ways_out(lab):
    lab.gateway.sysctl("net/ipv4/conf/wan/rp_filter", 1)
    healthy(lab)
    lab.gateway.ip("address", "add", "192.0.2.1/24", "dev", "lan")
    lab.gateway.ip("route", "add", "default", "via", labs.SERVER)
    lab.gateway.ip("route", "add", "default", "via", "192.0.2.2", "metric", "5")
    try:
        the_only_one(lab, "rp_filter", "warn", "wan", "lan", "net.ipv4.conf.wan.rp_filter=2")
    finally:
        lab.gateway.ip("address", "del", "192.0.2.1/24", "dev", "lan")
        lab.gateway.ip("route", "flush", "root", "0/0", "exact", "0/0")
        lab.gateway.sysctl("net/ipv4/conf/wan/rp_filter", 0)
    healthy(lab)


def test_a_default_route_from_router_advertisements(lab):
    lab.gateway.sysctl("net/ipv6/conf/lan/accept_ra", 1)
    lab.gateway.ip("-6", "route", "add", "default", "via", labs.CLIENT, "proto", "ra")
    try:
        the_only_one(lab, "router advertisements", "warn", "lan", "accept_ra=2")
    finally:
        lab.gateway.ip("-6", "route", "del", "default")
        lab.gateway.sysctl("net/ipv6/conf/lan/accept_ra", 0)
    healthy(lab)


def test_a_port_too_small_for_ipv6(lab):
    lab.gateway.ip("link", "set", "wan", "mtu", "1000")
    try:
        the_only_one(lab, "mtu", "warn", "wan", "1000", "1280")
    finally:
        lab.gateway.ip("link", "set", "wan", "mtu", "1500")
    healthy(lab)


def test_routes_that_vanish_when_the_reader_is_away(lab):
    lab.gateway.sysctl("net/ipv6/conf/nvi0/ignore_routes_with_linkdown", 1)
    try:
        the_only_one(lab, "link down", "warn", "ignore_routes_with_linkdown")
    finally:
        lab.gateway.sysctl("net/ipv6/conf/nvi0/ignore_routes_with_linkdown", 0)
    healthy(lab)


def test_a_rule_that_leads_elsewhere(lab):
    lab.gateway.ip("-6", "route", "add", "64:ff9b::/96", "via", labs.CLIENT, "table", "77")
    lab.gateway.ip("-6", "rule", "add", "to", "64:ff9b::/96", "lookup", "77")
    try:
        the_only_one(lab, "routes", "fail", "64:ff9b::/96 leads to lan", "ip rule")
    finally:
        lab.gateway.ip("-6", "rule", "del", "to", "64:ff9b::/96", "lookup", "77")
        lab.gateway.ip("-6", "route", "flush", "table", "77")
    healthy(lab)


def test_a_more_specific_route(lab):
    inside = labs.embed("192.0.2.0") + "/120"
    lab.gateway.ip("-6", "route", "add", inside, "via", labs.CLIENT)
    try:
        the_only_one(lab, "detours", "warn", f"{inside} to lan")
    finally:
        lab.gateway.ip("-6", "route", "del", inside)
    lab.gateway.ip("-6", "route", "add", "blackhole", inside)
    try:
        the_only_one(lab, "detours", "warn", inside)
    finally:
        lab.gateway.ip("-6", "route", "del", inside)
    healthy(lab)


def test_a_pool_address_that_is_somebodys(lab):
    lab.gateway.ip("address", "add", f"{labs.POOL}/32", "dev", "wan")
    try:
        _, lines = doctor(lab)
        assert sick(lines) == {"pool addresses": "fail", "routes": "fail"}  # local addresses go first
        assert f"{labs.POOL} is a local address of wan" in lines["pool addresses"]["text"]
    finally:
        lab.gateway.ip("address", "del", f"{labs.POOL}/32", "dev", "wan")
    healthy(lab)


def nft(lab, text):
    lab.gateway.run("nft", "-f", "-", input=text.replace(" }", "\n}"))


def test_a_forward_chain_that_drops(lab):
    nft(lab, "table inet filter { chain forward { type filter hook forward priority 0; policy drop; } }")
    try:
        the_only_one(lab, "forward chain", "warn", "inet filter forward", "viaduct.nft")
        nft(lab, 'add rule inet filter forward iifname "nvi0" accept')
        healthy(lab)
    finally:
        nft(lab, "delete table inet filter")
    nft(lab, "table ip other { chain forward { type filter hook forward priority 0; policy accept; } }")
    healthy(lab)
    nft(lab, "delete table ip other")


@pytest.mark.parametrize("rule", ["masquerade", "snat to 198.51.100.1", "jump more"])
def test_source_nat_on_the_way_out(lab, rule):
    nft(lab, "table ip nat { chain more { masquerade; }\n"
             f"chain out {{ type nat hook postrouting priority 100; oifname \"wan\" {rule}; }} }}"
        if rule == "jump more" else
        f"table ip nat {{ chain out {{ type nat hook postrouting priority 100; oifname \"wan\" {rule}; }} }}")
    try:
        the_only_one(lab, "source nat", "warn", "ip nat out", 'iifname "nvi0" accept')
        nft(lab, 'insert rule ip nat out iifname "nvi0" accept')
        healthy(lab)
    finally:
        nft(lab, "delete table ip nat")
    nft(lab, "table ip nat { chain in { type nat hook prerouting priority -100; tcp dport 80 dnat to 192.0.2.1; } }")
    healthy(lab)  # destinations may change
    nft(lab, "delete table ip nat")


def test_the_advice_against_source_nat_is_right(lab):
    """With the rule it names a translated packet keeps the pool's address."""
    nft(lab, 'table ip nat { chain out { type nat hook postrouting priority 100; iifname "nvi0" accept; '
             'oifname "wan" masquerade; } }')
    try:
        capture = lab.start("capture", lab.server, ["tcpdump", "-lnni", "eth0", "icmp"])
        labs.wait_for("tcpdump listens", lambda: "listening on" in capture.said())
        lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER))
        labs.wait_for("the ping is seen", lambda: "echo request" in capture.said())
        assert f"IP {labs.POOL} > {labs.SERVER}: ICMP echo request" in capture.said()
        capture.stop()
    finally:
        nft(lab, "delete table ip nat")


def test_the_interface_is_down(lab):
    lab.gateway.ip("link", "set", "nvi0", "down")
    try:
        _, lines = doctor(lab)
        assert sick(lines)["interface"] == "fail"
        assert "ip link set nvi0 up" in lines["interface"]["advice"]
    finally:
        lab.gateway.ip("link", "set", "nvi0", "up")
    labs.wait_for("the routes are back", lambda: doctor(lab)[0] == GOOD)


def test_no_answer_from_the_resolver(lab):
    """Somebody drops questions: the daemon notices, and so does the doctor at once."""
    nft(lab, "table inet q { chain in { type filter hook input priority 0; udp dport 53 drop; } }")
    try:
        code, lines = doctor(lab)
        assert code == SICK
        assert lines["dns64"]["level"] == "fail" and labs.GATEWAY6 in lines["dns64"]["text"]
    finally:
        nft(lab, "delete table inet q")
    lab.wait_dns64()
    healthy(lab)


def test_without_root(lab):
    """What needs root says so, and nothing fails because of it."""
    lab.write_config(nvi={"engine": "auto"}, dns64=lab.DNS64)
    code, lines = doctor(lab, wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                       "--bounding-set=-all", "--inh-caps=-all"])
    assert (code, sick(lines)) == (GOOD, {}), lines
    for name in ("daemon", "forward chain", "source nat", "bpf"):
        assert lines[name]["level"] == "skip", lines[name]
    assert "root" in lines["daemon"]["text"] and "root" in lines["forward chain"]["text"]
    lab.write_config(dns64=lab.DNS64)


def test_another_configuration_than_the_running_one(lab):
    other = lab.folder / "other.toml"
    other.write_text(lab.config_path.read_text())
    done = lab.viaduct("doctor", other, "--json", check=False)
    assert done.returncode == WORRYING
    lines = {line["check"]: line for line in json.loads(done.stdout)}
    assert sick(lines) == {"daemon": "warn"} and str(lab.config_path) in lines["daemon"]["text"]
    # Nobody needs to name the file of the one that runs.
    assert lab.viaduct("doctor").returncode == GOOD


def test_a_wrong_configuration(lab):
    wrong = lab.folder / "wrong.toml"
    wrong.write_text('[nat64]\nprefix = 5\npool4 = ["203.0.113.10"]\n')
    done = lab.viaduct("doctor", wrong, "--json", check=False)
    assert done.returncode == SICK
    lines = {line["check"]: line for line in json.loads(done.stdout)}
    assert lines["configuration"]["level"] == "fail" and "nat64.prefix" in lines["configuration"]["text"]
    assert lines["routes"]["level"] == "skip"


def test_before_the_first_start_and_after_the_end(bare_lab):
    bare_lab.write_config(dns64=bare_lab.DNS64)
    code, lines = doctor(bare_lab)
    assert (code, sick(lines)) == (WORRYING, {"daemon": "warn"}), lines
    assert "viaductd switches it on" in lines["forwarding"]["text"]
    # A resolver of the distribution holds the port.
    with bare_lab.gateway.socket(labs.socket.AF_INET6, labs.socket.SOCK_DGRAM) as taken:
        taken.bind((labs.GATEWAY6, 53))
        code, lines = doctor(bare_lab)
        assert code == SICK
        assert sick(lines)["resolver"] == "fail" and labs.GATEWAY6 in lines["resolver"]["text"]
    # A route of somebody else's.
    bare_lab.gateway.ip("-6", "route", "add", "64:ff9b::/96", "via", labs.CLIENT)
    code, lines = doctor(bare_lab)
    assert code == SICK and sick(lines)["routes"] == "fail" and "ip route del" in lines["routes"]["text"]
    bare_lab.gateway.ip("-6", "route", "del", "64:ff9b::/96")
    # No device: a container that was not given it.
    code, lines = doctor(bare_lab, wrapper=["unshare", "--mount", "sh", "-c",
                                            'mount -t tmpfs none /dev/net && exec "$@"', "sh"])
    assert code == SICK and sick(lines)["tun"] == "fail" and "modprobe tun" in lines["tun"]["advice"]


def test_a_second_instance_reads_the_interface(nat_lab):
    nat_lab.write_config(control={"socket": str(nat_lab.folder / "second.sock")})
    done = subprocess.run(nat_lab.gateway.command([labs.BIN / "viaduct", "--socket", nat_lab.folder / "second.sock",
                                                   "doctor", "--json", nat_lab.config_path]),
                          capture_output=True, text=True, check=False)
    lines = {line["check"]: line for line in json.loads(done.stdout)}
    assert done.returncode == SICK and lines["interface"]["level"] == "fail"
    assert "another program reads nvi0" in lines["interface"]["text"]


def test_ports_that_run_out(bare_lab):
    bare_lab.start_daemon(nat64={"pool4": [{"address": labs.POOL, "ports": "5000-5009"}]})
    with bare_lab.client.socket(labs.socket.AF_INET6, labs.socket.SOCK_DGRAM) as keep:
        sockets = []
        for _ in range(9):
            one = bare_lab.client.socket(labs.socket.AF_INET6, labs.socket.SOCK_DGRAM)
            one.sendto(b"x", (labs.embed(labs.SERVER), 9))
            sockets.append(one)
        labs.wait_for("nine ports in use", lambda: bare_lab.show("pools")[0]["udp"] == 9)
        code, lines = doctor(bare_lab)
        assert (code, sick(lines)) == (WORRYING, {"ports": "warn"}), lines
        keep.sendto(b"x", (labs.embed(labs.SERVER), 9))
        labs.wait_for("ten ports in use", lambda: bare_lab.show("pools")[0]["udp"] == 10)
        code, lines = doctor(bare_lab)
        assert (code, sick(lines)) == (SICK, {"ports": "fail"}), lines
        for one in sockets:
            one.close()
