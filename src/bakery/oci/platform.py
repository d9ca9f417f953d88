"""Platforms: what an image runs on. Reads, normalises, sorts and prints them.

Source: OCI image-spec 1.1 image-index.md, "platform"; normal form: soci.md, "Normalised platform".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

from bakery.errors import BadDocument

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
        """Read `linux/arm64` or `linux/arm/v7`. Raises BadDocument for anything else."""
        parts = text.strip().split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise BadDocument("invalid platform", about=repr(text[:200]), why="expected os/architecture[/variant]")
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else "")

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
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
