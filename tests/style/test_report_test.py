#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""scripts/lib/test-report: what may count as passed, and what never must.

The folders it reads are made by a real ctest, run over a small project of tests that pass, fail, skip in
both ways, crash, or have no program to run; so that a new ctest which writes other words is noticed.
"""

import subprocess
import tempfile
import unittest
from pathlib import Path

REPORT = Path(__file__).resolve().parents[2] / "scripts/lib/test-report"

GTEST_SKIP = r"""#!/bin/sh
echo '[ RUN      ] Suite.Case'
echo '/src/some_test.cpp:12: Skipped'
echo 'no tun here'
echo
echo '[  SKIPPED ] Suite.Case (0 ms)'
"""

TESTS = {
    "good": 'add_test(good true)',
    "bad": 'add_test(bad sh -c "echo the detail >&2; exit 1")',
    "crash": 'add_test(crash sh -c "kill -SEGV $$")',
    "slow": 'add_test(slow sleep 30)\nset_tests_properties(slow PROPERTIES TIMEOUT 1)',
    "skip": 'add_test(skip sh -c "echo SKIP: no kernel here; exit 77")\n'
            'set_tests_properties(skip PROPERTIES SKIP_RETURN_CODE 77)',
    "gskip": 'add_test(gskip "@FOLDER@/gtest")\n'
             'set_tests_properties(gskip PROPERTIES SKIP_REGULAR_EXPRESSION "\\\\[  SKIPPED \\\\]")',
    "missing": 'add_test(missing "/nonexistent/program")',
    "orphan": 'add_test(setup false)\nset_tests_properties(setup PROPERTIES FIXTURES_SETUP fix)\n'
              'add_test(orphan true)\nset_tests_properties(orphan PROPERTIES FIXTURES_REQUIRED fix)',
    "disabled": 'add_test(disabled true)\nset_tests_properties(disabled PROPERTIES DISABLED ON)',
}


class TestReport(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.results = Path(holder.name) / "results"
        self.results.mkdir()
        self.folder = Path(holder.name)

    def ctest(self, *names, suite="dev"):
        """Runs the named tests as scripts/test does."""
        gtest = self.folder / "gtest"
        gtest.write_text(GTEST_SKIP)
        gtest.chmod(0o755)
        text = "\n".join(TESTS[name] for name in names).replace("@FOLDER@", str(self.folder))
        source, build = self.folder / f"{suite}-source", self.folder / f"{suite}-build"
        source.mkdir()
        (source / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.25)\nproject(p NONE)\nenable_testing()\n{text}\n")
        subprocess.run(["cmake", "-S", source, "-B", build], check=True, capture_output=True)
        run = subprocess.run(
            ["ctest", "--test-dir", build, "--no-tests=ignore", "--test-output-size-passed", "100000",
             "--output-junit", self.results / f"{suite}.xml"], capture_output=True)
        (self.results / f"{suite}.status").write_text(f"{run.returncode}\n")

    def report(self):
        run = subprocess.run([REPORT, self.results], capture_output=True, text=True)
        self.assertEqual(run.stderr, "")
        lines = run.stdout.splitlines()
        return run.returncode, lines[-1], lines[:-1]

    def test_all_good(self):
        self.ctest("good")
        self.assertEqual(self.report(), (0, "1 passed, 0 failed", []))

    def test_suites_are_summed(self):
        self.ctest("good")
        self.ctest("good", "skip", suite="asan")
        code, last, lines = self.report()
        self.assertEqual((code, last), (0, "2 passed, 0 failed, 1 skipped"))
        self.assertEqual(lines, ["skipped: asan: skip: no kernel here"])

    def test_both_ways_to_skip_give_their_reason(self):
        self.ctest("good", "skip", "gskip")
        code, last, lines = self.report()
        self.assertEqual((code, last), (0, "1 passed, 0 failed, 2 skipped"))
        self.assertEqual(lines, ["skipped: dev: skip: no kernel here", "skipped: dev: gskip: no tun here"])

    def test_a_disabled_test_is_counted_as_skipped(self):
        self.ctest("good", "disabled")
        code, last, lines = self.report()
        self.assertEqual((code, last), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("disabled", lines[0])

    def test_failures_of_every_kind(self):
        self.ctest("good", "bad", "crash", "slow", "missing", "orphan")
        code, last, lines = self.report()
        # orphan brings its set-up, which fails too
        self.assertEqual((code, last), (1, "1 passed, 6 failed"))
        for name in ("bad", "crash", "slow", "missing", "orphan", "setup"):
            self.assertTrue(any(line.startswith(f"failed: dev: {name}: ") for line in lines), name)

    def test_only_skipped_is_not_a_pass(self):
        self.ctest("skip")
        code, last, _ = self.report()
        self.assertEqual((code, last), (1, "0 passed, 0 failed, 1 skipped"))

    def test_nothing_ran(self):
        self.ctest()
        code, last, lines = self.report()
        self.assertEqual((code, last), (1, "0 passed, 0 failed"))
        self.assertIn("nothing ran", lines[0])

    def test_a_failed_build_is_a_failure(self):
        self.ctest("good")
        (self.results / "build-asan.failed").write_text("the asan preset does not build\n")
        code, last, lines = self.report()
        self.assertEqual((code, last), (1, "1 passed, 1 failed"))
        self.assertEqual(lines, ["failed: build-asan: the asan preset does not build"])

    def test_a_crashed_ctest_is_a_failure(self):
        for status, text in (("139", None), ("8", "<testsuite><testcase name="), ("0", "<testsu")):
            with self.subTest(status=status, text=text):
                (self.results / "dev.status").write_text(status)
                if text is not None:
                    (self.results / "dev.xml").write_text(text)
                code, last, _ = self.report()
                self.assertEqual((code, last), (1, "0 passed, 1 failed"))

    def test_an_exit_code_without_a_failed_test_is_a_failure(self):
        self.ctest("good")
        (self.results / "dev.status").write_text("8\n")
        code, last, _ = self.report()
        self.assertEqual((code, last), (1, "1 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
