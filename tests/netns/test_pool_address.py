# SPDX-License-Identifier: MIT
"""A pool address inside a port's subnet is answered for by proxied ARP; one outside needs a route
only. Neither becomes an address of the gateway."""

import pytest

import lab as labs


@pytest.mark.parametrize("pool", [labs.POOL, labs.POOL_ROUTED])
def test_reached(bare_lab, pool):
    if pool == labs.POOL:  # without any route of the server's: only ARP can find it
        bare_lab.server.ip("route", "del", "203.0.113.0/24")
    bare_lab.start_daemon(nat64={"pool4": [pool]})
    bare_lab.client.run("ping", "-c", "1", "-W", "3", labs.embed(labs.SERVER))
    shown = bare_lab.sessions(protocol="icmp")
    assert [item["outside"]["source"].rsplit(":", 1)[0] for item in shown] == [pool]
    local = [entry["local"] for link in bare_lab.gateway.ip_json("address", "show")
             for entry in link["addr_info"]]
    assert pool not in local
    proxied = [entry["dst"] for entry in bare_lab.gateway.ip_json("neighbour", "show", "proxy")]
    assert (pool in proxied) == (pool == labs.POOL)


def test_both_at_once(bare_lab):
    bare_lab.start_daemon(nat64={"pool4": [labs.POOL, labs.POOL_ROUTED]})
    bare_lab.client.run("ping", "-c", "1", "-W", "3", labs.embed(labs.SERVER))
    assert [item["address"] for item in bare_lab.show("pools")] == [labs.POOL, labs.POOL_ROUTED]


def test_ports_stay_in_the_configured_range(bare_lab):
    bare_lab.start_daemon(nat64={"pool4": [{"address": labs.POOL, "ports": "50000-50099"}]})
    for _ in range(20):
        bare_lab.client.run("ping", "-c", "1", "-W", "3", labs.embed(labs.SERVER))
    ports = [int(item["outside"].rsplit(":", 1)[1]) for item in bare_lab.show("bindings")]
    assert len(set(ports)) == 20 and all(50000 <= port <= 50099 for port in ports)
    assert bare_lab.show("pools")[0]["ports"] == "50000-50099"
