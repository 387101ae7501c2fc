# SPDX-License-Identifier: MIT
"""The README's figures: written anew from bench/results between the two marks, so that what stands
there is what was measured last, with machine and date."""

import json

import report as reports
import topology

README = topology.REPOSITORY / "README.md"
RESULTS = topology.REPOSITORY / "bench" / "results"
BEGIN, END = "<!-- figures: begin (scripts/bench) -->", "<!-- figures: end -->"

# Rows of the table: the words, (what, variant).
ROWS = [
    ("bulk TCP, 1 stream, up", ("TCP, 1 stream", "up")),
    ("bulk TCP, 1 stream, down", ("TCP, 1 stream", "down")),
    ("bulk TCP, 4 streams, up", ("TCP, 4 streams", "up")),
    ("bulk TCP, 4 streams, down", ("TCP, 4 streams", "down")),
    ("smallest UDP, 1 flow", ("small UDP", "1 flow")),
    ("smallest UDP, 1,000 flows", ("small UDP", "1,000 flows")),
    ("smallest UDP, 100,000 flows", ("small UDP", "100,000 flows")),
    ("smallest UDP, 20,000 flows", ("small UDP", "20,000 flows")),
    ("smallest UDP without loss, 1 flow", ("throughput", "1 flow")),
    ("smallest UDP without loss, 1,000 flows", ("throughput", "1,000 flows")),
    ("smallest UDP without loss, 100,000 flows", ("throughput", "100,000 flows")),
    ("UDP in trains (as QUIC sends)", ("UDP in trains", "1200 bytes")),
    ("new flows, each frame one", ("new flows", "each frame")),
]


def ratios(report):
    """What plain forwarding does, and each candidate's share of it."""
    rows = {(row["candidate"], row["what"], row["variant"]): row for row in report["rows"]}
    names = [name for name in dict.fromkeys(row["candidate"] for row in report["rows"])
             if name != "plain"]
    lines = []
    for words, key in ROWS:
        plain = rows.get(("plain", *key))
        if not plain:
            continue
        shares = [rows.get((name, *key)) for name in names]
        lines.append([words, f"{reports.digits(plain['median'])} {plain['unit']}",
                      *(f"{row['of']['plain']:.2f}" if row else "–" for row in shares)])
    return reports.table(["", "plain", *names], lines)


def section(results):
    """The text between the marks, from the reports that there are: [(file name, report)]."""
    parts = []
    for name, report in results:
        about = report["about"]
        inside = ", in QEMU beside Jool" if name == "qemu" else ""
        parts.append(
            f"Shares of plain IPv6 forwarding in one run of `scripts/bench`{inside} "
            f"([all of it](bench/results/{name}.md)): {about['cpu']}, {about['cpus']} "
            f"processor{reports.plural(about['cpus'])} for sender, gateway and receiver together, Linux "
            f"{about['kernel']}, {about['time'][:10]}, commit {about['commit']}, load before "
            f"{about['load_before']:.1f}; medians of {about['rounds']} rounds:\n")
        parts.append(ratios(report))
    return "\n".join(parts)


def updated(text, results):
    """The README with the section written anew."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{section(results)}{END}{after}"


def write():
    found = [(name, RESULTS / f"{name}.json") for name in ("packetlab", "qemu")]
    results = [(name, json.loads(path.read_text(encoding="utf-8")))
               for name, path in found if path.exists()]
    results = [(name, report) for name, report in results if "aims" in report]  # not older forms
    README.write_text(updated(README.read_text(encoding="utf-8"), results), encoding="utf-8")
