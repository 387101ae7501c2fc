# SPDX-License-Identifier: MIT
"""Packets of one flow leave in the order in which they came, with several workers at work: small
datagrams, and datagrams in fragments, which are put together and cut again on the way.

Sixteen flows of four hosts at once, each datagram with its number. Senders and workers are bound to
a processor each: a thread that moves while the kernel has packets of it under way on the old one
may be overtaken by itself, with any program. Losses are no disorder.

A flow stays in its queue whoever speaks or is silent (datapath/bpf/steer.bpf.c). Where the kernel takes
no program that steers, it chooses the queue that the other direction was last written to, and another
one when that was three seconds ago: what waits in the old one is overtaken then.

What is not promised: that fragments and whole packets of one flow do not overtake each other. They
are spread by address alone (only the first one has ports), so they may be in another queue.
"""

import os
import pathlib
import socket
import struct
import threading
import time

import pytest

import lab as labs
from packets import udp_socket

HOSTS = [labs.CLIENT] + [f"2001:db8:64::{number}" for number in (20, 21, 22)]
PORTS = range(40000, 40004)
SO_RCVBUFFORCE = 33
SMALL, IN_FRAGMENTS = 40, 3000
TUN = {"engine": "tun"}  # its queues are what is tested, whatever engine the others are run with
SILENCE = 8  # seconds; the kernel forgets after some three


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

    def _warm(self, size):
        """One datagram there and one back for each flow, so that the kernel knows its queue."""
        for flow, client in enumerate(self.clients):
            data = struct.pack("!II", flow, 0).ljust(size, b"x")
            client.sendto(data, (labs.embed(labs.SERVER), 7))
            client.settimeout(5)
            self.server.settimeout(5)
            self.server.sendto(self.server.recv(65535), self.outside[flow])
            client.recv(65535)

    def _send(self, flows, count, size, pause):
        os.sched_setaffinity(0, {flows[0] % os.cpu_count()})
        for number in range(1, count + 1):
            if number % 10 == 0:
                time.sleep(pause)  # what the queues hold is not the question
            for flow in flows:
                data = struct.pack("!II", flow, number).ljust(size, b"x")
                self.clients[flow].sendto(data, (labs.embed(labs.SERVER), 7))
                self.server.sendto(data, self.outside[flow])

    def run(self, count, size, pause=0.005):
        """Both ways at once; for each way (the share of all that arrived, how many of them came
        after a later one of their flow)."""
        self._warm(size)
        senders = [threading.Thread(target=self._send, daemon=True, args=(
            range(first, len(self.clients), 4), count, size, pause)) for first in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        return [self._judge(sinks, count) for sinks in ([self.server], self.clients)]

    def run_into_silence(self):
        """Both sides have spoken; then only the server does, for so long that the kernel forgets which
        queue the hosts' packets were written to. (The share of all that arrived, how many came
        after a later one of their flow.)"""
        self._warm(SMALL)
        sender = threading.Thread(target=self._answer, daemon=True, args=(SILENCE * 100,))
        sender.start()
        sender.join()
        return self._judge(self.clients, SILENCE * 100)

    def _answer(self, count):
        os.sched_setaffinity(0, {0})
        for number in range(1, count + 1):
            for flow in self.outside:
                self.server.sendto(struct.pack("!II", flow, number), self.outside[flow])
            time.sleep(0.01)

    def _judge(self, sinks, count):
        last, arrived, late = {}, 0, 0
        for sink in sinks:
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


@pytest.mark.parametrize("size, count", [(SMALL, 1000), (IN_FRAGMENTS, 200)],
                         ids=["small", "in-fragments"])
def test_in_order(flows, size, count):
    held = flows.lab.counters()["fragment_held"]
    for pause in (0.005, 0.02, 0.05):  # on a machine that is busy with other things, slower
        ways = flows.run(count, size, pause)
        assert [late for _, late in ways] == [0, 0], "datagrams came after later ones"
        if all(share > 0.5 for share, _ in ways):
            break
    assert all(share > 0.5 for share, _ in ways), "hardly anything arrived: nothing was tested"
    if size == IN_FRAGMENTS:
        assert flows.lab.counters()["fragment_held"] > held + count


def test_in_order_when_the_other_side_falls_silent():
    """Packets wait in the queue of a slow worker meanwhile."""
    with labs.Lab() as lab:
        flows = started(lab, nvi=TUN, wrapper=lab.preload("slow_queue.c"))
        share, late = flows.run_into_silence()
        flows.close()
        assert late == 0 and share > 0.5
        assert "steering" not in lab.daemon.said()


def test_silence_would_show_without_steering():
    """The same where the kernel refuses to be told; viaductd says so, and goes on."""
    with labs.Lab() as lab:
        flows = started(lab, nvi=TUN, wrapper=lab.preload("slow_queue.c", REFUSE_STEERING=1))
        assert "steering" in lab.daemon.said()
        tries = [flows.run_into_silence()]
        while tries[-1][1] == 0 and len(tries) < 8:
            tries.append(flows.run_into_silence())
        flows.close()
        assert tries[-1][1] > 0, tries


def test_disorder_would_show():
    """With a viaductd that keeps every 50th packet back for a moment."""
    with labs.Lab() as lab:
        flows = started(lab, nvi=TUN, wrapper=lab.preload("swap_writes.c"))
        for pause in (0.005, 0.02, 0.05):  # as above
            ways = flows.run(500, SMALL, pause)
            if all(share > 0.5 and late > 0 for share, late in ways):
                break
        flows.close()
        assert all(share > 0.5 and late > 0 for share, late in ways), ways
