"""What the registry holds: repositories with blobs, manifests, tags and referrers. The bytes are in a Backend.

Every method is one atomic step. No HTTP and no faults; write times are recorded so that faults can simulate lag.
Names and digests are already validated (routes.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from bakery.oci.digest import Digest
from bakery.rehearsal.backend import Backend, ContentWriter, LinkKind, StoredLink
from bakery.rehearsal.responses import StoredContent
from bakery.rehearsal.time_source import TimeSource


class StoredManifest(Struct, frozen=True):
    """A manifest. descriptor: its entry in the referrers API, if it has a subject."""

    media_type: str
    size: int
    written_at: float
    subject: Digest | None = None
    descriptor: dict[str, Any] | None = None


class StoredTag(Struct, frozen=True):
    """The digest that a tag names, since when, and the digest that it named before."""

    digest: Digest
    written_at: float
    before: Digest | None = None


class StoredRepository(Struct):
    """The contents of one repository. blobs: write time by digest."""

    blobs: dict[Digest, float] = field(default_factory=dict)
    manifests: dict[Digest, StoredManifest] = field(default_factory=dict)
    tags: dict[str, StoredTag] = field(default_factory=dict)
    referrers: dict[Digest, dict[Digest, None]] = field(default_factory=dict)  # by subject, in order of arrival


class Storage:
    """All repositories. Content is removed when the last repository drops it."""

    def __init__(self, backend: Backend, clock: TimeSource) -> None:
        self._backend, self._clock = backend, clock
        self._repositories: dict[str, StoredRepository] = {}
        self._holders: Counter[Digest] = Counter()
        self._load()

    def _load(self) -> None:
        long_ago = float("-inf")
        for link in self._backend.links():
            repository = self._repositories.setdefault(link.repository, StoredRepository())
            if link.kind is LinkKind.TAG:
                digest = Digest.parse(link.text)
                if digest in repository.manifests:  # links are sorted by kind: manifests before tags
                    repository.tags[link.name] = StoredTag(digest, long_ago)
                continue
            digest = Digest.parse(link.name)
            if self._backend.content(digest) is None:
                continue
            self._holders[digest] += 1
            if link.kind is LinkKind.BLOB:
                repository.blobs[digest] = long_ago
            else:
                self._add_manifest(repository, digest, _from_text(link.text, long_ago))
        self._backend.sweep(set(self._holders))

    # Reads.

    def names(self) -> list[str]:
        """Return the names of repositories that hold anything, sorted."""
        return sorted(name for name, found in self._repositories.items() if found.blobs or found.manifests)

    def repository(self, name: str) -> StoredRepository | None:
        """Return the repository, or None if nothing was ever pushed to it."""
        return self._repositories.get(name)

    def blob(self, name: str, digest: Digest) -> StoredContent | None:
        """Return the blob if the repository holds it."""
        repository = self._repositories.get(name)
        return self._backend.content(digest) if repository and digest in repository.blobs else None

    def manifest(self, name: str, digest: Digest) -> tuple[StoredManifest, StoredContent] | None:
        """Return the manifest if the repository holds it."""
        repository = self._repositories.get(name)
        manifest = repository.manifests.get(digest) if repository else None
        content = self._backend.content(digest) if manifest else None
        return (manifest, content) if manifest and content else None

    def tag(self, name: str, tag: str) -> StoredTag | None:
        """Return the tag if the repository has it."""
        repository = self._repositories.get(name)
        return repository.tags.get(tag) if repository else None

    def referrers(self, name: str, subject: Digest) -> list[dict[str, Any]]:
        """Return descriptors of the manifests with this subject, in order of arrival."""
        repository = self._repositories.get(name)
        if repository is None:
            return []
        found = (repository.manifests[digest] for digest in repository.referrers.get(subject, ()))
        return [manifest.descriptor for manifest in found if manifest.descriptor is not None]

    def is_held(self, digest: Digest) -> bool:
        """Return whether any repository holds this content."""
        return self._holders[digest] > 0

    # Writes.

    def writer(self) -> ContentWriter:
        """Return a writer for content that is being received."""
        return self._backend.writer()

    def keep_blob(self, name: str, digest: Digest, writer: ContentWriter) -> None:
        """Store the written content as a blob of this repository. The caller has verified the digest."""
        if self.is_held(digest):
            writer.discard()
        else:
            writer.keep(digest)
        self.hold_blob(name, digest)

    def hold_blob(self, name: str, digest: Digest) -> None:
        """Add existing content to this repository as a blob: a mount."""
        repository = self._repositories.setdefault(name, StoredRepository())
        if digest not in repository.blobs:
            self._backend.link(StoredLink(LinkKind.BLOB, name, str(digest), ""))
            repository.blobs[digest] = self._clock.now()
            self._holders[digest] += 1

    def keep_manifest(
        self, name: str, digest: Digest, raw: bytes, manifest: StoredManifest, tags: Iterable[str] = ()
    ) -> None:
        """Store a manifest and point these tags at it."""
        repository = self._repositories.setdefault(name, StoredRepository())
        if digest not in repository.manifests:
            if not self.is_held(digest):
                writer = self._backend.writer()
                writer.write(raw)
                writer.keep(digest)
            self._backend.link(StoredLink(LinkKind.MANIFEST, name, str(digest), _to_text(manifest)))
            self._holders[digest] += 1
            self._add_manifest(repository, digest, manifest)
        now = self._clock.now()
        for tag in tags:
            old = repository.tags.get(tag)
            if old is None or old.digest != digest:
                self._backend.link(StoredLink(LinkKind.TAG, name, tag, str(digest)))
                repository.tags[tag] = StoredTag(digest, now, old.digest if old else None)

    @staticmethod
    def _add_manifest(repository: StoredRepository, digest: Digest, manifest: StoredManifest) -> None:
        repository.manifests[digest] = manifest
        if manifest.subject is not None:
            repository.referrers.setdefault(manifest.subject, {})[digest] = None

    def drop_tag(self, name: str, tag: str) -> bool:
        """Remove a tag. Return whether it existed."""
        repository = self._repositories.get(name)
        if repository is None or repository.tags.pop(tag, None) is None:
            return False
        self._backend.unlink(LinkKind.TAG, name, tag)
        return True

    def drop_manifest(self, name: str, digest: Digest) -> bool:
        """Remove a manifest and the tags that name it. Return whether it existed."""
        repository = self._repositories.get(name)
        if repository is None or digest not in repository.manifests:
            return False
        for tag in [tag for tag, found in repository.tags.items() if found.digest == digest]:
            self.drop_tag(name, tag)
        manifest = repository.manifests.pop(digest)
        if manifest.subject is not None:
            del repository.referrers[manifest.subject][digest]
        self._release(LinkKind.MANIFEST, name, digest)
        return True

    def drop_blob(self, name: str, digest: Digest) -> bool:
        """Remove a blob from one repository. Return whether it existed."""
        repository = self._repositories.get(name)
        if repository is None or repository.blobs.pop(digest, None) is None:
            return False
        self._release(LinkKind.BLOB, name, digest)
        return True

    def _release(self, kind: LinkKind, name: str, digest: Digest) -> None:
        self._backend.unlink(kind, name, str(digest))
        self._holders[digest] -= 1
        if self._holders[digest] <= 0:
            del self._holders[digest]
            self._backend.remove(digest)

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()


def _to_text(manifest: StoredManifest) -> str:
    subject = str(manifest.subject) if manifest.subject else None
    return json.dumps([manifest.media_type, manifest.size, subject, manifest.descriptor])


def _from_text(text: str, written_at: float) -> StoredManifest:
    media_type, size, subject, descriptor = json.loads(text)
    return StoredManifest(media_type, size, written_at, Digest.parse(subject) if subject else None, descriptor)
