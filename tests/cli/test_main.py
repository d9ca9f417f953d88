"""The command line as a whole: help is fast, mistakes name the nearest match, no traceback is shown."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bakery.cli import main
from bakery.errors import AuthError, ConfigurationError, ExitCode
from tests.program import PROGRAM


def bakery(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *arguments]
    variables = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=variables)


def test_version_prints_only_on_stdout():
    done = bakery("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Bakery v")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_an_option_too(option):
    assert bakery(option).stdout == bakery("version").stdout


def test_help_is_an_option_with_two_names_and_a_command():
    expected = bakery("ci", "publish", "--help")
    assert expected.stdout.startswith("Usage: bakery ci publish")
    for words in (("ci", "publish", "-h"), ("help", "ci", "publish")):
        assert bakery(*words).stdout == expected.stdout
    assert bakery("help").stdout == bakery("-h").stdout
    wrong = bakery("help", "versionn")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "error[usage/command]: no such command 'versionn'\nhint: run 'bakery version'\n",
    )


def test_the_module_runs_as_the_program_does():
    done = subprocess.run(
        [sys.executable, "-m", "bakery", "ci", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == bakery("ci", "--help").stdout


STARTING = """
import os, signal, sys
import bakery.__main__ as program

class Interrupt:
    def find_spec(self, name, *rest):
        if name == "bakery.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
