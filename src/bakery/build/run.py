"""Carries out a build: one bake for all targets, or one command per target, and what became of each.

One bake with `--jobs defer-error` builds all targets, and a failure ends none of the others. Without it (an older
buildx, `--fail-fast`, `--strategy build`, podman) each target has a command of its own; the commands run side by side.
Only failed targets are built again. Source: commands.md 1.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bakery.build import argv, podman
from bakery.build.builder import Builder, find_builder
from bakery.build.check import CheckResult, read_check
from bakery.build.metadata import WARNINGS, read_document, warning_counts
from bakery.build.outcome import BuildFailure, BuildOutcome, State
from bakery.build.plan import BuildPlan, bake_file, check_file
from bakery.build.progress import Progress
from bakery.build.record import Record
from bakery.errors import BakeryError, UsageError, reason
from bakery.events import Emit, StepFinished, StepOutput, StepRetried, StepStarted, TargetFinished, ignore
from bakery.parallel.jobs import Job, JobResult, Slot, resolve_max_workers
from bakery.parallel.jobs import run_jobs as schedule
from bakery.parallel.spawn import Exit, spawn
from bakery.retry import Clock, SystemClock

STEP: Final = "build"
RETRY_WAIT_S: Final = 5.0
_CHECK_S: Final = 120.0
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")  # of buildx itself, even without a terminal, and of steps


class BuildRun:
    """One run of a plan. Whatever happens, `outcome` and `entries` say what is done. Cancel `execute` to end it."""

    def __init__(
        self,
        plan: BuildPlan,
        work: Path,
        *,
        environment: Mapping[str, str],
        emit: Emit = ignore,
        clock: Clock | None = None,
    ) -> None:
        """work: an empty folder for temporary files."""
        self._plan, self._work = plan, work
        # Without this, buildx writes no warnings into the metadata file.
        self._environment = {**environment, "BUILDX_METADATA_WARNINGS": "1"}
        self._keep_warnings = environment.get("BUILDX_METADATA_WARNINGS", "") not in ("", "0", "false")
        self._emit, self._clock = emit, clock or SystemClock()
        self._records = {build.uid: Record(build, plan.context) for build in plan.builds}
        self._ended: set[str] = set()
        self._warnings: list[Any] = []
        self._bake_file = json.dumps(bake_file(plan)).encode()
        self._began = self._clock.now()
        self.started = False

    async def execute(self) -> None:
        """Find the program, and build. Raises BakeryError if no program or builder can be used."""
        builder = await find_builder(self._plan, self._environment)
        self.started = True
        options = self._plan.options
        if options.strategy == "bake" and builder.defer_error and not options.fail_fast:
            await self._together(builder)
        else:
            await self._apart(builder)

    def entries(self) -> dict[str, Any]:
        """Return the entries of the metadata file: of what was built, as buildx wrote them."""
        entries: dict[str, Any] = {
            uid: record.metadata for uid, record in self._records.items() if record.metadata is not None
        }
        if self._keep_warnings and self._warnings:
            entries[WARNINGS] = self._warnings
        return entries

    def outcome(self, *, signum: int = 0) -> BuildOutcome:
        """Return what became of every target so far."""
        options = self._plan.options
        builds = tuple(record.outcome() for record in self._records.values())
        return BuildOutcome(builds, self._clock.now() - self._began, options.push, options.loads, signum)

    async def _together(self, builder: Builder) -> None:
        uids: Sequence[str] = tuple(self._records)
        for attempt in range(1, self._plan.options.retry + 2):
            await self._bake(builder, uids, attempt)
            uids = [uid for uid in uids if self._records[uid].state is State.FAILED]
            if not uids or attempt > self._plan.options.retry:
                break
            for uid in uids:
                self._retried(uid, attempt)
            await self._clock.sleep(RETRY_WAIT_S)
        await self._explain(builder, [uid for uid in uids if not self._records[uid].explained])
        for uid in uids:
            self._end(uid)

    async def _bake(self, builder: Builder, uids: Sequence[str], attempt: int) -> None:
        """Build these targets with one command, and record what it says of each."""
        file = self._work / f"metadata-{attempt}.json"
        only = uids if len(uids) < len(self._records) else ()
        command = argv.bake(builder.command, self._plan, file, only, defer_error=True)
        progress = Progress(uids, on_start=self._start, on_end=lambda uid: self._end_built(uid, progress))
        for uid in uids:
            self._records[uid].attempts += 1
        done: Exit | None = None
        try:
            done = await self._spawn(command, progress, self._bake_file)
        finally:  # also if cancelled: buildx writes what it has built by then
            document = read_document(file)
            self._take_warnings(document)
            for uid in uids:
                entry = document.get(uid) if document else self._pushed(uid, progress)
                self._records[uid].take(progress, entry, done, warning_counts(document) if document else None)
                if self._records[uid].state is not State.FAILED:
                    self._end(uid)

    async def _apart(self, builder: Builder) -> None:
        """Build each target with a command of its own."""
        options = self._plan.options
        results = await schedule(
            [Job(uid, partial(self._one, builder, uid)) for uid in self._records],
            limit=resolve_max_workers(options.jobs, len(self._records), environment=self._environment),
            fail_fast=options.fail_fast,
            failed=lambda result: self._records[result.key].state is not State.BUILT,
            on_result=self._ended_job,
        )
        for uid in self._records.keys() - {result.key for result in results}:
            self._end(uid)

    async def _one(self, builder: Builder, uid: str, slot: Slot) -> None:
        for attempt in range(1, self._plan.options.retry + 2):
            await self._attempt(builder, uid, attempt)
            if self._records[uid].state is State.BUILT or attempt > self._plan.options.retry:
                return
            self._retried(uid, attempt)
            async with slot.released():
                await self._clock.sleep(RETRY_WAIT_S)

    async def _attempt(self, builder: Builder, uid: str, attempt: int) -> None:
        """Build one target with one command, and record what it says."""
        record = self._records[uid]
        file = self._work / f"{uid}-{attempt}.json"
        progress = Progress((uid,), on_start=self._start)
        record.attempts += 1
        self._start(uid)
        done: Exit | None = None
        began = self._clock.now()
        if builder.kind == "podman":
            run = partial(self._spawn, progress=progress, stdin=b"", uid=uid)
            record.take(progress, *await podman.build(builder, self._plan, record.build, file, run), None)
            record.seconds += self._clock.now() - began
            return
        bakes = self._plan.options.strategy == "bake"
        command = (
            argv.bake(builder.command, self._plan, file, (uid,))
            if bakes
            else argv.build(builder.command, self._plan, record.build, file)
        )
        try:
            done = await self._spawn(command, progress, self._bake_file if bakes else b"", uid)
        finally:
            document = read_document(file)
            entry = document.get(uid) if bakes else {key: one for key, one in document.items() if key != WARNINGS}
            self._take_warnings(document)
            record.take(
                progress, entry or self._pushed(uid, progress), done, warning_counts(document) if document else None
            )

    def _spawn(self, command: Sequence[str], progress: Progress, stdin: bytes, uid: str = "") -> Awaitable[Exit]:
        def on_line(line: str) -> None:
            line = _COLOUR.sub("", line)
            progress.feed(line, self._clock.now())
            if line.strip() or not uid:
                self._emit(StepOutput(uid, STEP, line))

        bakes = bool(stdin)
        where = self._plan.context if bakes else None  # a bake file is relative to the working directory
        return spawn(command, env=self._environment, cwd=where, stdin=stdin, on_line=on_line)

    async def _explain(self, builder: Builder, uids: Sequence[str]) -> None:
        """Ask buildx to check Containerfiles whose failure it did not explain: it prints one of several only."""
        if not uids:
            return
        stdin = json.dumps(check_file(self._plan)).encode()
        command = argv.bake_check(builder.command, self._plan, uids)
        done = await spawn(command, env=self._environment, cwd=self._plan.context, stdin=stdin, timeout_s=_CHECK_S)
        results = _results(done)
        for uid in uids:
            if uid in results and results[uid].error:
                self._records[uid].explain(results[uid])

    def _pushed(self, uid: str, progress: Progress) -> dict[str, str] | None:
        """Return an entry for a target that was pushed, if buildx was killed before it could write its file."""
        digest = progress.targets[uid].digest
        names = self._plan.tags(self._records[uid].build)
        return {"containerimage.digest": digest, "image.name": ",".join(names)} if digest else None

    def _take_warnings(self, document: Mapping[str, Any]) -> None:
        warnings = document.get(WARNINGS)
        if isinstance(warnings, list):
            self._warnings += warnings

    def _start(self, uid: str) -> None:
        if not self._records[uid].announced:
            self._records[uid].announced = True
            self._emit(StepStarted(uid, STEP))

    def _retried(self, uid: str, attempt: int) -> None:
        failure = self._records[uid].failure
        self._emit(StepRetried(uid, STEP, attempt, RETRY_WAIT_S, failure.reason if failure else ""))

    def _ended_job(self, result: JobResult[None]) -> None:
        if result.exception is not None:  # a bug: only this target fails
            record = self._records[result.key]
            record.state, record.failure = State.FAILED, BuildFailure(reason(result.exception))
        self._end(result.key)

    def _end_built(self, uid: str, progress: Progress) -> None:
        """Announce the end of a target while the same command still builds others."""
        seconds = self._records[uid].seconds + progress.targets[uid].seconds
        self._announce_end(uid, "done", "", seconds)

    def _end(self, uid: str) -> None:
        record = self._records[uid]
        word = {State.BUILT: "done", State.FAILED: "failed", State.STOPPED: "stopped"}[record.state]
        self._announce_end(uid, word, record.failure.reason if record.failure else "", record.seconds)

    def _announce_end(self, uid: str, word: str, error: str, seconds: float) -> None:
        if uid in self._ended:
            return
        self._ended.add(uid)
        if self._records[uid].announced:
            self._emit(StepFinished(uid, STEP, seconds, error))
        self._emit(TargetFinished(uid, word, seconds))


async def check_containerfiles(plan: BuildPlan, *, environment: Mapping[str, str]) -> tuple[CheckResult, ...]:
    """Check the Containerfiles of a plan, in target order. Raises BakeryError if buildx cannot."""
    builder = await find_builder(plan, environment)
    if builder.kind != "buildx":
        raise UsageError("cannot check Containerfiles with podman", why="only buildx checks them")
    command = argv.bake_check(builder.command, plan)
    stdin = json.dumps(check_file(plan)).encode()
    done = await spawn(command, env=environment, cwd=plan.context, stdin=stdin)
    results = _results(done)
    if not results:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise BakeryError("cannot check Containerfiles", why=lines[-1].removeprefix("ERROR: "))
    return tuple(results[build.uid] for build in plan.builds if build.uid in results)


def _results(done: Exit) -> dict[str, CheckResult]:
    try:
        return read_check(json.loads(done.stdout))
    except ValueError:
        return {}
