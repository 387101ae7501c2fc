# SPDX-License-Identifier: MIT
"""`viaduct trace` on a running gateway: what it foretells is what then happens, and it changes
nothing itself."""

import json

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket

TARGET = labs.embed(labs.SERVER)


def everything(lab):
    """All that a packet might change. Packets of the kernel's own on nvi0 may come at any time: they
    are no one's session, but they are counted."""
    sessions = lab.show("sessions")
    for session in sessions:
        del session["expires_seconds"]  # time goes on
    noise = ("extension_headers", "icmp_type", "bad_source", "not_ours")
    return (sessions, lab.show("bindings"), lab.show("pools"), lab.viaduct("show", "status").stdout.count("\n"),
            {name: value for name, value in lab.counters().items() if name not in noise})


def trace(lab, words, code=0):
    """The outcome; the same once more in words, and nothing has changed by either. code None: any."""
    before = everything(lab)
    asked = lab.viaduct("trace", "--json", *words.split(), check=False)
    code = asked.returncode if code is None else code
    assert (asked.returncode, asked.stderr) == (code, ""), asked.stdout
    said = lab.viaduct("trace", *words.split(), check=False)
    assert (said.returncode, said.stderr) == (code, "")
    assert everything(lab) == before
    items = json.loads(asked.stdout)
    assert all(set(item) == {"step", "decision", "rfc", "text"} for item in items[:-1])
    # The port of a new binding is chosen anew each time.
    assert sum(line.startswith(("parse", "classify", "gather", "session", "translate", "emit"))
               for line in said.stdout.splitlines()) == len(items) - 1
    return items[-1], [item["decision"] for item in items[:-1]]


def left(outcome):
    """Source and destination of the one packet that would leave."""
    (packet,) = outcome["leaves"]
    return packet["source"], packet["destination"]


def test_a_new_flow_and_the_next_packet_of_it(nat_lab):
    lab = nat_lab
    udp = f"udp from {labs.CLIENT} port 40123 to {TARGET} port 7001 length 148"
    outcome, decisions = trace(lab, udp)
    assert "binding_new" in decisions and "session_new" in decisions
    assert left(outcome)[0].startswith(labs.POOL + ":") and left(outcome)[1] == f"{labs.SERVER}:7001"
    made = {name: lab.counters()[name] for name in ("session_made", "binding_made")}
    assert made == {"session_made": 0, "binding_made": 0}

    seen = []
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, peer: (seen.append(peer), data)[1]):
        client = udp_socket(lab.client, labs.CLIENT, 40123)
        client.sendto(b"u" * 100, (TARGET, 7001))
        client.recv(200)
        before = lab.counters()
        # Now the binding is there, and the port is foretold exactly.
        outcome, decisions = trace(lab, udp)
        assert decisions[-4:] == ["session_found", "timer_set", "to_ipv4", "checksum_follows"]
        assert left(outcome)[0] == f"{seen[0][0]}:{seen[0][1]}"
        assert outcome["leaves"][0]["length"] == 128
        client.sendto(b"u" * 100, (TARGET, 7001))
        client.recv(200)
        assert f"{seen[1][0]}:{seen[1][1]}" == left(outcome)[0]
        client.close()
    after = lab.counters()
    assert outcome["counts"] == {"translated_6to4": 1}
    assert after["translated_6to4"] - before["translated_6to4"] == 1
    # and the way back
    outcome, _ = trace(lab, f"udp from {labs.SERVER} port 7001 to {labs.POOL} port {seen[0][1]}")
    assert left(outcome) == (f"[{TARGET}]:7001", f"[{labs.CLIENT}]:40123")


def test_a_connection_and_its_end(nat_lab):
    lab = nat_lab
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as connection:
        connection.talk()
        port = connection.socket.getsockname()[1]
        words = f"tcp from {labs.CLIENT} port {port} to {TARGET} port 7 "
        # A reset with a sequence number that is not the connection's: it goes on, the session stays.
        outcome, decisions = trace(lab, words + "rst sequence 1")
        assert "reset_far" in decisions and outcome["verdict"] == "forward"
        outcome, decisions = trace(lab, words + "fin ack")
        assert "state_moves" in decisions
        connection.talk()
        assert [session["state"] for session in lab.sessions()] == ["established"]
        (session,) = lab.sessions()
        pool_port = session["outside"]["source"].rsplit(":", 1)[1]
        # The connection's first number is anybody's guess: one of these is far from it.
        reasons = [trace(lab, f"icmp too-big mtu 1400 from {labs.SERVER} to {labs.POOL} about "
                              f"tcp from {labs.POOL} port {pool_port} to {labs.SERVER} port 7 "
                              f"length 1480 sequence {sequence}", code=None)[0]["reason"]
                   for sequence in (0, 1 << 31)]
        assert "error_out_of_window" in reasons


