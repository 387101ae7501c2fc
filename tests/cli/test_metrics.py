# SPDX-License-Identifier: MIT
"""The metrics as Prometheus meets them: what /metrics says, in which form, and what the server does
with clients that mean no good. The server is the real one; its tables are made up (fake_daemon).
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import prometheus_client.parser
import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import exposition  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
FAKE_DAEMON = os.environ["FAKE_DAEMON"]
VERSION = os.environ["VIADUCT_VERSION"]
REASONS = re.findall(r"^REASON\((\w+), (\w+),", (TOP / "datapath/reasons.def").read_text(), re.MULTILINE)
LIFE = 1.0  # seconds: what fake_daemon gives a connection


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    def __init__(self, sessions):
        self.directory = tempfile.mkdtemp(prefix="viaduct-metrics-")
        self.port = free_port()
        self.process = subprocess.Popen(
            [FAKE_DAEMON, os.path.join(self.directory, "control.sock"), str(sessions), "", str(self.port)],
            stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def request(self, method="GET", path="/metrics", **options):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, **options)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer, body

    def scrape(self):
        answer, body = self.request()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
        return body

    def counted(self):
        """A scrape after a whole census."""
        deadline = time.monotonic() + 20
        while "viaduct_sessions{" not in (body := self.scrape()):
            assert time.monotonic() < deadline, "no census was finished"
            time.sleep(0.05)
        return exposition.parse(body)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        self.process.stdout.close()
        shutil.rmtree(self.directory)


@pytest.fixture(scope="module")
def daemon():
    daemon = Daemon(sessions=9)
    yield daemon
    daemon.stop()


# --- what it says --------------------------------------------------------------------------------

def test_every_value(daemon):
    families = daemon.counted()
    value = lambda name, **labels: exposition.value(families, name, **labels)  # noqa: E731
    assert value("viaduct_build_info", version=VERSION, engine="tun") == 1
    assert value("viaduct_engine_fallback") == 0
    assert value("viaduct_uptime_seconds") == 7322
    assert value("viaduct_workers") == 2
    assert value("viaduct_offload_enabled", offload="tso6") == 1
    assert value("viaduct_offload_enabled", offload="uso6") == 0
    assert value("viaduct_offload_enabled", offload="tso_ecn") == 0
    assert value("viaduct_sessions_held") == 9
    assert value("viaduct_sessions_limit") == 1000000
    assert value("viaduct_table_entries_lost") == 2
    assert value("viaduct_bindings_held") == 9
    assert value("viaduct_sessions", protocol="tcp", state="established") == 3
    assert value("viaduct_sessions", protocol="tcp", state="trans") == 0
    assert value("viaduct_sessions", protocol="udp", state="open") == 3
    assert value("viaduct_sessions", protocol="icmp", state="open") == 3
    assert value("viaduct_pool_ports", address="203.0.113.10") == 64512
    assert value("viaduct_pool_ports", address="203.0.113.11") == 1000
    for protocol, most in (("tcp", 11), ("udp", 12), ("icmp", 13)):
        assert value("viaduct_pool_ports_used", address="203.0.113.10", protocol=protocol) == 3
        assert value("viaduct_pool_ports_used", address="203.0.113.11", protocol=protocol) == 0
        assert value("viaduct_pool_ports_used_max", address="203.0.113.10", protocol=protocol) == most
        assert value("viaduct_pool_ports_used_max", address="203.0.113.11", protocol=protocol) == 0
    assert value("viaduct_packets_total", outcome="done", reason="translated_6to4") == 123456
    assert value("viaduct_packets_total", outcome="drop", reason="no_port") == 3
    assert value("viaduct_events_total", event="session_made") == 0
    assert value("viaduct_dns64_state", state="healthy") == 1
    assert sum(families["viaduct_dns64_state"]["samples"].values()) == 1
    assert value("viaduct_dns64_restarts_total") == 1


def test_every_counter_of_reasons_def_is_there_once(daemon):
    families = exposition.parse(daemon.scrape())
    packets = [dict(labels) for labels in families["viaduct_packets_total"]["samples"]]
    events = [dict(labels) for labels in families["viaduct_events_total"]["samples"]]
    assert sorted((item["reason"], item["outcome"].upper()) for item in packets) == sorted(
        (name, kind) for name, kind in REASONS if kind != "EVENT")
    assert sorted(item["event"] for item in events) == sorted(
        name for name, kind in REASONS if kind == "EVENT")


def test_the_documentation_has_every_metric_and_no_other(daemon):
    families = daemon.counted()
    page = (TOP / "docs/metrics.md").read_text()
    rows = dict(re.findall(r"^\| `(viaduct_\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert rows == {name: family["type"] for name, family in families.items()}


def test_the_reader_of_prometheus_own_library_agrees(daemon):
    daemon.counted()
    text = daemon.scrape()
    read = list(prometheus_client.parser.text_string_to_metric_families(text))
    families = exposition.parse(text)
    # It leaves out _total of a counter's family, and keeps it with the samples.
    names = {family.name + ("_total" if family.type == "counter" else ""): family for family in read}
    assert {name: family.type for name, family in names.items()} == {
        name: family["type"] for name, family in families.items()}
    for name, family in names.items():
        assert family.documentation, name
        samples = {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        assert len(samples) == len(family.samples)
        assert samples == {tuple(sorted(dict(labels).items())): value
                           for labels, value in families[name]["samples"].items()}, name
    promtool = shutil.which("promtool")  # 100 MB with its Prometheus: asked where it is there
    if promtool:
        checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_strict_reader_is_strict():
    good = '# HELP a_total x\n# TYPE a_total counter\na_total{b="c"} 1\n'
    exposition.parse(good)
    for wrong in (good.replace("# HELP a_total x\n", ""), good.replace("counter", "gauge"),
                  good + 'a_total{b="c"} 2\n', good.replace(" 1", " one"), good.replace('"c"', '"\\c"'),
                  good[:-1], good.replace('b="c"', 'b="c",b="d"'), good + "b 1\n", good + good):
        with pytest.raises((AssertionError, KeyError, NameError)):
            exposition.parse(wrong)


def test_a_million_sessions_do_not_slow_a_scrape():
    daemon = Daemon(sessions=1_000_000)
    times = []
    for _ in range(20):  # while the first census is under way, and after it
        start = time.monotonic()
        daemon.scrape()
        times.append(time.monotonic() - start)
    families = daemon.counted()
    total = sum(families["viaduct_sessions"]["samples"].values())
    assert total == 1_000_000
    assert sorted(times)[10] < 0.05  # a walk through them takes far longer
    daemon.stop()


# --- the dashboard and the alerts ----------------------------------------------------------------

def check_query(families, query):
    """It asks only for metrics, labels and values that there are. Returns the metrics' names."""
    assert query.count("(") == query.count(")") and query.count("{") == query.count("}")
    asked = set()
    for name, matchers in re.findall(r"(viaduct_\w+)(?:\{([^}]*)\})?", query):
        asked.add(name)
        assert name in families, query
        if families[name]["type"] == "counter":
            assert re.search(rf"(rate|increase)\({name}", query), query
        known = {}
        for labels in families[name]["samples"]:
            for label, value in labels:
                known.setdefault(label, set()).add(value)
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            if label in ("instance", "job"):
                continue
            assert label in known, query
            for one in value.split("|") if "~" in operator else [value]:
                assert one in known[label], f"{one} in {query}"
    return asked


