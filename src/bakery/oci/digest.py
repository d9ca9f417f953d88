"""Digests: names of content, parsed and computed.

Source: OCI image-spec 1.1, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from typing import Protocol, Self

from msgspec import Struct

from bakery.errors import BadDigest

_SHAPES = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}


class Hasher(Protocol):
    """A hash of `hashlib`: takes content in chunks."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Hasher: ...


class Digest(Struct, frozen=True, order=True):
    """The digest of some content, such as `sha256:9f86…`. Content is only ever compared by digest.

    Digests become part of URLs and file paths, so anything but sha256 and sha512 is refused. Raises BadDigest unless
    the text is exactly `algorithm:hex`, in lower case and of the right length.
    """

    algorithm: str
    hex: str  # 64 digits for sha256, 128 for sha512

    def __post_init__(self) -> None:
        shape = _SHAPES.get(self.algorithm)
        if shape is None or shape.fullmatch(self.hex) is None:
            raise BadDigest(
                "invalid digest",
                about=repr(f"{self.algorithm}:{self.hex}"[:200]),
                why="expected sha256:<64 hex digits> or sha512:<128 hex digits>",
            )

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a digest. Raises BadDigest, also if `text` is not a string."""
        algorithm, _, hex_digits = (text if isinstance(text, str) else repr(text)).partition(":")
        return cls(algorithm, hex_digits)

    @classmethod
    def of(cls, content: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Self:
        """Return the digest of some content."""
        hasher = new_hasher(algorithm)
        hasher.update(content)
        return cls(algorithm, hasher.hexdigest())

    def hasher(self) -> Hasher:
        """Return a new hasher of this digest's algorithm."""
        return new_hasher(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def new_hasher(algorithm: str) -> Hasher:
    """Return a hasher for sha256 or sha512. Raises BadDigest for any other algorithm."""
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm == "sha512":
        return hashlib.sha512()
    raise BadDigest("unknown hash algorithm", about=repr(algorithm[:200]), why="expected one of: sha256, sha512")
