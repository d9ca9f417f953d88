"""The one scheduler: run_jobs runs jobs concurrently, up to a limit, and turns every failure into a value.

Runs the targets of a publish and the commands of a plugin. It starts no process, retries nothing, prints nothing, and
imports nothing from this package. Source: pipeline.md 2.1, 2.2, 2.4.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from bakery.errors import ExecutorInterrupted

_log = logging.getLogger(__name__)

T = TypeVar("T")

CONCURRENCY_VARIABLE = "BAKERY_MAX_CONCURRENCY"
DEFAULT_CONCURRENCY = 4

current_job: ContextVar[str] = ContextVar("current_job", default="")
"""The key of the job that this code runs for, or "" outside a job. Tasks that a job starts inherit it."""


class Unit(Protocol):
    """What a result is about: anything with a key, a label and a payload."""

    @property
    def key(self) -> str: ...
    @property
    def display_label(self) -> str: ...
    @property
    def payload(self) -> Any: ...


class Job(Struct, Generic[T], frozen=True):
    """Something to run once: `run` is called with the job's Slot and awaited. `payload` is for the caller only."""

    key: str
    run: Callable[[Slot], Awaitable[T]]
    label: str = ""
    payload: Any = None

    @property
    def display_label(self) -> str:
        """The label, or the key of an unlabelled job."""
        return self.label or self.key


class JobResult(Struct, Generic[T], frozen=True):
    """How a job ended: `value` is what it returned, or `exception` what it raised.

    A job that returns a value that means "failed" is still `ok`. duration: seconds, without the time in the queue.
    """

    job: Unit
    value: T | None = None
    exception: BaseException | None = None
    duration: float = 0.0

    @property
    def key(self) -> str:
        return self.job.key

    @property
    def ok(self) -> bool:
        return self.exception is None


class _Gate:
    """`limit` places. Jobs that return from `released()` go before jobs that have not started; otherwise first come."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._resuming: deque[asyncio.Future[None]] = deque()
        self._fresh: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, resuming: bool = False) -> None:
        if self._free > 0:  # then no job waits: release() passes a place on before it counts it as free
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        queue = self._resuming if resuming else self._fresh
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in queue:
                queue.remove(turn)
            if not turn.cancelled():  # we got the place at the same moment: pass it on
                self.release()
            raise

    def release(self) -> None:
        for queue in (self._resuming, self._fresh):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1


class Place(Protocol):
    """Something that other jobs wait for, and that its holder can release during a wait."""

    def released(self) -> AbstractAsyncContextManager[None]: ...


class Slot:
    """A job's place among the running ones. Passed to the job's `run`."""

    def __init__(self, gate: _Gate, ending: Callable[[], bool]) -> None:
        self._gate, self._ending = gate, ending
        self._held = False

    @asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        """Release the place for the `with` block, so that another job can run, and take it again at the end."""
        if not self._held:
            raise ValueError("released() inside released()")
        self._give_back()
        try:
            yield
        finally:
            # If the whole run is being cancelled, no job starts any more, and queueing would only delay the end.
            # Any other exception, such as a timeout around this wait, is handled by the job, in its place.
            if not self._ending():
                await self._gate.acquire(resuming=True)
                self._held = True

    async def _take(self) -> None:
        await self._gate.acquire()
        self._held = True

    def _give_back(self) -> None:
        if self._held:
            self._held = False
            self._gate.release()


async def run_jobs(
    jobs: Sequence[Job[T]],
    *,
    limit: int,
    on_result: Callable[[JobResult[T]], None] | None = None,
    fail_fast: bool = False,
    failed: Callable[[JobResult[T]], bool] = lambda result: not result.ok,
) -> list[JobResult[T]]:
    """Run every job, at most `limit` at once. Jobs start in the order of `jobs`; results are in that order too.

    on_result is called once per job, in the order of completion, in this event loop's thread; an exception from it ends
    the run and is raised. fail_fast: after the first result for which `failed` is true, no further job starts; running
    jobs finish, and jobs that never started are missing from the results.
    An exception that a job raises is its result, except cancellation and ExecutorInterrupted, which end the run.
    Raises ValueError for duplicate keys.
    """
    _refuse_duplicates(jobs)
    run = _Run(limit, on_result, fail_fast, failed)
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(run.one(job), name=job.display_label)
    except BaseExceptionGroup:
        if run.broken:
            raise run.broken[0] from None
        raise
    return [run.results[job.key] for job in jobs if job.key in run.results]


class _Run(Generic[T]):
    """What the jobs of one run_jobs share."""

    def __init__(
        self,
        limit: int,
        on_result: Callable[[JobResult[T]], None] | None,
        fail_fast: bool,
        failed: Callable[[JobResult[T]], bool],
    ) -> None:
        owner = asyncio.current_task()
        assert owner is not None
        self._owner, self._cancelled_before = owner, owner.cancelling()
        self._gate = _Gate(max(1, limit))
        self._on_result, self._fail_fast, self._failed = on_result, fail_fast, failed
        self._stopped = False  # by the first failure under fail_fast
        self.broken: list[BaseException] = []  # raised by a callback, or ExecutorInterrupted from a job
        self.results: dict[str, JobResult[T]] = {}

    def ending(self) -> bool:
        return bool(self.broken) or self._owner.cancelling() > self._cancelled_before

    async def one(self, job: Job[T]) -> None:
        slot = Slot(self._gate, self.ending)
        current_job.set(job.key)  # in this task's own context
        await slot._take()
        try:
            if self._stopped:
                return
            result = await _attempt(job, slot)
            self.results[job.key] = result
            self._stopped |= self._fail_fast and self._failed(result)
            if self._on_result is not None:
                self._on_result(result)
        except (Exception, ExecutorInterrupted) as error:  # only from a callback, or an interrupt
            self.broken.append(error)
            raise
        finally:
            slot._give_back()


async def _attempt(job: Job[T], slot: Slot) -> JobResult[T]:
    started = time.monotonic()
    try:
        value = await job.run(slot)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The job was not cancelled: something that it awaited was. Only this job has failed.
        return JobResult(job, exception=error, duration=time.monotonic() - started)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a value, so that the other jobs go on
        return JobResult(job, exception=error, duration=time.monotonic() - started)
    return JobResult(job, value, duration=time.monotonic() - started)


def _refuse_duplicates(jobs: Sequence[Unit]) -> None:
    seen: set[str] = set()
    for job in jobs:
        if job.key in seen:
            raise ValueError(f"two jobs have the key {job.key!r}")
        seen.add(job.key)


def resolve_max_workers(
    jobs: int | None,
    n: int,
    *,
    default: int = DEFAULT_CONCURRENCY,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Return how many of `n` things to do at once: `jobs` if positive, else BAKERY_MAX_CONCURRENCY, else `default`.

    At least 1 and at most max(1, n). If the variable is not a number, logs a warning and uses the default.
    """
    wanted = jobs if jobs is not None and jobs > 0 else _from_environment(environment, default)
    workers = max(1, min(wanted, max(1, n)))
    _log.info("concurrency limit: %d (jobs: %d)", workers, n)
    return workers


def _from_environment(environment: Mapping[str, str], default: int) -> int:
    text = environment.get(CONCURRENCY_VARIABLE, "").strip()
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        _log.warning("%s=%r is not a number; using %d", CONCURRENCY_VARIABLE, text, default)
        return default
