# SPDX-License-Identifier: MIT
"""traceroute and mtr from an IPv6 host to an IPv4 one: every router answers by a readable name, the
IPv4 ones by their address inside the prefix, the gateway by both of its own, and the path ends."""

import pytest

import lab as labs
from packets import TcpEcho

TARGET = labs.embed(labs.FAR_SERVER)
HOPS = ["2001:db8:67::1", "2001:db8:66::1",  # router6, client
        labs.GATEWAY6, labs.embed(labs.GATEWAY4),  # the gateway, once for each routing pass
        labs.embed(labs.SERVER), labs.embed(labs.ROUTER4), TARGET]


def rows(text):
    """The addresses behind "1  ", "2.|-- ", and so on."""
    lines = [line.replace(".|--", " ").split() for line in text.splitlines()]
    return [words[1] for words in lines if len(words) > 1 and words[0].isdigit()]


@pytest.mark.parametrize("how", [["-U"], ["-U", "-p", "33434"], [], ["-I"], ["-T", "-p", "7"],
                                 ["-T", "-p", "8"]],
                         ids=["udp-53", "udp-33434", "udp-counting", "icmp", "tcp", "tcp-closed"])
def test_traceroute(far_lab, how):
    before = far_lab.counters()
    with TcpEcho(far_lab.far_server, labs.FAR_SERVER, 7):
        said = far_lab.far_client.run("traceroute", "-6", "-n", "-q", "1", "-N", "1", "-w", "2",
                                      "-m", "12", *how, TARGET).stdout
    assert rows(said) == HOPS, said
    after = far_lab.counters()
    # the gateway's second pass, the two IPv4 routers, and port unreachable where that ends it
    ends_in_error = how[:1] in ([], ["-U"])
    assert after["translated_error_4to6"] - before["translated_error_4to6"] == 3 + ends_in_error
    assert after["error_without_session"] == before["error_without_session"]


@pytest.mark.parametrize("how", [[], ["--udp"], ["--tcp", "--port", "7"]],
                         ids=["icmp", "udp", "tcp"])
def test_mtr(far_lab, how):
    with TcpEcho(far_lab.far_server, labs.FAR_SERVER, 7):
        said = far_lab.far_client.run("mtr", "-6", "--no-dns", "--report", "--report-wide",
                                      "--report-cycles", "2", "--interval", "0.3",
                                      "--gracetime", "1", *how, TARGET).stdout
    assert rows(said) == HOPS, said
    losses = [line.split()[2] for line in said.splitlines() if ".|--" in line]
    assert losses == ["0.0%"] * len(HOPS), said
