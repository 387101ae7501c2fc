# SPDX-License-Identifier: MIT
"""A program that is missing must not look like a test that passed: if anything was skipped and nothing failed,
the whole is skipped, with the reasons."""

SKIP_CODE = 77
_reasons = []


def pytest_runtest_logreport(report):
    if report.skipped:
        _reasons.append(report.longrepr[2].removeprefix("Skipped: "))


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and _reasons:
        print("\nSKIP: " + "; ".join(sorted(set(_reasons))))
        session.exitstatus = SKIP_CODE
