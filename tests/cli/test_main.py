"""The frame of the command line: help is quick, a mistake is told with the nearest name, no traceback escapes."""

import subprocess
import sys

import pytest

from bakery.cli import main
from bakery.errors import AuthError, ConfigurationError, ExitCode


def bakery(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from bakery.cli.main import run; run()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_version_is_printed_on_stdout_alone():
    done = bakery("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Bakery v")


def test_a_mistyped_command_names_the_nearest_and_exits_2():
    done = bakery("versio")
    assert done.returncode == ExitCode.USAGE
    assert "'version'" in done.stderr
    assert done.stdout == ""


def test_help_and_version_import_no_heavy_module():
    heavy = "h11 pydantic rich jinja2 ruamel asyncio"
    code = (
        "import sys; from bakery.cli import main; main.build_app('version'); "
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [(AuthError("logging in", status=401), 4), (ConfigurationError("reading"), 3), (RuntimeError("a bug"), 1)],
    ids=["authentication", "configuration", "bug"],
)
def test_every_error_becomes_one_line_and_its_exit_code(error, code, capsys):
    def fail():
        raise error

    assert main.guarded(fail) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("form", ["--log-format=json", "--log-format json"])
def test_the_log_format_is_given_before_the_command(form):
    assert bakery(*form.split(), "version").returncode == 0
    assert bakery("--log-format=yaml", "version").returncode == ExitCode.USAGE
