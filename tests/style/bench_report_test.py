#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What scripts/bench makes of its figures (bench/report.py): medians, spread, ratios, aims, text."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "bench"), str(TOP / "tests" / "netns")]

import measures  # noqa: E402
import readme  # noqa: E402
import report as reports  # noqa: E402

ONE = ("small UDP", "1 flow", "Mpps")
MANY = ("small UDP", "100,000 flows", "Mpps")
UP = ("TCP, 1 stream", "up", "Gbit/s")


def canned():
    """Three rounds; the middle round is never the median of both."""
    results = reports.Results()
    for plain, bpf, many, up in ((2.0, 1.2, 0.7, 10), (1.0, 0.8, 0.9, 30), (4.0, 1.0, 0.8, 20)):
        results.add("plain", {ONE: plain, UP: up})
        results.add("bpf", {ONE: measures.Figure.of_frames(bpf * 4e6, 8e6, 4), MANY: many,
                            UP: up * 0.96})
    return results.rows()


def a_report(rows):
    memory = [{"candidate": "bpf", "asked": 1_000_000, "sessions": 1_000_000, "before": 1000,
               "resident": 20_000_000, "maps": 380_000_000},
              {"candidate": "bpf", "asked": 1000, "sessions": 1000, "before": 1000,
               "resident": 900_000, "maps": 13_000_000},
              {"candidate": "tun", "asked": 1_000_000, "sessions": 1_000_000, "before": 1000,
               "resident": 900_000_000, "maps": 0}]
    about = {"rounds": 3, "seconds": 4, "cpu": "A processor", "cpus": 2, "kernel": "6.1",
             "offloads": True, "commit": "abc", "load_before": 0.1, "load_after": 1.9,
             "time": "2026-01-01T00:00:00Z"}
    return {"about": about, "rows": rows,
            "aims": reports.aims(rows) + reports.memory_aims(memory), "memory": memory,
            "steps": [{"step": "parse", "total": 61, "own": 11}], "left_out": {"jool": "no module"}}


