# SPDX-License-Identifier: MIT
"""`viaduct monitor` shows sessions and bindings as they are made and end; who does not read loses
events, is told how many, and holds up nobody."""

import json
import signal

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket

TARGET = labs.embed(labs.SERVER)


class Monitor:
    def __init__(self, lab, *arguments):
        self.process = lab.start(f"monitor{len(lab.processes)}", lab.gateway, [
            labs.BIN / "viaduct", "--socket", lab.socket_path, "monitor", "--json", *arguments])
        labs.wait_for("the monitor has begun", self.process.said)

    def events(self):
        return [json.loads(line) for line in self.process.said().splitlines()[1:]]  # behind "begun"

    def names(self):
        return [event["event"] for event in self.events()]

    def wait(self, names):
        labs.wait_for(f"the events {names}", lambda: self.names() == names or None, 20)


def test_the_life_of_a_connection(nat_lab):
    lab = nat_lab
    everything, udp = Monitor(lab), Monitor(lab, "--filter", "protocol=udp")
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as connection:
        connection.talk()
        everything.wait(["binding_made", "session_made", "session_moved"])
        made, moved = everything.events()[1:3]
        port = connection.socket.getsockname()[1]
        assert made["inside"]["source"] == f"[{labs.CLIENT}]:{port}" and made["state"] == "v6_init"
        assert (moved["from"], moved["state"]) == ("v6_init", "established")
        lab.viaduct("clear", "sessions", "--all")
        everything.wait(["binding_made", "session_made", "session_moved", "session_ended", "binding_ended"])
        ended = everything.events()[3]
        assert ended["why"] == "cleared" and ended["packets"] >= 5
        assert ended["outside"] == made["outside"]
    assert udp.names() == []
    assert everything.process.stop(signal.SIGINT) == 0


def test_a_session_that_expires():
    with labs.Lab() as lab:
        lab.start_daemon(nat64={"timeouts": {"udp": "2s"}})
        monitor = Monitor(lab)
        client = udp_socket(lab.client, labs.CLIENT, 40123)
        client.sendto(b"u", (TARGET, 7001))
        labs.wait_for("the end of the session", lambda: "binding_ended" in monitor.names(), 15)
        client.close()
        assert monitor.names() == ["binding_made", "session_made", "session_ended", "binding_ended"]
        assert monitor.events()[2]["why"] == "expired"
        # The daemon's end is the monitor's.
        lab.stop_daemon()
        assert monitor.process.popen.wait(10) == 1


def test_a_session_that_a_new_configuration_does_not_allow(nat_lab):
    lab = nat_lab
    client = udp_socket(lab.client, labs.CLIENT, 40123)
    client.sendto(b"u", (TARGET, 7001))
    labs.wait_for("the session", lambda: lab.sessions(protocol="udp"))
    client.close()
    monitor = Monitor(lab)
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED]})
    lab.viaduct("reload")
    monitor.wait(["session_ended", "binding_ended"])
    assert monitor.events()[0]["why"] == "disallowed"


def echoed(client):
    """A datagram may be lost: in a queue, or since its session has ended this very moment."""
    client.settimeout(2)
    for _ in range(10):
        client.sendto(b"u", (TARGET, 7001))
        try:
            return client.recv(10) == b"u"
        except TimeoutError:
            continue
    return False


def test_who_does_not_read_loses_events_and_holds_up_nobody(nat_lab):
    lab = nat_lab
    stuck = Monitor(lab, "--filter", "protocol=udp")
    stuck.process.popen.send_signal(signal.SIGSTOP)

    def memory():
        for line in open(f"/proc/{lab.daemon.pid}/status", encoding="utf-8"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    before = memory()
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data):
        client = udp_socket(lab.client, labs.CLIENT, 40123)
        for _ in range(6):
            for port in range(10000, 11500):
                client.sendto(b"u", (TARGET, port))
                if port % 100 == 0:  # not faster than the queues of all hosts take
                    assert echoed(client)
            lab.viaduct("clear", "sessions", "--all")
        made = lab.counters()["session_made"]
        assert made > 6000
        client.close()
    assert memory() - before < 20000  # kB; the ring, the queue and the sessions' own
    stuck.process.popen.send_signal(signal.SIGCONT)
    counters = lab.counters()
    happened = sum(counters[name] for name in ("session_made", "session_ended", "binding_made", "binding_ended"))
    # One for each that was heard, and what was lost is told, to the last one.
    labs.wait_for("every event is heard or told as lost",
                  lambda: sum(event.get("count", 1) for event in stuck.events()) == happened, 30)
    assert "lost" in stuck.names()
