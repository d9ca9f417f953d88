"""The synchronous face of the room, for plugins and for any code without an event loop.

`run(tasks)` and `run_jobs(jobs)` run many commands at once; `run_command(cmd)` runs one and returns its output.
Callbacks run on the calling thread, in the order of completion, so they may change shared state without locks.

From asynchronous code use `command.run_tasks`, `command.run_shell_jobs` and `spawn.spawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakery.events import Emit, ignore
from bakery.parallel.command import (
    ShellJob,
    ShellResult,
    ShellTask,
    Surroundings,
    run_shell_jobs,
    run_tasks,
)
from bakery.parallel.jobs import JobResult
from bakery.parallel.root import run_interruptible
from bakery.parallel.spawn import Exit, spawn


def run(
    tasks: Sequence[ShellTask],
    on_result: Callable[[ShellResult], None] | None = None,
    *,
    jobs: int | None = None,
    fail_fast: bool = False,
    emit: Emit = ignore,
) -> list[ShellResult]:
    """Run every task, at most `jobs` at once (None: BAKERY_MAX_CONCURRENCY). Results are in the order of `tasks`.

    Raises ExecutorInterrupted after a signal, once every child has ended; ValueError for duplicate keys.
    """
    return run_interruptible(run_tasks(tasks, jobs=jobs, on_result=on_result, fail_fast=fail_fast, emit=emit))


def run_jobs(
    shell_jobs: Sequence[ShellJob],
    on_result: Callable[[JobResult[Any]], None] | None = None,
    *,
    jobs: int | None = None,
    fail_fast: bool = False,
    emit: Emit = ignore,
) -> list[JobResult[Any]]:
    """Run every job, at most `jobs` at once (None: BAKERY_MAX_CONCURRENCY). Results are in the order of `shell_jobs`.

    An exception that a job raises is in its result. Raises ExecutorInterrupted after a signal; ValueError for
    duplicate keys.
    """
    return run_interruptible(
        run_shell_jobs(shell_jobs, jobs=jobs, on_result=on_result, fail_fast=fail_fast, surroundings=Surroundings(emit))
    )


def run_command(
    cmd: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: bytes = b"",
    timeout_s: float | None = None,
) -> Exit:
    """Run one command and return its exit code and output. Parameters as for `spawn.spawn`.

    Never raises for what the command does. Raises ExecutorInterrupted after a signal, once the command has ended;
    RuntimeError in a thread with a running event loop.
    """
    return run_interruptible(spawn(cmd, env=env, cwd=cwd, stdin=stdin, timeout_s=timeout_s))
