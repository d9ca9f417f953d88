"""Before any tag: wait for the builds of a target, read what they contain, and stage the image at a destination.

Source: pipeline.md 5.3 ("→ ours": each target waits for its own builds, missing ones are named) and 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from bakery.errors import BadDocument, NotFound
from bakery.events import Emit, SourcesMissing
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import Manifest, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, Repository
from bakery.polling import poll_delays
from bakery.publish.assemble import ResolvedBuild, newest, read_config
from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage, Child, ConfigFacts
from bakery.publish.plan import PlannedTarget
from bakery.publish.progress import DestinationProgress
from bakery.retry import Clock
from bakery.tasks import together

MAX_DEPTH: Final = 4  # indexes in indexes; buildx makes one level
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024


async def wait_for_builds(
    target: PlannedTarget, engine: Engine, *, limit_s: float, clock: Clock, emit: Emit
) -> dict[DigestReference, RawManifest]:
    """Poll for every build of the target until it is in its registry.

    Raises NotFound, naming the missing builds, after `limit_s` seconds; any other failure ends the waiting at once.
    """
    pending = [build.reference for build in target.builds]
    found: dict[DigestReference, RawManifest] = {}
    started, delays = clock.now(), poll_delays()
    while True:
        results = await together(engine.find(reference) for reference in pending)
        found |= {at: content for at, content in zip(pending, results, strict=True) if content is not None}
        pending = [reference for reference in pending if reference not in found]
        if not pending:
            return found
        waited_s, delay_s = clock.now() - started, next(delays)
        if waited_s + delay_s > limit_s:
            raise NotFound(
                f"cannot find {len(pending)} of {len(target.builds)} builds:",
                about=", ".join(str(reference) for reference in pending),
                status=404,
                why=f"still missing after {waited_s:.0f} s",
                hint="check that the build pushed them, or wait longer with --wait-timeout and --time-budget",
            )
        emit(SourcesMissing(target.uid, tuple(str(reference) for reference in pending), waited_s, limit_s))
        await clock.sleep(delay_s)


async def read_builds(
    target: PlannedTarget, engine: Engine, found: Mapping[DigestReference, RawManifest]
) -> tuple[ResolvedBuild, ...]:
    """Read the children and image configs of every build. Indexes are flattened."""
    builds = []
    results = await together(
        _children(engine, build.reference.repository, found[build.reference], depth=0) for build in target.builds
    )
    for build, children in zip(target.builds, results, strict=True):
        if build.platform is not None and len(children) == 1 and children[0].descriptor.platform is None:
            # The metadata's platform counts only if the registry names none.
            children = (_with_platform(children[0], build.platform),)
        created = build.created or newest(child.config.created for child in children)
        builds.append(ResolvedBuild(build.reference, children, created))
    return tuple(builds)


async def stage(image: AssembledImage, place: DestinationProgress, engine: Engine) -> None:
    """Upload the image to a destination by digest, and meanwhile read what each of its tags names now."""
    repository, tags = place.destination.repository, place.destination.tags

    async def read_tags() -> None:
        place.previous = dict(await engine.read_tags(repository, tags))

    await together([engine.stage(image, repository), read_tags()])


def _with_platform(child: Child, platform: Platform) -> Child:
    return replace(child, content=replace(child.content, descriptor=child.descriptor.with_platform(platform)))


async def _children(engine: Engine, repository: Repository, content: RawManifest, *, depth: int) -> tuple[Child, ...]:
    about = repository.with_digest(content.descriptor.digest)
    view = views.parse(content.raw, media_type=content.descriptor.media_type, about=about)
    if isinstance(view, Manifest):
        return (await _child(engine, repository, content, view),)
    if depth >= MAX_DEPTH:
        raise BadDocument("cannot read index", about=about, why=f"indexes are nested more than {MAX_DEPTH} levels deep")

    async def entry_children(entry: Descriptor) -> tuple[Child, ...]:
        raw = await engine.read_manifest(repository, entry)
        return await _children(engine, repository, RawManifest(entry, raw), depth=depth + 1)

    results = await together(entry_children(entry) for entry in view.manifests)
    return tuple(child for children in results for child in children)


async def _child(engine: Engine, repository: Repository, content: RawManifest, view: Manifest) -> Child:
    descriptor, config = replace(content.descriptor, media_type=view.media_type), ConfigFacts()
    known = descriptor.platform
    if known is not None and not (known.os and known.architecture):
        known = None  # some tools write an empty object
    if view.config.media_type in mt.IMAGE_CONFIGS and not (known is not None and known.is_unknown):
        raw = await engine.read_blob(repository, view.config, limit_bytes=MAX_CONFIG_BYTES)
        config = read_config(raw, about=repository.with_digest(view.config.digest))
        known = known or config.platform
    return Child(RawManifest(descriptor.with_platform(known), content.raw), view, repository, config)
