"""Completion in real shells: bash, zsh and fish offer commands, options, and values of the project."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bakery.cli import completion
from tests import projects
from tests.peers.programs import need

SOURCE = Path(completion.__file__).parents[2]
CASES = {
    "a command": ("bakery ci pu", ["publish"]),
    "a group": ("bakery im", ["imagetools"]),
    "an option": ("bakery ci publish --jou", ["--journal"]),
    "an engine": ("bakery ci publish --engine na", ["native"]),
    "a format": ("bakery ci publish --output ma", ["markdown"]),
    "faults": ("bakery rehearse --faults ho", ["hostile"]),
    "an image": ("bakery get tags --image-name atlas-s", ["atlas-server"]),
    "a version of that image": ("bakery get tags --image-name server --image-version 2025", ["2025.12.2"]),
    "a platform": ("bakery get targets --image-platform linux/arm", ["linux/arm64"]),
    "an image of the matrix": ("bakery ci matrix atlas-i", ["atlas-init"]),
    "an error code": ("bakery explain registry/q", ["registry/quota"]),
    "a command for help": ("bakery help ci sum", ["summary"]),
}
READ = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
compopt() { :; }
_bakery_completion bakery
printf '%s\\n' "${COMPREPLY[@]}"
"""
WAIT_S = 30.0


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """An environment with `bakery` in PATH, and the completion script of each shell."""
    folder = tmp_path_factory.mktemp("shells")
    program = folder / "bin" / "bakery"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom bakery.cli.main import run\nrun()\n")
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "HOME": str(folder),
        "TERM": "dumb",
    }
    for shell in completion.SHELLS:
        done = subprocess.run(
            [program, "--show-completion", shell], capture_output=True, check=True, timeout=60, env=environment
        )
        (folder / shell).write_bytes(done.stdout)
    return environment, folder


@pytest.mark.parametrize(("line", "offered"), CASES.values(), ids=CASES)
def test_bash_offers_it(line, offered, surroundings):
    environment, folder = surroundings
    command = ["bash", "-c", READ, "bash", folder / "bash", *line.split()]
    assert ran(command, environment).split() == offered


@pytest.mark.parametrize(("line", "offered"), CASES.values(), ids=CASES)
def test_fish_offers_it(line, offered, surroundings):
    environment, folder = surroundings
    out = ran([need("fish"), "--no-config", "-c", f"source {folder}/fish; complete -C '{line}'"], environment)
    assert [one.partition("\t")[0] for one in out.splitlines()] == offered


@pytest.mark.parametrize(("line", "offered"), CASES.values(), ids=CASES)
def test_zsh_completes_the_word_when_tab_is_pressed(line, offered, surroundings):
    environment, folder = surroundings
    with Zsh(environment, folder / "zsh") as zsh:
        assert zsh.completed(line) == " ".join([*line.split()[:-1], *offered])


def ran(command, environment):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60, env=environment,
        cwd=projects.HERE / "atlas-app",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class Zsh:
    """An interactive zsh on a pseudo-terminal, in the folder of a project."""

    def __init__(self, environment, script):
        self._environment, self._script = environment, script

    def __enter__(self):
        program = need("zsh")
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(projects.HERE / "atlas-app")
            os.execve(program, [str(program), "-f", "-i"], self._environment)
        self._send("PS1='' PS2=''; unsetopt zle_bracketed_paste prompt_cr prompt_sp; autoload -Uz compinit\n")
        self._send(f"compinit -u -D; source {self._script}\n")
        # Enter shows the line as it is after Tab, instead of running it.
        self._send(
            "show() { print -r -- \"<<$BUFFER>>\"; BUFFER=''; zle .accept-line }; zle -N show; bindkey '^X' show\n"
        )
        self._send("print re''ady\n")
        self._read(re.compile(r"ready\r?\n"))
        return self

    def __exit__(self, *exception):
        os.close(self._terminal)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)

    def completed(self, line):
        """Return the line after Tab was pressed."""
        self._send(f"{line}\t\x18")
        return self._read(re.compile(r"<<(.*?)>>"))[1].strip()

    def _send(self, text):
        os.write(self._terminal, text.encode())

    def _read(self, pattern):
        seen, end = "", time.monotonic() + WAIT_S
        while (found := pattern.search(seen)) is None:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"zsh printed only {seen!r}"
            seen += os.read(self._terminal, 65536).decode("utf-8", "replace")
        return found
