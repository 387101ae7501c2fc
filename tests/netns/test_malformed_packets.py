# SPDX-License-Identifier: MIT
"""Malformed and hostile packets end under a counter with a name, make no session, and harm nobody.

What the kernel itself throws away before nvi0 (wrong IPv4 header checksum, lengths beyond the
packet, loopback sources) is tested by the packet vectors, which need no kernel in between.
"""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6NIQueryNOOP, IPv6,
                                IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrRouting)
from scapy.packet import Raw

import lab as labs
from packets import drain, injector

TARGET = labs.embed(labs.SERVER)
SIX = IPv6(src=labs.CLIENT, dst=TARGET)
FOUR = IP(src=labs.SERVER, dst=labs.POOL)
TIMES = 5

FROM_CLIENT = {
    "TCP data offset below 5": ("bad_tcp_header", SIX / TCP(flags="S", dataofs=4)),
    "TCP data offset beyond the packet": ("bad_tcp_header", SIX / TCP(flags="S", dataofs=15)),
    "UDP length beyond the packet": ("bad_udp_length", SIX / UDP(dport=7, len=200) / b"short"),
    "UDP length below its header": ("bad_udp_length", SIX / UDP(dport=7, len=7) / b"short"),
    "UDP without a checksum": ("udp_zero_checksum_v6", SIX / UDP(dport=7, chksum=0) / b"x"),
    "half a TCP header": ("truncated", SIX.copy() / Raw(b"\1\2\3\4\5\6\7\10")),
    "a fragment of odd length": ("bad_fragment",
                                 SIX / IPv6ExtHdrFragment(m=1) / UDP(dport=7) / (b"x" * 61)),
    "a fragment beyond 65535": ("bad_fragment",
                                SIX / IPv6ExtHdrFragment(offset=8190, nh=17) / Raw(b"x" * 64)),
    "a routing header in use": ("routing_header",
                                SIX / IPv6ExtHdrRouting(type=4, segleft=1,
                                                        addresses=["2001:db8::5"]) / UDP(dport=7)),
    "an unknown protocol": ("unknown_protocol",
                            IPv6(src=labs.CLIENT, dst=TARGET, nh=132) / Raw(b"x" * 32)),
    "an ICMPv6 message that is no echo": ("icmp_type", SIX / ICMPv6NIQueryNOOP()),
    "TCP that opens nothing": ("tcp_not_syn", SIX / TCP(sport=1, dport=80, flags="A")),
    "a source inside the prefix": ("source_in_prefix",
                                   IPv6(src=labs.embed("192.0.2.1"), dst=TARGET) / UDP(dport=7)),
    "a private destination": ("private_destination",
                              IPv6(src=labs.CLIENT, dst=labs.embed("10.0.0.1")) / UDP(dport=7)),
    "a loopback destination": ("bad_destination",
                               IPv6(src=labs.CLIENT, dst=labs.embed("127.0.0.1")) / UDP(dport=7)),
    "a multicast destination": ("bad_destination",
                                IPv6(src=labs.CLIENT, dst=labs.embed("224.0.0.1")) / UDP(dport=7)),
}

FROM_SERVER = {
    "TCP to no binding": ("syn_held", FOUR / TCP(dport=5000, flags="S")),
    "UDP to no binding": ("no_binding", FOUR / UDP(dport=5000)),
    "an echo request to no binding": ("no_binding", FOUR / ICMP(type=8, id=77)),
    "half a UDP header": ("truncated",
                          IP(src=labs.SERVER, dst=labs.POOL, proto=17) / Raw(b"\1\2\3\4")),
    "TCP data offset below 5": ("bad_tcp_header", FOUR / TCP(flags="S", dataofs=1)),
    "UDP length beyond the packet": ("bad_udp_length", FOUR / UDP(dport=5000, len=100)),
    "a fragment of odd length": ("bad_fragment", IP(src=labs.SERVER, dst=labs.POOL, flags="MF",
                                                    proto=17) / Raw(b"x" * 61)),
    "an unknown protocol": ("unknown_protocol",
                            IP(src=labs.SERVER, dst=labs.POOL, proto=47) / Raw(b"x" * 32)),
    "an ICMP message that is no echo": ("icmp_type", FOUR / ICMP(type=13)),
}
FROM_CLIENT["half a TCP header"][1][IPv6].nh = 6


@pytest.fixture(scope="module")
def lab():
    with labs.Lab() as made:
        made.start_daemon()
        yield made


def count(lab, port, packet, name):
    where, device = {"lan": (lab.client, "eth0"), "wan": (lab.server, "eth0")}[port]
    before = lab.counters()
    with injector(where, device, lab.gateway.mac(port)) as send:
        for _ in range(TIMES):
            send(packet)
    drain(lambda: lab.counters()[name] >= before[name] + TIMES, 2)
    after = lab.counters()
    changed = {key: after[key] - before[key] for key in after if after[key] != before[key]}
    assert changed.get(name) == TIMES, f"expected {name}: {TIMES}, counted {changed}"
    assert lab.show("sessions") == [] and lab.show("bindings") == []


@pytest.mark.parametrize("case", FROM_CLIENT)
def test_from_the_client(lab, case):
    name, packet = FROM_CLIENT[case]
    count(lab, "lan", packet, name)


@pytest.mark.parametrize("case", FROM_SERVER)
def test_from_the_server(lab, case):
    name, packet = FROM_SERVER[case]
    count(lab, "wan", packet, name)


def test_a_harmless_option_header_is_skipped(lab):
    """RFC 7915 5.1: destination options are skipped, the echo request goes on."""
    before = lab.counters()["translated_6to4"]
    with injector(lab.client, "eth0", lab.gateway.mac("lan")) as send:
        send(SIX / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(id=1, seq=1, data=b"hello"))
    drain(lambda: lab.counters()["translated_6to4"] > before)
    assert lab.counters()["translated_6to4"] == before + 1


def test_afterwards_all_is_well(lab):
    lab.client.run("ping", "-c", "1", "-W", "2", TARGET)
    assert lab.daemon.running()
