# SPDX-License-Identifier: MIT
"""Metrics of the real daemon over HTTP: what known traffic leaves in them, and what a reload does."""

import http.client
import pathlib
import sys

import lab as labs
from packets import Connection, TcpEcho

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import exposition  # noqa: E402


def scrape(namespace, address, port):
    connection = http.client.HTTPConnection(address, port, timeout=5)
    connection.sock = namespace.socket()
    connection.sock.connect((address, port))
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    families = exposition.parse(answer.read().decode())
    connection.close()
    return families


def test_traffic_shows_and_a_reload_moves_the_port(bare_lab):
    lab = bare_lab
    lab.start_daemon(control={"metrics": "127.0.0.1:9464"})
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        families = scrape(lab.gateway, "127.0.0.1", 9464)
        value = lambda name, **labels: exposition.value(families, name, **labels)  # noqa: E731
        assert value("viaduct_build_info", version=lab.show("status")[0]["version"], engine=labs.ENGINE) == 1
        assert value("viaduct_sessions_held") == value("viaduct_bindings_held") == 1
        assert value("viaduct_events_total", event="session_made") == 1
        counted = {item["name"]: item["value"] for item in lab.show("counters")}
        assert 0 < value("viaduct_packets_total", outcome="done", reason="translated_6to4") <= counted[
            "translated_6to4"]

        # A reload takes a new port at once, with a census of its own, which sees the session.
        lab.write_config(control={"metrics": "127.0.0.1:9465"})
        lab.viaduct("reload")
        families = labs.wait_for("a census", lambda: (
            found := scrape(lab.gateway, "127.0.0.1", 9465))["viaduct_censuses_total"]["samples"][
                frozenset()] and found)
        assert value("viaduct_sessions", protocol="tcp", state="established") == 1
        assert value("viaduct_pool_ports_used", address=labs.POOL, protocol="tcp") == 1
        assert value("viaduct_pool_ports_used_max", address=labs.POOL, protocol="tcp") == 1
        assert value("viaduct_dns64_state", state="off") == 1
        with lab.gateway.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", 9464)) != 0


def test_a_reload_to_a_taken_port_changes_nothing(bare_lab):
    lab = bare_lab
    lab.start_daemon(control={"metrics": "127.0.0.1:9464"})
    with lab.gateway.socket() as taken:
        taken.bind(("127.0.0.1", 9465))
        taken.listen()
        lab.write_config(control={"metrics": "127.0.0.1:9465"})
        refused = lab.viaduct("reload", check=False)
    assert refused.returncode == 1
    assert "cannot listen on 127.0.0.1 port 9465" in refused.stderr and "in use" in refused.stderr
    assert scrape(lab.gateway, "127.0.0.1", 9464)
