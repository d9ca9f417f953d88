"""Assemble the builds of all platforms into one index. Pure: the same builds always give the same bytes.

Source: pipeline.md 4.1, 5.4 and 5.5 ("→ ours"): platforms come from the registry, indexes are flattened, attestations
keep their annotations and follow the images, and nothing depends on the clock or on the order of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDigest, BadDocument, BakeryError
from bakery.oci.annotation import CREATED, format_time, parse_time
from bakery.oci.canonical import MAX_MANIFEST_BYTES, parse_object
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import ATTESTATION_OF
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference
from bakery.publish.image import AssembledImage, Child, ConfigFacts
from bakery.publish.plan import PlannedTarget
from bakery.text import plural


class ResolvedBuild(Struct, frozen=True):
    """A build with its manifests, flattened. created: when it was built, according to metadata or its configs."""

    source: DigestReference
    children: tuple[Child, ...]
    created: datetime | None = None


def assemble_target(
    target: PlannedTarget,
    builds: Sequence[ResolvedBuild],
    *,
    allow_missing_platforms: bool = False,
    source_date_epoch: int | None = None,
) -> AssembledImage:
    """Return the image of a target, made of its builds.

    Raises BakeryError if a declared platform is missing and may not be, BadDocument if a build cannot be used.
    """
    children, notes = choose(builds)
    if missing := missing_platforms(children, target.platforms):
        names = ", ".join(missing)
        if not allow_missing_platforms:
            raise BakeryError(
                "cannot assemble the index",
                why=f"bakery.yaml declares {names}, but there is no build for it",
                hint="build the missing platform, or pass --allow-missing-platforms",
            )
        notes = (f"published without {names}, which bakery.yaml declares", *notes)
    configs = (child.config for child in children)
    return assemble(children, index_annotations(target.annotations, configs, source_date_epoch), notes)


def read_config(raw: bytes, *, about: object) -> ConfigFacts:
    """Return platform and creation time of an image config."""
    document = parse_object(raw, about=about)
    platform = None
    if isinstance(document.get("os"), str) and isinstance(document.get("architecture"), str):
        platform = Platform.from_json(document)
    return ConfigFacts(platform, parse_time(document.get("created")))


def newest(times: Iterable[datetime | None]) -> datetime | None:
    """Return the latest known time."""
    return max((time for time in times if time is not None), default=None)


def choose(builds: Sequence[ResolvedBuild]) -> tuple[tuple[Child, ...], tuple[str, ...]]:
    """Return one image per platform, followed by the attestations of the chosen images; and notes about the choice.

    Of two builds of one platform the newest wins, with a note if their digests differ; between builds of the same age,
    the higher digest wins, so that the order of the files does not matter. Raises BadDocument for an image whose
    platform is unknown, and for a build without an image.
    """
    images, notes = _chosen_images(builds)
    position = {child.descriptor.digest: number for number, child in enumerate(images)}
    attestations: dict[Digest, Child] = {}
    for build in builds:
        for child in build.children:
            if not child.is_image and ((about := _described(child)) is None or about in position):
                attestations.setdefault(child.descriptor.digest, child)

    def place(child: Child) -> tuple[int, str]:
        about = _described(child)
        return position[about] if about is not None else len(images), str(child.descriptor.digest)

    return (*images, *sorted(attestations.values(), key=place)), tuple(notes)


def _chosen_images(builds: Sequence[ResolvedBuild]) -> tuple[list[Child], list[str]]:
    for build in builds:
        if not any(child.is_image for child in build.children):
            raise BadDocument(
                "cannot use build",
                about=build.source,
                why=f"none of its {plural(len(build.children), 'manifest')} is a container image",
                hint="pass the digest that the build of an image pushed",
            )
    chosen: dict[Platform, Child] = {}
    notes: list[str] = []
    for build, child in sorted(_images(builds), key=_age):
        platform = child.descriptor.platform
        if platform is None:
            raise BadDocument(
                "cannot determine the platform of",
                about=build.source,
                why="neither an index nor the image config names it",
                hint="build it with --platform",
            )
        key = platform.normalised()
        if key in chosen and chosen[key].descriptor.digest != child.descriptor.digest:
            notes.append(
                f"two builds of {platform}: using the newer {child.descriptor.digest} "
                f"instead of {chosen[key].descriptor.digest}"
            )
        chosen[key] = child
    return [chosen[key] for key in sorted(chosen)], notes


def _images(builds: Sequence[ResolvedBuild]) -> Iterable[tuple[ResolvedBuild, Child]]:
    return ((build, child) for build in builds for child in build.children if child.is_image)


def _age(pair: tuple[ResolvedBuild, Child]) -> tuple[datetime, str]:
    build, child = pair
    return build.created or datetime.min.replace(tzinfo=UTC), str(child.descriptor.digest)


def _described(child: Child) -> Digest | None:
    """Return the digest of the image that an attestation or artifact is about; None if it names none."""
    text = child.descriptor.annotations.get(ATTESTATION_OF)
    if text:
        try:
            return Digest.parse(text)
        except BadDigest:
            return None
    return child.manifest.subject.digest if child.manifest.subject is not None else None


def missing_platforms(children: Iterable[Child], declared: Iterable[str]) -> tuple[str, ...]:
    """Return the declared platforms that no image covers. One declared without a variant is covered by any variant."""
    images = (child.descriptor.platform for child in children if child.is_image)
    there = {platform.normalised() for platform in images if platform is not None}
    loose = there | {replace(platform, variant="", os_version="", os_features=()) for platform in there}
    return tuple(text for text in declared if Platform.parse(text).normalised() not in loose)


def index_annotations(
    annotations: Mapping[str, str], configs: Iterable[ConfigFacts], source_date_epoch: int | None
) -> dict[str, str]:
    """Return the index's annotations: the target's, with `created` = SOURCE_DATE_EPOCH, or the newest config's time.

    Never the time of publishing: a second run must give the same digest (pipeline.md 5.5).
    """
    result = {key: text for key, text in annotations.items() if key != CREATED}
    created = newest(config.created for config in configs)
    if source_date_epoch is not None:
        created = datetime.fromtimestamp(source_date_epoch, UTC)
    if created is not None:
        result[CREATED] = format_time(created)
    return result


def assemble(children: Sequence[Child], annotations: Mapping[str, str], notes: tuple[str, ...] = ()) -> AssembledImage:
    """Return the OCI index of these children in canonical JSON (soci.md, "JSON bytes")."""
    index = encode_index((child.descriptor for child in children), {"annotations": dict(annotations)})
    if len(index.raw) > MAX_MANIFEST_BYTES:
        why = f"it has {len(index.raw)} bytes; registries accept at most {MAX_MANIFEST_BYTES}"
        raise BadDocument("cannot assemble the index", why=why)
    return AssembledImage(index, tuple(children), notes=notes)
