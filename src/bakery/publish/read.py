"""Read what the sources of a target contain: manifests and image configs. Indexes are flattened.

Each document is read once per target. Hostile indexes nest or repeat to multiply requests and memory, so that depth,
entries, documents and bytes are limited (registry.md 7, row 11). Source: pipeline.md 5.4.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument, NotFound
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import LayoutReference, SourcePlace, SourceReference
from bakery.publish.assemble import newest, read_config
from bakery.publish.choose import ResolvedSource
from bakery.publish.engine import Engine
from bakery.publish.image import Child, ConfigFacts, deleted
from bakery.publish.plan import PlannedTarget, Source
from bakery.tasks import together

MAX_DEPTH: Final = 4  # indexes in indexes; buildx makes one level
MAX_ENTRIES: Final = 1_000  # of one index
MAX_MANIFESTS: Final = 5_000  # of one target, indexes included
MAX_BYTES: Final = 64 * 1024 * 1024  # of the manifests of one target
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024


async def read_sources(
    target: PlannedTarget, engine: Engine, found: Mapping[SourceReference, RawManifest]
) -> tuple[ResolvedSource, ...]:
    """Read the children and image configs of every source. found: the manifests of the sources themselves.

    Raises BadDocument for a manifest that cannot be used, and for an index that exceeds a limit.
    """
    roots = [_Document(n, origin_of(one.reference), found[one.reference]) for n, one in enumerate(target.sources)]
    reading = _Reading(engine)
    children = await reading.children(roots)
    resolved = []
    for source, root, own in zip(target.sources, roots, children, strict=True):
        if source.entry is not None and source.entry.size not in (0, root.content.descriptor.size):
            why = f"its descriptor says {source.entry.size} bytes, but it has {root.content.descriptor.size}"
            raise BadDocument("cannot use", about=root.reference, why=why)
        if len(own) == 1:
            own[0] = _described(own[0], source)
        created = source.created or newest(child.config.created for child in own)
        nested = tuple(index.content for index in reversed(reading.nested) if index.source == root.source)
        resolved.append(ResolvedSource(source, root.reference, root.content, tuple(own), nested, created))
    return tuple(resolved)


def origin_of(reference: SourceReference) -> SourcePlace:
    """Return the place of a reference's content."""
    return reference.layout if isinstance(reference, LayoutReference) else reference.repository


def _described(child: Child, source: Source) -> Child:
    """Return a single manifest with what the plan knows of it."""
    descriptor = child.descriptor
    if source.entry is not None:
        annotations = {**descriptor.annotations, **source.entry.annotations}
        platform = source.entry.platform or descriptor.platform
        descriptor = replace(descriptor, annotations=annotations, platform=platform)
    if descriptor.platform is None:  # what metadata says counts only if the registry says nothing
        descriptor = descriptor.with_platform(source.platform)
    return replace(child, content=replace(child.content, descriptor=descriptor))


class _Document(Struct, frozen=True):
    """A manifest or index that was read. source: the number of the source that it belongs to."""

    source: int
    origin: SourcePlace
    content: RawManifest

    @property
    def reference(self) -> SourceReference:
        return self.origin.with_digest(self.content.descriptor.digest)


class _Entry(Struct, frozen=True):
    """An entry of an index, to be read."""

    index: _Document
    descriptor: Descriptor

    @property
    def place(self) -> SourceReference:
        return self.index.origin.with_digest(self.descriptor.digest)


