"""Outcomes of builds for tests of what is reported about them."""

from __future__ import annotations

from typing import Any

from bakery.build.outcome import BuildFailure, BuildOutcome, State, TargetBuild
from bakery.targets.select import Selection, select
from bakery.targets.target import Target
from tests.config import parsing

DIGEST = "sha256:" + "a" * 64
PROJECT = """
registries: [{host: registry.example, namespace: acme}]
images:
  - name: app
    variants: [{name: Full, primary: true}, {name: Small}]
    versions:
      - name: 1.0.0
        latest: true
        os: [{name: Debian 12, platforms: [linux/amd64, linux/arm64]}]
  - name: tool
    versions: [{name: "2"}]
"""


def targets(registry: str = "registry.example") -> tuple[Target, ...]:
    """The targets app (Full), app (Small) and tool; the last has no system and no variant."""
    return select(parsing.project(PROJECT.replace("registry.example", registry)), Selection()).targets


def built(target: Target, **given: Any) -> TargetBuild:
    """A target that was built in 1.5 s, three of its four steps from the cache."""
    usual: dict[str, Any] = {
        "platforms": target.platforms, "state": State.BUILT, "seconds": 1.5, "attempts": 1,
        "metadata": {"containerimage.digest": DIGEST, "image.name": ",".join(target.references)},
        "steps": 4, "cached_steps": 3, "warnings": 0,
    }  # fmt: skip
    return TargetBuild(target, **(usual | given))


def failed(target: Target, **given: Any) -> TargetBuild:
    """A target whose second step failed, at line 3 of its Containerfile."""
    failure = BuildFailure('process "make" did not complete: exit code: 2', "[2/4] RUN make", "app/Containerfile", 3)
    return built(target, state=State.FAILED, metadata=None, failure=failure, **given)


def outcome(**given: Any) -> BuildOutcome:
    """One target of each state, pushed."""
    full, small, tool = targets()
    cache = "registry.example/acme/app/cache:1.0.0"
    builds = (
        built(full, cache_ref=cache),
        failed(small, cache_ref=cache, steps=0, cached_steps=0),
        built(tool, state=State.STOPPED, seconds=0.0, attempts=0, metadata=None, steps=0, warnings=None),
    )
    usual: dict[str, Any] = {"targets": builds, "seconds": 4.25, "pushed": True}
    return BuildOutcome(**(usual | given))
