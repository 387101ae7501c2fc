# SPDX-License-Identifier: MIT
"""After SIGTERM the gateway is as it was: interface, routes, rules, proxy neighbours, sysctls, the
resolver's process, the socket."""

import os
import pathlib

import lab as labs

# What the kernel itself writes, or refuses to show.
VOLATILE = {"flush", "stable_secret", "tcp_fastopen_key"}


def sysctls(namespace):
    found = {}
    with namespace.entered():
        for family in ("ipv4", "ipv6"):
            for folder, _, names in os.walk(f"/proc/sys/net/{family}"):
                for name in set(names) - VOLATILE:
                    path = pathlib.Path(folder, name)
                    try:
                        found[str(path)] = path.read_text()
                    except OSError:
                        pass
    return found


def state(lab):
    gateway = lab.gateway
    neighbours = [entry for family in ("-4", "-6")
                  for entry in gateway.ip_json(family, "neighbour", "show", "proxy")]
    links = [(link["ifname"], link["mtu"], link["qdisc"], "UP" in link["flags"])
             for link in gateway.ip_json("link", "show")]
    return {
        "links": links,
        "addresses": [(link["ifname"], entry["local"], entry["prefixlen"])
                      for link in gateway.ip_json("address", "show")
                      for entry in link["addr_info"] if entry["scope"] != "link"],
        "routes": gateway.routes(),
        "rules": [gateway.ip_json(family, "rule", "show") for family in ("-4", "-6")],
        "proxy neighbours": neighbours,
        "sysctls": sysctls(gateway),
        "processes": gateway.pids(),
        "socket": lab.socket_path.exists(),
    }


def test_nothing_stays(bare_lab):
    bare_lab.start_dns()
    before = state(bare_lab)
    bare_lab.start_daemon(dns64=bare_lab.DNS64, nat64={"pool4": [labs.POOL, labs.POOL_ROUTED]})
    bare_lab.on_client("ping", "-c", "1", "-W", "2", "web.example.net")
    meanwhile = state(bare_lab)
    for part in ("links", "routes", "proxy neighbours", "sysctls", "processes", "socket"):
        assert meanwhile[part] != before[part], f"the daemon added no {part}: nothing to remove"
    assert bare_lab.gateway.pids_of("unbound")

    assert bare_lab.stop_daemon() == 0
    after = state(bare_lab)
    for part, value in before.items():
        if isinstance(value, dict):
            changed = {key: (value.get(key), after[part].get(key))
                       for key in {*value, *after[part]} if value.get(key) != after[part].get(key)}
            assert not changed, f"{part} that changed: {changed}"
        assert after[part] == value, f"{part} are not as before"


def test_what_was_set_before_stays_set(bare_lab):
    """Forwarding that the administrator switched on is not switched off."""
    bare_lab.gateway.sysctl("net/ipv4/conf/all/forwarding", 1)
    bare_lab.gateway.sysctl("net/ipv6/conf/all/forwarding", 1)
    bare_lab.start_daemon()
    assert bare_lab.stop_daemon() == 0
    assert bare_lab.gateway.sysctl("net/ipv4/conf/all/forwarding") == "1"
    assert bare_lab.gateway.sysctl("net/ipv6/conf/all/forwarding") == "1"
