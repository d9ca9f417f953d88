"""`bakery imagetools create`, `copy` and `tag`: images made from images, without a bakery.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.app.publishing import PublishOptions
from bakery.errors import BakeryError, BudgetSpent, UsageError
from bakery.events import Emit, ignore
from bakery.files import read_regular

if TYPE_CHECKING:
    from bakery.oci.descriptor import Descriptor
    from bakery.plans.create import CreatePlan
    from bakery.publish.outcome import Outcome
    from bakery.publish.plan import Source
    from bakery.publish.preview import Preview

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_SUBJECT_S: Final = 60.0  # how long to look for the image of --subject


class Create(Struct, frozen=True):
    """What `imagetools create` is asked for, as text.

    tag: `REPOSITORY[:TAG[,TAG…]]`. file: files with sources, or "-" for `stdin`. metadata: metadata files of builds,
    whose key `target` is used. subject: a reference. soci: options such as "span-size=4194304", "" for the defaults,
    None for no conversion. environment: credentials and proxies.
    """

    tag: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    stdin: str = ""
    metadata: tuple[Path, ...] = ()
    target: str = ""
    annotation: tuple[str, ...] = ()
    append: bool = False
    platform: tuple[str, ...] = ()
    prefer_index: bool = True
    on_duplicate: Literal["newest", "last", "refuse"] = "refuse"
    media_type: Literal["", "oci", "docker"] = ""
    artifact_type: str = ""
    subject: str = ""
    soci: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def plan(wanted: Create) -> CreatePlan:
    """Return the plan. Only files are read, unless there is a subject, which is looked for in its registry.

    Raises UsageError, and MetadataError for a metadata file.
    """
    from bakery.app.sources import check_layouts
    from bakery.plans.create import CreateRequest, parse_sources, plan_create, soci_options, sources_in
    from bakery.publish.plan import OnDuplicate

    base, sources = Path.cwd(), list[Any]()
    for file in wanted.file:  # before the arguments, as in buildx
        text = wanted.stdin if file == "-" else _read(file)
        sources += sources_in(text, wanted.tag, base, about=file)
    sources += (_built(file, wanted.target) for file in wanted.metadata)
    sources += parse_sources(wanted.sources, wanted.tag, base)
    check_layouts(sources)
    return plan_create(
        CreateRequest(
            tags=wanted.tag,
            sources=tuple(sources),
            annotations=wanted.annotation,
            append=wanted.append,
            platforms=wanted.platform,
            prefer_index=wanted.prefer_index,
            on_duplicate=OnDuplicate(wanted.on_duplicate),
            media_type=wanted.media_type,
            artifact_type=wanted.artifact_type,
            subject=_subject(wanted.subject, wanted.environment) if wanted.subject else None,
            soci=None if wanted.soci is None else soci_options(wanted.soci),
        )
    )


def copy(source: str, destinations: tuple[str, ...], environment: Mapping[str, str] = os.environ) -> CreatePlan:
    """Return the plan that copies an image, whole and with its digest, to each `REPOSITORY[:TAG[,TAG…]]`."""
    return plan(Create(tag=destinations, sources=(source,), prefer_index=False, environment=environment))


def tag(reference: str, tags: tuple[str, ...], environment: Mapping[str, str] = os.environ) -> CreatePlan:
    """Return the plan that gives an image further tags in its repository."""
    from bakery.errors import InvalidContent
    from bakery.oci.reference import repository_in

    if bad := [one for one in tags if ":" in one or "/" in one]:
        why = "expected a tag only: it is set in the repository of the image"
        raise UsageError("invalid tag", about=repr(bad[0]), why=why, hint="run 'bakery imagetools copy' for others")
    try:
        repository = repository_in(reference)
    except InvalidContent as error:
        raise UsageError(error.what, about=error.about, why=error.why) from error
    return copy(reference, tuple(f"{repository}:{one}" for one in tags), environment)


def preview(made: CreatePlan, options: PublishOptions, *, emit: Emit = ignore) -> Preview:
    """Return the index that a publish would create, and which tags it would move. Registries are only read.

    Nothing is waited for: what is missing now is an error.
    """
    import asyncio

    from bakery.app.engine import make_engine
    from bakery.app.hooks import foreseeing
    from bakery.parallel.root import run_interruptible
    from bakery.publish.preview import preview
    from bakery.retry import SystemClock

    options = replace(options, wait_timeout=0.0)

    async def previewing() -> Preview:
        engine, clock = make_engine(made.plan, options, emit), SystemClock()
        foreseen, how = foreseeing(made.plan, options, engine, clock, emit=emit), options.run_options(1)
        async with asyncio.timeout(options.time_budget), foreseen as foresee:
            return await preview(made.target, engine, options=how, foresee=foresee, clock=clock, emit=emit)

    try:
        return run_interruptible(previewing())
    except TimeoutError:
        why = f"time budget of {options.time_budget:.0f} s exceeded"
        raise BudgetSpent("gave up on the dry run", why=why, hint="raise --time-budget") from None


def metadata_document(made: CreatePlan, outcome: Outcome) -> dict[str, Any]:
    """Return the content of --metadata-file: that of buildx, and the digest in a member of its own."""
    index = outcome.targets[0].index
    if index is None:
        raise BakeryError("cannot write metadata", why="nothing was published")
    descriptor: dict[str, Any] = {"mediaType": index.media_type, "digest": str(index.digest), "size": index.size}
    if made.index_descriptor:
        descriptor["annotations"] = dict(made.index_descriptor)
    return {
        "containerimage.descriptor": descriptor,
        "containerimage.digest": str(index.digest),
        "image.name": ",".join(sorted(str(place.repository) for place in made.target.destinations)),
    }


def _built(file: Path, target: str) -> Source:
    from bakery.plans.create import built_source
    from bakery.targets.metadata import read_metadata

    return built_source(read_metadata([file], flat=True), target, about=file)


def _read(file: str) -> str:
    try:
        return read_regular(Path(file), limit_bytes=MAX_FILE_BYTES, stream=True).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError("cannot read", about=file, why=why) from error


def _subject(text: str, environment: Mapping[str, str]) -> Descriptor:
    """Return the descriptor of an image in its registry. Raises NotFound."""
    from bakery.app.engine import make_client
    from bakery.errors import InvalidContent
    from bakery.oci.reference import parse_reference
    from bakery.parallel.root import run_interruptible
    from bakery.retry import SystemClock

    try:
        reference = parse_reference(text)
    except InvalidContent as error:
        raise UsageError("invalid value for --subject", about=error.about, why=error.why) from error

    async def reading() -> Descriptor:
        clock = SystemClock()
        async with make_client(environment, clock=clock, deadline=clock.now() + _SUBJECT_S) as client:
            return (await client.manifests.get(reference)).descriptor.bare()

    return run_interruptible(reading())
