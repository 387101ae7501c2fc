# SPDX-License-Identifier: MIT
"""What scripts/bench agent measures with works: a short round of small things. How fast anything is, is the
machine's affair."""

import sys

import pytest

import lab as labs
import toa_lab

sys.path.insert(0, str(labs.REPOSITORY / "bench"))

import agent  # noqa: E402


@pytest.fixture(scope="module")
def report():
    if not toa_lab.TOALAB.exists():
        print("SKIP: toalab is not built (VIADUCT_BPF)")
        pytest.exit("skipped: toalab is not built", 77)
    return agent.measured(agent.options(["--quick"]))


def test_everything_is_measured(report):
    found = {(row["candidate"], row["what"], row["variant"]) for row in report["rows"]}
    variants = [words for words, _ in agent.MIXES]
    for name in (agent.WITHOUT, agent.AGENT):
        assert {(name, what, words) for what in (*agent.RATES, "getpeername") for words in variants} <= found
    assert {(name, "getsockopt", "of something else") for name in agent.CANDIDATES} <= found
    assert all(row["lowest"] > 0 for row in report["rows"])
    assert all("without" in row["of"] for row in report["rows"])


def test_hooks_are_timed(report):
    """A connection is accepted with its address once; sock_ops is asked at least when it is made."""
    rows = {(row["program"], row["variant"]): row for row in report["hooks"]}
    assert len(rows) == len(agent.HOOKS) * len(agent.MIXES)
    for words, _ in agent.MIXES:
        assert rows["agent_sock_ops", words]["runs"] >= 1
        assert 0.9 < rows["agent_getpeername4", words]["runs"] < 1.1
        assert rows["agent_sock_ops", words]["nanoseconds"] > rows["agent_getpeername4", words]["nanoseconds"] > 0


def test_the_report_is_written(report):
    text = agent.markdown(report)
    assert text.count("| agent | connections") == 8 and text.count("nanoseconds more of getpeername") == 2
    assert text.count("| agent | connections accepted, hand-made, with") == 2
    assert text.count("| agent | connections accepted, kernel's client, with") == 2
    assert "agent_sock_ops" in text
