# SPDX-License-Identifier: MIT
"""With offloads on, TCP super-packets go through nvi0 whole, in both directions and both forms."""

import os

import lab as labs
from packets import Capture

MTU = 1500


def _transfer(lab, *args):
    with Capture(lab.gateway, "nvi0", ethernet=False, head=40) as nvi:
        lab.client.run("curl", "--silent", "--fail", "--max-time", "20", "--output", "/dev/null",
                       *args)

    def large(way, version):
        lengths = zip(getattr(nvi, way), nvi.lengths[way])
        return sum(length > MTU for packet, length in lengths if packet[0] >> 4 == version)

    return {"IPv6 in": large("left", 6), "IPv4 out": large("arrived", 4),
            "IPv4 in": large("left", 4), "IPv6 out": large("arrived", 6)}


def test_download(bare_lab):
    root = bare_lab.start_web()
    (root / "big.bin").write_bytes(os.urandom(20_000_000))
    bare_lab.start_daemon()
    seen = _transfer(bare_lab, f"http://[{labs.embed(labs.SERVER)}]/big.bin")
    assert seen["IPv4 in"] > 50 and seen["IPv6 out"] >= seen["IPv4 in"] * 0.9, seen


def test_upload(bare_lab):
    bare_lab.start_web()
    bare_lab.start_daemon()
    data = bare_lab.folder / "up.bin"
    data.write_bytes(os.urandom(900_000))
    # nginx takes a body of up to 1 MB and then says that a file is not written to (405).
    with Capture(bare_lab.gateway, "nvi0", ethernet=False, head=40) as nvi:
        said = bare_lab.client.run("curl", "--silent", "--max-time", "20", "--write-out",
                                   "%{http_code}", "--data-binary", f"@{data}", "--output",
                                   "/dev/null", "--header", "Expect:",
                                   f"http://[{labs.embed(labs.SERVER)}]/").stdout
    assert said == "405"
    six = [n for p, n in zip(nvi.left, nvi.lengths["left"]) if p[0] >> 4 == 6 and n > MTU]
    four = [n for p, n in zip(nvi.arrived, nvi.lengths["arrived"]) if p[0] >> 4 == 4 and n > MTU]
    assert len(six) > 5 and len(four) >= len(six) * 0.9, (len(six), len(four))
