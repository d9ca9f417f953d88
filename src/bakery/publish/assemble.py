"""Make the image of a target from its sources. Pure: the same sources always give the same bytes.

Source: pipeline.md 4.1, 5.4 and 5.5 ("→ ours"): platforms come from the registry, indexes are flattened, attestations
keep their annotations and follow the images, and nothing depends on the clock or on the order of the files.
Which entries an index gets is decided in `choose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument, BakeryError
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED, VERSION, format_time, parse_time
from bakery.oci.canonical import MAX_MANIFEST_BYTES, parse_object
from bakery.oci.index import encode_index
from bakery.oci.manifest import RawManifest
from bakery.oci.platform import Platform
from bakery.publish.choose import ResolvedSource, choose, left_out, select_platforms
from bakery.publish.image import AssembledImage, Child, ConfigFacts
from bakery.publish.plan import KeepSource, PlannedTarget


class AssemblyOptions(Struct, frozen=True):
    """What a run allows. source_date_epoch: Unix seconds; None if it is not set."""

    allow_missing_platforms: bool = False
    allow_extra_platforms: bool = False
    source_date_epoch: int | None = None


DEFAULT_OPTIONS: Final = AssemblyOptions()


def assemble_target(
    target: PlannedTarget, sources: Sequence[ResolvedSource], options: AssemblyOptions = DEFAULT_OPTIONS
) -> AssembledImage:
    """Return the image of a target, made of its sources.

    Raises BakeryError if a platform is missing or may not be there, BadDocument if a source cannot be used.
    """
    rules = target.rules
    if _kept_whole(target, sources):
        children, about_choice = sources[0].children, tuple[str, ...]()
    else:
        children, about_choice = choose(sources, rules)
    children = select_platforms(children, rules.only_platforms)
    notes = (*_missing(target, children, options), *about_choice)
    extra = left_out(children, target.platforms) if not options.allow_extra_platforms else ()
    if extra:
        notes = (*notes, _extra(target, extra))
        children = tuple(child for child in children if child not in extra)
    if not children:
        raise BakeryError("cannot assemble the index", why="; ".join(("no image is left", *notes)))
    if _kept_whole(target, sources) and len(children) == len(sources[0].children):
        return AssembledImage(sources[0].root, children, notes=notes, nested=sources[0].nested)
    children = tuple(_annotated(child, rules.entry_annotations) for child in children)
    annotations = dict(target.annotations)
    if rules.sets_created:
        annotations = index_annotations(annotations, (child.config for child in children), options.source_date_epoch)
    members: dict[str, Any] = {"annotations": annotations}
    if rules.artifact_type:
        members["artifactType"] = rules.artifact_type
    if rules.subject is not None:
        members["subject"] = rules.subject.to_json()
    return AssembledImage(encode(children, members, rules.media_type or mt.OCI_INDEX), children, notes=notes)


def _kept_whole(target: PlannedTarget, sources: Sequence[ResolvedSource]) -> bool:
    """Return whether the only source is to be published as it is, if its children may all be published."""
    rules = target.rules
    if rules.keep is KeepSource.NEVER or len(sources) != 1 or sources[0].source.entry is not None:
        return False
    if target.annotations or rules.entry_annotations or rules.artifact_type or rules.subject is not None:
        return False
    if rules.media_type and sources[0].is_index and sources[0].root.descriptor.media_type != rules.media_type:
        return False
    return sources[0].is_index or (rules.keep is KeepSource.ANY and target.soci is None)


def _missing(target: PlannedTarget, children: Sequence[Child], options: AssemblyOptions) -> tuple[str, ...]:
    """Return a note about declared platforms without an image. Raises BakeryError if they may not be missing."""
    missing = missing_platforms(children, target.platforms)
    if not missing:
        return ()
    names, declared_in = ", ".join(missing), target.rules.declared_in
    if options.allow_missing_platforms:
        return (f"published without {names}, which {declared_in} declares",)
    raise BakeryError(
        "cannot assemble the index",
        why=f"{declared_in} declares {names}, but there is no build for it",
        hint="build the missing platform, or pass --allow-missing-platforms",
        error_code="publish/missing-platform",
    )


def _extra(target: PlannedTarget, extra: Sequence[Child]) -> str:
    """Return a note about images that are left out. Raises BakeryError if there may be none."""
    images = (child.descriptor for child in extra if child.is_image)
    names = ", ".join(str(one.platform) or f"{one.digest} (its platform is empty)" for one in images)
    declared_in = target.rules.declared_in
    if target.rules.exact_platforms:
        raise BakeryError(
            "cannot assemble the index",
            why=f"there is a build for {names}, which {declared_in} does not declare",
            hint="declare the platform, or pass --allow-extra-platforms",
            error_code="publish/extra-platform",
        )
    return f"left out {names}, which {declared_in} does not declare; --allow-extra-platforms publishes it"


def _annotated(child: Child, annotations: Mapping[str, Mapping[str, str]]) -> Child:
    platform = child.descriptor.platform
    if not annotations or not child.is_image:
        return child
    added: dict[str, str] = {}
    for name, texts in annotations.items():
        if not name or (platform is not None and Platform.parse(name).normalised() == platform.normalised()):
            added |= texts
    descriptor = replace(child.descriptor, annotations={**child.descriptor.annotations, **added})
    return replace(child, content=replace(child.content, descriptor=descriptor))


def read_config(raw: bytes, *, about: object) -> ConfigFacts:
    """Return platform, creation time and version of an image config."""
    document = parse_object(raw, about=about)
    platform = None
    if isinstance(document.get("os"), str) and isinstance(document.get("architecture"), str):
        platform = Platform.from_json(document)
    return ConfigFacts(platform, parse_time(document.get("created")), _label(document, VERSION))


def _label(document: Mapping[str, Any], name: str) -> str:
    """Return a label of an image config, or "" if it is missing."""
    found: Any = document
    for part in ("config", "Labels", name):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def newest(times: Iterable[datetime | None]) -> datetime | None:
    """Return the latest known time."""
    return max((time for time in times if time is not None), default=None)


def missing_platforms(children: Iterable[Child], declared: Iterable[str]) -> tuple[str, ...]:
    """Return the declared platforms that no image covers. One declared without a variant is covered by any variant."""
    images = (child.descriptor.platform for child in children if child.is_image)
    there = {platform.normalised() for platform in images if platform is not None}
    loose = there | {platform.loose() for platform in there}
    return tuple(text for text in declared if Platform.parse(text).normalised() not in loose)


def index_annotations(
    annotations: Mapping[str, str], configs: Iterable[ConfigFacts], source_date_epoch: int | None
) -> dict[str, str]:
    """Return the annotations with `created` = SOURCE_DATE_EPOCH, or the newest config's time.

    Never the time of publishing: a second run must give the same digest (pipeline.md 5.5).
    """
    result = {key: text for key, text in annotations.items() if key != CREATED}
    created = newest(config.created for config in configs)
    if source_date_epoch is not None:
        created = datetime.fromtimestamp(source_date_epoch, UTC)
    if created is not None:
        result[CREATED] = format_time(created)
    return result


def encode(children: Sequence[Child], members: Mapping[str, Any], media_type: str = mt.OCI_INDEX) -> RawManifest:
    """Return the index of these children in canonical JSON (soci.md, "JSON bytes").

    Raises BadDocument for an OCI manifest in a Docker manifest list.
    """
    foreign = [child for child in children if child.descriptor.media_type != mt.DOCKER_MANIFEST]
    if media_type == mt.DOCKER_LIST and foreign:
        why = f"{foreign[0].descriptor.digest} is not a Docker manifest, but {foreign[0].descriptor.media_type}"
        raise BadDocument("cannot assemble a Docker manifest list", why=why, hint="leave out --media-type docker")
    index = encode_index((child.descriptor for child in children), members, media_type=media_type)
    if len(index.raw) > MAX_MANIFEST_BYTES:
        why = f"it has {len(index.raw)} bytes; registries accept at most {MAX_MANIFEST_BYTES}"
        raise BadDocument("cannot assemble the index", why=why)
    return index
