"""What belongs to an image and is put next to it before its tags move: attachments, and copies of its referrers.

Both are artifacts with the image as their subject, pushed by digest. Registries without the referrers API get the index
under the fallback tag. Source: OCI distribution-spec 1.1, "Referrers"; cosign's tags, registry.md 3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from bakery.engines.native import NativeEngine
from bakery.errors import BadDocument, BakeryError
from bakery.events import ArtifactAdded, Emit, Noted
from bakery.oci import canonical
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Manifest, RawManifest
from bakery.oci.reference import DigestReference, Repository
from bakery.publish.image import AssembledImage, Child
from bakery.publish.outcome import ArtifactOutcome
from bakery.publish.sets import Staged
from bakery.tasks import together

MAX_DEPTH: Final = 4  # referrers of referrers, and indexes in indexes
MAX_ARTIFACTS: Final = 1_000  # of one target at one destination
_EMPTY: Final = b"{}"
_TITLE: Final = "org.opencontainers.image.title"
_COSIGN: Final = (".sig", ".att", ".sbom")
_LONGEST_TAG: Final = 128


class Attachment(Struct, frozen=True):
    """A file that is attached to every image of a run."""

    name: str
    media_type: str
    content: bytes

    def artifact_for(self, subject: Descriptor) -> tuple[RawManifest, Mapping[Digest, bytes]]:
        """Return the manifest that attaches it, and its blobs. Nothing in it depends on the time of the run."""
        layer, config = Descriptor.of(self.content, self.media_type), Descriptor.of(_EMPTY, mt.EMPTY)
        document = {
            "schemaVersion": 2,
            "mediaType": mt.OCI_MANIFEST,
            "artifactType": self.media_type,
            "config": config.to_json(),
            "layers": [{**layer.to_json(), "annotations": {_TITLE: self.name}}],
            "subject": subject.bare().to_json(),
        }
        raw = canonical.encode(document, canonical.MANIFEST)
        return RawManifest.of(raw, mt.OCI_MANIFEST), {layer.digest: self.content, config.digest: _EMPTY}


class Artifacts:
    """Puts artifacts next to staged images. attachments: for every image. copies: whether to copy referrers, too."""

    def __init__(
        self, engine: NativeEngine, *, attachments: Sequence[Attachment] = (), copies: bool = False, emit: Emit
    ) -> None:
        self._engine, self._client, self._emit = engine, engine.client, emit
        self._attachments, self._copies = attachments, copies

    async def add(self, staged: Staged) -> list[ArtifactOutcome]:
        """Add everything to an image at one destination, and return it.

        Raises BakeryError: then the image is not staged.
        """
        if staged.image is None:
            return []
        added = [await self._attach(staged, staged.image, attachment) for attachment in self._attachments]
        if self._copies:
            added += await _Copy(self._engine, staged, staged.image, self._emit).run()
        return added

    async def _attach(self, staged: Staged, image: AssembledImage, attachment: Attachment) -> ArtifactOutcome:
        content, blobs = attachment.artifact_for(image.index.descriptor)
        view = views.parse(content.raw)
        assert isinstance(view, Manifest)
        artifact = AssembledImage(content, (Child(content, view, staged.repository),), blobs)
        await self._engine.stage(artifact, staged.repository)
        subject = str(staged.repository.with_digest(image.digest))
        self._emit(ArtifactAdded(staged.target.uid, subject, attachment.media_type, str(artifact.digest)))
        return ArtifactOutcome(image.digest, attachment.media_type, artifact.digest)


class _Copy:
    """Copies what refers to one image, to its children and to its sources, to one destination."""

    def __init__(self, engine: NativeEngine, staged: Staged, image: AssembledImage, emit: Emit) -> None:
        self._engine, self._client, self._emit = engine, engine.client, emit
        self._staged, self._image, self._to = staged, image, staged.repository
        self._seen: set[DigestReference] = set()
        self._count = 0
        self._copied: list[ArtifactOutcome] = []

    async def run(self) -> list[ArtifactOutcome]:
        """Copy everything, and return what is at the destination now."""
        level: Collection[DigestReference] = await self._subjects()
        for _ in range(MAX_DEPTH):
            if not level:
                return self._copied
            self._seen.update(level)
            found = await together(self._copy_of(subject) for subject in level)
            level = [one for one in dict.fromkeys(ref for refs in found for ref in refs) if one not in self._seen]
        if level:
            why = f"they refer to each other more than {MAX_DEPTH} times"
            raise BakeryError("cannot copy the referrers of", about=self._image.digest, why=why)
        return self._copied

    async def _subjects(self) -> list[DigestReference]:
        """Return where the image and its parts come from; what is at the destination already needs no copy."""
        image = self._image
        places = [child.origin for child in image.children if isinstance(child.origin, Repository)]
        wanted = [
            child.origin.with_digest(child.descriptor.digest)
            for child in image.children
            if isinstance(child.origin, Repository)
        ]
        sources = (source.reference for source in self._staged.target.sources)
        wanted += [reference for reference in sources if isinstance(reference, DigestReference)]
        for place in dict.fromkeys(places):  # of an index that was not changed
            wanted += [place.with_digest(one.descriptor.digest) for one in (image.index, *image.nested)]
        return [one for one in dict.fromkeys(wanted) if one.repository != self._to]

    async def _copy_of(self, subject: DigestReference) -> list[DigestReference]:
        """Copy everything that refers to a manifest. Return it at its origin, for what refers to that."""
        listed = await self._client.manifests.referrers(subject)
        origin = subject.repository
        self._count += len(listed)
        if self._count > MAX_ARTIFACTS:
            why = f"more than {MAX_ARTIFACTS:,} manifests refer to it or its parts"
            raise BakeryError("cannot copy the referrers of", about=self._image.digest, why=why)
        copied = await together(self._copy(origin, entry, subject) for entry in dict.fromkeys(listed))
        tagged = await together(self._copy_tag(subject, suffix) for suffix in _COSIGN)
        return [*copied, *(one for one in tagged if one is not None)]

    async def _copy(self, origin: Repository, entry: Descriptor, subject: DigestReference) -> DigestReference:
        reference = origin.with_digest(entry.digest)
        content = await self._client.manifests.get(reference, must_exist=True)
        entry.check(content.raw, about=reference)
        await self._stage(origin, content)
        self._report(subject, "referrer", entry.digest)
        return reference

    async def _copy_tag(self, subject: DigestReference, suffix: str) -> DigestReference | None:
        """Copy the signature, attestation or SBOM that cosign keeps under a tag. One that is there already stays."""
        tag = f"{subject.digest.algorithm}-{subject.digest.hex}{suffix}"
        if len(tag) > _LONGEST_TAG:
            return None
        found = await self._client.manifests.head(subject.repository.with_tag(tag))
        if found is None:
            return None
        copied = await self._client.manifests.head(self._to.with_tag(tag))
        if copied is not None and copied.digest != found.digest:
            text = f"{self._to.with_tag(tag)} has other content than {subject.repository}, and is left as it is"
            self._emit(Noted(self._staged.target.uid, text))
            return None
        origin = subject.repository.with_digest(found.digest)
        if copied is None:
            content = await self._client.manifests.get(origin, must_exist=True)
            await self._stage(subject.repository, content)
            await self._client.manifests.put(self._to.with_tag(tag), content)
        self._report(subject, f"cosign{suffix}", found.digest)
        return origin

    async def _stage(self, origin: Repository, content: RawManifest) -> None:
        children, nested = await self._parts(origin, content, 0)
        await self._engine.stage(AssembledImage(content, tuple(children), nested=tuple(nested)), self._to)

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
        self._emit(ArtifactAdded(self._staged.target.uid, at, kind, str(digest)))
        self._copied.append(ArtifactOutcome(subject.digest, kind, digest))
