"""Names derived from others: the defaults of names in bakery.yaml, and uids. Pure. Source: config.md 4 to 7 and 14."""

from __future__ import annotations

import re
from functools import lru_cache

_NOT_IN_EXTENSION = re.compile(r"[^a-z0-9_-]")
_NOT_IN_TAG_NAME = re.compile(r"[^a-z0-9_.-]")
_UID_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-"
_UID = re.compile(f"[{_UID_CHARACTERS}]+")
_TO_HYPHEN = str.maketrans(dict.fromkeys(" .+/", "-"))


@lru_cache(maxsize=4096)
def default_extension(name: str) -> str:
    """`Ubuntu 24.04` → `ubuntu2404`."""
    return _NOT_IN_EXTENSION.sub("", name.lower())


@lru_cache(maxsize=4096)
def default_tag_name(name: str) -> str:
    """`Ubuntu 24.04` → `ubuntu-24.04`."""
    return _NOT_IN_TAG_NAME.sub("-", name.lower())


def default_display_name(name: str) -> str:
    """`my-image` → `My Image`."""
    return name.replace("-", " ").title()


def default_subpath(name: str) -> str:
    """`Version 2` → `version-2`: the directory of an image or version that does not name one."""
    return name.replace(" ", "-").lower()


def make_uid(image: str, version: str, variant: str | None, system: str | None, channel: str | None) -> str:
    """Return the uid of a target. It keys metadata files, so it must never change (pipeline.md 1)."""
    parts = (image, version, variant, system, channel if channel != "release" else None)
    return "-".join(part for part in parts if part).translate(_TO_HYPHEN).lower()


def uid_fault(uid: str) -> str:
    """Return why `docker buildx bake` would refuse this uid, or ""."""
    if _UID.fullmatch(uid):
        return ""
    bad = sorted(set(uid) - set(_UID_CHARACTERS))
    if not bad:
        return "the uid of its targets would be empty"
    return (
        f"the uid of its targets would contain {' '.join(map(repr, bad))}, which `docker buildx bake` does not accept"
    )