def test_what_would_be_dropped(nat_lab):
    lab = nat_lab
    outcome, _ = trace(lab, f"tcp from {labs.STRANGER} port 5 to {TARGET} port 80", code=3)
    assert (outcome["verdict"], outcome["reason"]) == ("drop", "not_allowed")
    outcome, decisions = trace(lab, f"tcp from {labs.SERVER} port 5 to {labs.POOL} port 80", code=3)
    assert outcome["reason"] == "syn_held" and decisions[-1] == "syn_waits"
    # It is held in no table: the next one says the same, and nobody is answered six seconds later.
    assert trace(lab, f"tcp from {labs.SERVER} port 5 to {labs.POOL} port 80", code=3)[1] == decisions
    outcome, decisions = trace(lab, f"protocol 132 from {labs.CLIENT} to {TARGET}", code=3)
    assert outcome["reason"] == "unknown_protocol" and decisions[-1] == "answer"
    assert outcome["answer"]["icmp"] == {"type": 1, "code": 4}
    assert outcome["answer"]["destination"] == labs.CLIENT
    outcome, _ = trace(lab, f"udp from {labs.CLIENT} port 5 to 2001:db8::1 port 80", code=3)
    assert outcome["verdict"] == "pass"
    outcome, _ = trace(lab, f"udp from {labs.SERVER} port 5 to {labs.POOL} port 80", code=3)
    assert outcome["reason"] == "no_binding"


def test_a_packet_that_is_cut_for_ipv6(nat_lab):
    lab = nat_lab
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data):
        client = udp_socket(lab.client, labs.CLIENT, 40123)
        client.sendto(b"u", (TARGET, 7001))
        client.recv(200)
        client.close()
    port = lab.sessions()[0]["outside"]["source"].rsplit(":", 1)[1]
    words = f"udp from {labs.SERVER} port 7001 to {labs.POOL} port {port} length 1500"
    outcome, decisions = trace(lab, words)
    assert "cut" in decisions
    assert [packet["length"] for packet in outcome["leaves"]] == [1280, 296]
    outcome, decisions = trace(lab, words + " df")
    assert "cut" not in decisions and [packet["length"] for packet in outcome["leaves"]] == [1520]


def test_a_packet_out_of_a_capture_of_nvi0(nat_lab):
    lab = nat_lab
    path = lab.folder / "nvi0.pcap"
    capture = lab.start("tcpdump", lab.gateway, ["tcpdump", "-i", "nvi0", "-U", "-w", path, "udp"])
    labs.wait_for("tcpdump listens", lambda: "listening" in capture.said())
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data):
        client = udp_socket(lab.client, labs.CLIENT, 40123)
        client.sendto(b"u" * 100, (TARGET, 7001))
        client.recv(200)
        client.close()
    # To nvi0 as IPv6, from it as IPv4, and the answer; BPF takes packets before they are seen to enter.
    packets = {"tun": 4, "bpf": 2}[labs.ENGINE]
    labs.wait_for("all packets in the capture",
                  lambda: path.stat().st_size >= 24 + packets * (16 + 28 + 100))
    capture.stop()
    if labs.ENGINE == "bpf":
        outcome, _ = trace(lab, f"--pcap {path} --packet 2", code=3)
        assert outcome["reason"] == "not_ours"  # it has been translated already
        return
    outcome, decisions = trace(lab, f"--pcap {path} --packet 1")
    assert "session_found" in decisions and outcome["leaves"][0]["length"] == 128
    outcome, _ = trace(lab, f"--pcap {path} --packet 3")
    assert left(outcome) == (f"[{TARGET}]:7001", f"[{labs.CLIENT}]:40123")
