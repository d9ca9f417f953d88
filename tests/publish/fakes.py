"""An engine over dictionaries, for the decisions of `publish`. The real ones are held to the same by tests/contract.

It knows what an engine promises: nothing is tagged that was not staged, staging needs its sources.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from bakery.config.schema.options import SociOptions
from bakery.errors import NotFound, RegistryError
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import (
    DigestReference,
    LayoutReference,
    Repository,
    SourcePlace,
    SourceReference,
    TagReference,
)
from bakery.publish.engine import TagChanged
from bakery.publish.image import AssembledImage
from bakery.publish.plan import Destination, PlannedTarget, Source

TEMPORARY = Repository.parse("registry.example/tmp/app/tmp")


class DictionaryEngine:
    """Repositories in a dictionary. `refuse` may return an error for an action and a repository, or None."""

    def __init__(self) -> None:
        self.content: dict[tuple[SourcePlace, Digest], tuple[str, bytes]] = {}
        self.tags: dict[tuple[Repository, str], Digest] = {}
        self.log: list[str] = []
        self.found: list[SourceReference] = []
        self.refuse: Callable[[str, Repository], Exception | None] = lambda action, repository: None
        self.on_stage: Callable[[AssembledImage, Repository], Any] | None = None
        self.is_conditional = False  # whether the registry supports conditional writes
        self.on_tag: Callable[[Repository, str], None] = lambda repository, tag: None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None: ...

    def put(self, repository: Repository, raw: bytes, media_type: str) -> Descriptor:
        descriptor = Descriptor.of(raw, media_type)
        self.content[repository, descriptor.digest] = (media_type, raw)
        return descriptor

    def _check(self, action: str, repository: Repository) -> None:
        error = self.refuse(action, repository)
        if error is not None:
            raise error

    async def find(self, reference: SourceReference) -> RawManifest | None:
        assert not isinstance(reference, LayoutReference)
        repository = reference.repository
        self._check("find", repository)
        self.found.append(reference)
        digest = (
            reference.digest if isinstance(reference, DigestReference) else self.tags.get((repository, reference.tag))
        )
        found = self.content.get((repository, digest)) if digest else None
        if digest is None or found is None:
            return None
        return RawManifest(Descriptor(found[0], digest, len(found[1])), found[1])

    async def read_manifest(self, origin: SourcePlace, descriptor: Descriptor) -> bytes:
        return self.content[origin, descriptor.digest][1]

    async def read_blob(self, origin: SourcePlace, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        return self.content[origin, descriptor.digest][1]

    async def convert(
        self, image: AssembledImage, options: SociOptions, *, towards: Sequence[Repository]
    ) -> AssembledImage:
        self._check("convert", towards[0] if towards else TEMPORARY)
        return image

    async def stage(self, image: AssembledImage, repository: Repository) -> bool:
        self._check("stage", repository)
        if self.on_stage is not None:
            await self.on_stage(image, repository)
        is_new = (repository, image.digest) not in self.content
        self.content[repository, image.digest] = (mt.OCI_INDEX, image.index.raw)
        self.log.append(f"stage {repository}")
        return is_new

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        return {tag: self.tags.get((repository, tag)) for tag in tags}

    async def tag(
        self, image: AssembledImage, reference: TagReference, *, previous: Digest | None, unmoved: bool = False
    ) -> None:
        repository, tag = reference.repository, reference.tag
        self._check("tag", repository)
        if unmoved and self.is_conditional and self.tags.get((repository, tag)) != previous:
            raise TagChanged("moved in the meantime", about=reference)
        assert (repository, image.digest) in self.content, "a tag moved before its index was staged"
        self.tags[repository, tag] = image.digest
        self.log.append(f"tag {reference}")
        self.on_tag(repository, tag)

    async def list_tags(self, repository: Repository) -> frozenset[str] | None:
        return frozenset(tag for place, tag in self.tags if place == repository)

    async def read_tag(self, reference: TagReference) -> Digest | None:
        self._check("read", reference.repository)
        return self.tags.get((reference.repository, reference.tag))

    async def verify_tag(self, reference: TagReference, digest: Digest, *, previous: Digest | None) -> None:
        self._check("verify", reference.repository)
        if self.tags.get((reference.repository, reference.tag)) != digest:
            raise NotFound("verifying", about=reference, status=404)

    async def set_tag(self, reference: TagReference, digest: Digest) -> None:
        self._check("set", reference.repository)
        self.tags[reference.repository, reference.tag] = digest
        self.log.append(f"set {reference}")

    async def remove_tag(self, reference: TagReference) -> bool:
        self._check("remove", reference.repository)
        return self.tags.pop((reference.repository, reference.tag), None) is not None

    def extend(self, seconds: float) -> None: ...


def add_image(
    engine: DictionaryEngine,
    platform: str,
    *,
    created: str = "2026-11-01T00:00:00Z",
    repository: Repository = TEMPORARY,
    salt: str = "",
) -> Descriptor:
    """A one-layer image of this platform in the engine; its manifest's descriptor."""
    os_name, architecture, *variant = platform.split("/")
    config: dict[str, Any] = {"os": os_name, "architecture": architecture, "created": created, "salt": salt}
    if variant:
        config["variant"] = variant[0]
    config_descriptor = engine.put(repository, json.dumps(config).encode(), mt.OCI_CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": {"mediaType": mt.OCI_CONFIG, "digest": str(config_descriptor.digest), "size": config_descriptor.size},
        "layers": [],
    }
    return engine.put(repository, json.dumps(manifest, indent=1).encode(), mt.OCI_MANIFEST)


def build(descriptor: Descriptor, repository: Repository = TEMPORARY, **more: Any) -> Source:
    """A build as a plan has it."""
    return Source(repository.with_digest(descriptor.digest), **more)


def target(
    sources: Sequence[Source],
    destinations: Sequence[tuple[str, tuple[str, ...]]] = (("one.example/app", ("1.0", "latest")),),
    *,
    uid: str = "app",
    platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64"),
    soci: SociOptions | None = None,
) -> PlannedTarget:
    """A target as a plan has it."""
    return PlannedTarget(
        uid,
        "app",
        "1.0",
        "",
        "",
        tuple(sources),
        tuple(Destination(Repository.parse(name), tags) for name, tags in destinations),
        {"org.opencontainers.image.title": "App"},
        platforms,
        soci,
    )


def refusal(status: int = 403) -> RegistryError:
    return RegistryError("doing something", about="somewhere", status=status)
