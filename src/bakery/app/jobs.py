"""The jobs of a CI run: those of a bake file or of given platforms, and which runner takes a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bakery.errors import ConfigurationError, InvalidContent, UsageError
from bakery.files import read_regular

NO_PLATFORM: Final = "linux/amd64"  # where a target is built that names no platform


def platform_jobs(bake: str, platforms: Sequence[str], *, stdin: bytes = b"") -> list[dict[str, Any]]:
    """Return one job per platform, in the order in which they are named, each once.

    bake: the file whose targets name platforms; "-" is `stdin`. Raises ConfigurationError for a file that cannot be
    used, UsageError for a platform that is not one.
    """
    from bakery.oci.platform import Platform

    found = [*platforms, *(_of_bake(bake, stdin) if bake else ())]
    for text in found:
        try:
            Platform.parse(text)
        except InvalidContent as error:
            raise UsageError("invalid platform", about=error.about, why=error.why) from error
    return [{"platform": platform} for platform in dict.fromkeys(found)]


def on_runners(jobs: Sequence[dict[str, Any]], runners: Sequence[str]) -> list[dict[str, Any]]:
    """Return jobs with the runner of each, and its id. Raises UsageError for a mapping that cannot be used."""
    from bakery.targets.runners import Runners, with_runners

    return with_runners(jobs, Runners.parse(runners))


def _of_bake(bake: str, stdin: bytes) -> list[str]:
    from bakery.plans.bake import MAX_BYTES, read_bake

    name = "standard input" if bake == "-" else bake
    try:
        raw = stdin if bake == "-" else read_regular(Path(bake), limit_bytes=MAX_BYTES, stream=True)
    except OSError as error:
        raise ConfigurationError("cannot read bake file", about=bake, why=error.strerror or str(error)) from error
    targets = [target for target in read_bake(raw, about=name) if target.expected]
    return [platform for target in targets for platform in target.platforms or (NO_PLATFORM,)]
