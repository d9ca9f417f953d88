"""Check what is published: that every tag names what it must, and that everything it names is there (`bakery verify`).

Manifests are read and their digests verified; of blobs only the presence is looked for. Each is looked at once in a
repository, however many tags lead to it. Nothing is written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BakeryError
from bakery.ledger import Ledger, owning
from bakery.oci import manifest as views
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.publish.audited import Attached, Audit, Checked, Expected
from bakery.publish.outcome import ArtifactOutcome
from bakery.tasks import together

MAX_DEPTH: Final = 4
_SHOWN: Final = 3  # of the digests in one problem


class Reader(Protocol):
    """Reads a registry."""

    async def read_tag(self, reference: TagReference) -> Digest | None:
        """Return what a tag names now, or None."""
        ...

    async def read_manifest(self, reference: DigestReference) -> RawManifest | None:
        """Return a manifest, verified, or None if it is not there."""
        ...

    async def has_blob(self, repository: Repository, blob: Descriptor) -> bool:
        """Return whether the blob is there."""
        ...

    async def attached(self, reference: DigestReference) -> Attached:
        """Return how many signatures and attestations refer to a manifest, by cosign's tags or as referrers."""
        ...


class _Content(Struct):
    """What an index or image consists of, and what of it is missing."""

    platforms: list[str] = []
    attestations: int = 0
    manifests: set[Digest] = set()
    blobs: set[Digest] = set()
    lost: list[Digest] = []


async def audit(expected: Sequence[Expected], reader: Reader, *, needs_signature: bool = False) -> Audit:
    """Check every reference. needs_signature: one that is not signed differs from what is expected."""
    async with owning() as owner:
        auditor = _Auditor(reader, needs_signature, Ledger(owner))
        checked = await together(auditor.check(one) for one in expected)
    return Audit(tuple(_compared(checked)))


def _compared(checked: Sequence[Checked]) -> list[Checked]:
    """Compare the members of each group with what most of them have."""
    groups: dict[str, list[Checked]] = {}
    for one in checked:
        if one.expected.group and one.digest is not None:
            groups.setdefault(one.expected.group, []).append(one)
    usual = {name: _usual(members) for name, members in groups.items()}
    return [
        replace(one, problems=(*one.problems, *_differences(one, usual[one.expected.group])))
        if one.digest is not None and one.expected.group
        else one
        for one in checked
    ]


def _usual(members: Sequence[Checked]) -> Checked:
    """Return the member to compare with: with the digest that most have, and the most signatures."""
    counts = Counter(one.digest for one in members)
    return max(members, key=lambda one: (counts[one.digest], one.signatures, one.attestations))


def _differences(one: Checked, usual: Checked) -> list[str]:
    if one.digest != usual.digest:
        return [f"names {one.digest}, but {usual.expected.reference} names {usual.digest}"]
    if one.signatures < usual.signatures:
        return [f"has {one.signatures} of the {usual.signatures} signatures at {usual.expected.reference}"]
    if one.attestations < usual.attestations:
        return [f"has {one.attestations} of the {usual.attestations} attestations at {usual.expected.reference}"]
    return []


