"""What the registry holds: repositories with blobs, manifests, tags and referrers, over a Shelf that has the bytes.

Every method is one step that nothing interrupts. No HTTP and no faults; times of writing are kept for those who
simulate lag. Names and digests come checked (routes.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Content
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.shelf import Incoming, Kind, Link, Shelf


class Stored(Struct, frozen=True):
    """A manifest that is held. subject and descriptor: what the referrers API says of it; None where it has none."""

    media_type: str
    size: int
    written_at: float
    subject: Digest | None = None
    descriptor: dict[str, Any] | None = None


class Tag(Struct, frozen=True):
    """Where a tag points, since when, and what it named before."""

    digest: Digest
    written_at: float
    before: Digest | None = None


class Repository(Struct):
    """One repository's contents. blobs: digest to the time of writing."""

    blobs: dict[Digest, float] = field(default_factory=dict)
    manifests: dict[Digest, Stored] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    referrers: dict[Digest, dict[Digest, None]] = field(default_factory=dict)  # by subject, in order of arrival


class Storage:
    """All repositories. Content that no repository holds any more is removed."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf, self._clock = shelf, clock
        self._repositories: dict[str, Repository] = {}
        self._holders: Counter[Digest] = Counter()
        self._load()

    def _load(self) -> None:
        long_ago = float("-inf")
        for link in self._shelf.links():
            repository = self._repositories.setdefault(link.repository, Repository())
            if link.kind is Kind.TAG:
                digest = Digest.parse(link.text)
                if digest in repository.manifests:  # links come by kind: manifests before tags
                    repository.tags[link.name] = Tag(digest, long_ago)
                continue
            digest = Digest.parse(link.name)
            if self._shelf.content(digest) is None:
                continue
            self._holders[digest] += 1
            if link.kind is Kind.BLOB:
                repository.blobs[digest] = long_ago
            else:
                self._place_manifest(repository, digest, _from_text(link.text, long_ago))
        self._shelf.sweep(set(self._holders))

    # Reading.

    def names(self) -> list[str]:
        """The repositories that hold anything, sorted."""
        return sorted(name for name, found in self._repositories.items() if found.blobs or found.manifests)

    def repository(self, name: str) -> Repository | None:
        """This repository, or None where nothing was ever put into it."""
        return self._repositories.get(name)

    def blob(self, name: str, digest: Digest) -> Content | None:
        """The blob, where this repository holds it."""
        repository = self._repositories.get(name)
        return self._shelf.content(digest) if repository and digest in repository.blobs else None

    def manifest(self, name: str, digest: Digest) -> tuple[Stored, Content] | None:
        """The manifest, where this repository holds it."""
        repository = self._repositories.get(name)
        stored = repository.manifests.get(digest) if repository else None
        content = self._shelf.content(digest) if stored else None
        return (stored, content) if stored and content else None

    def tag(self, name: str, tag: str) -> Tag | None:
        """Where the tag points."""
        repository = self._repositories.get(name)
        return repository.tags.get(tag) if repository else None

    def referrers(self, name: str, subject: Digest) -> list[dict[str, Any]]:
        """Descriptors of the manifests that name this subject, in order of arrival."""
        repository = self._repositories.get(name)
        if repository is None:
            return []
        found = (repository.manifests[digest] for digest in repository.referrers.get(subject, ()))
        return [stored.descriptor for stored in found if stored.descriptor is not None]

    def anywhere(self, digest: Digest) -> bool:
        """Whether some repository holds this content."""
        return self._holders[digest] > 0

    # Writing.

    def incoming(self) -> Incoming:
        """A place to write content that is on its way in."""
        return self._shelf.incoming()

    def keep_blob(self, name: str, digest: Digest, incoming: Incoming) -> None:
        """Make what was written this repository's blob. The caller has checked the digest."""
        if self.anywhere(digest):
            incoming.discard()
        else:
            incoming.keep(digest)
        self.hold_blob(name, digest)

    def hold_blob(self, name: str, digest: Digest) -> None:
        """Let this repository hold content that is here already: a mount."""
        repository = self._repositories.setdefault(name, Repository())
        if digest not in repository.blobs:
            self._shelf.link(Link(Kind.BLOB, name, str(digest), ""))
            repository.blobs[digest] = self._clock.now()
            self._holders[digest] += 1

    def keep_manifest(self, name: str, digest: Digest, raw: bytes, stored: Stored, tags: Iterable[str] = ()) -> None:
        """Hold this manifest and let these tags point at it."""
        repository = self._repositories.setdefault(name, Repository())
        if digest not in repository.manifests:
            if not self.anywhere(digest):
                incoming = self._shelf.incoming()
                incoming.write(raw)
                incoming.keep(digest)
            self._shelf.link(Link(Kind.MANIFEST, name, str(digest), _to_text(stored)))
            self._holders[digest] += 1
            self._place_manifest(repository, digest, stored)
        now = self._clock.now()
        for tag in tags:
            old = repository.tags.get(tag)
            if old is None or old.digest != digest:
                self._shelf.link(Link(Kind.TAG, name, tag, str(digest)))
                repository.tags[tag] = Tag(digest, now, old.digest if old else None)

    @staticmethod
    def _place_manifest(repository: Repository, digest: Digest, stored: Stored) -> None:
        repository.manifests[digest] = stored
        if stored.subject is not None:
            repository.referrers.setdefault(stored.subject, {})[digest] = None

    def drop_tag(self, name: str, tag: str) -> bool:
        """Remove a tag. Gives whether it was there."""
        repository = self._repositories.get(name)
        if repository is None or repository.tags.pop(tag, None) is None:
            return False
        self._shelf.unlink(Kind.TAG, name, tag)
        return True

    def drop_manifest(self, name: str, digest: Digest) -> bool:
        """Remove a manifest and the tags that point at it. Gives whether it was there."""
        repository = self._repositories.get(name)
        if repository is None or digest not in repository.manifests:
            return False
        for tag in [tag for tag, found in repository.tags.items() if found.digest == digest]:
            self.drop_tag(name, tag)
        stored = repository.manifests.pop(digest)
        if stored.subject is not None:
            del repository.referrers[stored.subject][digest]
        self._release(Kind.MANIFEST, name, digest)
        return True

    def drop_blob(self, name: str, digest: Digest) -> bool:
        """Remove a blob from one repository. Gives whether it was there."""
        repository = self._repositories.get(name)
        if repository is None or repository.blobs.pop(digest, None) is None:
            return False
        self._release(Kind.BLOB, name, digest)
        return True

    def _release(self, kind: Kind, name: str, digest: Digest) -> None:
        self._shelf.unlink(kind, name, str(digest))
        self._holders[digest] -= 1
        if self._holders[digest] <= 0:
            del self._holders[digest]
            self._shelf.remove(digest)

    def close(self) -> None:
        """Give the shelf back."""
        self._shelf.close()


def _to_text(stored: Stored) -> str:
    subject = str(stored.subject) if stored.subject else None
    return json.dumps([stored.media_type, stored.size, subject, stored.descriptor])


def _from_text(text: str, written_at: float) -> Stored:
    media_type, size, subject, descriptor = json.loads(text)
    return Stored(media_type, size, written_at, Digest.parse(subject) if subject else None, descriptor)
