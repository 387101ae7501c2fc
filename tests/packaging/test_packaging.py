# SPDX-License-Identifier: MIT
"""The systemd unit by systemd's own eyes, and the nftables example by nft's."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ["VIADUCT_BIN"]
UNIT = TOP / "packaging/systemd/viaductd.service"


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def unit(tmp_path):
    """The unit with the programs that were just built: systemd looks whether they are there."""
    path = tmp_path / "viaductd.service"
    text = UNIT.read_text()
    assert "/usr/local/sbin/viaductd" in text
    path.write_text(text.replace("/usr/local/sbin", BIN))
    return path


def verify(path):
    return subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)


def test_systemd_accepts_the_unit(unit):
    needs("systemd-analyze")
    checked = verify(unit)
    assert (checked.returncode, checked.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClocks=yes"))
    assert "ProtectClocks" in verify(unit).stderr  # it would have said so


def test_the_sandbox_is_tight(unit):
    needs("systemd-analyze")
    # Exposure in tenths: 10.0 is "unsafe". A root daemon with CAP_NET_ADMIN does not get much below 3.
    checked = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=35", unit],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout[-400:] + checked.stderr


def test_nft_accepts_the_example():
    needs("nft")
    if os.geteuid() != 0:
        pytest.skip("nft -c needs root")
    checked = subprocess.run(["unshare", "--net", "nft", "-c", "-f", TOP / "packaging/nftables/viaduct.nft"],
                             capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


# --- manual pages --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def pages():
    """{name: (path, its text as a reader sees it)}; man must have nothing to say about any of them."""
    needs("man")
    folder = tempfile.mkdtemp(prefix="viaduct-man-")
    configuration = pathlib.Path(folder) / "viaduct.toml.5"
    configuration.write_text(subprocess.run([TOP / "scripts/man-configuration"], capture_output=True, text=True,
                                            check=True).stdout)
    texts = {}
    for path in (TOP / "docs/man/viaduct.8", TOP / "docs/man/viaductd.8", configuration):
        shown = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", path], capture_output=True,
                               text=True, env={**os.environ, "MANROFFOPT": "-rHY=0", "GROFF_NO_SGR": "1",
                                               "MANWIDTH": "1000", "LC_ALL": "C.UTF-8"})
        assert (shown.returncode, shown.stderr) == (0, ""), path
        texts[path.name] = re.sub(r".\x08", "", shown.stdout).replace("\N{HYPHEN}", "-").replace("\N{MINUS SIGN}", "-")
    shutil.rmtree(folder)
    return texts


def options_of(*command):
    text = subprocess.run([f"{BIN}/{command[0]}", *command[1:], "--help"], capture_output=True, text=True,
                          check=True).stdout
    subcommands = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.MULTILINE)
    return set(re.findall(r"(?<![\w-])--[a-z]+", text.split("Examples:")[0])), (
        re.findall(r"^  ([a-z]+)", subcommands[1], re.MULTILINE) if subcommands else [])


def test_every_subcommand_and_option_is_in_the_manual(pages):
    options, subcommands = options_of("viaduct")
    assert len(subcommands) >= 6
    for subcommand in subcommands:
        assert re.search(rf"^       {subcommand}\b", pages["viaduct.8"], re.MULTILINE), subcommand
        options |= options_of("viaduct", subcommand)[0]
    for option in options:
        assert re.search(rf"{option}\b", pages["viaduct.8"]), option
    for option in options_of("viaductd")[0]:
        assert re.search(rf"{option}\b", pages["viaductd.8"]), option
    written = set(re.findall(r"(?<![\w-])--[a-z]+", pages["viaduct.8"]))
    assert written == options  # and none that there is not


def test_every_configuration_key_is_in_the_manual(pages):
    canonical = subprocess.run([f"{BIN}/viaduct", "check", "--canonical", TOP / "tests/config/ok/every_key.toml"],
                               capture_output=True, text=True, check=True).stdout
    keys = set(re.findall(r"\b([a-z_0-9]+) = ", canonical))
    assert len(keys) > 25
    for key in keys - {"address"}:  # stands inside of pool4's table
        assert re.search(rf"^ +(\S+ → )?{key}( |$)", pages["viaduct.toml.5"], re.MULTILINE), key


def test_every_check_of_the_doctor_is_documented():
    said = subprocess.run([f"{BIN}/viaduct", "--socket", "/nonexistent", "doctor", "--json"], capture_output=True,
                          text=True).stdout
    checks = [line["check"] for line in json.loads(said)]
    rows = [row for row in (TOP / "docs/doctor.md").read_text().splitlines() if row.startswith("| `")]
    assert re.findall(r"`([a-z0-9_ ]+)`", " ".join(row.split("|")[1] for row in rows))[4:] == checks


# --- completion ----------------------------------------------------------------------------------

COMPLETION = TOP / "packaging/completion"
WORDS = {"show": ["status", "sessions", "bindings", "pools", "maps", "counters"], "clear": ["sessions"],
         "trace": ("tcp udp icmp protocol from to port ttl tos length df syn ack fin rst psh urg sequence echo reply id "
                   "no-route prohibited host-unreachable port-unreachable ttl-exceeded too-big type code mtu "
                   "about").split()}


def completed_by_bash(*words):
    script = f'PATH={BIN}:$PATH; . {COMPLETION}/viaduct.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
             '_viaduct; printf "%s\\n" "${COMPREPLY[@]}"'
    return subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True,
                          check=True).stdout.split()


def completed_by_fish(*words):
    needs("fish")
    with tempfile.TemporaryDirectory() as home:
        line = " ".join(words)
        shown = subprocess.run(
            ["fish", "--no-config", "-c", f"set PATH {BIN} $PATH; source {COMPLETION}/viaduct.fish; complete -C '{line}'"],
            capture_output=True, text=True, check=True, env={**os.environ, "HOME": home})
    return [entry.split("\t")[0] for entry in shown.stdout.splitlines()]


ZSH = r"""
fpath=($COMPLETION $fpath)
autoload -U compinit && compinit -D -u
capture() {
  compadd() {  # the files' functions only look with -A, -O and -D; what is offered is written down
    case " ${@[1,(i)--]} " in *' -'[AOD]' '*) builtin compadd "$@"; return ;; esac
    local -a hits
    builtin compadd -A hits "$@"
    print -l -- $hits >>$OFFERED
  }
  _main_complete
  unfunction compadd
}
zle -C capture complete-word capture
bindkey '^I' capture
finish() { : >$DONE; BUFFER=; }
zle -N finish
bindkey '^X' finish
PS1=ready
"""


def completed_by_zsh(*words):
    """As a user has it: the line is typed into a terminal, then the tabulator."""
    needs("zsh")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(COMPLETION / "viaduct.zsh", folder / "_viaduct")  # as it is installed
        (folder / ".zshrc").write_text(ZSH)
        offered, done = folder / "offered", folder / "done"
        environment = {**os.environ, "ZDOTDIR": str(folder), "COMPLETION": str(folder), "OFFERED": str(offered),
                       "DONE": str(done), "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        shell, terminal = pty.fork()
        if shell == 0:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-d", "-i"], environment)
        try:
            said = b""
            typed = False
            deadline = time.monotonic() + 20
            while not done.exists():
                assert time.monotonic() < deadline, said
                if select.select([terminal], [], [], 0.05)[0]:
                    said += os.read(terminal, 4096)
                if b"ready" in said and not typed:
                    os.write(terminal, " ".join(words).encode() + b"\t\x18")
                    typed = True
        finally:
            os.kill(shell, signal.SIGKILL)
            os.waitpid(shell, 0)
            os.close(terminal)
        return offered.read_text().split() if offered.exists() else []


@pytest.mark.parametrize("completed", [completed_by_bash, completed_by_fish, completed_by_zsh])
def test_completion_offers_what_help_says(completed):
    options, subcommands = options_of("viaduct")
    assert set(completed("viaduct", "")) - options == set(subcommands)
    assert set(completed("viaduct", "--")) == options
    for subcommand in subcommands:
        its_own = options_of("viaduct", subcommand)[0] | {"--socket"}  # which may stand behind it, too
        assert set(completed("viaduct", subcommand, "--")) == its_own, subcommand
        if subcommand in WORDS:
            assert set(completed("viaduct", subcommand, "")) - its_own == set(WORDS[subcommand])
            for word in WORDS[subcommand]:
                assert word in subprocess.run([f"{BIN}/viaduct", subcommand, "--help"], capture_output=True,
                                              text=True, check=True).stdout
    assert completed("viaduct", "explain", "no_po") == ["no_port"]
    assert completed("viaduct", "--socket", "x", "sho") == ["show"]
    for subcommand in ("check", "doctor"):
        assert "/etc/passwd" in "".join(completed("viaduct", subcommand, "/etc/passw")) or \
            completed("viaduct", subcommand, "/etc/passw")[0].startswith("passwd")
