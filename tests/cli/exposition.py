# SPDX-License-Identifier: MIT
"""A strict reader of Prometheus' text format, version 0.0.4: refuses what a lenient one forgives."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e[-+][0-9]+)?)")
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parse(text):
    """{name: {"type", "help", "samples": {frozenset of labels: value}}}; AssertionError if wrong."""
    assert text.endswith("\n") and "\r" not in text
    families = {}
    family = None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _, help_text = line[7:].partition(" ")
            assert re.fullmatch(NAME, name) and help_text, line
            assert name not in families, f"{name} comes twice"
            family = families[name] = {"help": help_text, "type": None, "samples": {}}
        elif line.startswith("# TYPE "):
            named, kind = line[7:].split(" ")
            assert named == name and family["type"] is None and not family["samples"], line
            assert kind in ("counter", "gauge"), line
            assert (kind == "counter") == name.endswith("_total"), line
            family["type"] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            assert match[1] == name and family["type"], f"{line!r} stands outside its family"
            pairs = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"', match[2] or "")
            labels = {key: re.sub(r'\\[\\"n]', lambda m: ESCAPES[m[0]], value) for key, value in pairs}
            assert len(labels) == len(pairs), f"a label comes twice: {line!r}"
            key = frozenset(labels.items())
            assert key not in family["samples"], f"{line!r} comes twice"
            family["samples"][key] = float(match[3])
    return families


def value(families, name, **labels):
    return families[name]["samples"][frozenset(labels.items())]
