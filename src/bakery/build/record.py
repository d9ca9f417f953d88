"""The record of one target during a build, filled from what its commands print and write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakery.build.check import CheckResult
from bakery.build.outcome import BuildFailure, State, TargetBuild
from bakery.build.plan import PlannedBuild
from bakery.build.progress import TAIL_LINES, Progress, Step, line_of_step
from bakery.errors import one_line
from bakery.parallel.spawn import Exit


class Record:
    """What is known of one target. It is `stopped` until a command says something else."""

    def __init__(self, build: PlannedBuild, context: Path) -> None:
        self.build = build
        self._file = context / build.target.containerfile
        self.state = State.STOPPED
        self.attempts = 0
        self.seconds = 0.0
        self.metadata: Mapping[str, Any] | None = None
        self.failure: BuildFailure | None = None
        self.explained = True  # whether buildx gave a reason for the failure
        self.announced = False
        self._steps = self._cached = 0
        self._warnings: int | None = None

    def take(self, progress: Progress, entry: object, done: Exit | None, warnings: Mapping[bytes, int] | None) -> None:
        """Take what a command says of this target. done: None if the command was ended by a signal.

        entry: of the metadata file, or None. warnings: of each Containerfile, by its content; None if unknown.
        """
        seen = progress.targets[self.build.uid]
        self.seconds += seen.seconds
        self._steps = len(seen.numbered)
        self._cached = sum(step.cached for step in seen.numbered)
        content = self._content()
        if warnings is not None:
            self._warnings = warnings.get(content, 0)
        if isinstance(entry, dict) or (done is not None and done.ok):
            self.state, self.failure = State.BUILT, None
            self.metadata = entry if isinstance(entry, dict) else None
        elif done is None and seen.result != "failed" and seen.failed_step is None:
            self.state, self.failure = State.STOPPED, None
        else:
            self.state, self.failure = State.FAILED, self._failure(progress, done, content.decode(errors="replace"))

    def explain(self, result: CheckResult) -> None:
        """Take the reason of the failure from a check of the Containerfile."""
        file = self.build.target.containerfile if result.error_line else ""
        tail = self.failure.tail if self.failure else ()
        self.failure = BuildFailure(result.error, file=file, line=result.error_line, tail=tail)
        self.explained = True

    def outcome(self) -> TargetBuild:
        """Return the record as a value."""
        return TargetBuild(
            self.build.target, self.build.platforms, self.state, self.seconds, self.attempts, self.metadata,
            self._steps, self._cached, self._warnings, self.build.cache_ref, self.failure,
        )  # fmt: skip

    def _failure(self, progress: Progress, done: Exit | None, containerfile: str) -> BuildFailure:
        seen = progress.targets[self.build.uid]
        step = seen.failed_step or _shared(progress, containerfile)
        name = step.name if step else ""
        reason = seen.reason or (step.error if step else "") or progress.reason
        self.explained = bool(reason)
        file, line = "", line_of_step(containerfile, name)
        if seen.place is not None:
            file, line = seen.place
        if line and (not file or f"/{self.build.target.containerfile}".endswith(f"/{file}")):
            file = self.build.target.containerfile
        tail = tuple(step.tail if step else seen.tail)
        if not seen.steps and progress.reason:
            tail = ()  # the command failed before it built any target: its reason says all
        elif not tail and done is not None:
            tail = tuple(done.stderr.decode(errors="replace").splitlines()[-TAIL_LINES:])
        if not reason and done is not None:
            reason = one_line(done.exception) if done.exception else (tail or (f"exit code {done.returncode}",))[-1]
        return BuildFailure(reason, name, file, line, tail)

    def _content(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError:  # it was removed in the meantime
            return b""


def _shared(progress: Progress, containerfile: str) -> Step | None:
    """Return the failed step of another target that this Containerfile has as well: BuildKit runs it once."""
    failed = [one.failed_step for one in progress.targets.values()]
    return next((one for one in failed if one and line_of_step(containerfile, one.name)), None)
