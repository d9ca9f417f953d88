"""Whether the names of a project make references that a registry takes, and uids that a bake file takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bakery.config.problem import Finding, Keys
from bakery.config.project import Image, Registry
from bakery.config.schema import GlobalRegistryPart, ImagePart, ProjectPart
from bakery.errors import BadReference
from bakery.oci.reference import Repository

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


def check_references(part: ProjectPart, images: Sequence[Image]) -> list[Finding]:
    """Every registry with every image's name that goes to it, and every part of a uid. One finding per place."""
    findings: dict[Keys, Finding] = {}
    for found in _findings(part, images):
        findings.setdefault(found.path, found)
    return list(findings.values())


def _findings(part: ProjectPart, images: Sequence[Image]) -> Iterator[Finding]:
    for index, entry in enumerate(part.registries):
        yield from _registry(entry, "image", ("registries", index))
    for number, (written, image) in enumerate(zip(part.images, images, strict=True)):
        path: Keys = ("images", number)
        fault = _fault(image.name, Registry("localhost"))
        if fault:
            yield Finding((*path, "name"), f"{image.name!r} makes no valid reference: {fault}")
        else:
            yield from _image_registries(written, path)
        yield from _names(image)


def _image_registries(image: ImagePart, path: Keys) -> Iterator[Finding]:
    holders: list[tuple[Keys, Iterable[GlobalRegistryPart], Iterable[GlobalRegistryPart]]] = [
        (path, image.extra_registries, image.override_registries)
    ]
    for index, version in enumerate(image.versions):
        holders.append(((*path, "versions", index), version.extra_registries, version.override_registries))
    for index, dev in enumerate(image.dev_versions):
        holders.append(((*path, "devVersions", index), dev.extra_registries, dev.override_registries))
    if image.matrix is not None:
        holders.append(((*path, "matrix"), image.matrix.extra_registries, image.matrix.override_registries))
    for holder, extra, override in holders:
        for key, entries in (("extraRegistries", extra), ("overrideRegistries", override)):
            for index, entry in enumerate(entries):
                yield from _registry(entry, image.name, (*holder, key, index))


def _registry(entry: GlobalRegistryPart, image: str, path: Keys) -> Iterator[Finding]:
    registry = Registry(entry.host, entry.namespace, getattr(entry, "repository", None))
    fault = _fault(image, registry)
    if fault:
        yield Finding(path, f"{registry.destination(image)!r} is no valid reference: {fault}")


def _fault(image: str, registry: Registry) -> str:
    try:
        Repository.parse(registry.destination(image))
    except BadReference as error:
        return error.answer
    return ""


def _names(image: Image) -> Iterator[Finding]:
    named: list[tuple[Keys, str]] = [((*version.place, "name"), version.name) for version in image.versions]
    named += [((*image.place, "variants", index, "name"), one.name) for index, one in enumerate(image.variants)]
    for path, name in named:
        fault = uid_fault(uid_text(name, "", None, None, None)) if name else "the name is empty"
        if fault:
            yield Finding(path, f"{name!r} cannot be used: {fault}")
    for systems, path in [
        *((version.systems, version.place) for version in image.versions),
        *((source.systems, source.place) for source in image.dev_sources),
        *(((image.matrix.systems, image.matrix.place),) if image.matrix else ()),
    ]:
        for system in systems:
            fault = uid_fault(uid_text(system.name, "", None, None, None)) if system.name else "the name is empty"
            if fault:
                yield Finding((*path, "os"), f"the system {system.name!r} cannot be used: {fault}")