class _Auditor:
    def __init__(self, reader: Reader, needs_signature: bool, work: Ledger[Any]) -> None:
        self._reader, self._needs_signature, self._work = reader, needs_signature, work

    async def check(self, expected: Expected) -> Checked:
        """Check one reference. A registry that fails is in the result."""
        try:
            return await self._check(expected)
        except BakeryError as error:
            return Checked(expected, error=error)

    async def _check(self, expected: Expected) -> Checked:
        reference, repository = expected.reference, expected.reference.repository
        if isinstance(reference, TagReference):
            digest = await self._reader.read_tag(reference)
            if digest is None:
                return Checked(expected, problems=("the tag does not exist",))
        else:
            digest = reference.digest
        problems = []
        if expected.digest is not None and digest != expected.digest:
            problems.append(f"names {digest}, expected {expected.digest}")
        place = repository.with_digest(digest)
        content, attached, missing = await asyncio.gather(
            self._read_content(place), self._attached(place), self._missing_artifacts(expected)
        )
        if content.lost:
            shown = ", ".join(str(lost) for lost in content.lost[:_SHOWN])
            more = f" and {len(content.lost) - _SHOWN} more" if len(content.lost) > _SHOWN else ""
            problems.append(f"content is missing: {shown}{more}")
        else:
            problems += [f"{name} is missing" for name in _missing(expected.platforms, content.platforms)]
        if self._needs_signature and not attached.signatures:
            problems.append("it is not signed")
        problems += missing
        return Checked(
            expected,
            digest,
            tuple(content.platforms),
            content.attestations + attached.attestations,
            attached.signatures,
            len(content.manifests),
            len(content.blobs),
            tuple(problems),
        )

    async def _read_content(self, place: DigestReference) -> _Content:
        found: _Content = await self._work.once(place, partial(self._content, place))
        return found

    async def _attached(self, place: DigestReference) -> Attached:
        found: Attached = await self._work.once((place, "attached"), partial(self._reader.attached, place))
        return found

    async def _missing_artifacts(self, expected: Expected) -> list[str]:
        """Return what belongs to the image and is not in the repository any more."""
        found = await together(self._has_artifact(expected, one) for one in expected.artifacts)
        missing = [one for one, there in zip(expected.artifacts, found, strict=True) if not there]
        return [f"{_described(one)} is missing" for one in missing]

    async def _has_artifact(self, expected: Expected, artifact: ArtifactOutcome) -> bool:
        repository = expected.reference.repository
        if artifact.digest is None:
            return bool((await self._attached(repository.with_digest(artifact.subject))).signatures)
        return not (await self._read_content(repository.with_digest(artifact.digest))).lost

    async def _content(self, root: DigestReference) -> _Content:
        content = _Content([], 0, set(), set(), [])
        level: list[tuple[DigestReference, Descriptor | None]] = [(root, None)]
        for _ in range(MAX_DEPTH + 1):
            level = [(place, entry) for place, entry in level if place.digest not in content.manifests]
            content.manifests |= {place.digest for place, _ in level}
            found = await together(self._read(place) for place, _ in level)
            following: list[tuple[DigestReference, Descriptor | None]] = []
            images: list[Manifest] = []
            for (place, entry), raw in zip(level, found, strict=True):
                if raw is None:
                    content.lost.append(place.digest)
                    continue
                if entry is not None:
                    entry.check(raw.raw, about=place)
                view = views.parse(raw.raw, media_type=raw.descriptor.media_type, about=place)
                if isinstance(view, Index):
                    following += [(root.repository.with_digest(one.digest), one) for one in view.manifests]
                else:
                    images.append(view)
                    _describe(content, entry)
            await self._look_for_blobs(root.repository, images, content)
            level = following
        return content

    async def _look_for_blobs(self, repository: Repository, images: Sequence[Manifest], content: _Content) -> None:
        blobs = {blob.digest: blob for image in images for blob in image.blobs if blob.digest not in content.blobs}
        content.blobs |= blobs.keys()
        there = await together(
            self._work.once((repository, digest), partial(self._reader.has_blob, repository, blob))
            for digest, blob in blobs.items()
        )
        # A layer that only exists at URLs need not be in the registry.
        content.lost += [
            blob.digest for blob, one in zip(blobs.values(), there, strict=True) if not one and not blob.urls
        ]

    async def _read(self, place: DigestReference) -> RawManifest | None:
        found: RawManifest | None = await self._work.once(
            ("manifest", place), partial(self._reader.read_manifest, place)
        )
        return found


def _described(artifact: ArtifactOutcome) -> str:
    what = artifact.kind if artifact.digest is None else f"{artifact.kind} {artifact.digest}"
    return f"the {what} of {artifact.subject}"


def _describe(content: _Content, entry: Descriptor | None) -> None:
    if entry is None:
        return
    if views.is_attestation(entry):
        content.attestations += 1
    elif entry.platform is not None and not entry.platform.is_unknown:
        content.platforms.append(str(entry.platform))


def _missing(expected: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return the expected platforms that are not there. One without a variant is covered by any variant."""
    there = {Platform.parse(name).normalised() for name in found}
    loose = there | {platform.loose() for platform in there}
    return [name for name in expected if Platform.parse(name).normalised() not in loose]
