# SPDX-License-Identifier: MIT
"""The systemd unit by systemd's own eyes, and the nftables example by nft's."""

import os
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ["VIADUCT_BIN"]
UNIT = TOP / "packaging/systemd/viaductd.service"


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def unit(tmp_path):
    """The unit with the programs that were just built: systemd looks whether they are there."""
    path = tmp_path / "viaductd.service"
    text = UNIT.read_text()
    assert "/usr/local/sbin/viaductd" in text
    path.write_text(text.replace("/usr/local/sbin", BIN))
    return path


def verify(path):
    return subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)


def test_systemd_accepts_the_unit(unit):
    needs("systemd-analyze")
    checked = verify(unit)
    assert (checked.returncode, checked.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClocks=yes"))
    assert "ProtectClocks" in verify(unit).stderr  # it would have said so


def test_the_sandbox_is_tight(unit):
    needs("systemd-analyze")
    # Exposure in tenths: 10.0 is "unsafe". A root daemon with CAP_NET_ADMIN does not get much below 3.
    checked = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=35", unit],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout[-400:] + checked.stderr


def test_nft_accepts_the_example():
    needs("nft")
    if os.geteuid() != 0:
        pytest.skip("nft -c needs root")
    checked = subprocess.run(["unshare", "--net", "nft", "-c", "-f", TOP / "packaging/nftables/viaduct.nft"],
                             capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
