"""How large the targets of a build are: in their registry, in Docker, and in their cache. Source: commands.md 2.3.

All are measured at the same time and within a limit. Nothing of it fails a build: what cannot be measured is unknown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bakery.build.outcome import BuildOutcome, State, TargetBuild
from bakery.build.sizes import Size, TargetSizes
from bakery.errors import BakeryError, InvalidContent

if TYPE_CHECKING:
    from bakery.oci.reference import Reference

_log = logging.getLogger(__name__)

LIMIT_S: Final = 30.0  # for everything together
_BACKOFF_S: Final = 0.1  # of the one retry: an unknown size is better than a long wait
_DOCKER_LIMIT_S: Final = 20.0
_DOCKER_JOBS: Final = 4


def measure(outcome: BuildOutcome, environment: Mapping[str, str] = os.environ) -> dict[str, TargetSizes]:
    """Return the sizes of every target, by uid; none after a signal, when nothing may start any more."""
    from bakery.parallel.root import run_interruptible

    if outcome.signum:
        return {}
    return run_interruptible(measured(outcome, environment))


async def measured(outcome: BuildOutcome, environment: Mapping[str, str]) -> dict[str, TargetSizes]:
    """Return the sizes of every target, by uid, measured side by side."""
    from bakery.tasks import together

    in_registries, local = await together((_in_registries(outcome, environment), _local(outcome, environment)))
    sizes = {}
    for one in outcome.targets:
        sizes[one.uid] = TargetSizes(in_registries.get(one.uid), local.get(one.uid), in_registries.get(one.cache_ref))
    return sizes


async def _in_registries(outcome: BuildOutcome, environment: Mapping[str, str]) -> dict[str, Size]:
    """Return the sizes of images by uid, and those of caches by their references, each cache measured once."""
    from bakery.app.engine import make_client
    from bakery.engines.image_sizes import cache_size, image_size
    from bakery.retry import RetryPolicy, SystemClock
    from bakery.tasks import together

    images = {one.uid: reference for one in outcome.targets if (reference := pushed_reference(outcome, one))}
    caches = {text: reference for text in _cache_refs(outcome) if (reference := _parsed(text))}
    if not images and not caches:
        return {}
    clock = SystemClock()
    policy = RetryPolicy(max_attempts=2, attempts_were_set=True, base_delay=_BACKOFF_S)
    client = make_client(environment, policy=policy, clock=clock, deadline=clock.now() + LIMIT_S)

    async def size_of(key: str, size: Callable[[], Awaitable[Size | None]]) -> tuple[str, Size | None]:
        try:
            async with asyncio.timeout(LIMIT_S):
                return key, await size()
        except (BakeryError, TimeoutError) as error:
            _log.debug("unknown size of %s: %s", key, error)
            return key, None

    async with client:
        found = await together(
            [
                *(size_of(uid, partial(image_size, client, reference)) for uid, reference in images.items()),
                *(size_of(text, partial(cache_size, client, reference)) for text, reference in caches.items()),
            ]
        )
    return {key: size for key, size in found if size is not None}


def pushed_reference(outcome: BuildOutcome, build: TargetBuild) -> Reference | None:
    """Return what names a pushed build: the digest of its metadata, else its first tag; None if nothing was pushed."""
    from bakery.oci.digest import Digest
    from bakery.oci.reference import repository_in

    if not outcome.pushed or build.state is not State.BUILT:
        return None
    name = _first_name(build)
    if not (name and build.digest):
        return _parsed(build.target.references[0]) if build.target.references else None
    try:
        return repository_in(name).with_digest(Digest.parse(build.digest))
    except InvalidContent:
        return None


def _first_name(build: TargetBuild) -> str:
    return str((build.metadata or {}).get("image.name") or "").partition(",")[0].strip()


def _cache_refs(outcome: BuildOutcome) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.cache_ref for one in outcome.targets if one.cache_ref))


def _parsed(text: str) -> Reference | None:
    from bakery.oci.reference import parse_reference

    try:
        return parse_reference(text)
    except InvalidContent:
        return None


async def _local(outcome: BuildOutcome, environment: Mapping[str, str]) -> dict[str, Size]:
    """Return the sizes of the images in Docker's store, by uid."""
    from bakery.parallel.command import ShellTask, run_tasks
    from bakery.parallel.program import ProgramMissing, find_program

    names = {one.uid: name for one in outcome.targets if one.state is State.BUILT and (name := _local_name(one))}
    if not outcome.loaded or not names:
        return {}
    try:
        docker = find_program("docker", environment=_with_docker(environment), variable="BAKERY_DOCKER")
    except ProgramMissing:
        return {}
    tasks = [
        ShellTask(uid, (docker, "image", "inspect", name), environment, timeout=_DOCKER_LIMIT_S)
        for uid, name in names.items()
    ]
    results = await run_tasks(tasks, jobs=_DOCKER_JOBS)
    return dict(_inspected((result.task.key, result.stdout) for result in results if result.ok))


def _with_docker(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without a BAKERY_DOCKER that is a stand-alone buildx: that has no images."""
    name = environment.get("BAKERY_DOCKER", "").rpartition("/")[2]
    return {**environment, "BAKERY_DOCKER": ""} if "buildx" in name else environment


def _local_name(build: TargetBuild) -> str:
    """Return what Docker calls a build, or "": the name in a temporary registry is shared by many."""
    name = _first_name(build)
    if name:
        return name if ":" in name.rpartition("/")[2] else ""
    return build.target.references[0] if build.target.references else ""


def _inspected(outputs: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, Size]]:
    for uid, output in outputs:
        try:
            (found,) = json.loads(output)
            layers: Any = (found.get("RootFS") or {}).get("Layers")
            yield uid, Size(int(found["Size"]), len(layers) if isinstance(layers, list) else None)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.debug("unknown local size of %s: %s", uid, error)
