"""Commands as tasks and as the steps of jobs: ShellTask, ShellJob and the CommandRunner that a job receives.

A task is one command; a job is a callable that runs several commands in order. Both start processes through `spawn`,
are scheduled by `jobs.run_jobs`, and are retried only here. Source: pipeline.md 2.1, 2.4, 2.6, 3.4.
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
from bakery.parallel.spawn import spawn
from bakery.retry import Clock, RetryPolicy, SystemClock

_log = logging.getLogger(__name__)

ONCE = RetryPolicy(max_attempts=1)


class ShellTask(Struct, frozen=True):
    """One command. env: None inherits ours. timeout: seconds; None or not positive means no limit. payload: opaque."""

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
    """How a task ended. returncode: None if it never started. exception: set if it did not end by itself."""

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
    """How a command of a job ended, after `attempts` attempts; the other fields describe the last one."""

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
        """Return the first lines of stderr, or of stdout if stderr is empty: what to show of a failure."""
        output = self.stderr if self.stderr.strip() else self.stdout
        return [line for line in output.decode(errors="replace").splitlines() if line.strip()][:count]

    def reason(self) -> str:
        """Return why it is not ok, on one line."""
        if self.exception is not None:
            return " ".join(str(self.exception).split())
        return f"exit code {self.returncode}" + "".join(f": {line.strip()}" for line in self.first_lines(1))


class ShellJob(Struct, frozen=True):
    """Several commands in order: `run` is called with a runner, and its result is awaited if it is awaitable.

    A coroutine function, or an object with `async __call__`, runs in the event loop with a CommandRunner. Any other
    callable runs in its own thread with a BlockingRunner. retry and command_timeout are the runner's defaults.
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
    """What all commands of a run share: where events go, and the sources of time and randomness."""

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
        """Run a command, retry it as the policy says, and return how it last ended. Never raises for a failure.

        timeout: seconds per attempt; None is the job's default, not positive is no limit.
        """
        policy = retry or self._retry
        step = step_label or Path(cmd[0]).name
        limit_s = self._timeout if timeout is None else timeout
        attempt = 1
        while True:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a job that swallowed the cancellation starts nothing more
                raise asyncio.CancelledError
            # Only for the first attempt: StepRetried announces the others.
            started = partial(self._around.emit, StepStarted(self.key, step)) if attempt == 1 else None
            done = await spawn(cmd, env=env, cwd=cwd, timeout_s=limit_s, on_start=started)
            result = CommandResult(
                tuple(cmd), done.returncode, done.stdout, done.stderr, done.duration, done.timed_out, done.exception,
                attempt,
            )  # fmt: skip
            if result.ok or not policy.should_retry(result, attempt):
                if not result.ok and attempt > 1:
                    _log.debug("%s: %s: gave up after %d attempts: %s", self.key, step, attempt, result.reason())
                self._around.emit(StepFinished(self.key, step, result.duration, "" if result.ok else result.reason()))
                return result
            await self._wait(policy, result, step)
            attempt += 1

    async def _wait(self, policy: RetryPolicy, result: CommandResult, step: str) -> None:
        wait_s = policy.delay_for(result.attempts, self._around.draw)
        self._around.emit(StepRetried(self.key, step, result.attempts, wait_s, result.reason()))
        _log.debug(  # StepRetried is shown to users
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


_Work = Callable[[CommandRunner], Awaitable[Any]]


class BlockingRunner:
    """A CommandRunner for a callable that runs in a thread: the same methods, which wait for their results.

    A coroutine that such a callable returns runs in the event loop; there the methods return awaitables instead.
    """

    def __init__(self, runner: CommandRunner, serve: Callable[[_Work], Future[Any]]) -> None:
        self.key = runner.key
        self._runner, self._serve, self._loop_thread = runner, serve, threading.get_ident()

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
        result: CommandResult = self._result(
            lambda runner: runner.run(cmd, env=env, cwd=cwd, timeout=timeout, retry=retry, step_label=step_label)
        )
        return result

    def sleep(self, seconds: float) -> None:
        """Wait. Raises ExecutorInterrupted when the run is being ended."""
        result: None = self._result(lambda runner: runner.sleep(seconds))
        return result

    def _result(self, work: _Work) -> Any:
        return work(self._runner) if threading.get_ident() == self._loop_thread else self._serve(work).result()


async def _in_thread(call: Callable[[BlockingRunner], Any], runner: CommandRunner) -> Any:
    """Run a blocking job in a thread and its commands here, so that cancelling this task ends them."""
    loop = asyncio.get_running_loop()
    requests: asyncio.Queue[tuple[_Work, Future[Any]] | None] = asyncio.Queue()
    outcome: Future[Any] = Future()
    closed = threading.Event()

    def serve(work: _Work) -> Future[Any]:
        reply: Future[Any] = Future()
        try:
            if closed.is_set():
                raise RuntimeError
            loop.call_soon_threadsafe(requests.put_nowait, (work, reply))
        except RuntimeError:  # this job has ended, or the loop is closed
            reply.set_exception(ExecutorInterrupted())
        return reply

    blocking = BlockingRunner(runner, serve)

    def body() -> None:
        try:
            outcome.set_result(call(blocking))
        except BaseException as error:  # noqa: BLE001 - handed to the job, which raises it
            outcome.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for this any more
            loop.call_soon_threadsafe(requests.put_nowait, None)

    # A daemon: a thread cannot be cancelled, and one that makes no more requests must not delay the end of the process.
    threading.Thread(target=body, name=runner.key, daemon=True).start()
    current: Future[Any] | None = None
    try:
        while (item := await requests.get()) is not None:
            work, current = item
            try:
                current.set_result(await work(runner))
            except Exception as error:  # noqa: BLE001 - raised in the thread that made the request
                current.set_exception(error)
    finally:
        closed.set()
        if current is not None and not current.done():
            current.set_exception(ExecutorInterrupted())
        while not requests.empty():
            if (item := requests.get_nowait()) is not None:
                item[1].set_exception(ExecutorInterrupted())
    value = outcome.result()
    return await value if inspect.isawaitable(value) else value


async def run_tasks(
    tasks: Sequence[ShellTask],
    *,
    jobs: int | None = None,
    on_result: Callable[[ShellResult], None] | None = None,
    fail_fast: bool = False,
    emit: Emit = ignore,
) -> list[ShellResult]:
    """Run every task, at most `jobs` at once (None: the setting). Order, callback and fail_fast as in jobs.run_jobs."""

    async def one(task: ShellTask, runner: CommandRunner) -> ShellResult:
        done = await runner.run(task.cmd, env=task.env, cwd=task.cwd, timeout=task.timeout)
        return ShellResult(
            task, done.returncode, done.stdout, done.stderr, done.duration, done.exception, done.timed_out
        )

    def final(result: JobResult[Any]) -> ShellResult:
        if isinstance(result.value, ShellResult):
            return result.value
        return ShellResult(result.job.payload, None, b"", b"", result.duration, result.exception)

    results = await run_shell_jobs(
        [ShellJob(task.key, partial(one, task), task.label, task) for task in tasks],
        jobs=jobs,
        on_result=None if on_result is None else lambda result: on_result(final(result)),
        fail_fast=fail_fast,
        failed=lambda result: not final(result).ok,
        surroundings=Surroundings(emit),
    )
    return [final(result) for result in results]


async def run_shell_jobs(
    shell_jobs: Sequence[ShellJob],
    *,
    jobs: int | None = None,
    on_result: Callable[[JobResult[Any]], None] | None = None,
    fail_fast: bool = False,
    failed: Callable[[JobResult[Any]], bool] = lambda result: not result.ok,
    surroundings: Surroundings | None = None,
) -> list[JobResult[Any]]:
    """Run every job, at most `jobs` at once (None: the setting). Order, callback and fail_fast as in jobs.run_jobs."""
    around = surroundings or Surroundings()

    async def one(job: ShellJob, slot: Slot) -> Any:
        runner = CommandRunner(
            job.key, slot=slot, retry=job.retry, command_timeout=job.command_timeout, surroundings=around
        )
        return await (job.run(runner) if _is_async(job.run) else _in_thread(job.run, runner))

    def final(result: JobResult[Any]) -> JobResult[Any]:
        return JobResult(result.job.payload, result.value, result.exception, result.duration)

    def ended(result: JobResult[Any]) -> None:
        around.emit(TargetFinished(result.key, "failed" if failed(final(result)) else "done", result.duration))
        if on_result is not None:
            on_result(final(result))

    results = await schedule(
        [Job(job.key, partial(one, job), job.label, job) for job in shell_jobs],
        limit=resolve_max_workers(jobs, len(shell_jobs)) if shell_jobs else 1,
        on_result=ended,
        fail_fast=fail_fast,
        failed=lambda result: failed(final(result)),
    )
    return [final(result) for result in results]


def _is_async(call: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
