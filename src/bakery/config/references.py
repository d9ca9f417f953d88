"""Whether the names of a project make references that a registry takes, and uids that a bake file takes.

Reads the plain document, so that a wrong name is told whatever else is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from bakery.config import traversal
from bakery.config.project import ProjectRegistry
from bakery.config.yaml.problem import Finding, Keys
from bakery.errors import BadReference
from bakery.oci.reference import Repository

_LONGEST_NAME = 200  # characters; uids name files, and a tag has at most 128
_UID = re.compile(r"[a-z0-9_-]+")
_IN_UID = str.maketrans(dict.fromkeys(" .+/", "-"))


def uid_text(image: str, version: str, variant: str | None, system: str | None, channel: str | None) -> str:
    """The key of a target in metadata files. It must never change: pipeline.md 1."""
    parts = (image, version, variant, system, channel if channel != "release" else None)
    return "-".join(part for part in parts if part).translate(_IN_UID).lower()


def uid_fault(uid: str) -> str:
    """What a bake file would refuse in this uid, or ""."""
    if _UID.fullmatch(uid):
        return ""
    bad = sorted(set(uid) - set("abcdefghijklmnopqrstuvwxyz0123456789_-"))
    if not bad:
        return "the uid of its targets would be empty"
    return f"the uid of its targets would hold {' '.join(map(repr, bad))}, which a bake file refuses"


def check_references(raw: Any) -> list[Finding]:
    """Every registry with the names of images that go to it, and every part of a uid. One finding per place."""
    findings: dict[Keys, Finding] = {}
    for found in _findings(raw):
        findings.setdefault(found.path, found)
    return list(findings.values())


def _findings(raw: Any) -> Iterator[Finding]:
    yield from _registries(raw, "registries", "image", ())
    for path, image in traversal.images(raw):
        name = image.get("name")
        if isinstance(name, str):
            fault = reference_fault(ProjectRegistry("localhost").destination(name))
            if fault:
                yield Finding((*path, "name"), f"{name!r} makes no valid reference: {fault}")
        usable = name if isinstance(name, str) and not fault else "image"
        for holder, entry in ((path, image), *traversal.holders_of_systems(image, path)):
            for key in ("extraRegistries", "overrideRegistries"):
                yield from _registries(entry, key, usable, holder)
            if entry is not image:
                yield from _named(entry, "os", holder)
        yield from _named(image, "versions", path)
        yield from _named(image, "variants", path)


def _registries(raw: Any, key: str, image: str, path: Keys) -> Iterator[Finding]:
    for index, entry in traversal.mappings(raw, key):
        host, namespace, repository = (entry.get(part) for part in ("host", "namespace", "repository"))
        if not isinstance(host, str) or not all(
            part is None or isinstance(part, str) for part in (namespace, repository)
        ):
            continue
        destination = ProjectRegistry(host, namespace, repository).destination(image)
        fault = reference_fault(destination)
        if fault:
            yield Finding((*path, key, index), f"{destination!r} is no valid reference: {fault}")


@lru_cache(maxsize=4096)
def reference_fault(destination: str) -> str:
    """What is wrong with the name of a repository, or ""."""
    try:
        Repository.parse(destination)
    except BadReference as error:
        return error.why
    return ""


def _named(raw: Any, key: str, path: Keys) -> Iterator[Finding]:
    for index, entry in traversal.mappings(raw, key):
        name = entry.get("name")
        if isinstance(name, str):
            fault = _name_fault(name)
            if fault:
                yield Finding((*path, key, index, "name"), f"{name!r} cannot be used: {fault}")


@lru_cache(maxsize=16384)
def _name_fault(name: str) -> str:
    if not name:
        return "the name is empty"
    if len(name) > _LONGEST_NAME:
        return f"the name is longer than {_LONGEST_NAME} characters"
    return uid_fault(uid_text(name, "", None, None, None))
