"""Platforms: what an image runs on. Reads, normalises, sorts and prints them.

Source: OCI image-spec 1.1 image-index.md, "platform"; normal form: soci.md, "Normalised platform".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Self

from msgspec import Struct

from bakery.errors import BadDocument

# What Go compiles for (`go tool dist list`, and the names that Go reserves), and what runs WebAssembly.
SYSTEMS: Final = (
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
    "openbsd", "plan9", "solaris", "wasi", "wasip1", "wasip2", "windows", "zos",
)  # fmt: skip
ARCHITECTURES: Final = (
    "386", "amd64", "amd64p32", "arm", "arm64", "arm64be", "armbe", "loong64", "mips", "mips64", "mips64le",
    "mips64p32", "mips64p32le", "mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390",
    "s390x", "sparc", "sparc64", "wasm",
)  # fmt: skip
_OS: Final = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]+)\))?")
_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "i386": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}


class Platform(Struct, frozen=True, order=True):
    """Operating system, architecture, and what narrows them. Kept as written; compare with `normalised()`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `linux/arm64`, `linux/arm/v7` or `windows(10.0.20348.2966)/amd64`. Raises BadDocument otherwise."""
        parts = text.strip().split("/")
        system = _OS.fullmatch(parts[0])
        if len(parts) not in (2, 3) or system is None or not all(_PART.fullmatch(part) for part in parts[1:]):
            why = "expected os[(version)]/architecture[/variant]"
            raise BadDocument("invalid platform", about=repr(text[:200]), why=why)
        return cls(system[1], parts[1], parts[2] if len(parts) == 3 else "", system[2] or "")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the `platform` member of a descriptor. Raises BadDocument if it is not valid."""
        if not isinstance(value, Mapping):
            raise BadDocument("invalid platform", about=repr(value)[:200], why="expected an object")

        def text(key: str) -> str:
            found = value.get(key, "")
            if not isinstance(found, str):
                raise BadDocument("invalid platform", why=f"{key} must be a string, got {found!r}"[:200])
            return found

        features = value.get("os.features") or []
        if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
            raise BadDocument("invalid platform", why=f"os.features must be a list of strings, got {features!r}"[:200])
        return cls(text("os"), text("architecture"), text("variant"), text("os.version"), tuple(features))

    def to_json(self) -> dict[str, Any]:
        """Return the `platform` member in canonical order, without optional members that are empty."""
        optional = {"os.version": self.os_version, "os.features": list(self.os_features), "variant": self.variant}
        return {"architecture": self.architecture, "os": self.os} | {k: v for k, v in optional.items() if v}

    def normalised(self) -> Self:
        """Return the platform in its normal form: lower case, aliases resolved, default variants dropped."""
        os_name, architecture, variant = self.os.lower(), self.architecture.lower(), self.variant.lower()
        os_name = {"macos": "darwin"}.get(os_name, os_name)
        if architecture in _ARCHITECTURES:
            architecture, implied = _ARCHITECTURES[architecture]
            variant = implied or variant
        if (architecture == "amd64" and variant == "v1") or (
            architecture == "arm64" and variant in ("8", "v8", "v8.0")
        ):
            variant = ""
        elif architecture == "arm64" and variant in ("9", "9.0", "v9.0"):
            variant = "v9"
        elif architecture == "arm":
            variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
        return type(self)(
            os_name,
            architecture,
            variant,
            self.os_version if os_name == "windows" else "",
            tuple(sorted(self.os_features)),
        )

    def loose(self) -> Self:
        """Return only operating system and architecture."""
        return type(self)(self.os, self.architecture)

    @property
    def is_unknown(self) -> bool:
        """Whether this is the platform that BuildKit gives to attestations, which run nowhere."""
        return self.os == "unknown" or self.architecture == "unknown"

    def __str__(self) -> str:
        system = f"{self.os}({self.os_version})" if self.os_version else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)


def unknown_words(platform: Platform) -> tuple[tuple[str, str], ...]:
    """Return the words of a platform that Go does not know, each with the known one that was likely meant, or ""."""
    found: list[tuple[str, str]] = []
    for word, known in ((platform.os, SYSTEMS), (platform.architecture, ARCHITECTURES)):
        if word not in known:
            found.append((word, _nearest(word.lower(), known)))
    return tuple(found)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # needed for misspelled words only

    alias = {"macos": "darwin"}.get(word) or _ARCHITECTURES.get(word, ("", ""))[0]
    return alias or next(iter(get_close_matches(word, known, n=1)), "")
