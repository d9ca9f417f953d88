"""Digests: the names of bytes. Parses and computes them; compares nothing else.

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
    """What `hashlib` gives: it is fed chunks and then names them all."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Hasher: ...


class Digest(Struct, frozen=True, order=True):
    """The name of some bytes, such as `sha256:9f86…`. Content is compared by digest and by nothing else.

    Only sha256 and sha512 are taken: this text ends up in URLs and file paths, so what we do not know we refuse.
    Raises BadDigest where the text is not exactly `algorithm:lower-case hex` of the right length.
    """

    algorithm: str
    hex: str  # 64 digits for sha256, 128 for sha512

    def __post_init__(self) -> None:
        shape = _SHAPES.get(self.algorithm)
        if shape is None or shape.fullmatch(self.hex) is None:
            raise BadDigest(
                "reading a digest",
                about=repr(f"{self.algorithm}:{self.hex}"[:200]),
                hint="expected sha256:<64 hex> or sha512:<128 hex>",
            )

    @classmethod
    def parse(cls, text: object) -> Self:
        """The digest that this text spells. Raises BadDigest, also where it is no text at all."""
        algorithm, _, hex_digits = (text if isinstance(text, str) else repr(text)).partition(":")
        return cls(algorithm, hex_digits)

    @classmethod
    def of(cls, content: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Self:
        """The digest of these bytes."""
        hasher = new_hasher(algorithm)
        hasher.update(content)
        return cls(algorithm, hasher.hexdigest())

    def hasher(self) -> Hasher:
        """A fresh hasher of this digest's algorithm."""
        return new_hasher(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def new_hasher(algorithm: str) -> Hasher:
    """A hasher by name; only the two algorithms that we know."""
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm == "sha512":
        return hashlib.sha512()
    raise BadDigest("choosing a hash", about=repr(algorithm[:200]), hint="sha256 and sha512 are known")
