"""Check that the names in bakery.yaml make valid references and valid uids.

Reads the plain document, so that an invalid name is reported whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from bakery.config import traversal
from bakery.config.names import make_uid, uid_fault
from bakery.config.project import ProjectRegistry
from bakery.config.yaml.problem import Finding, Keys
from bakery.errors import BadReference
from bakery.oci.reference import Repository

_MAX_NAME = 200  # characters; uids become file names, and a tag has at most 128


def check_references(raw: Any) -> list[Finding]:
    """Check every registry with the images published to it, and every part of a uid. Returns one finding per place."""
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
                yield Finding((*path, "name"), f"{name!r} does not make a valid reference: {fault}")
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
            yield Finding((*path, key, index), f"invalid reference {destination!r}: {fault}")


@lru_cache(maxsize=4096)
def reference_fault(destination: str) -> str:
    """Return why the name of a repository is invalid, or ""."""
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
                yield Finding((*path, key, index, "name"), f"invalid name {name!r}: {fault}")


@lru_cache(maxsize=16384)
def _name_fault(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > _MAX_NAME:
        return f"it is longer than {_MAX_NAME} characters"
    return uid_fault(make_uid(name, "", None, None, None))