def test_the_dashboard_asks_only_for_metrics_there_are(daemon):
    families = daemon.counted()
    dashboard = json.loads((TOP / "packaging/grafana-dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(panels) >= 8 and all(panel["targets"] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
    asked = set.union(*(check_query(families, query) for query in queries))
    for name in ("viaduct_sessions", "viaduct_packets_total", "viaduct_pool_ports_used", "viaduct_dns64_state",
                 "viaduct_offload_enabled"):
        assert name in asked


def test_the_dashboard_shows_every_cause_of_a_sessions_end_once():
    causes = {name for name, kind in REASONS if re.match("session_(?!made|ended)", name) and kind == "EVENT"}
    dashboard = json.loads((TOP / "packaging/grafana-dashboard.json").read_text())
    matchers = [matcher for panel in dashboard["panels"] for target in panel.get("targets", ())
                for matcher in re.findall(r'event(=~|!~|=)"([^"]*)"', target["expr"])]
    shown = [value for operator, value in matchers if operator != "!~" and "session_" in value]
    assert sorted(shown) == sorted(["session_made", shown[-1]]) and set(shown[-1].split("|")) == causes
    assert {value for operator, value in matchers if operator == "!~"} == {
        "|".join(["session_made", "session_ended", shown[-1]])}


def test_the_alerts_ask_only_for_metrics_there_are(daemon):
    families = daemon.counted()
    path = TOP / "packaging/prometheus-alerts.yml"
    rules = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    asked = set()
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Viaduct\w+", rule["alert"]) and re.fullmatch(r"\d+m", rule.get("for", "0m"))
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        names = check_query(families, rule["expr"])
        asked |= names
        labels = {label for name in names for sample in families[name]["samples"] for label, _ in sample}
        used = re.findall(r"\$labels\.(\w+)", "".join(rule["annotations"].values()))
        assert set(used) <= labels | {"instance", "job"}, rule["alert"]
    assert 'up{job="viaduct"} == 0' in [rule["expr"] for rule in rules]
    assert {"viaduct_pool_ports_used", "viaduct_packets_total", "viaduct_engine_fallback", "viaduct_dns64_state"} <= asked
    promtool = shutil.which("promtool")
    if promtool:
        checked = subprocess.run([promtool, "check", "rules", path], text=True, capture_output=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_query_for_what_there_is_not_is_found(daemon):
    families = daemon.counted()
    good = 'rate(viaduct_packets_total{outcome="drop",reason=~"no_port|table_full"}[5m])'
    assert check_query(families, good) == {"viaduct_packets_total"}
    for wrong in (good.replace("table_full", "table_ful"), good.replace("_total", "_tot"), good.replace("rate", "sum"),
                  good.replace("outcome", "result"), good.replace('"drop"', '"dropped"'), good + ")"):
        with pytest.raises(AssertionError):
            check_query(families, wrong)


# --- HTTP ----------------------------------------------------------------------------------------

def test_other_paths_and_methods(daemon):
    for path in ("/", "/metrics/", "/metrics2", "/../metrics", "/" + "x" * 3000):
        assert daemon.request(path=path)[0].status == 404
    assert daemon.request(path="/metrics?x=1")[0].status == 200  # Prometheus may add parameters
    head, body = daemon.request("HEAD")
    assert head.status == 200 and body == "" and int(head.getheader("Content-Length")) > 1000
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "XYZZY"):
        answer, _ = daemon.request(method, body="x" * 100)
        assert answer.status == 405 and answer.getheader("Allow") == "GET, HEAD"


def answer_to(daemon, data):
    """What comes back until the server closes; it must, and soon."""
    with daemon.connect() as client:
        received = b""
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
        except TimeoutError:
            raise
        except OSError:  # the server may close before it has read all
            pass
        return received


def test_one_request_a_connection(daemon):
    twice = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 2
    assert answer_to(daemon, twice).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("data", [
    b"", b"\n", b"\0" * 4000, b"GET\r\n\r\n", b"GET /metrics\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n\r\n",  # no Host
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200_000 + b"\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    b"GET /%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=lambda data: repr(data[:20]))
def test_garbage_gets_an_error_or_the_end(daemon, data):
    received = answer_to(daemon, data)
    assert not received or received.startswith(b"HTTP/1.")
    exposition.parse(daemon.scrape())


def test_random_garbage(daemon):
    chance = random.Random(64)
    tries = []
    whole = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 12)):
            at = chance.randrange(len(data))
            data[at:at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        tries.append(bytes(data[:chance.randrange(len(data) + 1)]))
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        for received in clients.map(lambda data: answer_to(daemon, data), tries):
            assert not received or received.startswith(b"HTTP/1.")
    exposition.parse(daemon.scrape())


def ended(client):
    try:
        return client.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_who_is_slow_is_dropped_also_if_he_is_never_silent(daemon):
    silent, slow = daemon.connect(), daemon.connect()
    start = time.monotonic()
    slow.settimeout(0.1)
    over = False
    while not over and time.monotonic() - start < 5 * LIFE:
        try:
            slow.sendall(b"G")
            over = ended(slow)
        except TimeoutError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            over = True
    assert over and LIFE * 0.5 < time.monotonic() - start < 3 * LIFE
    assert ended(silent)
    silent.close()
    slow.close()
    exposition.parse(daemon.scrape())


def test_who_does_not_read_is_dropped(daemon):
    clients = [daemon.connect() for _ in range(8)]
    for client in clients:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    exposition.parse(daemon.scrape())
    time.sleep(2 * LIFE)
    for client in clients:
        client.close()
    exposition.parse(daemon.scrape())


def test_connections_are_limited_and_come_back(daemon):
    clients = [daemon.connect() for _ in range(200)]
    time.sleep(2.5 * LIFE)  # those beyond the limit are closed at once, the others when their time is up
    assert all(ended(client) for client in clients)
    for client in clients:
        client.close()
    open_files = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    assert open_files < 40
    exposition.parse(daemon.scrape())


def test_a_taken_port_is_said(daemon):
    with tempfile.TemporaryDirectory() as directory:
        second = subprocess.run([FAKE_DAEMON, os.path.join(directory, "s"), "1", "", str(daemon.port)],
                                capture_output=True, text=True, timeout=10)
    assert second.returncode == 1
    assert second.stderr == (f"fake_daemon: cannot listen on 127.0.0.1 port {daemon.port} for "
                             "[control] metrics: Address already in use\n")
