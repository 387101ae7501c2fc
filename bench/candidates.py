# SPDX-License-Identifier: MIT
"""What is measured beside each other. Each candidate sets up the gateway of a topology of its own
and says to which address its clients then speak.

    plain          the kernel forwards IPv6 to the server's IPv6 address: what this machine can do,
                   and what the others' ratios are against
    tun            NAT64 by viaductd, tun engine
    bpf            NAT64 by viaductd, BPF engine on nvi0
    direct-tc      the same, with its programs on the gateway's ports, tc
    direct-xdp     the same, XDP
    xdp-forwarder  packetlab's bare XDP program forwards IPv6: what XDP can do here
    tayga          NAT64 by Debian's tayga, with nftables masquerading its dynamic pool: the whole
                   of what one would set up to get many hosts behind one address
    nftables       NAT44 by the kernel's connection tracking, to the same 64 addresses as ours
    jool           NAT64 by Jool's kernel module, where that is loaded (scripts/bench --in-qemu)

A candidate that cannot run here is left out, and the report says why. One of ours runs as soon as
viaductd takes its configuration.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import topology
from topology import labs


class Candidate:
    """`bulk`: why TCP does not pass; empty where it does."""

    name = ""
    bulk = ""

    def missing(self):
        """Why it cannot run here; empty where it can."""
        return ""

    def start(self, lab, scale):
        """Sets the gateway up for what is measured (measures.Scale); returns the address to speak
        to."""
        raise NotImplementedError


class Plain(Candidate):
    name = "plain"

    def start(self, lab, scale):
        lab.forward()
        return labs.PLAIN_SERVER6


class Viaduct(Candidate):
    """One of viaductd's engines: a name, and the keys of [nvi] that ask for it."""

    def __init__(self, name, bulk="", **nvi):
        self.name = name
        self.nvi = nvi
        self.bulk = bulk

    def missing(self):
        for program in ("viaductd", "viaduct"):
            if not (labs.BIN / program).exists():
                return f"{labs.BIN / program} is not built"
        nat64 = {"prefix": f"{labs.PREFIX}/96", "pool4": topology.POOL}
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(labs.toml({"nvi": {"name": "nvi0", **self.nvi}, "nat64": nat64}))
            file.flush()
            done = subprocess.run([labs.BIN / "viaduct", "check", file.name], capture_output=True,
                                  text=True)
        if done.returncode == 0:
            return ""
        said = (done.stderr or done.stdout).strip().splitlines()
        problem = said[0].replace(f"{file.name}:", "") if said else "no reason given"
        return f"viaductd refuses its configuration: {problem}"

    def start(self, lab, scale):
        nat64 = {"allow": ["2001:db8:64::/64", topology.HOSTS6], "max_sessions": scale.sessions,
                 "port_rest": "0s", "timeouts": {"udp": f"{scale.idle}s"}}
        lab.start_daemon(nvi=self.nvi, nat64=nat64)
        return labs.embed(labs.SERVER)


class XdpForwarder(Candidate):
    name = "xdp-forwarder"
    bulk = "XDP on a veth port loses partial checksums: TCP of a local sender never connects"

    def start(self, lab, scale):
        lab.forward()
        lab.attach("forward", "lan", "wan")
        return labs.PLAIN_SERVER6


TAYGA_CONF = """\
tun-device nat64
ipv4-addr 192.168.0.1
ipv6-addr 2001:db8:ffff::1
prefix {prefix}/96
dynamic-pool {pool}
data-dir {folder}
"""


class Tayga(Candidate):
    name = "tayga"
    # tayga refuses 64:ff9b:1::/48, and private IPv4 under 64:ff9b::/96.
    PREFIX = "2001:db8:ff9b::"
    POOL = "192.168.0.0/16"

    def missing(self):
        return missing_programs("tayga", "nft")

    def start(self, lab, scale):
        folder = lab.folder / "tayga"
        folder.mkdir()
        config = folder / "tayga.conf"
        config.write_text(TAYGA_CONF.format(prefix=self.PREFIX, pool=self.POOL, folder=folder),
                          encoding="ascii")
        gateway = lab.gateway
        lab.forward()
        gateway.run("tayga", "--mktun", "-c", config)
        gateway.ip("link", "set", "nat64", "up")
        gateway.ip("address", "add", "192.168.0.1", "dev", "nat64")
        gateway.ip("route", "add", self.POOL, "dev", "nat64")
        gateway.ip("-6", "address", "add", "2001:db8:ffff::1", "dev", "nat64")
        gateway.ip("-6", "route", "add", f"{self.PREFIX}/96", "dev", "nat64")
        track_connections(lab, self.POOL, scale)
        lab.start("tayga", gateway, ["tayga", "-d", "-c", config])
        return labs.embed(labs.SERVER, self.PREFIX)


class Nftables(Candidate):
    name = "nftables"

    def missing(self):
        return missing_programs("nft")

    def start(self, lab, scale):
        lab.forward()
        track_connections(lab, "10.0.0.0/8", scale)
        return labs.SERVER


class Jool(Candidate):
    name = "jool"

    def missing(self):
        if not pathlib.Path("/sys/module/jool").exists():
            return os.environ.get("VIADUCT_NO_JOOL") or \
                "its kernel module is not loaded (scripts/bench --in-qemu loads it)"
        return missing_programs("jool")

    def start(self, lab, scale):
        lab.forward()
        run = lab.gateway.run
        run("jool", "instance", "add", "bench", "--netfilter", "--pool6", f"{labs.PREFIX}/96")
        for protocol in ("tcp", "udp", "icmp"):
            run("jool", "--instance", "bench", "pool4", "add", f"--{protocol}",
                f"{topology.POOL[0]}/26", "1024-65535")
        return labs.embed(labs.SERVER)


def missing_programs(*programs):
    for program in programs:
        if not shutil.which(program):
            return f"{program} is not installed (scripts/install-deps bench)"
    return ""


def track_connections(lab, inside, scale):
    """nftables gives what comes from `inside` one of the pool's addresses; an idle datagram flow
    lasts as long as with viaductd."""
    lab.gateway.run("nft", "add table ip nat; add chain ip nat post "
                    "{ type nat hook postrouting priority srcnat; }; "
                    f"add rule ip nat post ip saddr {inside} oifname wan "
                    f"snat to {topology.POOL[0]}-{topology.POOL[-1]}")
    for key in ("udp_timeout", "udp_timeout_stream"):
        lab.gateway.sysctl(f"net/netfilter/nf_conntrack_{key}", scale.idle)


ALL = {candidate.name: candidate for candidate in (
    Plain(), Viaduct("tun", engine="tun"), Viaduct("bpf", engine="bpf"),
    Viaduct("direct-tc", engine="bpf", direct=["lan", "wan"]),
    Viaduct("direct-xdp", XdpForwarder.bulk, engine="bpf", direct=["lan", "wan"],
            direct_mode="xdp"),
    XdpForwarder(), Tayga(), Nftables(), Jool())}