class _Reading:
    """Reads the documents of one target, each once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._raw: dict[SourceReference, bytes] = {}
        self.nested: list[_Document] = []  # indexes inside the sources, outermost first
        self._manifests = self._bytes = 0

    async def children(self, roots: Sequence[_Document]) -> list[list[Child]]:
        """Return the images and artifacts of every source, level by level of the indexes, without repetitions."""
        level = list(roots)
        for root in roots:
            self._count(root.reference, root.content.descriptor)
        children: list[list[Child]] = [[] for _ in roots]
        seen: set[tuple[int, SourceReference]] = set()  # indexes
        for depth in range(MAX_DEPTH + 1):
            entries: dict[tuple[object, ...], _Entry] = {}
            images: list[tuple[_Document, Manifest]] = []
            for document in level:
                descriptor, about = document.content.descriptor, document.reference
                view = views.parse(document.content.raw, media_type=descriptor.media_type, about=about)
                if isinstance(view, Manifest):
                    images.append((document, view))
                elif (document.source, about) not in seen:
                    seen.add((document.source, about))
                    _check_index(view, about, depth)
                    self.nested += [document] if depth else []
                    entries |= {_identity(document.source, entry): _Entry(document, entry) for entry in view.manifests}
            found = await together(self._child(document, view) for document, view in images)
            for (document, _), child in zip(images, found, strict=True):
                children[document.source].append(child)
            level = await self._read(entries.values())
        return children

    async def _read(self, entries: Collection[_Entry]) -> list[_Document]:
        wanted: dict[SourceReference, _Entry] = {}
        for entry in entries:
            if entry.place not in self._raw and entry.place not in wanted:
                self._count(entry.index.reference, entry.descriptor)
                wanted[entry.place] = entry
        raws = await together(self._listed(entry) for entry in wanted.values())
        self._raw.update(zip(wanted, raws, strict=True))
        documents = []
        for entry in entries:
            raw = entry.descriptor.check(self._raw[entry.place], about=entry.place)
            content = RawManifest(entry.descriptor, raw)
            documents.append(_Document(entry.index.source, entry.index.origin, content))
        return documents

    async def _listed(self, entry: _Entry) -> bytes:
        descriptor, index = entry.descriptor, entry.index
        try:
            return await self._engine.read_manifest(index.origin, descriptor)
        except NotFound as error:
            raise deleted(error, f"the index {index.reference}{_for(descriptor.platform)}") from error

    def _count(self, index: SourceReference, descriptor: Descriptor) -> None:
        """Count a document before it is read. Raises BadDocument, naming the index that lists it."""
        self._manifests, self._bytes = self._manifests + 1, self._bytes + descriptor.size
        if self._manifests > MAX_MANIFESTS:
            raise _invalid(index, f"the target has more than {MAX_MANIFESTS:,} manifests")
        if self._bytes > MAX_BYTES:
            raise _invalid(index, f"the target has more than {MAX_BYTES >> 20} MiB of manifests")

    async def _child(self, document: _Document, view: Manifest) -> Child:
        content, origin = document.content, document.origin
        descriptor, config = replace(content.descriptor, media_type=view.media_type), ConfigFacts()
        known = descriptor.platform
        if known is not None and not (known.os and known.architecture):
            known = None  # some tools write an empty object
        if view.config.media_type in mt.IMAGE_CONFIGS and not (known is not None and known.is_unknown):
            try:
                raw = await self._engine.read_blob(origin, view.config, limit_bytes=MAX_CONFIG_BYTES)
            except NotFound as error:
                raise deleted(error, f"the manifest {document.reference}{_for(known)}") from error
            config = read_config(raw, about=origin.with_digest(view.config.digest))
            known = known or config.platform
        return Child(RawManifest(descriptor.with_platform(known), content.raw), view, origin, config)


def _check_index(index: Index, about: SourceReference, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _invalid(about, f"indexes are nested more than {MAX_DEPTH} levels deep")
    if len(index.manifests) > MAX_ENTRIES:
        raise _invalid(about, f"it has {len(index.manifests):,} entries, more than the {MAX_ENTRIES:,} allowed")
    for entry in index.manifests:
        if entry.media_type and entry.media_type not in mt.ALL_MANIFESTS:
            why = f"its entry {entry.digest} has media type {entry.media_type!r:.100}, which is not a manifest's"
            raise _invalid(about, why)


def _for(platform: Platform | None) -> str:
    text = str(platform or "")  # some tools write an empty object
    return f" for {text}" if text else ""


def _invalid(index: SourceReference, why: str) -> BadDocument:
    return BadDocument("cannot read index", about=index, why=why)


def _identity(source: int, entry: Descriptor) -> tuple[object, ...]:
    """What makes two entries the same: one image may be listed for two platforms."""
    annotations = tuple(sorted(entry.annotations.items()))
    return source, entry.digest, entry.size, entry.media_type, entry.platform, annotations, entry.artifact_type
