# SPDX-License-Identifier: MIT
"""Ten thousand ports of the pool, taken one after another by one host: nothing in them says which
comes next (RFC 6056), and none is the host's own."""

import lab as labs
from packets import drain, injector, udp

COUNT, LOWEST, BINS = 10_000, 1024, 16


def test_ten_thousand_ports(bare_lab):
    lab = bare_lab
    lab.start_daemon(nat64={"max_sessions_per_subscriber": 2 * COUNT,
                            "max_bindings_per_subscriber": 2 * COUNT})
    with injector(lab.client, "eth0", lab.gateway.mac("lan")) as send:
        for port in range(20_000, 20_000 + COUNT):
            send(udp(labs.CLIENT, port, labs.embed(labs.SERVER), 9))
            if port % 200 == 0:  # so that the queues on the way lose nothing
                drain(lambda: lab.counters()["binding_made"] > port - 20_000, 1)
    drain(lambda: lab.counters()["binding_made"] == COUNT)
    bindings = {int(item["inside"].rsplit(":", 1)[1]): int(item["outside"].rsplit(":", 1)[1])
                for item in lab.show("bindings")}
    assert len(bindings) == COUNT
    ports = [bindings[inside] for inside in sorted(bindings)]
    assert len(set(ports)) == COUNT and min(ports) >= LOWEST

    # Each bound lies some six standard deviations away from what chance alone gives.
    bins = [0] * BINS
    for port in ports:
        bins[(port - LOWEST) * BINS // (65536 - LOWEST)] += 1
    assert all(abs(count - COUNT / BINS) < 150 for count in bins), bins
    near = sum(abs(one - next_one) <= 256 for one, next_one in zip(ports, ports[1:]))
    assert near < 150, f"{near} of {COUNT} lie next to the one before; chance says 79"
    upwards = sum(one < next_one for one, next_one in zip(ports, ports[1:]))
    assert abs(upwards - COUNT / 2) < 300, f"{upwards} of {COUNT} are higher than the one before"
    assert sum(inside == outside for inside, outside in bindings.items()) < 10
