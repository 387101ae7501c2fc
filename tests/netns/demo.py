# SPDX-License-Identifier: MIT
"""What scripts/demo shows: every command is printed, run, and its result checked."""

import shlex
import sys
import time

import lab as labs

PAGE = "http://web.example.net/"
SAYS = "Hello from the IPv4-only server."

DRAWING = f"""
  client                        gateway                         server
  +-----------------+      +---------------------+      +-----------------+
  | IPv6 only       |      |  viaductd, unbound  |      |       IPv4 only |
  | {labs.CLIENT} +------+  nvi0: {labs.PREFIX}/96 +------+   {labs.SERVER} |
  +-----------------+      +---------------------+      +-----------------+
                             pool4: {labs.POOL}
"""


class Demo:
    """Numbers the steps, prints commands as one would type them, and remembers what failed."""

    def __init__(self, lab):
        self.lab = lab
        self.failed = []
        self.number = 0

    def step(self, title):
        self.number += 1
        self.title = title
        print(f"\n\033[1m{self.number}. {title}\033[0m" if sys.stdout.isatty()
              else f"\n{self.number}. {title}", flush=True)

    def show(self, where, shown, text, limit=12):
        print(f"   {where}$ {shown if isinstance(shown, str) else shlex.join(map(str, shown))}")
        lines = [line for line in text.splitlines() if line.strip()]
        for line in lines[:limit]:
            print(f"   {line}")
        if len(lines) > limit:
            print(f"   ... and {len(lines) - limit} more lines")
        sys.stdout.flush()

    def client(self, *args):
        """A command on the client; what it said, and that it succeeded."""
        done = self.lab.on_client(*args, check=False)
        said = done.stdout + done.stderr
        self.show("client", args, said)
        self.expect(done.returncode == 0, f"{args[0]} ended with exit code {done.returncode}")
        return done.stdout

    def viaduct(self, *args):
        done = self.lab.viaduct(*args, check=False)
        self.show("gateway", ["viaduct", *args], done.stdout + done.stderr)
        self.expect(done.returncode == 0, f"viaduct {' '.join(args)}: exit code {done.returncode}")
        return done.stdout

    def expect(self, truth, otherwise):
        if not truth:
            self.failed.append(f"step {self.number} ({self.title}): {otherwise}")
            print(f"   FAILED: {otherwise}")

    def good(self, meaning):
        if not any(failure.startswith(f"step {self.number} ") for failure in self.failed):
            print(f"   => {meaning}")

    def end(self, took):
        """The last words; the program's exit code."""
        if self.failed:
            print(f"\ndemo: {len(self.failed)} part(s) failed:")
            for failure in self.failed:
                print(f"  - {failure}")
            return 1
        print(f"\ndemo: every part worked, in {took:.1f} s; nothing is left behind.")
        return 0


def story(demo):
    lab = demo.lab
    target = labs.embed(labs.SERVER)

    demo.step("The client has IPv6 and nothing else")
    addresses = lab.client.ip("-brief", "address", "show", "dev", "eth0")
    demo.show("client", "ip -brief address show dev eth0", addresses)
    demo.expect(labs.SERVER.rsplit(".", 1)[0] not in addresses, "the client has IPv4")
    direct = lab.client.run("ping", "-c", "1", "-W", "1", labs.SERVER, check=False)
    demo.show("client", f"ping -c 1 {labs.SERVER}", direct.stdout + direct.stderr)
    demo.expect(direct.returncode != 0, "the client reached the server without the gateway")
    demo.good("the server cannot be reached by its own address")

    demo.step("viaductd runs on the gateway, with unbound for DNS64")
    demo.show("gateway", "cat viaduct.toml", lab.config_path.read_text(), limit=30)
    demo.viaduct("show", "status")
    demo.expect(lab.show("status")[0]["dns64"]["state"] == "healthy", "DNS64 is not healthy")
    demo.expect(lab.gateway.pids_of("unbound"), "no unbound runs on the gateway")

    demo.step("The client resolves a name that has an IPv4 address only")
    answer = demo.client("dig", "+short", "web.example.net", "A").split()
    demo.expect(answer == [labs.SERVER], f"the A record should be {labs.SERVER}")
    answer = demo.client("dig", "+short", "web.example.net", "AAAA").split()
    demo.expect(answer == [target], f"the AAAA record should be {target}")
    demo.good(f"DNS64 put {labs.SERVER} behind {labs.PREFIX}/96")

    demo.step("The client fetches a page by name")
    page = demo.client("curl", "--silent", "--show-error", "--fail", "--max-time", "5", PAGE)
    demo.expect(page.strip() == SAYS, f"the page should say {SAYS!r}")
    demo.good("TCP goes through")

    demo.step("The client pings by name")
    said = demo.client("ping", "-c", "3", "-i", "0.2", "-W", "2", "web.example.net")
    demo.expect("3 received" in said, "not every echo came back")
    demo.good("ICMP goes through")

    demo.step("The client asks the server's own name server, over UDP")
    answer = demo.client("dig", "+short", f"@{target}", "web.example.net", "A").split()
    demo.expect(answer == [labs.SERVER], f"the answer should be {labs.SERVER}")
    demo.good("UDP goes through")

    demo.step("The gateway shows the sessions behind all this")
    demo.viaduct("show", "sessions")
    kinds = {item["protocol"] for item in lab.show("sessions")}
    demo.expect(kinds == {"tcp", "udp", "icmp"},
                f"sessions of tcp, udp and icmp, not {sorted(kinds)}")

    demo.step("The server saw an IPv4 client: the pool's address")
    log = lab.web_log.read_text()
    demo.show("server", "cat access.log", log)
    seen = {line.split()[0] for line in log.splitlines()}
    demo.expect(seen == {labs.POOL},
                f"the server should have seen {labs.POOL} only, not {sorted(seen)}")

    demo.step("viaductd ends and takes everything along that it had added")
    code = lab.stop_daemon()
    links = lab.gateway.ip("-brief", "link", "show")
    demo.show("gateway", "ip -brief link show", links)
    demo.expect(code == 0, f"viaductd ended with exit code {code}")
    demo.expect("nvi0" not in links, "nvi0 is still there")
    demo.expect(not lab.gateway.pids_of("unbound"), "unbound still runs")
    demo.good("no interface, route or process is left")


def main():
    labs.end_on_signals()
    reason = labs.cannot_run()
    if reason:
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    start = time.monotonic()
    print("Viaduct: an IPv6-only host reaches an IPv4-only server by name.\n" + DRAWING)
    print("Three network namespaces stand for the three machines; they are removed at the end.")
    with labs.Lab() as lab:
        demo = Demo(lab)
        try:
            lab.start_web()
            lab.start_dns()
            lab.start_daemon(dns64=lab.DNS64)
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
