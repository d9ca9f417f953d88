"""The bake file that `docker buildx bake` reads and `build --plan` prints. Pure. Source: config.md 16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bakery.targets.labels import CREATED
from bakery.targets.target import Target


def bake_file(
    targets: Iterable[Target],
    *,
    push: bool = False,
    cache_registry: str | None = None,
    temp_registry: str | None = None,
    created: str | None = None,
) -> dict[str, Any]:
    """Return groups and targets by uid. created: a fixed creation time for the labels; without it they have none."""
    groups: dict[str, dict[str, list[str]]] = {"default": {"targets": []}}
    entries: dict[str, Any] = {}
    for target in targets:
        for name in dict.fromkeys(filter(None, ("default", target.image, target.variant))):
            groups.setdefault(name, {"targets": []})["targets"].append(target.uid)
        entries[target.uid] = _entry(target, push, cache_registry, temp_registry, created)
    return {"group": groups, "target": entries}


def _entry(
    target: Target, push: bool, cache_registry: str | None, temp_registry: str | None, created: str | None
) -> dict[str, Any]:
    labels = dict(target.labels) | ({CREATED: created} if created else {})
    entry: dict[str, Any] = {
        "context": ".",
        "dockerfile": target.containerfile,
        "labels": dict(sorted(labels.items())),
        "tags": [target.temp_name(temp_registry)] if temp_registry else list(target.references),
        "args": dict(target.build_args),
    }
    if target.build_target is not None:
        entry["target"] = target.build_target
    entry["platforms"] = list(target.platforms)
    if cache_registry:
        ref = target.cache_name(cache_registry)
        entry["cache-from"] = [{"type": "registry", "ref": ref}]
        if push:
            entry["cache-to"] = [
                {"type": "registry", "ref": ref, "mode": "max", "compression": "zstd", "oci-mediatypes": "true"}
            ]
    if target.secrets:
        entry["secret"] = [{"type": "env", "id": secret.id, "env": secret.variable} for secret in target.secrets]
    return entry
