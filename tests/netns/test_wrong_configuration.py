# SPDX-License-Identifier: MIT
"""A wrong configuration is refused before anything is changed: exit code 2, file, line, column."""

import re

import pytest

import lab as labs

WRONG = {
    "a pool address that is none": ({"nat64": {"pool4": ["198.51.100.300"]}}, "pool4",
                                    "198.51.100.300"),
    "a prefix of no allowed length": ({"nat64": {"prefix": "64:ff9b::/97"}}, "prefix", "/97"),
    "an unknown key": ({"nat64": {"pool6": []}}, "pool6", "pool6"),
    "a wrong type": ({"nat64": {"max_sessions": "many"}}, "max_sessions", "max_sessions"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_with_place(bare_lab, name):
    sections, line_starts, quoted = WRONG[name]
    bare_lab.write_config(**sections)
    lines = bare_lab.config_path.read_text().splitlines()
    line = 1 + [text.startswith(line_starts) for text in lines].index(True)
    place = rf"{re.escape(str(bare_lab.config_path))}:{line}:\d+: .*{re.escape(quoted)}"
    before = bare_lab.gateway.ip("address", "show")

    refused = bare_lab.run_daemon_once()
    assert refused.returncode == 2 and re.search(place, refused.stdout + refused.stderr), refused
    checked = bare_lab.viaduct("check", bare_lab.config_path, check=False)
    assert checked.returncode == 2 and re.search(place, checked.stdout + checked.stderr), checked
    assert bare_lab.gateway.ip("address", "show") == before


def test_a_missing_file(bare_lab):
    bare_lab.config_path.unlink(missing_ok=True)
    refused = bare_lab.run_daemon_once()
    assert refused.returncode == 2 and str(bare_lab.config_path) in refused.stdout + refused.stderr


def test_a_good_one_is_good(bare_lab):
    bare_lab.write_config(dns64=labs.Lab.DNS64)
    assert bare_lab.viaduct("check", bare_lab.config_path).returncode == 0
