"""What became of a build: BuildOutcome, one TargetBuild per target. Pure; reports render it.

`app.build.build` returns a BuildOutcome, also for a build that failed; after a signal it raises
`app.build.Interrupted`, whose `outcome` is one. `targets` has every selected
target, in target order, whatever happened to it:

    state     digest  metadata  failure
    built     if buildx wrote one: yes, unchanged; None only for a build without a metadata file
    failed    ""      None      why, with the step, the last lines of output, and file and line if known
    stopped   ""      None      None: a signal or --fail-fast ended the run first

Sizes are not part of it: they are asked of registries. Source: commands.md 1.6, 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from msgspec import Struct

from bakery.errors import ExitCode
from bakery.targets.target import Target
from bakery.values import repr_without


class State(StrEnum):
    """How the build of a target ended."""

    BUILT = "built"
    FAILED = "failed"
    STOPPED = "stopped"


class BuildFailure(Struct, frozen=True):
    """Why a target was not built.

    reason: one line, as buildx says it. step: the step that failed, such as `[2/4] RUN make`, or "". file: the
    Containerfile, relative to the context, or "" if the failure is about no file. line: 1-based, 0 if unknown.
    tail: the last lines of the target's output, at most 20.
    """

    error_code: ClassVar[str] = "build/failed"

    reason: str
    step: str = ""
    file: str = ""
    line: int = 0
    tail: tuple[str, ...] = ()


class TargetBuild(Struct, frozen=True):
    """The build of one target for `platforms`, those that this run asked for.

    seconds: from its first step to its last. attempts: 1 without a retry, 0 if it never started. metadata: its entry of
    the metadata file. steps, cached_steps: how many steps of its Containerfile ran or came from the cache; a step that
    two targets share is counted for one of them. warnings: of its Containerfile; None if buildx does not report them.
    cache_ref: the reference of its build cache, or "".
    """

    target: Target
    platforms: tuple[str, ...]
    state: State
    seconds: float = 0.0
    attempts: int = 0
    metadata: Mapping[str, Any] | None = None
    steps: int = 0
    cached_steps: int = 0
    warnings: int | None = None
    cache_ref: str = ""
    failure: BuildFailure | None = None

    __repr__ = repr_without("target", "metadata")

    @property
    def uid(self) -> str:
        return self.target.uid

    @property
    def digest(self) -> str:
        """The digest of what was built, or "" if buildx wrote none."""
        return str((self.metadata or {}).get("containerimage.digest") or "")

    @property
    def cache_hit_ratio(self) -> float | None:
        """The share of steps that came from the cache, from 0 to 1; None if no step is known."""
        return self.cached_steps / self.steps if self.steps else None


class BuildOutcome(Struct, frozen=True):
    """What became of every target. pushed, loaded: what was asked for, whether or not it succeeded.

    seconds: for the whole build. signum: the signal that ended it, or 0.
    """

    targets: tuple[TargetBuild, ...]
    seconds: float = 0.0
    pushed: bool = False
    loaded: bool = False
    signum: int = 0

    @property
    def failed(self) -> tuple[TargetBuild, ...]:
        return tuple(one for one in self.targets if one.state is State.FAILED)

    @property
    def exit_code(self) -> ExitCode:
        """0 if every target was built, 1 otherwise, 128 and the signal's number after a signal."""
        if self.signum:
            return ExitCode(128 + self.signum)
        return ExitCode.DONE if all(one.state is State.BUILT for one in self.targets) else ExitCode.FAILED
