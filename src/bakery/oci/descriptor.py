"""Descriptors: the type, digest and size of some content, with what the document that refers to it adds.

Source: OCI image-spec 1.1, descriptor.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.errors import BadDocument, DigestMismatch
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.values import repr_without

MAX_SIZE: Final = 2**63 - 1
_KNOWN = frozenset({"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"})


class Descriptor(Struct, frozen=True):
    """A reference to content. Equal if all members are equal; hashed by digest, size and type, so it can be a key.

    size: in bytes. data: inline content, or None if it is missing or does not match digest and size.
    extra: members that the specification does not define, in their order.
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""
    urls: tuple[str, ...] = ()
    data: bytes | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    __repr__ = repr_without("data")

    def __hash__(self) -> int:
        return hash((self.digest, self.size, self.media_type))

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        """Return the descriptor of some content."""
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_json(cls, value: object, *, about: object = "") -> Self:
        """Read a descriptor. Raises BadDocument or BadDigest, naming `about` and the invalid member."""

        def invalid(member: str, found: object, rule: str) -> BadDocument:
            return BadDocument("invalid descriptor", about=about, why=f"{member} must be {rule}, got {found!r:.100}")

        if not isinstance(value, Mapping):
            raise invalid("it", value, "an object")
        media_type, size = value.get("mediaType", ""), value.get("size")
        if not isinstance(media_type, str):
            raise invalid("mediaType", media_type, "a string")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise invalid("size", size, "an integer from 0 to 2^63-1")
        annotations = value.get("annotations") or {}
        if not isinstance(annotations, Mapping) or not all(isinstance(text, str) for text in annotations.values()):
            raise invalid("annotations", annotations, "an object of strings")
        urls = value.get("urls") or []
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise invalid("urls", urls, "a list of strings")
        artifact_type = value.get("artifactType", "")
        if not isinstance(artifact_type, str):
            raise invalid("artifactType", artifact_type, "a string")
        platform = value.get("platform")
        digest = Digest.parse(value.get("digest"))
        return cls(
            media_type,
            digest,
            size,
            annotations,
            None if platform is None else Platform.from_json(platform),
            artifact_type,
            tuple(urls),
            _inline(value.get("data"), digest, size),
            {key: member for key, member in value.items() if key not in _KNOWN},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object for `canonical.encode` with `canonical.DESCRIPTOR`, which omits empty members."""
        return {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
            "urls": list(self.urls),
            "annotations": dict(self.annotations),
            "data": "" if self.data is None else base64.b64encode(self.data).decode(),
            "platform": self.platform.to_json() if self.platform else {},
            "artifactType": self.artifact_type,
            **self.extra,
        }

    def check(self, content: bytes, *, about: object = "") -> bytes:
        """Return the content if its size and digest are as described. Raises DigestMismatch otherwise."""
        if len(content) != self.size or Digest.of(content, self.digest.algorithm) != self.digest:
            raise DigestMismatch(
                "wrong content for",
                about=about or self.digest,
                why=f"expected {self.size} bytes of {self.digest}, got {len(content)} bytes of {Digest.of(content)}",
                hint="check for a proxy that alters content, or build and push it again",
            )
        return content

    def bare(self) -> Self:
        """Return a descriptor with only the type, digest and size."""
        return type(self)(self.media_type, self.digest, self.size)

    def with_platform(self, platform: Platform | None) -> Self:
        """Return the same descriptor with this platform."""
        return replace(self, platform=platform)


def _inline(data: object, digest: Digest, size: int) -> bytes | None:
    if not isinstance(data, str) or not data:
        return None
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(content) != size or Digest.of(content, digest.algorithm) != digest:
        # Not an error: some tools rewrite content and leave the old data in the descriptor (registry.md 7, row 30).
        return None
    return content
