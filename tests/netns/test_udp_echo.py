# SPDX-License-Identifier: MIT
"""UDP goes there and back: DNS queries with large answers, datagrams of every kind of length."""

import os

import lab as labs
from packets import UdpEcho, udp_socket


def test_dns_over_nat64_with_a_1200_byte_answer(gateway_lab):
    said = gateway_lab.client.run("dig", f"@{labs.embed(labs.SERVER)}", "big.example.net", "TXT",
                                  "+bufsize=4000", "+ignore", "+notcp", "+tries=1").stdout
    assert "status: NOERROR" in said and "e" * 232 in said
    size = int(said.split("MSG SIZE  rcvd:")[1].split()[0])
    assert 1200 <= size <= 1300


def test_datagrams_arrive_unchanged_at_every_length(gateway_lab):
    lengths = [0, 1, 2, 3, 7, 8, 9, 511, 512, 513, 1279, 1280, 1399, 1400, 1451, 1452]
    with UdpEcho(gateway_lab.server, labs.SERVER, 7007, answer=lambda data, _: data) as echo:
        client = udp_socket(gateway_lab.client, labs.CLIENT)
        for length in lengths:
            data = os.urandom(length)
            client.sendto(data, (labs.embed(labs.SERVER), 7007))
            assert client.recvfrom(65536)[0] == data, f"{length} bytes"
        client.close()
    assert {sender[0] for _, sender in echo.seen} == {labs.POOL}
