"""What a lagging read returns, computed from the write times that storage keeps. Pure; faults.py defines the lags."""

from __future__ import annotations

from enum import Enum, auto

from bakery.oci.digest import Digest
from bakery.rehearsal.faults import Effect, Lag, Stale
from bakery.rehearsal.routes import ApiRoute, Resource
from bakery.rehearsal.storage import Storage


class Visible(Enum):
    """What a read finds, unless it finds older content."""

    ALL = auto()
    NOTHING = auto()


def visible(effect: Effect, resource: Resource, storage: Storage, now: float) -> Visible | Digest:
    """Return what a read finds under this effect: current content, nothing, or the digest that the tag named before."""
    if not isinstance(effect, Lag | Stale):
        return Visible.ALL
    written_at, before = _last_write(resource, storage)
    if written_at is None or now - written_at >= effect.seconds:
        return Visible.ALL
    if isinstance(effect, Lag):
        return Visible.NOTHING
    return Visible.ALL if before is None else before


def _last_write(resource: Resource, storage: Storage) -> tuple[float | None, Digest | None]:
    """Return when the resource was written and, for a tag, what it named before."""
    repository = storage.repository(resource.repository)
    if repository is None:
        return None, None
    if resource.route is ApiRoute.BLOB and resource.digest:
        return repository.blobs.get(resource.digest), None
    if resource.route is not ApiRoute.MANIFEST:
        return None, None
    if resource.digest is None:
        tag = repository.tags.get(resource.reference)
        return (tag.written_at, tag.before) if tag else (None, None)
    manifest = repository.manifests.get(resource.digest)
    return (manifest.written_at if manifest else None), None
