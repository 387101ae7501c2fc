# SPDX-License-Identifier: MIT
"""Packets of one flow leave in the order in which they came, with several workers at work: small
datagrams, and datagrams in fragments, which are put together and cut again on the way.

Sixteen flows of four hosts at once, each datagram with its number. Senders and workers are bound to
a processor each: a thread that moves while the kernel has packets of it under way on the old one
may be overtaken by itself, with any program. Losses are no disorder.

What is not promised: that fragments and whole packets of one flow do not overtake each other. The
kernel spreads fragments by address alone (only the first one has ports), so they may be in another
queue.
"""

import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

import pytest

import lab as labs
from packets import udp_socket

HOSTS = [labs.CLIENT] + [f"2001:db8:64::{number}" for number in (20, 21, 22)]
PORTS = range(40000, 40004)
SO_RCVBUFFORCE = 33
SMALL, IN_FRAGMENTS = 40, 3000


class Flows:
    """A socket for each flow on the client, one on the server, and what arrives."""

    def __init__(self, lab):
        self.lab = lab
        self.server = lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.server.bind((labs.SERVER, 7))
        self.clients = [udp_socket(lab.client, host, port) for host in HOSTS for port in PORTS]
        self.outside = {}
        for flow, client in enumerate(self.clients):
            client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
            client.sendto(struct.pack("!II", flow, 0), (labs.embed(labs.SERVER), 7))
            self.server.settimeout(5)
            self.outside[flow] = self.server.recvfrom(100)[1]

    def close(self):
        for one in [self.server, *self.clients]:
            one.close()

    def _send(self, flows, count, size, down):
        os.sched_setaffinity(0, {flows[0] % os.cpu_count()})
        for number in range(1, count + 1):
            if number % 10 == 0:
                time.sleep(0.005)  # what the queues hold is not the question
            for flow in flows:
                data = struct.pack("!II", flow, number).ljust(size, b"x")
                if down:
                    self.server.sendto(data, self.outside[flow])
                else:
                    self.clients[flow].sendto(data, (labs.embed(labs.SERVER), 7))

    def run(self, count, size, down):
        """(how many of all arrived, in which share; how many came after a later one)."""
        senders = [threading.Thread(target=self._send, daemon=True, args=(
            range(first, len(self.clients), 4), count, size, down)) for first in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        last, arrived, late = {}, 0, 0
        for sink in self.clients if down else [self.server]:
            sink.settimeout(0.3)
            while True:
                try:
                    flow, number = struct.unpack("!II", sink.recv(65535)[:8])
                except TimeoutError:
                    break
                arrived += 1
                late += number <= last.get(flow, 0)
                last[flow] = number
        return arrived / (count * len(self.clients)), late


def bind_workers(lab):
    """Each to a processor; there must be more than one, or nothing is tested."""
    (pid,) = lab.gateway.pids_of("viaductd")
    names = {int(task.name): (task / "comm").read_text(encoding="ascii").strip()
             for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}
    workers = [task for task, name in names.items() if name == "viaduct-tun"]
    for number, task in enumerate(sorted(workers)):
        os.sched_setaffinity(task, {number % os.cpu_count()})
    return len(workers)


def started(lab, **options):
    for host in HOSTS[1:]:
        lab.client.ip("address", "add", f"{host}/64", "dev", "eth0", "nodad")
    lab.start_daemon(nat64={"pool4": [labs.POOL]}, **options)
    if bind_workers(lab) < 2:
        pytest.skip("one processor, one worker")
    return Flows(lab)


@pytest.fixture(scope="module")
def flows():
    with labs.Lab() as lab:
        made = started(lab)
        yield made
        made.close()


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("size, count", [(SMALL, 1500), (IN_FRAGMENTS, 300)],
                         ids=["small", "in-fragments"])
def test_in_order(flows, size, count, down):
    held = flows.lab.counters()["fragment_held"]
    share, late = flows.run(count, size, down)
    assert late == 0
    assert share > 0.5, "hardly anything arrived: nothing was tested"
    if size == IN_FRAGMENTS:
        assert flows.lab.counters()["fragment_held"] > held + count


def test_disorder_would_show():
    """With a viaductd that keeps every 50th packet back for a moment."""
    with labs.Lab() as lab:
        shim = lab.folder / "swap_writes.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim,
                        pathlib.Path(__file__).with_name("swap_writes.c"), "-ldl"], check=True)
        sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
        flows = started(lab, wrapper=["env", f"LD_PRELOAD={shim}", f"ASAN_OPTIONS={sanitizer}"])
        share, late = flows.run(500, SMALL, False)
        flows.close()
        assert share > 0.5 and late > 0
