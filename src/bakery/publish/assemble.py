"""Put the platforms' builds together into one index. Pure: bytes in, bytes out, and the same bytes always.

Source: pipeline.md 4.1, 5.4 and 5.5 ("→ ours"): platforms come from the registry, indexes are flattened, attestations
are kept with their annotations and follow the images, nothing depends on the clock or on the order of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDigest, BadDocument
from bakery.oci.annotation import CREATED, format_time, parse_time
from bakery.oci.canonical import MAX_MANIFEST_BYTES, parse_object
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import ATTESTATION_OF
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference
from bakery.publish.image import Child, Image


class Build(Struct, frozen=True):
    """What one source turned out to hold: its manifests, flattened, and when it was made (metadata's word)."""

    source: DigestReference
    children: tuple[Child, ...]
    created: datetime | None = None


class ConfigFacts(Struct, frozen=True):
    """What an image config says of the image."""

    platform: Platform | None
    created: datetime | None


def read_config(raw: bytes, *, about: object) -> ConfigFacts:
    """Platform and creation time of an image config. A config of another kind has neither."""
    document = parse_object(raw, about=about)
    platform = None
    if isinstance(document.get("os"), str) and isinstance(document.get("architecture"), str):
        platform = Platform.from_json(document)
    return ConfigFacts(platform, parse_time(document.get("created")))


def newest(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of those that are known."""
    return max((time for time in times if time is not None), default=None)


def choose(builds: Sequence[Build]) -> tuple[tuple[Child, ...], tuple[str, ...]]:
    """One image a platform, with the attestations of the chosen ones; and what should be noted about the choice.

    Of two builds of one platform the newest wins, with a warning when their digests differ; where the times say
    nothing the higher digest wins, so that the order of the files does not count. Raises BadDocument for an image
    whose platform nobody tells, and for a build that holds no image.
    """
    for build in builds:
        if not any(child.is_image for child in build.children):
            raise BadDocument(
                "reading the build",
                about=build.source,
                why=f"none of its {len(build.children)} manifests is a container image",
                hint="give the digest that the build of an image pushed",
            )
    chosen: dict[Platform, tuple[Build, Child]] = {}
    notes: list[str] = []
    for build, child in sorted(_images(builds), key=_age):
        platform = child.descriptor.platform
        if platform is None:
            raise BadDocument(
                "reading the platform of",
                about=build.source,
                why="neither an index nor the image config names it",
                hint="build with --platform, or publish an image that has os and architecture in its config",
            )
        key = platform.normalised()
        if key in chosen and chosen[key][1].descriptor.digest != child.descriptor.digest:
            notes.append(
                f"two builds of {platform}: taking the newer {child.descriptor.digest} and "
                f"leaving {chosen[key][1].descriptor.digest}"
            )
        chosen[key] = (build, child)
    images = [child for _, child in (chosen[key] for key in sorted(chosen))]
    kept = {child.descriptor.digest for child in images}
    attestations: dict[Digest, Child] = {}
    for build in builds:
        for child in build.children:
            if not child.is_image and ((about := _describes(child)) is None or about in kept):
                attestations.setdefault(child.descriptor.digest, child)
    position = {child.descriptor.digest: number for number, child in enumerate(images)}

    def place(child: Child) -> tuple[int, str]:
        about = _describes(child)
        return position[about] if about is not None else len(images), str(child.descriptor.digest)

    following = sorted(attestations.values(), key=place)
    return (*images, *following), tuple(notes)


def _images(builds: Sequence[Build]) -> Iterable[tuple[Build, Child]]:
    return ((build, child) for build in builds for child in build.children if child.is_image)


def _age(pair: tuple[Build, Child]) -> tuple[datetime, str]:
    build, child = pair
    return build.created or datetime.min.replace(tzinfo=UTC), str(child.descriptor.digest)


def _describes(child: Child) -> Digest | None:
    """The digest of the image that an attestation or artifact is about; None where it does not say."""
    text = child.descriptor.annotations.get(ATTESTATION_OF)
    if text:
        try:
            return Digest.parse(text)
        except BadDigest:
            return None
    return child.manifest.subject.digest if child.manifest.subject is not None else None


def missing_platforms(children: Iterable[Child], declared: Iterable[str]) -> tuple[str, ...]:
    """Which declared platforms no image covers. A declared platform without variant is covered by any variant."""
    images = (child.descriptor.platform for child in children if child.is_image)
    there = {platform.normalised() for platform in images if platform is not None}
    loose = there | {replace(platform, variant="", os_version="", os_features=()) for platform in there}
    return tuple(text for text in declared if Platform.parse(text).normalised() not in loose)


def index_annotations(
    annotations: Mapping[str, str], children: Iterable[ConfigFacts], source_date_epoch: int | None
) -> dict[str, str]:
    """The index's annotations: the target's labels, with `created` = SOURCE_DATE_EPOCH, else the newest config's time.

    Never the time of publishing: a second run must give the same digest (pipeline.md 5.5).
    """
    result = {key: text for key, text in annotations.items() if key != CREATED}
    created = newest(facts.created for facts in children)
    if source_date_epoch is not None:
        created = datetime.fromtimestamp(source_date_epoch, UTC)
    if created is not None:
        result[CREATED] = format_time(created)
    return result


def assemble(children: Sequence[Child], annotations: Mapping[str, str], notes: tuple[str, ...] = ()) -> Image:
    """The OCI index of these children, in the bytes of soci.md "JSON bytes". The same children give the same digest."""
    index = encode_index((child.descriptor for child in children), {"annotations": dict(annotations)})
    if len(index.raw) > MAX_MANIFEST_BYTES:
        why = f"it has {len(index.raw)} bytes; registries accept at most {MAX_MANIFEST_BYTES}"
        raise BadDocument("cannot assemble the index", why=why)
    return Image(index, tuple(children), notes=notes)
