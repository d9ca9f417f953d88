"""The known operating systems: what a name such as `Ubuntu 24.04` means for templates and product APIs.

The name in bakery.yaml decides. It does not affect tags. A system that is not in the table is `unknown`.
Source: config.md 7.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct


class BuildSystem(Struct, frozen=True):
    """A known system. codename: None if it has none."""

    name: str
    version: str
    codename: str | None
    family: str

    @property
    def major(self) -> str:
        """The version up to the first dot."""
        return self.version.partition(".")[0]

    @property
    def package_suffix(self) -> str:
        """`deb` or `rpm`, or "" if unknown."""
        return {"debian": "deb", "rhel": "rpm"}.get(self.family, "")


_FAMILIES = {"ubuntu": "debian", "debian": "debian", "rhel": "rhel", "alma": "rhel", "rocky": "rhel"}
_OTHER_NAMES = {
    "redhat": "rhel", "red hat": "rhel", "rh": "rhel", "el": "rhel",
    "almalinux": "alma", "alma linux": "alma", "rockylinux": "rocky", "rocky linux": "rocky",
}  # fmt: skip
_VERSIONS: dict[str, dict[str, tuple[str, str | None]]] = {
    "ubuntu": {"26": ("26.04", "resolute"), "24": ("24.04", "noble"), "22": ("22.04", "jammy")},
    "debian": {"13": ("13", "trixie"), "12": ("12", "bookworm"), "11": ("11", "bullseye")},
    "rhel": {"10": ("10", None), "9": ("9", None), "8": ("8", None)},
    "alma": {"10": ("10", None), "9": ("9", None), "8": ("8", None)},
    "rocky": {"10": ("10", None), "9": ("9", None), "8": ("8", None)},
}
_NAME = re.compile(r"(?P<system>[^0-9]*)(?P<version>[0-9.]*)")


@lru_cache(maxsize=1024)
def build_system(name: str) -> BuildSystem:
    """Return the system that a name in bakery.yaml refers to; `unknown` for any other name."""
    match = _NAME.match(name.lower())
    assert match is not None  # the pattern matches any text
    system = match["system"].strip()
    system = _OTHER_NAMES.get(system, system)
    version = match["version"].partition(".")[0]
    if system == "scratch" and not version:
        return BuildSystem("scratch", "", None, "unknown")
    known = _VERSIONS.get(system)
    if known is None or (version and version not in known):
        return BuildSystem("unknown", "", None, "unknown")
    full, codename = known[version or next(iter(known))]
    return BuildSystem(system, full, codename, _FAMILIES[system])
