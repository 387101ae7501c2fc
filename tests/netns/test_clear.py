# SPDX-License-Identifier: MIT
"""`viaduct clear` ends what its filter names and nothing else, also while packets run through it;
who is cut off may open a new session at once."""

import threading
import time

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket


def test_clear_ends_what_the_filter_names(nat_lab):
    lab = nat_lab
    target = labs.embed(labs.SERVER)
    with TcpEcho(lab.server, labs.SERVER, 7), TcpEcho(lab.server, labs.SERVER, 8), Connection(
            lab.client, target, 7) as kept, Connection(lab.client, target, 8) as ended:
        kept.talk()
        ended.talk()
        assert lab.viaduct("clear", "sessions", "--filter", "remote-port=8").stdout == "1 session ended\n"
        assert [item["outside"]["destination"] for item in lab.sessions()] == [f"{labs.SERVER}:7"]
        assert len(lab.show("bindings")) == 1
        kept.talk()
        assert lab.viaduct("clear", "sessions", "--all").stdout == "1 session ended\n"
        assert lab.sessions() == [] and lab.show("bindings") == []
        counters = lab.counters()
        assert counters["session_made"] == counters["session_ended"] == 2
        assert counters["session_cleared"] == 2
        assert counters["binding_made"] == counters["binding_ended"] == 2
        with Connection(lab.client, target, 8) as again:
            again.talk()


def test_clear_beside_running_traffic(nat_lab):
    lab = nat_lab
    done = threading.Event()

    def talk():
        client = udp_socket(lab.client, labs.CLIENT, 0)
        client.settimeout(0.05)
        while not done.is_set():
            try:
                client.sendto(b"x", (labs.embed(labs.SERVER), 7001))
                client.recv(10)
            except TimeoutError:
                pass
        client.close()

    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data):
        talkers = [threading.Thread(target=talk) for _ in range(8)]
        for talker in talkers:
            talker.start()
        ended = rounds = 0
        end = time.monotonic() + 60  # until enough has met, however slow the machine
        while (rounds < 50 or ended <= 50) and time.monotonic() < end:
            rounds += 1
            ended += int(lab.viaduct("clear", "sessions", "--filter", "protocol=udp").stdout.split()[0])
        done.set()
        for talker in talkers:
            talker.join()
    assert ended > 50
    lab.viaduct("clear", "sessions", "--all")
    counters = lab.counters()
    assert counters["session_made"] == counters["session_ended"] >= ended
    assert counters["session_cleared"] == counters["session_ended"]
    assert counters["binding_made"] == counters["binding_ended"]
    assert lab.show("sessions") == [] and lab.show("bindings") == []
    assert all(item["udp"] == 0 for item in lab.show("pools"))
    assert any(item["most"]["udp"] > 0 for item in lab.show("pools"))  # stays on record
