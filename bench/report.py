# SPDX-License-Identifier: MIT
"""From the rounds' figures to medians, ratios and the text of the report. No network in here:
tests/style/bench_report_test.py feeds it canned figures."""

import json
import statistics

BASES = ("plain", "xdp-forwarder", "tayga", "jool")

# What Viaduct aims at: the words, two figures as (candidate, what, variant), and their least ratio.
# In a variant, "*" stands for each there is, which then has a line of its own.
ONE, MANY = "1 flow", "100,000 flows"
SMALL, THROUGHPUT, NEW = "small UDP", "throughput", "new flows"
AIMS = [
    ("TCP, 1 stream, of plain", ("bpf", "TCP, 1 stream", "*"), ("plain", "TCP, 1 stream", "*"), 0.95),
    ("TCP, 4 streams, of plain", ("bpf", "TCP, 4 streams", "*"), ("plain", "TCP, 4 streams", "*"),
     0.95),
    ("TCP, 1 stream, of plain", ("tun", "TCP, 1 stream", "*"), ("plain", "TCP, 1 stream", "*"), 0.6),
    ("TCP, 4 streams, of plain", ("tun", "TCP, 4 streams", "*"), ("plain", "TCP, 4 streams", "*"),
     0.6),
    ("TCP, 1 stream, of tayga", ("tun", "TCP, 1 stream", "*"), ("tayga", "TCP, 1 stream", "*"), 3),
    ("throughput, of tayga", ("tun", THROUGHPUT, "*"), ("tayga", THROUGHPUT, "*"), 2),
    ("smallest UDP in overload, of tayga", ("tun", SMALL, "*"), ("tayga", SMALL, "*"), 2),
    ("one flow, of plain", ("bpf", SMALL, ONE), ("plain", SMALL, ONE), 0.45),
    ("one flow, of plain", ("direct-tc", SMALL, ONE), ("plain", SMALL, ONE), 0.9),
    ("one flow, of plain", ("direct-xdp", SMALL, ONE), ("plain", SMALL, ONE), 1.7),
    ("one flow, of the XDP forwarder", ("direct-xdp", SMALL, ONE), ("xdp-forwarder", SMALL, ONE),
     0.9),
    ("100,000 flows, of its one flow", ("bpf", SMALL, MANY), ("bpf", SMALL, ONE), 0.7),
    ("100,000 flows, of its one flow", ("direct-xdp", SMALL, MANY), ("direct-xdp", SMALL, ONE),
     0.55),
    ("new flows, of plain", ("bpf", NEW, "*"), ("plain", NEW, "*"), 0.25),
    ("new flows, of plain", ("direct-xdp", NEW, "*"), ("plain", NEW, "*"), 0.4),
    ("one flow, of Jool", ("bpf", SMALL, ONE), ("jool", SMALL, ONE), 1.2),
    ("one flow, of Jool", ("direct-tc", SMALL, ONE), ("jool", SMALL, ONE), 1.6),
    ("one flow, of Jool", ("direct-xdp", SMALL, ONE), ("jool", SMALL, ONE), 2.5),
    ("new flows, of Jool", ("bpf", NEW, "*"), ("jool", NEW, "*"), 1.0),
    ("new flows, of Jool", ("direct-xdp", NEW, "*"), ("jool", NEW, "*"), 1.5),
]

MAP_BYTES = 400  # of kernel memory, at most, for each session that fits into the tables,
MANY_SESSIONS = 1_000_000  # where these are many: what does not grow with them is left out of account


class Results:
    """Figures by (what, variant, unit) and candidate, in the order in which they first came."""

    def __init__(self, bases=BASES):
        self._bases = bases
        self._rounds = {}

    def add(self, candidate, figures):
        for key, figure in figures.items():
            self._rounds.setdefault(key, {}).setdefault(candidate, []).append(figure)

    def rows(self):
        """One row for each key and candidate: median, spread, ratios."""
        rows = []
        for (what, variant, unit), by_candidate in self._rounds.items():
            medians = {name: statistics.median(rounds) for name, rounds in by_candidate.items()}
            for name, rounds in by_candidate.items():
                lost = [figure.lost for figure in rounds if getattr(figure, "lost", None) is not None]
                rows.append({
                    "what": what, "variant": variant, "candidate": name, "unit": unit,
                    "median": round(medians[name], 4),
                    "lowest": round(min(rounds), 4), "highest": round(max(rounds), 4),
                    "rounds": [round(float(figure), 4) for figure in rounds],
                    "lost": round(statistics.median(lost), 4) if lost else None,
                    "of": {base: round(medians[name] / medians[base], 3) for base in self._bases
                           if medians.get(base)},
                })
        return rows


def median_of(rows, candidate, what, variant):
    for row in rows:
        if (row["candidate"], row["what"], row["variant"]) == (candidate, what, variant):
            return row["median"]
    return None


