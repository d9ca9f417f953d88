"""Platforms: what a manifest's content runs on. Reads, normalises, sorts and prints them.

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
    """Operating system, architecture and what narrows them. Spelled as found; `normalised()` is for comparing."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`linux/arm64` or `linux/arm/v7`. Raises BadDocument for anything else."""
        parts = text.strip().split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise BadDocument("reading a platform", about=repr(text[:200]), hint="expected os/architecture[/variant]")
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else "")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The `platform` member of a descriptor. Raises BadDocument where it is no such object."""
        if not isinstance(value, Mapping):
            raise BadDocument("reading a platform", about=repr(value)[:200], hint="expected an object")

        def text(key: str) -> str:
            found = value.get(key, "")
            if not isinstance(found, str):
                raise BadDocument("reading a platform", about=f"{key}={found!r}"[:200], hint="expected text")
            return found

        features = value.get("os.features") or []
        if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
            raise BadDocument("reading a platform", about=f"os.features={features!r}"[:200], hint="expected texts")
        return cls(text("os"), text("architecture"), text("variant"), text("os.version"), tuple(features))

    def to_json(self) -> dict[str, Any]:
        """The `platform` member, in canonical order, optional members left out when empty."""
        optional = {"os.version": self.os_version, "os.features": list(self.os_features), "variant": self.variant}
        return {"architecture": self.architecture, "os": self.os} | {k: v for k, v in optional.items() if v}

    def normalised(self) -> Self:
        """The same platform in its one spelling: lower case, aliases resolved, default variants dropped."""
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

    @property
    def is_unknown(self) -> bool:
        """Whether this is BuildKit's mark for what runs nowhere: an attestation."""
        return self.os == "unknown" or self.architecture == "unknown"

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
