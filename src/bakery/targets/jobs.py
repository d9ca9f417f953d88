"""The jobs of a CI run: one per version and platform. Pure. Source: config.md 16."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bakery.config.project import Version
from bakery.targets.expand import NO_SYSTEM_PLATFORMS, Pair


def jobs(pairs: Iterable[Pair], exclude: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return one object per version and platform, in the order of the versions; without `platform`, one per version.

    Jobs that are equal, such as those of two systems once `version` is left out, are listed once.
    If a development version is on two channels, each of its jobs has a channel, since they would be equal otherwise.
    """
    listed = list(pairs)
    channels = Counter((image.name, version.name) for image, version in listed if version.development)
    entries = []
    for image, version in listed:
        entry: dict[str, Any] = {"image": image.name, "version": version.name, "dev": version.development}
        several = version.development and channels[image.name, version.name] > 1
        for platform in (None,) if "platform" in exclude else platforms(version):
            job = entry | ({"platform": platform} if platform else {})
            if several and version.channel:
                job["channel"] = version.channel
            entries.append({key: value for key, value in job.items() if key not in exclude})
    return [dict(entry) for entry in dict.fromkeys(tuple(entry.items()) for entry in entries)]


def platforms(version: Version) -> tuple[str, ...]:
    """Return the platforms of a version: those of its systems, each once, in the order of the sorted systems."""
    found = dict.fromkeys(platform for system in version.systems for platform in system.platforms)
    return tuple(found) or NO_SYSTEM_PLATFORMS
