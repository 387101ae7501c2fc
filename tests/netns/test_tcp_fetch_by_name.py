# SPDX-License-Identifier: MIT
"""An IPv6-only host fetches a page by name from an IPv4-only server: 20 MB arrive unchanged."""

import hashlib
import os

import lab as labs


def test_a_page_fetched_by_name_is_the_page(gateway_lab):
    body = os.urandom(20_000_000)
    (gateway_lab.folder / "www" / "big.bin").write_bytes(body)
    got = gateway_lab.folder / "got.bin"
    gateway_lab.on_client("curl", "--silent", "--show-error", "--fail", "--max-time", "20",
                          "--output", got, "http://web.example.net/big.bin")
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(body).digest()


def test_the_server_sees_the_pool(gateway_lab):
    gateway_lab.on_client("curl", "--silent", "--fail", "http://web.example.net/?who")
    last = [line for line in gateway_lab.web_log.read_text().splitlines() if "/?who" in line]
    assert last and last[-1].split()[0] == labs.POOL
