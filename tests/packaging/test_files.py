# SPDX-License-Identifier: MIT
"""What is installed beside the programs, by the eyes of those who read it: systemd, nft, man, the shells."""

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
PROGRAMS = ["viaduct", "viaduct-agent"]  # the commands of people


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture(params=["viaductd", "viaduct-agent"])
def unit(request, tmp_path):
    """The unit with the programs that were just built: systemd looks whether they are there."""
    path = tmp_path / f"{request.param}.service"
    text = (TOP / "packaging/systemd" / path.name).read_text()
    assert f"/usr/local/sbin/{request.param}" in text
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


def test_the_agents_configuration_is_good():
    done = subprocess.run([f"{BIN}/viaduct-agent", "check", TOP / "packaging/agent.toml"], capture_output=True, text=True)
    # As it comes it believes nobody, and says so.
    assert done.returncode == 0 and done.stderr.splitlines() == [
        "viaduct-agent: warning: [agent] senders is empty: no TOA is believed"]


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
    for path in (*sorted((TOP / "docs/man").glob("*.8")), configuration):
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
        re.findall(r"^  ([a-z-]+)", subcommands[1], re.MULTILINE) if subcommands else [])


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_subcommand_and_option_is_in_the_manual(pages, program):
    page = pages[f"{program}.8"]
    options, subcommands = options_of(program)
    assert len(subcommands) >= 6
    for subcommand in subcommands:
        assert re.search(rf"^       {subcommand}\b", page, re.MULTILINE), subcommand
        options |= options_of(program, subcommand)[0]
    for option in options:
        assert re.search(rf"{option}\b", page), option
    written = set(re.findall(r"(?<![\w-])--[a-z]+", page))
    assert written == options  # and none that there is not


def test_every_option_of_the_daemon_is_in_the_manual(pages):
    for option in options_of("viaductd")[0]:
        assert re.search(rf"{option}\b", pages["viaductd.8"]), option


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
WORDS = {
    "viaduct": {
        "show": ["status", "sessions", "bindings", "pools", "maps", "counters"], "clear": ["sessions"],
        "trace": ("tcp udp icmp protocol from to port ttl tos length df syn ack fin rst psh urg sequence echo reply id "
                  "no-route prohibited host-unreachable port-unreachable ttl-exceeded too-big type code mtu "
                  "about").split()},
    "viaduct-agent": {"show": ["status", "counters", "connections"]},
}


def completed_by_bash(*words):
    program = words[0]
    script = f'PATH={BIN}:$PATH; . {COMPLETION}/{program}.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
             f'_{program.replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True,
                          check=True).stdout.split()


def completed_by_fish(*words):
    needs("fish")
    with tempfile.TemporaryDirectory() as home:
        line = " ".join(words)
        shown = subprocess.run(
            ["fish", "--no-config", "-c", f"set PATH {BIN} $PATH; source {COMPLETION}/{words[0]}.fish; complete -C '{line}'"],
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
        shutil.copy(COMPLETION / f"{words[0]}.zsh", folder / f"_{words[0]}")  # as it is installed
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


COMPLETED = pytest.mark.parametrize("completed", [completed_by_bash, completed_by_fish, completed_by_zsh])


@COMPLETED
@pytest.mark.parametrize("program", PROGRAMS)
def test_completion_offers_what_help_says(program, completed):
    options, subcommands = options_of(program)
    assert set(completed(program, "")) - options == set(subcommands)
    assert set(completed(program, "--")) == options
    for subcommand in subcommands:
        its_own = options_of(program, subcommand)[0] | {"--socket"}  # which may stand behind it, too
        assert set(completed(program, subcommand, "--")) == its_own, subcommand
        if subcommand in WORDS[program]:
            assert set(completed(program, subcommand, "")) - its_own == set(WORDS[program][subcommand])
            for word in WORDS[program][subcommand]:
                assert word in subprocess.run([f"{BIN}/{program}", subcommand, "--help"], capture_output=True,
                                              text=True, check=True).stdout
    assert completed(program, "--socket", "x", "sho") == ["show"]


@COMPLETED
@pytest.mark.parametrize("command", [("viaduct", "check"), ("viaduct", "doctor"), ("viaduct-agent", "check")])
def test_completion_offers_files(command, completed):
    assert "/etc/passwd" in "".join(completed(*command, "/etc/passw")) or \
        completed(*command, "/etc/passw")[0].startswith("passwd")


@COMPLETED
def test_completion_offers_reasons(completed):
    assert completed("viaduct", "explain", "no_po") == ["no_port"]