class BenchReport(unittest.TestCase):
    def row(self, candidate, key):
        found = [row for row in canned()
                 if (row["candidate"], row["what"], row["variant"], row["unit"]) == (candidate, *key)]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_median_and_spread(self):
        row = self.row("plain", ONE)
        self.assertEqual((row["median"], row["lowest"], row["highest"]), (2.0, 1.0, 4.0))
        self.assertEqual(row["rounds"], [2.0, 1.0, 4.0])

    def test_ratio_is_of_the_medians(self):
        self.assertEqual(self.row("bpf", ONE)["of"], {"plain": 0.5})
        self.assertEqual(self.row("plain", ONE)["of"], {"plain": 1.0})
        self.assertEqual(self.row("bpf", MANY)["of"], {})  # plain was not measured there

    def test_share_lost(self):
        self.assertEqual(self.row("bpf", ONE)["lost"], 0.5)
        self.assertIsNone(self.row("plain", ONE)["lost"])

    def test_aims_with_both_figures_only(self):
        aims = {(aim["candidate"], aim["words"]): aim for aim in reports.aims(canned())}
        self.assertEqual(set(aims), {("bpf", "TCP, 1 stream, of plain"),
                                     ("bpf", "one flow, of plain"),
                                     ("bpf", "100,000 flows, of its one flow")})
        self.assertEqual(aims["bpf", "TCP, 1 stream, of plain"]["reached"], 0.96)
        self.assertEqual(aims["bpf", "100,000 flows, of its one flow"]["reached"], 0.8)

    def test_percentiles(self):
        classes = {100: 90, 200: 9, 5000: 1}
        self.assertEqual([measures.percentile(classes, percent) for percent in (50, 90, 99, 99.9)],
                         [100, 100, 200, 5000])

    def test_the_search_ends_just_below_what_the_gateway_can(self):
        for can in (20e3, 140e3, 150e3, 151e3, 1.5e6):
            asked = []
            rate = measures.highest_without_loss(
                lambda rate: asked.append(rate) or rate <= can, 150e3)
            self.assertTrue(can / measures.NEAR <= rate <= can, (can, rate))
            self.assertLessEqual(len(asked), measures.TRIALS)

    def test_a_search_that_always_or_never_passes_ends(self):
        self.assertEqual(measures.highest_without_loss(lambda rate: False, 1e5), 0)
        self.assertGreater(measures.highest_without_loss(lambda rate: True, 1e5), 1e6)

    def test_what_is_lost_at_last_lowers_the_rate(self):
        asked = []

        class Trials:
            def at(self, rate, seconds):
                asked.append(rate)
                sent = (rate or 1e6) * seconds
                return measures.Figure.of_frames(min(sent, 1e5 * seconds), sent, seconds)

            def passes(self, rate):
                return rate <= 1.1e5

        figure = measures.without_loss(Trials(), 4)
        self.assertLessEqual(figure.lost, measures.ACCEPTED_LOSS)
        self.assertGreater(figure, 0.095)
        self.assertEqual(asked, sorted(asked[:1]) + sorted(asked[1:], reverse=True))

    def test_a_rate_without_loss_at_the_fastest_is_the_figure(self):
        class Trials:
            def at(self, rate, seconds):
                assert rate == 0
                return measures.Figure.of_frames(2e6, 2e6, 1)

        self.assertEqual(measures.without_loss(Trials(), 1), 2.0)

    def test_text(self):
        text = reports.markdown(a_report(canned()), ["a.png"])
        self.assertIn("| small UDP | 1 flow | bpf | 1.00 (0.80–1.20) Mpps | 50.0 % | 0.50 |", text)
        self.assertIn("| bpf | one flow, of plain | ≥ 0.45 | 0.50 |", text)
        self.assertIn("| bpf | 1,000,000 of 1,000,000 | 20 MB | 380 MB | 400 |", text)
        self.assertIn("| bpf | bytes of BPF maps a session, of 1,000,000 | ≤ 400 | 380 |", text)
        self.assertNotIn("a session, of 1,000 |", text)  # what does not grow would count too much
        self.assertNotIn("| tun | bytes of", text)
        self.assertIn("| parse | 61 | 11 |", text)
        self.assertIn("| jool | no module |", text)
        self.assertIn("load of the machine before 0.1 and after 1.9", text)
        self.assertIn("![a.png](a.png)", text)

    def test_a_missed_aim_is_said(self):
        rows = canned()
        for row in rows:
            if row["candidate"] == "plain" and row["what"] == ONE[0]:
                row["median"] = 10.0
        self.assertIn("≥ 0.45 | 0.10 (missed) |", reports.markdown(a_report(rows)))

    def test_what_is_missed_by_a_little_does_not_look_reached(self):
        for reached, words in ((0.966, "0.966 (missed)"), (0.964, "0.96 (missed)"), (0.97, "0.97"), (0.981, "0.98")):
            line = reports.aim_line({"candidate": "agent", "words": "", "aim": 0.97, "reached": reached})
            self.assertEqual(line[2:], ["≥ 0.97", words])

    def test_too_much_memory_is_a_missed_aim(self):
        row = {"candidate": "bpf", "asked": 1_000_000, "maps": 500_000_000}
        line = reports.aim_line(reports.memory_aims([row])[0])
        self.assertEqual(line[2:], ["≤ 400", "500 (missed)"])

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            reports.write(Path(folder) / "new", "lab", a_report(canned()))
            read = json.loads((Path(folder) / "new" / "lab.json").read_text(encoding="utf-8"))
            self.assertEqual(read["rows"], canned())
            self.assertIn("## Aims", (Path(folder) / "new" / "lab.md").read_text(encoding="utf-8"))

    def test_readme(self):
        old = f"before\n{readme.BEGIN}\nold figures\n{readme.END}\nafter\n"
        new = readme.updated(old, [("packetlab", a_report(canned()))])
        self.assertTrue(new.startswith(f"before\n{readme.BEGIN}\n") and new.endswith("\nafter\n"))
        self.assertNotIn("old figures", new)
        self.assertIn("| bulk TCP, 1 stream, up | 20.00 Gbit/s | 0.96 |", new)
        self.assertIn("| smallest UDP, 1 flow | 2.00 Mpps | 0.50 |", new)
        self.assertIn("2 processors", new)
        self.assertIn("2026-01-01, commit abc, load before 0.1", new)
        self.assertEqual(readme.updated(new, [("packetlab", a_report(canned()))]), new)

    def test_the_readme_has_its_marks(self):
        text = readme.README.read_text(encoding="utf-8")
        self.assertEqual((text.count(readme.BEGIN), text.count(readme.END)), (1, 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
