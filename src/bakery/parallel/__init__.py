"""Concurrent commands, for plugins: `run(tasks)` and `run_jobs(jobs)` wait for all results.

Asynchronous code imports the modules: `jobs` (the scheduler), `spawn` (the one way to start a process), `command`
(tasks, jobs, runner, retry), `transient` (which failures to retry), `root` (what a signal ends), `program` (where a
program is). Names are loaded on first use, since most commands need only `root`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakery.errors import ExecutorInterrupted
    from bakery.parallel.blocking import run, run_jobs
    from bakery.parallel.command import (
        BlockingRunner,
        CommandResult,
        CommandRunner,
        ShellJob,
        ShellResult,
        ShellTask,
    )
    from bakery.parallel.jobs import JobResult, resolve_max_workers
    from bakery.retry import RetryPolicy

__all__ = [
    "BlockingRunner",
    "CommandResult",
    "CommandRunner",
    "ExecutorInterrupted",
    "JobResult",
    "RetryPolicy",
    "ShellJob",
    "ShellResult",
    "ShellTask",
    "resolve_max_workers",
    "run",
    "run_jobs",
]

_HOMES = {
    "ExecutorInterrupted": "bakery.errors",
    "JobResult": "bakery.parallel.jobs",
    "RetryPolicy": "bakery.retry",
    "resolve_max_workers": "bakery.parallel.jobs",
    "run": "bakery.parallel.blocking",
    "run_jobs": "bakery.parallel.blocking",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "bakery.parallel.command")), name)
