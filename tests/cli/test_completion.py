"""Shell completion: what a shell offers, and how completion is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bakery.cli import completion

ROOT = Path(__file__).parents[2]
PRESSED = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
compopt() { echo "compopt $*"; }
_bakery_completion "$PROGRAM"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def program(tmp_path):
    """An executable `bakery`."""
    file = tmp_path / "bin" / "bakery"
    file.parent.mkdir()
    file.write_text(f"#!{sys.executable}\nfrom bakery.cli.main import run\nrun()\n")
    file.chmod(0o755)
    return file


def environment(program, **more):
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "PROGRAM": str(program)} | more


def run(program, *arguments, **more):
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment(program, **more)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("bakery ch", ["check"]),
        ("bakery ci p", ["publish"]),
        ("bakery ci publish --j", ["--jobs", "--journal"]),
        ("bakery get targets --output j", ["json"]),
        ("bakery b", ["build"]),  # and not its aliases
    ],
)
def test_bash_completes_commands_options_and_values(words, names, program, tmp_path):
    script = tmp_path / "bakery.sh"
    script.write_text(run(program, "--show-completion", "bash"))
    done = subprocess.run(
        ["bash", "-c", PRESSED, "bash", str(script), *words.split()],
        capture_output=True, text=True, check=True, timeout=60, env=environment(program),
    )  # fmt: skip
    assert done.stdout.split() == names, done.stderr


def test_installing_twice_makes_every_new_bash_read_the_script_once(program, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text("true")  # no final newline
    for _ in range(2):
        run(program, "--install-completion", HOME=str(home), SHELL="/bin/bash")
    assert (home / ".bashrc").read_text() == "true\nsource ~/.bash_completions/bakery.sh\n"
    done = subprocess.run(
        ["bash", "--rcfile", str(home / ".bashrc"), "-i", "-c", "complete -p bakery"],
        capture_output=True, text=True, check=False, timeout=60, env=environment(program, HOME=str(home)),
    )  # fmt: skip
    assert "_bakery_completion" in done.stdout, done.stderr


def test_a_start_file_in_another_encoding_is_kept(tmp_path):
    (tmp_path / ".bashrc").write_bytes(b"# caf\xe9\n")
    completion.install("bash", "# script\n", tmp_path)
    assert (tmp_path / ".bashrc").read_bytes() == b"# caf\xe9\nsource ~/.bash_completions/bakery.sh\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_are_written_to_the_folders_that_shells_read(shell, tmp_path):
    file = completion.install(shell, "# script\n", tmp_path)
    assert file.read_text() == "# script\n"
    assert file.is_relative_to(tmp_path)
