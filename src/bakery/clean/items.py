"""What a clean-up knows of a repository: the manifests in it, and what each of them says. Values only, no I/O.

Source: commands.md 6.3; OCI distribution-spec 1.1, "Referrers Tag Schema"; the tags of cosign, registry.md 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from bakery.errors import BadDigest
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED, parse_time
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.soci.media import INDEX_DIGEST

_DIGEST_TAG: Final = re.compile(r"(sha(?:256|512)-[0-9a-f]{64})(?:\..+)?")


class Item(Struct, frozen=True):
    """A manifest that is in a repository, with all its tags.

    pushed: what the registry says about the time of the last push. key: its name in an API of the registry that deletes
    by names of its own, or "".
    """

    digest: Digest
    tags: tuple[str, ...] = ()
    pushed: datetime | None = None
    key: str = ""

    @property
    def ordinary_tags(self) -> tuple[str, ...]:
        """Its tags without those that belong to another manifest."""
        return tuple(tag for tag in self.tags if owner_of(tag) == "")


class Content(Struct, frozen=True):
    """What a manifest says.

    children: the manifests in an index. linked: SOCI indexes that annotations name. annotated: all digests that
    annotations name. created: the time in its annotations. config: of an image. referrers: what the registry lists as
    referring to it.
    """

    descriptor: Descriptor
    children: tuple[Descriptor, ...] = ()
    linked: tuple[Digest, ...] = ()
    annotated: tuple[Digest, ...] = ()
    blobs: tuple[Descriptor, ...] = ()
    subject: Digest | None = None
    created: datetime | None = None
    config: Descriptor | None = None
    referrers: tuple[Digest, ...] = field(default=())


def owner_of(tag: str) -> str:
    """Return the beginning of a tag that belongs to a manifest, such as `sha256-9f86…`; "" for an ordinary tag.

    The fallback index of referrers has such a tag, and so have the signatures, attestations and SBOMs of cosign.
    """
    match = _DIGEST_TAG.fullmatch(tag)
    return match[1] if match else ""


def tag_of_owner(digest: Digest) -> str:
    """Return how the tags begin that belong to this manifest."""
    return f"{digest.algorithm}-{digest.hex[:64]}"


def digest_of_owner(owner: str) -> Digest | None:
    """Return the manifest that tags with this beginning belong to; None if the tag has only a part of its digest."""
    algorithm, _, digits = owner.partition("-")
    return Digest(algorithm, digits) if algorithm == "sha256" else None


def read_content(found: RawManifest, referrers: Iterable[Digest] = (), *, about: object = "") -> Content:
    """Return what a manifest says. Raises BadDocument if it cannot be read."""
    view = views.parse(found.raw, media_type=found.descriptor.media_type, about=about)
    entries = view.manifests if isinstance(view, Index) else ()
    # BuildKit's caches may be an index of layers.
    children = tuple(entry for entry in entries if mt.essence(entry.media_type) in ("", *mt.ALL_MANIFESTS))
    annotations = [view.annotations, *(entry.annotations for entry in entries)]
    config = view.config if isinstance(view, Manifest) else None
    return Content(
        found.descriptor,
        children,
        tuple(_digests(one.get(INDEX_DIGEST, "") for one in annotations)),
        tuple(_digests(text for one in annotations for text in one.values())),
        view.blobs if isinstance(view, Manifest) else tuple(one for one in entries if one not in children),
        view.subject.digest if view.subject is not None else None,
        _newest(one.get(CREATED) for one in annotations),
        config if config is not None and config.media_type in mt.IMAGE_CONFIGS else None,
        tuple(referrers),
    )


def _digests(texts: Iterable[str]) -> Iterable[Digest]:
    for text in texts:
        try:
            yield Digest.parse(text)
        except BadDigest:
            continue


def _newest(texts: Iterable[object]) -> datetime | None:
    return max((time for time in map(parse_time, texts) if time is not None), default=None)


Contents = Mapping[Digest, Content]
Items = Mapping[Digest, Item]
