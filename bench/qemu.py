# SPDX-License-Identifier: MIT
"""The same run inside one of Debian's kernels (tests/kernels/run-in-kernel), beside Jool, which is a
kernel module. The processor is emulated where there is no KVM: only the ratios say something, and
one processor does everything. The guest has no disk of its own, so its report comes back over its
standard output."""

import json
import os
import subprocess
import sys

import topology
from topology import labs

# The report between these lines on standard output.
BEGIN, END = "--- report ---", "--- end of report ---"

KERNELS = ("6.1", "6.12")
NO_JOOL = "Debian's jool-dkms does not build for this kernel (bench/fetch-jool says why)"
MEMORY_MB = 3000
SECONDS = 3600

# An emulated processor does a twentieth of the real one's work. --quick and what is named on the
# command line come behind and win.
SMALLER = {"--rounds": "3", "--seconds": "3", "--sessions": "300000", "--new-sessions": "300000",
           "--idle": "30", "--fill-rate": "5000"}
MEASURES = ("small", "new")
FLOWS = ("1", "1000", "20000")


def report_to_output(report):
    print(f"{BEGIN}\n{json.dumps(report)}\n{END}", flush=True)


def run(series, arguments, commit):
    """The report of a run in the guest."""
    bench = topology.REPOSITORY / "bench"
    made = subprocess.run([bench / "fetch-jool", series], stdout=subprocess.PIPE, text=True)
    smaller = [word for pair in SMALLER.items() for word in pair]
    command = [topology.REPOSITORY / "tests" / "kernels" / "run-in-kernel", "--timeout", SECONDS,
               "--memory", MEMORY_MB, series, bench / "in-guest", made.stdout.strip() or "none", *smaller,
               "--measures", *MEASURES, "--flows", *FLOWS, *arguments, "--stdout-report"]
    environment = {**os.environ, "VIADUCT_COMMIT": commit, "VIADUCT_BIN": str(labs.BIN)}
    if made.returncode != 0:
        environment["VIADUCT_NO_JOOL"] = NO_JOOL  # left out with these words
    guest = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                             env=environment)
    lines, inside = [], False
    for line in guest.stdout:
        if line.rstrip() in (BEGIN, END):
            inside = line.rstrip() == BEGIN
        elif inside:
            lines.append(line)
        else:
            sys.stderr.write(line)
    if guest.wait() != 0 or not lines:
        raise labs.LabError(f"the run in the guest failed, exit code {guest.returncode}")
    return json.loads("".join(lines))
