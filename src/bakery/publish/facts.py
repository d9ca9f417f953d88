"""How old an image is: the one that is being published, and the one that a tag names now.

Its version and time of creation come from the annotations of its index, from the labels and times of its image configs,
or from the version tags that name the same digest.
"""

from __future__ import annotations

import logging
from typing import Final

from bakery.errors import BakeryError, InvalidContent
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED, VERSION, parse_time
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest
from bakery.oci.reference import Repository
from bakery.publish.assemble import newest, read_config
from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage, ConfigFacts
from bakery.publish.plan import Destination, PlannedTarget
from bakery.publish.policy import ImageFacts, TagClass, newest_version, tag_class
from bakery.publish.read import MAX_CONFIG_BYTES
from bakery.targets.push_order import UNKNOWN, version_rank
from bakery.tasks import together

_log = logging.getLogger(__name__)

_MOST_CONFIGS: Final = 8  # of an index without `created`; more say nothing new
_MOST_TAGS: Final = 48  # version tags that are looked at, the newest first
_AT_ONCE: Final = 8


def facts_of(target: PlannedTarget, image: AssembledImage, destination: Destination) -> ImageFacts:
    """Return what is known of an image that is about to be published."""
    annotations = views.parse(image.index.raw, about=image.digest).annotations
    labels = [child.config.version for child in image.children if child.is_image]
    candidates = [target.version, annotations.get(VERSION, ""), newest_version(destination.tags), *labels]
    version = next((text for text in candidates if version_rank(text) != UNKNOWN), target.version)
    created = parse_time(annotations.get(CREATED)) or newest(child.config.created for child in image.children)
    return ImageFacts(image.digest, version, created)


def trusts_labels(image: AssembledImage, version: str) -> bool:
    """Return whether the version label of these images is theirs. Many inherit it from their base image."""
    return any(child.config.version == version for child in image.children if child.is_image)


async def read_facts(engine: Engine, repository: Repository, digest: Digest, *, labels: bool, tags: bool) -> ImageFacts:
    """Return what is known of an image in a repository. What cannot be read or understood is unknown.

    labels: whether the version label of its config counts. tags: whether version tags of the same digest are looked
    for; that may take many requests. Raises BakeryError only if the registry fails.
    """
    found = await engine.find(repository.with_digest(digest))
    if found is None:
        return ImageFacts(digest)
    try:
        view = views.parse(found.raw, media_type=found.descriptor.media_type, about=repository.with_digest(digest))
        version, created = view.annotations.get(VERSION, ""), parse_time(view.annotations.get(CREATED))
        if created is None or (labels and not version):
            configs = await _configs(engine, repository, view)
            created = created or newest(config.created for config in configs)
            if labels and not version:
                version = next((config.version for config in configs if config.version), "")
    except InvalidContent as error:
        _log.debug("%s", error)
        version, created = "", None
    if tags and not version:
        version = await _version_tag(engine, repository, digest)
    return ImageFacts(digest, version, created)


async def _configs(engine: Engine, repository: Repository, view: Manifest | Index) -> list[ConfigFacts]:
    manifests = [view] if isinstance(view, Manifest) else []
    if isinstance(view, Index):
        images = [
            entry
            for entry in view.manifests
            if not views.is_attestation(entry) and not (entry.platform is not None and entry.platform.is_unknown)
        ][:_MOST_CONFIGS]
        raws = await together(engine.read_manifest(repository, entry) for entry in images)
        parsed = [views.parse(raw, media_type=entry.media_type) for raw, entry in zip(raws, images, strict=True)]
        manifests = [one for one in parsed if isinstance(one, Manifest)]
    configs = [one.config for one in manifests if one.config.media_type in mt.IMAGE_CONFIGS]
    blobs = await together(engine.read_blob(repository, one, limit_bytes=MAX_CONFIG_BYTES) for one in configs)
    return [read_config(raw, about=one.digest) for raw, one in zip(blobs, configs, strict=True)]


async def _version_tag(engine: Engine, repository: Repository, digest: Digest) -> str:
    """Return the version tag that names a digest, or "". The newest versions are looked at first."""
    tags = [tag for tag in await engine.list_tags(repository) or () if tag_class(tag) is TagClass.VERSION]
    tags = sorted(tags, key=lambda tag: (version_rank(tag), tag), reverse=True)[:_MOST_TAGS]
    for first in range(0, len(tags), _AT_ONCE):
        batch = tags[first : first + _AT_ONCE]
        try:
            named = await together(engine.read_tag(repository.with_tag(tag)) for tag in batch)
        except BakeryError as error:
            _log.debug("%s", error)
            return ""
        if found := [tag for tag, one in zip(batch, named, strict=True) if one == digest]:
            return newest_version(found)
    return ""
