"""Copies of what refers to an image: by the referrers API or the fallback tag, and under the tags of cosign.

An image is published even if its source does not let its referrers be read: what is attached there is not copied, and a
note says so. Content that is not what it claims to be, or too much of it, is an error as everywhere
(docs/decisions/0029). Source: OCI distribution-spec 1.1, "Referrers"; cosign's tags, registry.md 3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from typing import Final, TypeVar

from bakery.engines.native import NativeEngine
from bakery.errors import AuthError, BadDocument, BakeryError, ConnectionFailed, RegistryError, hint_of
from bakery.events import ArtifactAdded, Emit
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Manifest, RawManifest
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.publish.image import AssembledImage, Child
from bakery.publish.outcome import ArtifactOutcome
from bakery.publish.plan import PlannedTarget
from bakery.registry.challenge import BadChallenge
from bakery.registry.http.failure import UnsafeTarget, Untrusted
from bakery.registry.retries import giving_up_after
from bakery.tasks import together
from bakery.text import plural

MAX_DEPTH: Final = 4  # referrers of referrers, and indexes in indexes
MAX_ARTIFACTS: Final = 1_000  # of one target at one destination
_PATIENCE_S: Final = 60.0  # for a source whose referrers cannot be read: a release does not wait longer
_COSIGN: Final = (".sig", ".att", ".sbom")
_LONGEST_TAG: Final = 128
# A refusal, no response, a login that cannot be sent, or an address that must not be followed: nothing was read.
_UNREAD: Final = (RegistryError, ConnectionFailed, BadChallenge, UnsafeTarget, Untrusted)
T = TypeVar("T")


class Referrers:
    """What refers to one image, to its children and to its sources, on its way to one destination.

    notes: what was not copied, complete once `copy` or `look` has returned. failing: registries whose referrers could
    not be read within the patience, shared by all images of a run: the next request to them is not repeated.
    """

    def __init__(
        self,
        engine: NativeEngine,
        target: PlannedTarget,
        image: AssembledImage,
        to: Repository,
        *,
        failing: set[str],
        emit: Emit,
    ) -> None:
        self._engine, self._client, self._emit = engine, engine.client, emit
        self._target, self._image, self._to = target, image, to
        self._failing = failing
        self._seen: dict[DigestReference, None] = {}
        self._count = 0
        self._copied: list[ArtifactOutcome] = []
        self._kept: list[str] = []
        self._unread: dict[tuple[str, str], set[DigestReference]] = {}  # by reason and next step

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of this copy."""
        found: dict[tuple[Repository, str, str], list[DigestReference]] = {}
        for subject in self._seen:  # in this order, so that the note of each destination is the same
            for (why, step), subjects in self._unread.items():
                if subject in subjects:
                    found.setdefault((subject.repository, why, step), []).append(subject)
        return (*self._kept, *(_unread(subjects, why, step) for (_, why, step), subjects in found.items()))

    async def copy(self) -> list[ArtifactOutcome]:
        """Copy everything, and return what is at the destination now."""
        level: Collection[DigestReference] = self._subjects()
        for _ in range(MAX_DEPTH):
            if not level:
                return self._copied
            self._seen |= dict.fromkeys(level)
            found = await together(self._copy_of(subject) for subject in level)
            level = [one for one in dict.fromkeys(ref for refs in found for ref in refs) if one not in self._seen]
        if level:
            why = f"they refer to each other more than {MAX_DEPTH} times"
            raise BakeryError("cannot copy the referrers of", about=self._image.digest, why=why)
        return self._copied

    async def look(self) -> None:
        """List what refers to the image, its children and its sources, and copy nothing."""
        subjects = self._subjects()
        self._seen |= dict.fromkeys(subjects)
        await together(self._listed(subject) for subject in subjects)
        await together(self._tagged(subject, suffix) for subject in subjects for suffix in _COSIGN)

    def _subjects(self) -> list[DigestReference]:
        """Return where the image and its parts come from; what is at the destination already needs no copy."""
        image = self._image
        places = [child.origin for child in image.children if isinstance(child.origin, Repository)]
        wanted = [
            child.origin.with_digest(child.descriptor.digest)
            for child in image.children
            if isinstance(child.origin, Repository)
        ]
        sources = (source.reference for source in self._target.sources)
        wanted += [reference for reference in sources if isinstance(reference, DigestReference)]
        for place in dict.fromkeys(places):  # of an index that was not changed
            wanted += [place.with_digest(one.descriptor.digest) for one in (image.index, *image.nested)]
        return [one for one in dict.fromkeys(wanted) if one.repository != self._to]

    async def _copy_of(self, subject: DigestReference) -> list[DigestReference]:
        """Copy everything that refers to a manifest. Return it at its origin, for what refers to that."""
        listed = await self._listed(subject)
        copied = await together(self._copy(entry, subject) for entry in dict.fromkeys(listed))
        tagged = await together(self._copy_tag(subject, suffix) for suffix in _COSIGN)
        return [one for one in (*copied, *tagged) if one is not None]

    async def _listed(self, subject: DigestReference) -> Sequence[Descriptor]:
        listed = await self._read(subject, self._client.manifests.referrers(subject)) or ()
        self._count += len(listed)
        if self._count > MAX_ARTIFACTS:
            why = f"more than {MAX_ARTIFACTS:,} manifests refer to it or its parts"
            raise BakeryError("cannot copy the referrers of", about=self._image.digest, why=why)
        return listed

    async def _tagged(self, subject: DigestReference, suffix: str) -> tuple[str, Descriptor] | None:
        """Return the tag under which cosign keeps a signature, attestation or SBOM, and what it names."""
        tag = f"{subject.digest.algorithm}-{subject.digest.hex}{suffix}"
        if len(tag) > _LONGEST_TAG:
            return None
        found = await self._read(subject, self._client.manifests.head(subject.repository.with_tag(tag)))
        return None if found is None else (tag, found)

    async def _copy(self, entry: Descriptor, subject: DigestReference) -> DigestReference | None:
        reference = subject.repository.with_digest(entry.digest)
        content = await self._content(subject, entry.digest)
        if content is None:
            return None
        entry.check(content.raw, about=reference)
        if not await self._stage(subject, content):
            return None
        self._report(subject, "referrer", entry.digest)
        return reference

    async def _copy_tag(self, subject: DigestReference, suffix: str) -> DigestReference | None:
        """Copy the signature, attestation or SBOM that cosign keeps under a tag. One that is there already stays."""
        tagged = await self._tagged(subject, suffix)
        if tagged is None:
            return None
        tag, found = tagged
        copy: TagReference = self._to.with_tag(tag)
        copied = await self._client.manifests.head(copy)
        if copied is not None and copied.digest != found.digest:
            self._kept.append(f"{copy} has other content than {subject.repository}, and is left as it is")
            return None
        if copied is None:
            content = await self._content(subject, found.digest)
            if content is None or not await self._stage(subject, content):
                return None
            await self._client.manifests.put(copy, content)
        self._report(subject, f"cosign{suffix}", found.digest)
        return subject.repository.with_digest(found.digest)

    async def _content(self, subject: DigestReference, digest: Digest) -> RawManifest | None:
        reference = subject.repository.with_digest(digest)
        return await self._read(subject, self._client.manifests.get(reference, must_exist=True))

    async def _stage(self, subject: DigestReference, content: RawManifest) -> bool:
        """Put an artifact next to the image. Return False if its source does not let a part of it be read."""
        origin = subject.repository
        parts = await self._read(subject, self._parts(origin, content, 0))
        if parts is None:
            return False
        children, nested = parts
        try:
            await self._engine.stage(AssembledImage(content, tuple(children), nested=tuple(nested)), self._to)
        except RegistryError as error:  # of a blob: its reference shows no more than whose it is
            if error.transient or not error.about.startswith(f"{origin}@"):
                raise
            self._note(subject, error)
            return False
        return True

    async def _read(self, subject: DigestReference, reading: Awaitable[T]) -> T | None:
        """Return what is read at the source; None, and a note, if the registry refuses it or keeps failing."""
        try:
            with giving_up_after(0.0 if subject.repository.registry in self._failing else _PATIENCE_S):
                return await reading
        except _UNREAD as error:
            self._note(subject, error)
            return None

    def _note(self, subject: DigestReference, error: BakeryError) -> None:
        """Note that what refers to a manifest is not copied. Raises an error that is not a refusal, but of content."""
        if isinstance(error, RegistryError) and not error.status and not isinstance(error, AuthError):
            raise error
        if error.transient:
            self._failing.add(subject.repository.registry)
        step = hint_of(error) if isinstance(error, AuthError) else ""
        why = " ".join((error.why or error.what).split())
        self._unread.setdefault((why, step), set()).add(subject)

    async def _parts(
        self, origin: Repository, content: RawManifest, depth: int
    ) -> tuple[list[Child], list[RawManifest]]:
        """Return the manifests of an artifact, and the indexes in it, innermost first."""
        about = origin.with_digest(content.descriptor.digest)
        view = views.parse(content.raw, media_type=content.descriptor.media_type, about=about)
        if isinstance(view, Manifest):
            return [Child(content, view, origin)], []
        if depth >= MAX_DEPTH or len(view.manifests) > MAX_ARTIFACTS:
            raise BadDocument("cannot copy", about=about, why="it is an index with too many or too deep entries")
        raws = await together(self._engine.read_manifest(origin, entry) for entry in view.manifests)
        children: list[Child] = []
        nested: list[RawManifest] = []
        for entry, raw in zip(view.manifests, raws, strict=True):
            inner = RawManifest(entry, raw)
            inner_children, inner_nested = await self._parts(origin, inner, depth + 1)
            children += inner_children
            nested += [*inner_nested, *([inner] if mt.is_index(entry.media_type) else [])]
        return children, nested

    def _report(self, subject: DigestReference, kind: str, digest: Digest) -> None:
        at = str(self._to.with_digest(subject.digest))
        self._emit(ArtifactAdded(self._target.uid, at, kind, str(digest)))
        self._copied.append(ArtifactOutcome(subject.digest, kind, digest))


def _unread(subjects: Sequence[DigestReference], why: str, step: str) -> str:
    """Return the note about referrers that could not be read. subjects: of one repository."""
    first, *others = subjects
    more = f" and of {plural(len(others), 'other manifest')} there" if others else ""
    then = f"{step}, then run" if step else "run"
    return (
        f"cannot read all referrers of {first}{more} ({why}): signatures, attestations and other artifacts attached "
        f"there were not copied; {then} the same command again to copy them"
    )
