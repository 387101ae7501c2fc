# SPDX-License-Identifier: MIT
"""Floods from the inside end at a subscriber's quota, and those of many subscribers at the table's
ceiling: memory stays, and whoever has a session goes on."""

import ipaddress
import os
import random
import time

import lab as labs
from packets import ICMPV6, SYN, Capture, UdpEcho, drain, injector, tcp, udp, udp_socket

TARGET = labs.embed(labs.SERVER)
MANY = ipaddress.ip_network("2001:db8:1000::/36")
ALLOW = ["2001:db8:64::/64", "2001:db8:bad::/64", str(MANY)]
QUOTA, CEILING = 500, 4000
RATE = 10 << 20  # bytes a second that a transfer asks for: far less than would pass
LEAST = 0.85  # of that, or of what it gets in peace: who floods uses the processors it needs
ADMINISTRATIVELY_PROHIBITED = (1, 1)


def flood(send, packets):
    """In portions, so that the queues on the way lose little."""
    for number, packet in enumerate(packets):
        send(packet)
        if number % 200 == 0:
            time.sleep(0.01)


def transfer(lab, got):
    """A transfer that asks for RATE bytes a second: (the running curl, its speed when it has ended)."""
    curl = lab.start("curl", lab.client, ["curl", "-gsS", "--limit-rate", str(RATE), "--max-time", "60",
                                          "-w", "speed=%{speed_download}\n", "-o", got,
                                          f"http://[{TARGET}]/body"])

    def speed():
        assert curl.popen.wait(70) == 0, curl.said()
        return float(curl.said().rsplit("speed=", 1)[1].split()[0])

    return curl, speed


def test_syns_from_everywhere_do_not_disturb_a_transfer(bare_lab):
    lab = bare_lab
    lab.may_hand_up = True  # each that is refused is to be answered
    body = os.urandom(6 * RATE)
    (lab.start_web() / "body").write_bytes(body)
    lab.start_daemon(nat64={"allow": ALLOW, "max_sessions": CEILING,
                            "max_sessions_per_subscriber": QUOTA})
    got = lab.folder / "got"
    undisturbed = transfer(lab, got)[1]()
    assert got.read_bytes() == body
    before = lab.resident()
    numbers = random.Random(1)
    nets = [tcp(str(MANY[(net << 64) + numbers.getrandbits(64)]), numbers.randrange(1024, 65536), TARGET,
                9, SYN) for net in range(1, 3 * CEILING)]
    curl, speed = transfer(lab, got)
    labs.wait_for("the transfer runs", lambda: lab.sessions(protocol="tcp", state="established"))
    with injector(lab.client, "eth0", lab.gateway.mac("lan")) as send:
        flood(send, (tcp(f"2001:db8:1000::{host + 1:x}", 4000, TARGET, 9, SYN)
                     for host in range(4 * QUOTA)))  # addresses of one net: one subscriber
        drain(lambda: lab.counters()["subscriber_quota"] > 0)
        assert lab.counters()["subscriber_quota"] > 0, "the quota bites first"
        assert lab.counters()["table_full"] == 0
        rounds = 0
        while curl.running():  # all the time
            flood(send, nets)
            rounds += 1
    assert rounds > 0
    drain(lambda: lab.counters()["table_full"] > 0)
    assert lab.counters()["table_full"] > 0
    assert lab.show("status")[0]["sessions"] <= CEILING
    flooded = speed()
    assert got.read_bytes() == body
    print(f"{undisturbed:.0f} bytes/s without the flood, {flooded:.0f} with it, {rounds} rounds")
    assert flooded > LEAST * min(undisturbed, RATE)
    assert lab.resident() - before < 20_000, "kB more than before the flood"


def test_one_subscriber_opens_mappings_without_end(bare_lab):
    lab = bare_lab
    lab.may_hand_up = True
    lab.client.ip("address", "add", f"{labs.STRANGER}/64", "dev", "eth0", "nodad")
    lab.gateway.ip("address", "add", "2001:db8:bad::1/64", "dev", "lan", "nodad")
    lab.start_daemon(nat64={"allow": ALLOW, "max_sessions_per_subscriber": QUOTA})
    with injector(lab.client, "eth0", lab.gateway.mac("lan")) as send, \
            Capture(lab.client, "eth0") as seen:
        # Temporary addresses are of no help: the net is the subscriber.
        flood(send, (udp(f"2001:db8:64::{port % 7 + 0x10:x}", port, TARGET, 9)
                     for port in range(1024, 1024 + 10 * QUOTA)))
        drain(lambda: lab.counters()["subscriber_quota"] > QUOTA)
    counters = lab.counters()
    assert counters["subscriber_quota"] > QUOTA
    assert counters["binding_made"] == counters["session_made"] == QUOTA
    told = [packet for packet in seen.arrived
            if packet[6] == ICMPV6 and tuple(packet[40:42]) == ADMINISTRATIVELY_PROHIBITED]
    assert told and counters["answer_limited"] > 0, "told why, but not each time"
    with UdpEcho(lab.server, labs.SERVER, 7001):
        for host, answered in ((labs.STRANGER, True), (labs.CLIENT, False)):
            client = udp_socket(lab.client, host, timeout=2 if answered else 0.3)
            client.sendto(b"who am I?", (TARGET, 7001))
            try:
                assert client.recv(100).startswith(labs.POOL.encode()) and answered
            except (TimeoutError, ConnectionRefusedError, PermissionError):
                assert not answered
            client.close()