program.run()
"""


def test_an_interrupt_while_the_program_is_starting_leaves_no_traceback():
    done = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


WRONG_USAGE = {
    "a command": ("versionn", "error[usage/command]: no such command 'versionn'\nhint: run 'bakery version'\n"),
    "a command of a group": (
        "ci publsh",
        "error[usage/command]: no such command 'publsh'\nhint: run 'bakery ci publish'\n",
    ),
    "an option": ("ci publish --jbs 3 x", "error[usage/option]: no such option --jbs\nhint: use '--jobs'\n"),
    "an option like no other": (
        "check --qqq",
        "error[usage/option]: no such option --qqq\nhint: run 'bakery check --help' to list the options\n",
    ),
    "a missing argument": (
        "ci publish",
        "error[usage/missing]: missing argument METADATA...\nhint: run 'bakery ci publish --help' for usage\n",
    ),
    "a choice": (
        "build --strategy x",
        "error[usage/value]: invalid value for --strategy: 'x' is not one of 'bake', 'build'\n",
    ),
    "a choice that is like another": (
        "ci publish --engine nativ x",
        "error[usage/value]: invalid value for --engine: 'nativ' is not one of 'native', 'cli'\nhint: use 'native'\n",
    ),
    "a time": ("ci publish --time-budget nan x", "error[usage/value]: invalid value for --time-budget: 'nan' is not a"),
    "two switches": ("check -v -q", "error[usage/invalid]: --verbose and --quiet exclude each other\n"),
    "a value too many": (
        "check now",
        "error[usage/invalid]: got unexpected extra argument (now)\nhint: run 'bakery check --help' for usage\n",
    ),
    "an option without its value": (
        "get version --subpath",
        "error[usage/invalid]: option '--subpath' requires an argument\n",
    ),
}


@pytest.mark.parametrize(("words", "message"), WRONG_USAGE.values(), ids=WRONG_USAGE)
def test_wrong_usage_exits_2_with_an_error_and_a_hint(words, message):
    done = bakery(*words.split())
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.startswith(message)


def test_a_wrong_variable_is_named_with_its_option():
    done = bakery("ci", "publish", "x", BAKERY_ENGINE="warp")
    assert done.returncode == ExitCode.USAGE
    assert (
        done.stderr
        == "error[usage/value]: invalid value for --engine (BAKERY_ENGINE): 'warp' is not one of 'native', 'cli'\n"
    )


def test_a_group_without_a_command_prints_its_help_and_exits_2():
    done = bakery("ci")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.startswith("Usage: bakery ci")


def test_help_lists_commands_in_the_order_of_a_publish_with_whole_sentences():
    said = bakery("ci", "--help").stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in said.splitlines() if line[:3].strip()] == [
        "matrix",
        "publish",
        "summary",
        "timeline",
        "Examples:",
        "bakery",
        "bakery",
        "Old",  # names
        "merge",
    ]
    assert "..." not in said


HEAVY = {"asyncio", "h11", "jinja2", "pydantic", "rich", "typer"}
LIGHTEST = HEAVY | {"bakery.report.lines", "importlib.metadata", "logging", "socket", "subprocess", "tempfile"}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        ("--help", HEAVY | {"bakery.cli.get", "bakery.cli.ci"}),
        ("version", LIGHTEST | {"bakery.cli.get", "bakery.cli.ci"}),
        ("ci publish --help", LIGHTEST | {"bakery.cli.get", "bakery.cli.soci"}),
        ("get targets --help", LIGHTEST | {"bakery.cli.ci"}),
    ],
)
def test_help_and_version_import_no_other_command_and_no_heavy_module(arguments, unwanted):
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from bakery.cli.main import run; run()"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout
    assert unwanted.isdisjoint(done.stderr.split())


def test_reading_a_plain_project_imports_only_what_it_needs(tmp_path):
    (tmp_path / "bakery.yaml").write_text(
        "repository: {url: 'https://example.org/x'}\nimages: [{name: a, versions: [{name: '1'}]}]\n"
    )
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from bakery.cli.main import run; run()"
    )
    command = [sys.executable, "-c", code, "get", "targets", "--context", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert {
        "pydantic",
        "pydantic_core",
        "importlib.metadata",
        "jinja2",
        "typer",
        "bakery.config.schema.definitions",
    }.isdisjoint(done.stderr.split())


def test_the_help_of_a_group_is_its_line_in_the_table_of_commands():
    for entry in main.COMMANDS:
        command = entry.load()
        if isinstance(command, click.Group) and not entry.hidden:
            assert entry.help == command.help, entry.name


@pytest.mark.parametrize(
    ("error", "code"),
    [(AuthError("logging in", status=401), 4), (ConfigurationError("reading"), 3), (RuntimeError("a bug"), 1)],
    ids=["authentication", "configuration", "bug"],
)
def test_every_error_becomes_a_message_and_its_exit_code(error, code, capsys):
    def fail():
        raise error

    assert main.guarded(fail) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[")
    assert "Traceback" not in captured.err


def test_an_error_of_the_system_about_a_file_is_not_shown_as_a_bug(capsys):
    def fail():
        Path("x" * 300).read_bytes()

    assert main.guarded(fail) == ExitCode.FAILED
    assert capsys.readouterr().err == (
        f"error[run/failed]: cannot use {'x' * 300}: File name too long\nhint: check its path and permissions\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["check"], ExitCode.CONFIGURATION, "error[project/invalid]: cannot find bakery.yaml"),
        (["verify", ""], ExitCode.USAGE, "error[usage/invalid]: cannot verify '': it is empty\nhint: "),
    ],
    ids=["configuration", "usage"],
)
def test_a_traceback_is_followed_by_the_same_message_and_exit_code(tmp_path, words, code, message):
    done = subprocess.run(
        [*PROGRAM, *words, "--debug"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert done.stderr.startswith("Traceback")
    assert f"\n{message}" in done.stderr


@pytest.mark.parametrize("form", ["--log-format=json", "--log-format json"])
def test_the_log_format_is_an_option_of_the_program(form):
    assert bakery(*form.split(), "version").returncode == 0
    assert bakery("--log-format=yaml", "version").returncode == ExitCode.USAGE


@pytest.mark.parametrize("limit", ["-1", "nan", "soon"])
def test_a_time_limit_must_be_a_non_negative_number(limit):
    done = bakery("ci", "publish", "--time-budget", limit, "x")
    assert done.returncode == ExitCode.USAGE
    assert "--time-budget" in done.stderr


@pytest.mark.parametrize("command", ["version", "explain"])
def test_a_full_disk_is_an_error_and_no_bug(command):
    words = [*PROGRAM, command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == (
        "error[run/failed]: cannot write: no space left on device\n"
        "hint: free some space, then run the same command again\n"
    )


def test_a_working_directory_that_was_deleted_is_an_error_and_no_crash(tmp_path):
    (tmp_path / "gone").mkdir()
    script = 'cd gone && rmdir ../gone && exec "$0" -c "from bakery.cli.main import run; run()" ci publish m.json'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error[run/failed]: cannot run: the working directory does not exist any more\nhint: "
    )
