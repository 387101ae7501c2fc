# SPDX-License-Identifier: MIT
"""The daemon with no more rights than the systemd unit leaves it, and behind the nftables example."""

import pathlib
import re

import lab as labs
from packets import Connection, TcpEcho

PACKAGING = pathlib.Path(labs.REPOSITORY) / "packaging"


def test_the_units_capabilities_are_enough(bare_lab):
    lab = bare_lab
    unit = (PACKAGING / "systemd/viaductd.service").read_text()
    names = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)[1].split()
    kept = ",".join("+" + name.removeprefix("CAP_").lower() for name in names)
    lab.start_dns()
    lab.start_daemon(dns64=lab.DNS64, wrapper=["setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs"])
    bounding = int(re.search(r"^CapBnd:\s*(\w+)", pathlib.Path(
        f"/proc/{lab.show('status')[0]['pid']}/status").read_text(), re.MULTILINE)[1], 16)
    assert bounding.bit_count() == len(names)
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(
            lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
    lab.viaduct("reload")
    assert lab.stop_daemon() == 0  # unbound, another user's process, is ended too
    assert "not_removed" not in lab.daemon.said()


def test_the_firewall_lets_through_what_it_should(nat_lab):
    lab = nat_lab
    lab.gateway.run("nft", "-f", PACKAGING / "nftables/viaduct.nft")
    lab.gateway.run("nft", "-f", PACKAGING / "nftables/viaduct.nft")  # again: replaces itself
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(
            lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
    assert "policy drop" in lab.gateway.run("nft", "list", "table", "inet", "viaduct").stdout
    lab.gateway.run("nft", "flush", "chain", "inet", "viaduct", "forward")
    ping = lab.client.run("ping", "-c", "1", "-W", "1", labs.embed(labs.SERVER), check=False)
    assert ping.returncode != 0  # the rules, not chance, let it through before
