"""The synchronous face of the room: run(tasks) and run_jobs(jobs), for plugins and for anyone without an event loop.

Callbacks are called on the calling thread, in the order of completion: they may change shared state without locks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def run(
    tasks: Sequence[ShellTask],
    on_result: Callable[[ShellResult], None] | None = None,
    *,
    jobs: int | None = None,
    fail_fast: bool = False,
    emit: Emit = ignore,
) -> list[ShellResult]:
    """Run every command, `jobs` at once (None: BAKERY_MAX_CONCURRENCY). Results come in the order of `tasks`.

    Raises ExecutorInterrupted when a signal came, once every child has gone; ValueError for duplicate keys.
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
    """Run every job, `jobs` at once (None: BAKERY_MAX_CONCURRENCY). Results come in the order of `shell_jobs`.

    What a job raises is its result. Raises ExecutorInterrupted when a signal came; ValueError for duplicate keys.
    """
    return run_interruptible(
        run_shell_jobs(shell_jobs, jobs=jobs, on_result=on_result, fail_fast=fail_fast, surroundings=Surroundings(emit))
    )
