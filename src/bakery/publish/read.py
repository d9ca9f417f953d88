"""Read what the builds of a target contain: manifests and image configs. Indexes are flattened.

Each document is read once per target. Hostile indexes nest or repeat to multiply requests and memory, so that depth,
entries, documents and bytes are limited (registry.md 7, row 11). Source: pipeline.md 5.4.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, Repository
from bakery.publish.assemble import ResolvedBuild, newest, read_config
from bakery.publish.engine import Engine
from bakery.publish.image import Child, ConfigFacts
from bakery.publish.plan import PlannedTarget
from bakery.tasks import together

MAX_DEPTH: Final = 4  # indexes in indexes; buildx makes one level
MAX_ENTRIES: Final = 1_000  # of one index
MAX_MANIFESTS: Final = 5_000  # of one target, indexes included
MAX_BYTES: Final = 64 * 1024 * 1024  # of the manifests of one target
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024


async def read_builds(
    target: PlannedTarget, engine: Engine, found: Mapping[DigestReference, RawManifest]
) -> tuple[ResolvedBuild, ...]:
    """Read the children and image configs of every build. found: the manifests of the builds themselves.

    Raises BadDocument for a manifest that cannot be used, and for an index that exceeds a limit.
    """
    children = await _Reading(engine).children([found[build.reference] for build in target.builds], target)
    builds = []
    for build, own in zip(target.builds, children, strict=True):
        if build.platform is not None and len(own) == 1 and own[0].descriptor.platform is None:
            # The metadata's platform counts only if the registry names none.
            own = [_with_platform(own[0], build.platform)]
        created = build.created or newest(child.config.created for child in own)
        builds.append(ResolvedBuild(build.reference, tuple(own), created))
    return tuple(builds)


class _Document(Struct, frozen=True):
    """A manifest or index that was read. build: the number of the build that it belongs to."""

    build: int
    repository: Repository
    content: RawManifest

    @property
    def reference(self) -> DigestReference:
        return self.repository.with_digest(self.content.descriptor.digest)


class _Entry(Struct, frozen=True):
    """An entry of an index, to be read."""

    index: _Document
    descriptor: Descriptor

    @property
    def place(self) -> DigestReference:
        return self.index.repository.with_digest(self.descriptor.digest)


class _Reading:
    """Reads the documents of one target, each once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._raw: dict[DigestReference, bytes] = {}
        self._manifests = self._bytes = 0

    async def children(self, builds: Sequence[RawManifest], target: PlannedTarget) -> list[list[Child]]:
        """Return the images and artifacts of every build, level by level of the indexes, without repetitions."""
        level = []
        for number, (build, content) in enumerate(zip(target.builds, builds, strict=True)):
            level.append(_Document(number, build.reference.repository, content))
            self._count(build.reference, content.descriptor)
        children: list[list[Child]] = [[] for _ in builds]
        seen: set[tuple[int, DigestReference]] = set()  # indexes
        for depth in range(MAX_DEPTH + 1):
            entries: dict[tuple[object, ...], _Entry] = {}
            images: list[tuple[_Document, Manifest]] = []
            for document in level:
                descriptor, about = document.content.descriptor, document.reference
                view = views.parse(document.content.raw, media_type=descriptor.media_type, about=about)
                if isinstance(view, Manifest):
                    images.append((document, view))
                elif (document.build, about) not in seen:
                    seen.add((document.build, about))
                    _check_index(view, about, depth)
                    entries |= {_identity(document.build, entry): _Entry(document, entry) for entry in view.manifests}
            found = await together(self._child(document, view) for document, view in images)
            for (document, _), child in zip(images, found, strict=True):
                children[document.build].append(child)
            level = await self._read(entries.values())
        return children

    async def _read(self, entries: Collection[_Entry]) -> list[_Document]:
        wanted: dict[DigestReference, Descriptor] = {}
        for entry in entries:
            if entry.place not in self._raw and entry.place not in wanted:
                self._count(entry.index.reference, entry.descriptor)
                wanted[entry.place] = entry.descriptor
        raws = await together(self._engine.read_manifest(place.repository, one) for place, one in wanted.items())
        self._raw.update(zip(wanted, raws, strict=True))
        documents = []
        for entry in entries:
            raw = entry.descriptor.check(self._raw[entry.place], about=entry.place)
            content = RawManifest(entry.descriptor, raw)
            documents.append(_Document(entry.index.build, entry.index.repository, content))
        return documents

    def _count(self, index: DigestReference, descriptor: Descriptor) -> None:
        """Count a document before it is read. Raises BadDocument, naming the index that lists it."""
        self._manifests, self._bytes = self._manifests + 1, self._bytes + descriptor.size
        if self._manifests > MAX_MANIFESTS:
            raise _invalid(index, f"the target has more than {MAX_MANIFESTS:,} manifests")
        if self._bytes > MAX_BYTES:
            raise _invalid(index, f"the target has more than {MAX_BYTES >> 20} MiB of manifests")

    async def _child(self, document: _Document, view: Manifest) -> Child:
        content, repository = document.content, document.repository
        descriptor, config = replace(content.descriptor, media_type=view.media_type), ConfigFacts()
        known = descriptor.platform
        if known is not None and not (known.os and known.architecture):
            known = None  # some tools write an empty object
        if view.config.media_type in mt.IMAGE_CONFIGS and not (known is not None and known.is_unknown):
            raw = await self._engine.read_blob(repository, view.config, limit_bytes=MAX_CONFIG_BYTES)
            config = read_config(raw, about=repository.with_digest(view.config.digest))
            known = known or config.platform
        return Child(RawManifest(descriptor.with_platform(known), content.raw), view, repository, config)


def _check_index(index: Index, about: DigestReference, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _invalid(about, f"indexes are nested more than {MAX_DEPTH} levels deep")
    if len(index.manifests) > MAX_ENTRIES:
        raise _invalid(about, f"it has {len(index.manifests):,} entries, more than the {MAX_ENTRIES:,} allowed")
    for entry in index.manifests:
        if entry.media_type and entry.media_type not in mt.ALL_MANIFESTS:
            why = f"its entry {entry.digest} has media type {entry.media_type!r:.100}, which is not a manifest's"
            raise _invalid(about, why)


def _invalid(index: DigestReference, why: str) -> BadDocument:
    return BadDocument("cannot read index", about=index, why=why)


def _identity(build: int, entry: Descriptor) -> tuple[object, ...]:
    """What makes two entries the same: one image may be listed for two platforms."""
    annotations = tuple(sorted(entry.annotations.items()))
    return build, entry.digest, entry.size, entry.media_type, entry.platform, annotations, entry.artifact_type


def _with_platform(child: Child, platform: Platform) -> Child:
    return replace(child, content=replace(child.content, descriptor=child.descriptor.with_platform(platform)))
