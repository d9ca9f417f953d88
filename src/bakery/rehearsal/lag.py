"""What a reader does not see yet: pure, from the times of writing that storage keeps. faults.py says how long."""

from __future__ import annotations

from enum import Enum, auto

from bakery.oci.digest import Digest
from bakery.rehearsal.faults import Effect, Lag, Stale
from bakery.rehearsal.routes import Found, Route
from bakery.rehearsal.storage import Storage


class Seen(Enum):
    """What a read finds where it finds no older content."""

    ALL = auto()
    NOTHING = auto()


def seen(effect: Effect, found: Found, storage: Storage, now: float) -> Seen | Digest:
    """What a read finds under this effect: what is there, nothing, or the digest that a tag named before."""
    if not isinstance(effect, Lag | Stale):
        return Seen.ALL
    written_at, before = _written(found, storage)
    if written_at is None or now - written_at >= effect.seconds:
        return Seen.ALL
    if isinstance(effect, Lag):
        return Seen.NOTHING
    return Seen.ALL if before is None else before


def _written(found: Found, storage: Storage) -> tuple[float | None, Digest | None]:
    """When this was written, and what a tag named before."""
    repository = storage.repository(found.repository)
    if repository is None:
        return None, None
    if found.route is Route.BLOB and found.digest:
        return repository.blobs.get(found.digest), None
    if found.route is not Route.MANIFEST:
        return None, None
    if found.digest is None:
        tag = repository.tags.get(found.reference)
        return (tag.written_at, tag.before) if tag else (None, None)
    stored = repository.manifests.get(found.digest)
    return (stored.written_at if stored else None), None
