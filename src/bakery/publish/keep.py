"""Keep what a tag named before: under a tag of its own, or registries delete it sooner or later as untagged.

Without it, a rollback may find that what it should restore is gone. `bakery clean` removes these tags by their prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bakery.errors import UsageError
from bakery.events import Emit, Noted
from bakery.oci.digest import Digest
from bakery.publish.engine import Engine
from bakery.publish.progress import DestinationProgress
from bakery.tasks import together

_PREFIX: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_DIGITS: Final = 12  # of the digest, as in the short form of git


def check_prefix(prefix: str) -> str:
    """Return the prefix. Raises UsageError if no tag can start with it."""
    if prefix and _PREFIX.fullmatch(prefix) is None:
        why = "expected at most 64 letters, digits, '_', '.' and '-', of which '.' and '-' are not first"
        raise UsageError("invalid value for --keep-previous", about=repr(prefix), why=why)
    return prefix


def kept_name(prefix: str, digest: Digest) -> str:
    """Return the tag that keeps a digest: always the same, so that a second run changes nothing."""
    return f"{prefix}{digest.hex[:_DIGITS]}"


async def keep_previous(
    place: DestinationProgress, engine: Engine, prefix: str, *, ours: Digest, versions: Mapping[Digest, str], emit: Emit
) -> None:
    """Tag everything that tags of this destination are about to leave, unless its version tag still names it.

    versions: those that are known. Raises BakeryError if a tag cannot be set: then nothing may move.
    """
    repository = place.destination.repository
    moving = [tag for tag in place.destination.tags if place.previous[tag] != ours and tag not in place.held]
    leaving = {digest for tag in moving if (digest := place.previous[tag]) is not None}

    async def keep(digest: Digest) -> None:
        name, version = kept_name(prefix, digest), versions.get(digest, "")
        if version and version not in moving and await _names(engine, place, version, digest):
            return
        if not await _names(engine, place, name, digest):
            await engine.set_tag(repository.with_tag(name), digest)
            emit(Noted("", f"kept {repository}@{digest} under the tag {name}", warning=False))

    await together(keep(digest) for digest in sorted(leaving))


async def _names(engine: Engine, place: DestinationProgress, tag: str, digest: Digest) -> bool:
    if re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII) is None:
        return False  # a version with a +, for example, is not a tag
    return await engine.read_tag(place.destination.repository.with_tag(tag)) == digest
