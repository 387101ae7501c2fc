# SPDX-License-Identifier: MIT
"""kill -9 leaves nvi0 and its routes; the next start adopts them, its SIGTERM removes them too."""

import signal

import lab as labs


def test_the_successor_adopts_and_removes(bare_lab):
    bare_lab.start_dns()
    clean = [link["ifname"] for link in bare_lab.gateway.ip_json("link", "show")]
    bare_lab.start_daemon(dns64=bare_lab.DNS64)
    bare_lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER))
    index = bare_lab.gateway.ip_json("link", "show", "dev", "nvi0")[0]["ifindex"]
    assert bare_lab.stop_daemon(signal.SIGKILL) == -signal.SIGKILL
    assert bare_lab.gateway.ip_json("link", "show", "dev", "nvi0")[0]["ifindex"] == index
    routes = bare_lab.gateway.ip_json("-6", "route", "show", "dev", "nvi0")
    assert f"{labs.PREFIX}/96" in [route["dst"] for route in routes]
    labs.wait_for("the resolver does not outlive the daemon",
                  lambda: not bare_lab.gateway.pids_of("unbound"), 3)

    bare_lab.start_daemon(dns64=bare_lab.DNS64)
    assert bare_lab.gateway.ip_json("link", "show", "dev", "nvi0")[0]["ifindex"] == index
    bare_lab.on_client("ping", "-c", "1", "-W", "2", "web.example.net")
    assert bare_lab.stop_daemon() == 0
    assert [link["ifname"] for link in bare_lab.gateway.ip_json("link", "show")] == clean
    assert bare_lab.gateway.ip_json("neighbour", "show", "proxy") == []
    assert labs.POOL not in str(bare_lab.gateway.ip_json("route", "show", "table", "all"))


def test_a_stale_socket_is_no_obstacle(bare_lab):
    bare_lab.start_daemon()
    bare_lab.stop_daemon(signal.SIGKILL)
    assert bare_lab.socket_path.exists()
    bare_lab.start_daemon()
    assert bare_lab.show("status")[0]["pid"] == bare_lab.daemon.pid
