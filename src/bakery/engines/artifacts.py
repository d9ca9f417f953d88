"""What belongs to an image and is put next to it before its tags move: attachments, and copies of its referrers.

Both are artifacts with the image as their subject, pushed by digest. Registries without the referrers API get the index
under the fallback tag. Copies are in `engines.referrers`. Source: OCI distribution-spec 1.1, "Referrers".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from bakery.engines.native import NativeEngine
from bakery.engines.referrers import Referrers
from bakery.events import ArtifactAdded, Emit
from bakery.oci import canonical
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Manifest, RawManifest
from bakery.oci.reference import Repository
from bakery.publish.image import AssembledImage, Child
from bakery.publish.outcome import ArtifactOutcome
from bakery.publish.plan import PlannedTarget
from bakery.publish.sets import Staged

_EMPTY: Final = b"{}"
_TITLE: Final = "org.opencontainers.image.title"


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
        self._engine, self._emit = engine, emit
        self._attachments, self._copies = attachments, copies
        self._failing: set[str] = set()

    async def add(self, staged: Staged) -> list[ArtifactOutcome]:
        """Add everything to an image at one destination, and return it.

        Referrers that the source does not let be read are noted. Raises BakeryError: then the image is not staged.
        """
        if staged.image is None:
            return []
        added = [await self._attach(staged, staged.image, attachment) for attachment in self._attachments]
        if self._copies:
            copying = self._referrers(staged.target, staged.image, staged.repository)
            added += await copying.copy()
            for note in copying.notes:
                staged.note(note)
        return added

    async def foresee(self, target: PlannedTarget, image: AssembledImage) -> Sequence[str]:
        """Return what `add` would note about the sources of an image, as far as reading shows it.

        Raises BakeryError if the image would not be staged.
        """
        if not self._copies:
            return ()
        notes: dict[str, None] = {}
        for place in target.destinations:
            copying = self._referrers(target, image, place.repository)
            await copying.look()
            notes |= dict.fromkeys(copying.notes)
        return tuple(notes)

    def _referrers(self, target: PlannedTarget, image: AssembledImage, to: Repository) -> Referrers:
        return Referrers(self._engine, target, image, to, failing=self._failing, emit=self._emit)

    async def _attach(self, staged: Staged, image: AssembledImage, attachment: Attachment) -> ArtifactOutcome:
        content, blobs = attachment.artifact_for(image.index.descriptor)
        view = views.parse(content.raw)
        assert isinstance(view, Manifest)
        artifact = AssembledImage(content, (Child(content, view, staged.repository),), blobs)
        await self._engine.stage(artifact, staged.repository)
        subject = str(staged.repository.with_digest(image.digest))
        self._emit(ArtifactAdded(staged.target.uid, subject, attachment.media_type, str(artifact.digest)))
        return ArtifactOutcome(image.digest, attachment.media_type, artifact.digest)
