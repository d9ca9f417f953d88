"""Commands as tasks and as the steps of jobs: ShellTask, ShellJob and the CommandRunner that a job is given.

A task is one command; a job is a callable that runs several in order. Both go through `spawn` and are scheduled by
`jobs.run_jobs`. Retries are here and nowhere around it. Source: pipeline.md 2.1, 2.4, 2.6, 3.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from bakery.errors import BakeryError, ExecutorInterrupted
from bakery.events import Emit, StepFinished, StepRetried, StepStarted, TargetFinished, ignore
from bakery.parallel.jobs import Job, JobResult, Place, Slot, resolve_max_workers
from bakery.parallel.jobs import run_jobs as schedule
from bakery.parallel.spawn import Exit, spawn
from bakery.retry import Clock, RetryPolicy, SystemClock

_log = logging.getLogger(__name__)

ONCE = RetryPolicy(max_attempts=1)


class ShellTask(Struct, frozen=True):
    """One command. env None inherits ours. timeout in seconds; None or not positive: no limit. payload is opaque."""

    key: str
    cmd: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | str | None = None
    label: str = ""
    payload: Any = None
    timeout: float | None = None

    @property
    def display_label(self) -> str:
        return self.label or self.key


class ShellResult(Struct, frozen=True):
    """How a task ended. returncode is None if it never started; exception says why it did not end by itself."""

    task: ShellTask
    returncode: int | None
    stdout: bytes
    stderr: bytes
    duration: float
    exception: BaseException | None = None
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.exception is None and self.returncode == 0


class CommandResult(Struct, frozen=True):
    """How a command of a job ended, after `attempts` attempts; the rest is of the last one."""

    cmd: tuple[str, ...]
    returncode: int | None
    stdout: bytes
    stderr: bytes
    duration: float
    timed_out: bool = False
    exception: BakeryError | None = None
    attempts: int = 1

    @property
    def ok(self) -> bool:
        return self.exception is None and self.returncode == 0

    def first_lines(self, count: int = 10) -> list[str]:
        """The first lines of stderr, or of stdout where stderr is silent: what to show of a failure."""
        said = self.stderr if self.stderr.strip() else self.stdout
        return [line for line in said.decode(errors="replace").splitlines() if line.strip()][:count]

    def reason(self) -> str:
        """Why it is not ok, on one line."""
        if self.exception is not None:
            return " ".join(str(self.exception).split())
        return f"exit code {self.returncode}" + "".join(f": {line.strip()}" for line in self.first_lines(1))


class ShellJob(Struct, frozen=True):
    """Several commands in order: `run` is called with a runner.

    A coroutine function gets a CommandRunner and is run in the event loop. Any other callable gets a BlockingRunner,
    with the same methods, and is run in a thread of its own. retry and command_timeout are what the runner's commands
    get where they name none of their own.
    """

    key: str
    run: Callable[[Any], Any]
    label: str = ""
    payload: Any = None
    retry: RetryPolicy | None = None
    command_timeout: float | None = None

    @property
    def display_label(self) -> str:
        return self.label or self.key


class Surroundings(Struct, frozen=True):
    """What every command of a run shares: who is told, and where time and chance come from."""

    emit: Emit = ignore
    clock: Clock = field(default_factory=SystemClock)
    draw: Callable[[], float] | None = None  # a number in [0, 1) for jitter; None: random


class CommandRunner:
    """Runs the commands of one job, one after another, with the job's defaults."""

    def __init__(
        self,
        key: str,
        *,
        slot: Place | None = None,
        retry: RetryPolicy | None = None,
        command_timeout: float | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.key = key
        self._slot, self._retry, self._timeout = slot, retry or ONCE, command_timeout
        self._around = surroundings or Surroundings()

    async def run(
        self,
        cmd: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        step_label: str = "",
    ) -> CommandResult:
        """Run a command, again where the policy says so, and give how it last ended. Never raises for a failure.

        timeout in seconds for each attempt: None is the job's default, not positive is no limit.
        """
        policy = retry or self._retry
        step = step_label or Path(cmd[0]).name
        limit_s = self._timeout if timeout is None else timeout
        attempt = 1
        while True:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a job that swallowed the cancellation starts nothing more
                raise asyncio.CancelledError
            # From the second attempt on the row says "retry" already; StepStarted is for the first.
            started = partial(self._around.emit, StepStarted(self.key, step)) if attempt == 1 else None
            done = await spawn(cmd, env=env, cwd=cwd, timeout_s=limit_s, on_start=started)
            result = _command_result(cmd, done, attempt)
            if result.ok or not policy.should_retry(result, attempt):
                if not result.ok and attempt > 1:
                    _log.error("%s: %s: gave up after %d attempts: %s", self.key, step, attempt, result.reason())
                self._around.emit(StepFinished(self.key, step, result.duration, "" if result.ok else result.reason()))
                return result
            await self._wait(policy, result, step)
            attempt += 1

    async def _wait(self, policy: RetryPolicy, result: CommandResult, step: str) -> None:
        draw = self._around.draw
        wait_s = policy.delay_for(result.attempts, draw)
        self._around.emit(StepRetried(self.key, step, result.attempts, wait_s, result.reason()))
        _log.warning(
            "%s: %s: attempt %d/%d failed, next in %.1f s: %s",
            self.key,
            step,
            result.attempts,
            policy.max_attempts,
            wait_s,
            " | ".join(result.first_lines()) or result.reason(),
        )
        await self.sleep(wait_s)

    async def sleep(self, seconds: float) -> None:
        """Wait without holding the slot. Cancellable."""
        async with contextlib.AsyncExitStack() as stack:
            if self._slot is not None:
                await stack.enter_async_context(self._slot.released())
            await self._around.clock.sleep(seconds)


def _command_result(cmd: Sequence[str], done: Exit, attempts: int) -> CommandResult:
    return CommandResult(
        tuple(cmd), done.returncode, done.stdout, done.stderr, done.duration, done.timed_out, done.exception, attempts
    )


class BlockingRunner:
    """A CommandRunner for a callable that runs in a thread: the same methods, waiting for their results."""

    def __init__(self, key: str, serve: Callable[[Callable[[CommandRunner], Awaitable[Any]]], Future[Any]]) -> None:
        self.key = key
        self._serve = serve

    def run(
        self,
        cmd: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        step_label: str = "",
    ) -> CommandResult:
        """As CommandRunner.run. Raises ExecutorInterrupted when the run is being ended."""

        async def work(runner: CommandRunner) -> CommandResult:
            return await runner.run(cmd, env=env, cwd=cwd, timeout=timeout, retry=retry, step_label=step_label)

        result: CommandResult = self._serve(work).result()
        return result

    def sleep(self, seconds: float) -> None:
        """Wait; raises ExecutorInterrupted when the run is being ended."""
        self._serve(lambda runner: runner.sleep(seconds)).result()


async def _in_thread(call: Callable[[BlockingRunner], Any], runner: CommandRunner) -> Any:
    """Run a blocking job in a thread, and here what it asks for, so that cancelling us ends its command."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[tuple[Callable[[CommandRunner], Awaitable[Any]], Future[Any]] | None] = asyncio.Queue()
    outcome: Future[Any] = Future()
    closed = threading.Event()

    def serve(work: Callable[[CommandRunner], Awaitable[Any]]) -> Future[Any]:
        reply: Future[Any] = Future()
        try:
            if closed.is_set():
                raise RuntimeError
            loop.call_soon_threadsafe(asked.put_nowait, (work, reply))
        except RuntimeError:  # closed, or the loop is
            reply.set_exception(ExecutorInterrupted())
        return reply

    def body() -> None:
        try:
            outcome.set_result(call(BlockingRunner(runner.key, serve)))
        except BaseException as error:  # noqa: BLE001 - handed to the job, which raises it
            outcome.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(asked.put_nowait, None)

    # A daemon: a thread cannot be cancelled, and one that never asks for anything again must not hold up our end.
    threading.Thread(target=body, name=runner.key, daemon=True).start()
    current: Future[Any] | None = None
    try:
        while (item := await asked.get()) is not None:
            work, current = item
            try:
                current.set_result(await work(runner))
            except Exception as error:  # noqa: BLE001 - raised where it was asked for
                current.set_exception(error)
        return outcome.result()
    finally:
        closed.set()
        if current is not None and not current.done():
            current.set_exception(ExecutorInterrupted())
        while not asked.empty():
            if (item := asked.get_nowait()) is not None:
                item[1].set_exception(ExecutorInterrupted())


async def run_tasks(
    tasks: Sequence[ShellTask],
    *,
    jobs: int | None = None,
    on_start: Callable[[ShellTask], None] | None = None,
    on_result: Callable[[ShellResult], None] | None = None,
    fail_fast: bool = False,
    emit: Emit = ignore,
) -> list[ShellResult]:
    """Run every command, `jobs` at once (None: the setting). Order, callbacks and fail_fast as in jobs.run_jobs."""
    around = Surroundings(emit)

    async def one(task: ShellTask, slot: Slot) -> ShellResult:
        runner = CommandRunner(task.key, slot=slot, surroundings=around)
        done = await runner.run(task.cmd, env=task.env, cwd=task.cwd, timeout=task.timeout)
        return ShellResult(
            task, done.returncode, done.stdout, done.stderr, done.duration, done.exception, done.timed_out
        )

    def of(result: JobResult[ShellResult]) -> ShellResult:
        if result.value is not None:
            return result.value
        return ShellResult(result.job.payload, None, b"", b"", result.duration, result.exception)

    def ended(result: JobResult[ShellResult]) -> None:
        told = of(result)
        emit(TargetFinished(told.task.key, "done" if told.ok else "failed", told.duration))
        if on_result is not None:
            on_result(told)

    results = await schedule(
        [Job(task.key, partial(one, task), task.label, task) for task in tasks],
        limit=resolve_max_workers(jobs, len(tasks)) if tasks else 1,
        on_start=(lambda job: on_start(job.payload)) if on_start else None,
        on_result=ended,
        fail_fast=fail_fast,
        failed=lambda result: not of(result).ok,
    )
    return [of(result) for result in results]


async def run_shell_jobs(
    shell_jobs: Sequence[ShellJob],
    *,
    jobs: int | None = None,
    on_start: Callable[[ShellJob], None] | None = None,
    on_result: Callable[[JobResult[Any]], None] | None = None,
    fail_fast: bool = False,
    surroundings: Surroundings | None = None,
) -> list[JobResult[Any]]:
    """Run every job, `jobs` at once (None: the setting). Order, callbacks and fail_fast as in jobs.run_jobs."""

    async def one(job: ShellJob, slot: Slot) -> Any:
        runner = CommandRunner(
            job.key, slot=slot, retry=job.retry, command_timeout=job.command_timeout, surroundings=surroundings
        )
        return await (job.run(runner) if inspect.iscoroutinefunction(job.run) else _in_thread(job.run, runner))

    def of(result: JobResult[Any]) -> JobResult[Any]:
        return JobResult(result.job.payload, result.value, result.exception, result.duration)

    emit = surroundings.emit if surroundings else ignore

    def ended(result: JobResult[Any]) -> None:
        told = of(result)
        emit(TargetFinished(told.key, "done" if told.ok else "failed", told.duration))
        if on_result is not None:
            on_result(told)

    results = await schedule(
        [Job(job.key, partial(one, job), job.label, job) for job in shell_jobs],
        limit=resolve_max_workers(jobs, len(shell_jobs)) if shell_jobs else 1,
        on_start=(lambda job: on_start(job.payload)) if on_start else None,
        on_result=ended,
        fail_fast=fail_fast,
    )
    return [of(result) for result in results]
