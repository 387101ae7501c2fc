# SPDX-License-Identifier: MIT
"""Fixtures: `gateway_lab` (everything runs, offloads on and then off), `far_lab` (viaductd alone,
routers and hosts further away, offloads on and then off), `nat_lab` (viaductd alone) and `bare_lab`
(the test starts the daemon itself), both with offloads on; of a file that says OFFLOADS_OFF_TOO each
test runs once more without them. A machine that cannot make network namespaces skips with exit code
77.
"""

import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import pytest  # noqa: E402

import agent_lab as agent_labs  # noqa: E402
import lab as labs  # noqa: E402

SKIP_CODE = 77
SECONDS = 380  # a little less than CTest's limit, so that the lab is still taken down


def _too_late(*_):
    raise TimeoutError(f"the test file took longer than {SECONDS} s")


def pytest_sessionstart(session):
    reason = labs.cannot_run()
    for program in ("viaductd", "viaduct"):
        if not reason and not (labs.BIN / program).exists():
            pytest.exit(f"{labs.BIN / program} is not built (VIADUCT_BIN names the folder)", 1)
    if reason:
        print(f"SKIP: {reason}")
        pytest.exit(f"skipped: {reason}", SKIP_CODE)
    labs.end_on_signals()
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(SECONDS)


def pytest_generate_tests(metafunc):
    if getattr(metafunc.module, "OFFLOADS_OFF_TOO", False) and "bare_lab" in metafunc.fixturenames:
        metafunc.parametrize("bare_lab", [True, False], ids=["offloads", "no-offloads"], indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Over all labs of the file: most of them carry little."""
    problem = labs.Carried.problem()
    if problem:
        print(f"\n{problem}; a test that is about such packets says may_hand_up")
        session.exitstatus = 1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """The logs of everything that ran go with a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        values = getattr(item, "funcargs", {}).values()
        kinds = (labs.Lab, agent_labs.AgentLab)
        for lab in {id(value): value for value in values if isinstance(value, kinds)}.values():
            report.sections.append(("logs of the lab", lab.logs()))


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def gateway_lab(request):
    """nginx, the zones, viaductd with DNS64: all started, shared by the tests of a file."""
    with labs.Lab(offloads=request.param) as lab:
        lab.start_web()
        lab.start_dns()
        lab.start_daemon(dns64=lab.DNS64)
        yield lab


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def far_lab(request):
    with labs.Lab(offloads=request.param) as lab:
        lab.extend()
        lab.start_daemon(nat64=lab.ALLOW_FAR)
        yield lab


@pytest.fixture
def bare_lab(request):
    """Namespaces only, a fresh one for each test."""
    with labs.Lab(offloads=getattr(request, "param", True)) as lab:
        yield lab


@pytest.fixture
def nat_lab(bare_lab):
    """viaductd without DNS64, a fresh one for each test."""
    bare_lab.start_daemon()
    return bare_lab


@pytest.fixture(scope="module")
def agent_lab():
    """viaduct-agent with its usual configuration and getsockopt 4096, shared by the tests of a file."""
    with agent_labs.AgentLab() as lab:
        lab.start_agent(nat64_getsockopt=True)
        yield lab


@pytest.fixture
def bare_agent_lab():
    """A fresh one for each test, which starts the agent itself."""
    with agent_labs.AgentLab() as lab:
        yield lab
