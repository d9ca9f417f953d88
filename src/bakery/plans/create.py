"""The plan of `imagetools create`, `copy` and `tag`: sources and tags as on the command line of buildx. Local only.

Source: commands.md 9; https://docs.docker.com/reference/cli/docker/buildx/imagetools/create/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument, BadReference, InvalidContent, MetadataError, UsageError
from bakery.oci import media_type as mt
from bakery.oci.canonical import json_type, parse_json, parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import LayoutReference, Repository
from bakery.plans.annotations import Annotations, given_annotations
from bakery.plans.image import image_target
from bakery.plans.references import is_layout, parse_source
from bakery.plans.tags import parse_destinations
from bakery.publish.plan import (
    LATEST,
    AssemblyRules,
    Destination,
    KeepSource,
    OnDuplicate,
    Plan,
    PlannedTarget,
    Source,
    refuse_clashes,
)
from bakery.text import plural

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions
    from bakery.targets.metadata import Metadata

MEDIA_TYPES: Final = {"": "", "oci": mt.OCI_INDEX, "docker": mt.DOCKER_LIST}


class CreateRequest(Struct, frozen=True):
    """The command line of `imagetools create`.

    tags: `REPOSITORY[:TAG[,TAG…]]`. sources: references, digests, layouts, or descriptors in JSON. append: the image of
    the first tag is the first source. media_type: of the index: oci, docker, or "" for oci. subject: what the index
    refers to. soci: None for no conversion.
    """

    tags: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    annotations: tuple[str, ...] = ()
    append: bool = False
    platforms: tuple[str, ...] = ()
    prefer_index: bool = True
    on_duplicate: OnDuplicate = OnDuplicate.REFUSE
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    soci: SociOptions | None = None


class CreatePlan(Struct, frozen=True):
    """A plan with one target.

    index_descriptor: annotations of the index's descriptor, which only a metadata file holds. has_destination: False if
    no tag was given, so that the plan is only good for a dry run.
    """

    plan: Plan
    index_descriptor: Mapping[str, str]
    has_destination: bool

    @property
    def target(self) -> PlannedTarget:
        """The only target."""
        return self.plan.targets[0]


def plan_create(request: CreateRequest) -> CreatePlan:
    """Return the plan. Raises UsageError for what the command line may not say."""
    places = parse_destinations(request.tags)
    annotations = given_annotations(request.annotations)
    if request.media_type == "docker":
        _refuse_oci_members(request, annotations)
    sources = request.sources
    if request.append:
        sources = (_appended_to(places), *sources)
    if not sources:
        raise UsageError("missing argument SOURCE", hint="pass a source, or a file with one as --file or --metadata")
    rules = AssemblyRules(
        on_duplicate=request.on_duplicate,
        keep=KeepSource.INDEX if request.prefer_index else KeepSource.ANY,
        in_source_order=True,
        only_platforms=tuple(dict.fromkeys(parse_platforms(request.platforms))),
        media_type=MEDIA_TYPES[request.media_type],
        artifact_type=request.artifact_type,
        subject=request.subject,
    )
    target = image_target(sources, places or (_nowhere(sources),), annotations, rules=rules)
    # The user's own times stay, and none is added: two runs give one digest.
    target = replace(target, soci=request.soci, rules=replace(target.rules, sets_created=False))
    return CreatePlan(refuse_clashes([target]), annotations.index_descriptor, bool(places))


def parse_sources(texts: Iterable[str], tags: Sequence[str], base: Path) -> tuple[Source, ...]:
    """Return the sources that arguments name. A digest alone is in the repository of the first tag.

    Without a tag, it is in the repository of the sources, if that is only one. Raises UsageError.
    """
    texts = tuple(texts)
    try:
        places = parse_destinations(tags)
        repository = places[0].repository if places else _only_repository(texts, base)
        return tuple(_source(text.strip(), repository, base) for text in texts)
    except InvalidContent as error:
        raise UsageError("invalid source", about=error.about, why=error.why) from error


def sources_in(text: str, tags: Sequence[str], base: Path, *, about: object) -> tuple[Source, ...]:
    """Return the sources that a file of `--file` holds: a descriptor in JSON, a list of them, or a source per line."""
    text = text.strip()
    if not text.startswith("["):
        lines = [text] if text.startswith("{") else [line for line in text.splitlines() if line.strip()]
        if not lines:
            raise UsageError("cannot use", about=about, why="the file is empty")
        return parse_sources(lines, tags, base)
    try:
        listed = parse_json(text.encode())
    except BadDocument as error:
        raise UsageError("cannot use", about=about, why=error.why) from None
    if wrong := [one for one in listed if not isinstance(one, str | dict)]:
        why = f"expected sources as text, or descriptors, got {json_type(wrong[0])}"
        raise UsageError("cannot use", about=about, why=why)
    return parse_sources((one if isinstance(one, str) else json.dumps(one) for one in listed), tags, base)


def built_source(metadata: Metadata, key: str, *, about: object) -> Source:
    """Return the only build of a metadata file, or that of the target `key`. Raises MetadataError."""
    from bakery.plans.project import source_of

    names = (*metadata.results, *metadata.incomplete)
    shown = ", ".join(name for name in names if name) or "none"
    if key and key not in names:
        raise MetadataError("cannot use", about=about, why=f"it has no target {key!r}; there are: {shown}")
    if not key and len(names) != 1:
        why = f"it has {plural(len(names), 'target')}: {shown}"
        raise MetadataError("cannot use", about=about, why=why, hint="choose one with --target" if names else "")
    name = key or names[0]
    if name in metadata.incomplete:
        raise MetadataError("cannot use", about=about, why="; ".join(metadata.incomplete[name]))
    return source_of(metadata.results[name][0])


def parse_platforms(texts: Iterable[str]) -> tuple[Platform, ...]:
    """Return the platforms of `--platform`, which may be lists. Raises UsageError."""
    try:
        return tuple(Platform.parse(one) for text in texts for one in text.split(","))
    except InvalidContent as error:
        raise UsageError("invalid value for --platform", about=error.about, why=error.why) from error


def with_tag(text: str) -> str:
    """Return a source with a tag or digest: a repository alone means `latest`, as in buildx."""
    if is_layout(text) or "@" in text or ":" in text.rpartition("/")[2]:
        return text
    return f"{text}:{LATEST}"


def soci_options(text: str) -> SociOptions:
    """Return the options of `--soci`: `KEY=VALUE,…` with the keys of `soci convert`; lists repeat their key.

    Raises UsageError.
    """
    from bakery.config.schema.options import SociOptions

    numbers = {"span-size": "span_size", "min-layer-size": "min_layer_size"}
    lists = {"prefetch-file": "prefetch_files", "optimizations": "optimizations", "platform": "platforms"}
    values: dict[str, Any] = {"enabled": True}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if key in numbers and value.isdecimal():
            values[numbers[key]] = int(value)
        elif key in lists and value:
            values[lists[key]] = (*values.get(lists[key], ()), value)
        else:
            known = ", ".join((*numbers, *lists))
            why = f"expected a number after {key}=" if key in numbers else f"expected KEY=VALUE, with one of: {known}"
            raise UsageError("invalid value for --soci", about=repr(part), why=why)
    return SociOptions.of(values)


def _source(text: str, repository: Repository | None, base: Path) -> Source:
    is_digest, is_descriptor = text.startswith(("sha256:", "sha512:")), text.startswith("{")
    if not (is_digest or is_descriptor):
        return parse_source(with_tag(text), base)
    entry = None if is_digest else _descriptor(text)
    digest = Digest.parse(text) if entry is None else entry.digest
    if repository is None:
        why = "its repository is unknown; name it as REPOSITORY@DIGEST, or with --tag"
        raise BadReference("invalid reference", about=str(digest), why=why)
    return Source(repository.with_digest(digest), entry=entry)


def _descriptor(text: str) -> Descriptor:
    about = repr(text[:100])
    document = parse_object(text.encode(), about=about)
    if "schemaVersion" in document:
        raise BadDocument("invalid descriptor", about=about, why="it is a manifest; expected its descriptor")
    return Descriptor.from_json({"size": 0, **document}, about=about)


def _only_repository(texts: Iterable[str], base: Path) -> Repository | None:
    """Return the repository of the references among the sources, if it is the same for all."""
    named = [text for text in texts if not text.startswith(("{", "sha256:", "sha512:")) and not is_layout(text)]
    found = {_repository(parse_source(with_tag(text), base)) for text in named}
    return found.pop() if len(found) == 1 else None


def _repository(source: Source) -> Repository | None:
    return None if isinstance(source.reference, LayoutReference) else source.reference.repository


def _appended_to(places: Sequence[Destination]) -> Source:
    """Return the image that --append extends: the first tag of the first destination."""
    if not places or not places[0].tags:
        raise UsageError("cannot append", why="the first --tag must name a tag, whose image is extended")
    return Source(places[0].references[0], must_exist=True)


def _nowhere(sources: Sequence[Source]) -> Destination:
    """Return a stand-in for the destination of a dry run without tags."""
    return Destination(_repository(sources[0]) or Repository("localhost", "layout"), ())


def _refuse_oci_members(request: CreateRequest, annotations: Annotations) -> None:
    """Raise UsageError if a Docker manifest list is wanted with something that only an OCI index can have."""
    given = {
        "--annotation": annotations.index or annotations.entries,
        "--artifact-type": request.artifact_type,
        "--subject": request.subject,
        "--soci": request.soci,
    }
    if only_oci := [option for option, value in given.items() if value]:
        why = f"a Docker manifest list has no place for {', '.join(only_oci)}"
        raise UsageError("cannot use --media-type docker", why=why, hint="use --media-type oci")
