# SPDX-License-Identifier: MIT
"""What `scripts/demo agent` shows: nginx behind a load balancer that sends TOA, its access log before viaduct-agent
starts, with it, and after it has ended. Every result is checked."""

import sys
import time

import agent_lab
import lab as labs
import lab_files
from agent_lab import ACK, BACKEND, BACKEND6, CLIENT, CLIENT6, LISTED, LISTED6, PORT, PSH, STRANGER, STRANGER6, toa4, toa6
from demo import Demo

DRAWING = f"""
  sender                                    backend
  +-----------------------------+      +-----------------------------+
  | a load balancer, sends TOA: |      |  nginx, viaduct-agent       |
  | {LISTED}, {LISTED6}  +------+  {BACKEND}, {BACKEND6}  |
  | and a stranger:             |      |                             |
  | {STRANGER}, {STRANGER6}  |      |                             |
  +-----------------------------+      +-----------------------------+
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n"


class AgentDemo(Demo):
    def start_nginx(self):
        """Two sockets, as many have it: one for each family."""
        lab = self.lab
        (lab.folder / "www").mkdir()
        (lab.folder / "www/index.html").write_text("Hello from the backend.\n", encoding="ascii")
        more = f"  server {{ listen 0.0.0.0:80; root {lab.folder}/www; }}"
        lab.start_nginx(lab_files.NGINX.format(folder=lab.folder, address="[::]", more=more), 80, sockets=2)
        self.log = lab.folder / "access.log"
        self.seen = 0
        self.open = []

    def visit(self, source, client, option):
        """A request over a new connection, which stays open."""
        connection = self.lab.connection(80, source).open(ack=option)
        self.open.append(connection)
        connection.send(ACK | PSH, b"", REQUEST)
        while True:
            packet = connection.receive()
            if not packet:
                raise labs.LabError("nginx did not answer")
            if packet[2]:
                break
        print(f"   {source} sends a request, with a TOA that names {client} port {PORT}")
        self.expect(b"200 OK" in packet[2], "nginx did not answer with 200")

    def visit_both(self, source4, source6):
        self.visit(source4, CLIENT, toa4())
        self.visit(source6, CLIENT6, toa6())

    def logged(self, *wanted):
        """The new lines of the access log must have these addresses."""
        def lines():
            found = self.log.read_text(encoding="ascii").splitlines()[self.seen:]
            return found if len(found) >= len(wanted) else None

        new = labs.wait_for("nginx writes its log", lines)
        self.seen += len(new)
        self.show("backend", f"tail -n {len(new)} access.log", "\n".join(new))
        found = [line.split()[0] for line in new]
        self.expect(found == list(wanted), f"the log has {found}, not {list(wanted)}")

    def agent(self, *words, only=""):
        """A command about the agent that runs; `only` the lines with this word."""
        done = self.lab.command(*words, check=False)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if only in line]
        shown = "viaduct-agent " + " ".join(map(str, words)) + (f" | grep {only}" if only else "")
        self.show("backend", shown, "\n".join(lines))
        self.expect(done.returncode == 0, f"{shown}: exit code {done.returncode}")


def story(demo):
    lab = demo.lab
    demo.step("A load balancer hands its clients on, over IPv4 and IPv6; nginx logs who it sees")
    demo.start_nginx()
    demo.visit_both(LISTED, LISTED6)
    demo.logged(LISTED, LISTED6)
    demo.good("every client is the load balancer")

    demo.step("viaduct-agent starts; nginx is neither changed nor restarted")
    lab.start_agent()
    demo.show("backend", "cat agent.toml", lab.config_path.read_text(encoding="utf-8"))
    demo.agent("check", lab.config_path)
    demo.agent("show", "status")

    demo.step("The same again")
    demo.visit_both(LISTED, LISTED6)
    demo.logged(CLIENT, CLIENT6)
    demo.good("nginx logs the clients themselves")

    demo.step("A stranger claims to be somebody, too")
    demo.visit_both(STRANGER, STRANGER6)
    demo.logged(STRANGER, STRANGER6)
    demo.agent("show", "counters", only="untrusted_sender")
    demo.expect(lab.counters()["untrusted_sender"] == 2, "the two forged options should have been counted")
    demo.good("its options are ignored and counted: nginx logs the stranger")

    demo.step("The agent shows who is who")
    demo.agent("show", "connections")
    believed = {item["client"] for item in lab.show("connections") if item["believed"]}
    demo.expect(believed == {f"{CLIENT}:{PORT}", f"[{CLIENT6}]:{PORT}"}, f"the clients believed are {sorted(believed)}")

    demo.step("The agent ends and takes everything along")
    demo.expect(lab.stop_agent() == 0, "viaduct-agent ended with another exit code than 0")
    demo.expect(not (lab.bpf / "viaduct-agent").exists(), "its programs are still pinned")
    demo.visit_both(LISTED, LISTED6)
    demo.logged(LISTED, LISTED6)
    demo.good("nginx logs the load balancer again")
    for connection in demo.open:
        connection.close()


def main():
    labs.end_on_signals()
    reason = labs.cannot_run()
    if not reason and not (labs.BIN / "viaduct-agent").exists():
        reason = f"{labs.BIN / 'viaduct-agent'} is not built"
    if reason:
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    start = time.monotonic()
    print("viaduct-agent: programs on a backend see the client, not the load balancer.\n" + DRAWING)
    print("Two network namespaces stand for the two machines; they are removed at the end.")
    with agent_lab.AgentLab() as lab:
        demo = AgentDemo(lab)
        try:
            story(demo)
        except labs.LabError as problem:
            demo.failed.append(str(problem))
        if demo.failed:
            print("\nLogs:\n" + lab.logs())
    return demo.end(time.monotonic() - start)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ndemo: interrupted; what was made is removed.")
        sys.exit(130)