def aims(rows):
    """Those whose two figures are there: what is aimed at and what was reached."""
    found = []
    for words, (one, what, variant), (other, base, base_variant), least in AIMS:
        variants = ([row["variant"] for row in rows if row["what"] == what
                     and row["candidate"] == one] if variant == "*" else [variant])
        for each in variants:
            figure = median_of(rows, one, what, each)
            against = median_of(rows, other, base, each if base_variant == "*" else base_variant)
            if figure is None or not against:
                continue
            found.append({"candidate": one,
                          "words": f"{words}, {each}" if len(variants) > 1 else words,
                          "aim": least, "reached": round(figure / against, 3)})
    return found


def memory_aims(memory):
    """Of the BPF engine: what the kernel provides for each session, bindings included."""
    return [{"candidate": row["candidate"], "words": f"bytes of BPF maps a session, of "
             f"{row['asked']:,}", "most": MAP_BYTES,
             "reached": round(row["maps"] / row["asked"], 1)} for row in memory
            if row["maps"] and row["asked"] >= MANY_SESSIONS]


def aim_line(row):
    if "most" in row:
        return [row["candidate"], row["words"], f"≤ {row['most']}", f"{row['reached']:.0f}"
                + ("" if row["reached"] <= row["most"] else " (missed)")]
    return [row["candidate"], row["words"], f"≥ {row['aim']:.2f}", _share(row["reached"], row["aim"])]


def _share(reached, aim):
    """What is missed by a little does not read like what is reached."""
    if reached >= aim:
        return f"{reached:.2f}"
    digits_needed = 2 if round(reached, 2) < aim else 3
    return f"{reached:.{digits_needed}f} (missed)"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def digits(value):
    return f"{value:.2f}" if value >= 0.095 else f"{value:.4f}"


def figures_table(rows, bases=BASES):
    bases = [base for base in bases if any(base in row["of"] for row in rows)]
    lines = []
    for row in rows:
        lost = row["lost"]
        lines.append([row["what"], row["variant"], row["candidate"],
                      f"{digits(row['median'])} ({digits(row['lowest'])}–{digits(row['highest'])}) "
                      f"{row['unit']}",
                      "" if lost is None else f"{100 * lost:.1f} %",
                      *(f"{row['of'][base]:.2f}" if base in row["of"] else "–" for base in bases)])
    return table(["what", "", "candidate", "median (lowest–highest)", "lost",
                  *(f"of {base}" for base in bases)], lines)


def memory_table(rows):
    return table(["candidate", "sessions", "resident", "BPF maps", "bytes a session"],
                 [[row["candidate"], f"{row['sessions']:,} of {row['asked']:,}",
                   f"{row['resident'] / 1e6:.0f} MB", f"{row['maps'] / 1e6:.0f} MB",
                   f"{(row['resident'] + row['maps']) / max(1, row['sessions']):.0f}"]
                  for row in rows])


def about_line(about):
    return (f"{about['rounds']} round{plural(about['rounds'])} of {about['seconds']:g} s each (TCP: "
            f"after a first second left out), medians. {about['cpu']}, {about['cpus']} "
            f"processor{plural(about['cpus'])} for sender, gateway and receiver together, Linux "
            f"{about['kernel']}, offloads {'on' if about['offloads'] else 'off'}, commit "
            f"{about['commit']}, load of the machine before {about['load_before']:.1f} and after "
            f"{about['load_after']:.1f}, {about['time']}.\n")


def plural(count):
    return "" if count == 1 else "s"


def markdown(report, plots=()):
    parts = ["# The packet lab's figures\n", about_line(report["about"]),
             "bench/measures.py says what is measured, bench/candidates.py what beside what.\n"]
    parts += [f"![{name}]({name})\n" for name in plots]
    if report["aims"]:
        parts += ["## Aims\n", table(["candidate", "", "aim", "reached"],
                                     [aim_line(row) for row in report["aims"]])]
    if report["rows"]:
        parts += ["## Figures\n", figures_table(report["rows"])]
    if report["memory"]:
        parts += ["## Memory\n", memory_table(report["memory"])]
    if report["steps"]:
        parts += ["## Nanoseconds of each step\n",
                  "BPF_PROG_TEST_RUN of the BPF build (tc), a UDP packet of a session that is there, a "
                  "million times; the caches are warm.\n",
                  table(["up to", "ns", "of these the step"],
                        [[row["step"], f"{row['total']:.0f}", f"{row['own']:.0f}"]
                         for row in report["steps"]])]
    if report["left_out"]:
        parts += ["## Left out\n", table(["candidate", "why"], list(report["left_out"].items()))]
    return "\n".join(parts)


def write(folder, name, report, plots=(), text=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(
        json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text or markdown(report, plots), encoding="utf-8")
