"""Bakery needs POSIX. On Windows it says so, whatever the command; it does not fail on an import."""

import subprocess
import sys

import pytest

WINDOWS = """
import importlib.abc, os, signal, sys
import asyncio, click, subprocess  # these work on Windows: their own imports must not meet the block below

ABSENT = {"fcntl", "grp", "pwd", "resource", "termios"}  # modules that Python on Windows does not have
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in ABSENT:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Block())
for module, names in ((signal, ("SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT")), (os, ("getpgid", "killpg"))):
    for name in names:
        delattr(module, name)
sys.platform = "win32"

from bakery.cli.main import run
run()
"""


@pytest.mark.parametrize(
    "arguments", ["--help", "version", "rehearse examples/hello", "get targets", "no-such-command"]
)
def test_every_command_reports_that_windows_is_not_supported(arguments):
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, *arguments.split()], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error[usage/invalid]: cannot run Bakery on Windows: it needs POSIX: file locks, process groups, signals",
        "hint: install and run it in WSL 2",
    ]
