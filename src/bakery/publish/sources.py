"""Wait for a target's builds, and read what they hold. Asks the engine; decides by `assemble`'s pure functions.

Source: pipeline.md 5.3 ("→ ours": each target waits for its own sources, laggards are named) and 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument, NotFound
from bakery.events import Emit, SourcesMissing
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, Repository
from bakery.publish.assemble import Build, ConfigFacts, newest, read_config
from bakery.publish.engine import Engine
from bakery.publish.image import Child
from bakery.publish.plan import PlannedTarget
from bakery.retry import Clock
from bakery.tasks import together

FIRST_POLL_S: Final = 0.25
POLL_GROWTH: Final = 1.2
LONGEST_POLL_S: Final = 5.0
MAX_DEPTH: Final = 4  # indexes in indexes; buildx makes one level
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024


async def wait_for_sources(
    target: PlannedTarget, engine: Engine, *, limit_s: float, clock: Clock, emit: Emit
) -> dict[DigestReference, RawManifest]:
    """Every source of the target, looked for until it is there.

    Polls grow from 0.25 s by 1.2 to 5 s. Raises NotFound that names the laggards after `limit_s` seconds; any other
    failure of a look ends the waiting at once.
    """
    pending = [build.reference for build in target.builds]
    found: dict[DigestReference, RawManifest] = {}
    started, pause = clock.now(), FIRST_POLL_S
    while True:
        looked = zip(pending, await _look(engine, pending), strict=True)
        found |= {reference: content for reference, content in looked if content is not None}
        pending = [reference for reference in pending if reference not in found]
        waited = clock.now() - started
        if not pending:
            return found
        if waited + pause > limit_s:
            raise NotFound(
                f"waiting for {len(pending)} of {len(target.builds)} sources",
                about=", ".join(str(reference) for reference in pending),
                status=404,
                why=f"still not there after {waited:.0f} s",
                hint="see whether the build pushed them; --wait-timeout and --time-budget set how long to wait",
            )
        emit(SourcesMissing(target.uid, tuple(str(reference) for reference in pending), waited, limit_s))
        await clock.sleep(pause)
        pause = min(pause * POLL_GROWTH, LONGEST_POLL_S)


async def _look(engine: Engine, references: list[DigestReference]) -> list[RawManifest | None]:
    return await together(engine.find(reference) for reference in references)


class Holdings(Struct, frozen=True):
    """What a target's sources hold: builds with their children, and what each image config says, by child digest."""

    builds: tuple[Build, ...]
    facts: Mapping[Digest, ConfigFacts]


async def read_sources(target: PlannedTarget, engine: Engine, found: Mapping[DigestReference, RawManifest]) -> Holdings:
    """Read children and configs of every source, indexes flattened, platforms from index or config."""
    facts: dict[Digest, ConfigFacts] = {}

    async def one(reference: DigestReference) -> tuple[Child, ...]:
        return await _children(engine, reference.repository, found[reference], facts, depth=0)

    builds = []
    readings = await together(one(build.reference) for build in target.builds)
    for build, children in zip(target.builds, readings, strict=True):
        if build.platform is not None and len(children) == 1 and children[0].descriptor.platform is None:
            # Only where the registry is silent: the metadata's word on the platform.
            children = (_with_platform(children[0], build.platform),)
        configs = (facts[child.descriptor.digest] for child in children if child.descriptor.digest in facts)
        builds.append(Build(build.reference, children, build.created or newest(config.created for config in configs)))
    return Holdings(tuple(builds), facts)


def _with_platform(child: Child, platform: Platform) -> Child:
    return replace(child, content=replace(child.content, descriptor=child.descriptor.with_platform(platform)))


async def _children(
    engine: Engine, repository: Repository, content: RawManifest, facts: dict[Digest, ConfigFacts], depth: int
) -> tuple[Child, ...]:
    about = repository.with_digest(content.descriptor.digest)
    view = views.parse(content.raw, media_type=content.descriptor.media_type, about=about)
    if isinstance(view, Manifest):
        return (await _image(engine, repository, content, view, facts),)
    if depth >= MAX_DEPTH:
        raise BadDocument("reading an index", about=about, why=f"indexes nested more than {MAX_DEPTH} deep")
    return await _entries(engine, repository, view, facts, depth)


async def _entries(
    engine: Engine, repository: Repository, index: Index, facts: dict[Digest, ConfigFacts], depth: int
) -> tuple[Child, ...]:
    async def one(entry: Descriptor) -> tuple[Child, ...]:
        raw = await engine.read_manifest(repository, entry)
        return await _children(engine, repository, RawManifest(entry, raw), facts, depth + 1)

    readings = await together(one(entry) for entry in index.manifests)
    return tuple(child for children in readings for child in children)


async def _image(
    engine: Engine, repository: Repository, content: RawManifest, view: Manifest, facts: dict[Digest, ConfigFacts]
) -> Child:
    descriptor = replace(content.descriptor, media_type=view.media_type)
    known = descriptor.platform
    if known is not None and not (known.os and known.architecture):
        known = None  # an empty object, as some tools write it, says nothing
    if view.config.media_type in mt.IMAGE_CONFIGS and not (known is not None and known.is_unknown):
        raw = await engine.read_blob(repository, view.config, limit_bytes=MAX_CONFIG_BYTES)
        config = read_config(raw, about=repository.with_digest(view.config.digest))
        facts[descriptor.digest] = config
        known = known or config.platform
    descriptor = replace(descriptor, platform=known)
    return Child(RawManifest(descriptor, content.raw), view, repository)
