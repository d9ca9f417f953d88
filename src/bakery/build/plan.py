"""What a run builds: targets narrowed to the platforms asked for, and the bake file of all of them. Pure.

`docker buildx bake -f -` on the bake file is the whole build, without `--set`: a target has only platforms that it
declares, and pushes by digest if there is a temporary registry. Source: config.md 16, commands.md 1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bakery.build.options import BuildOptions
from bakery.targets.labels import CREATED
from bakery.targets.target import Target

BY_DIGEST: Final = {"type": "image", "push-by-digest": "true", "name-canonical": "true", "push": "true"}


class PlannedBuild(Struct, frozen=True):
    """One target to build. platforms: of the target, in its order. cache_ref: the reference of its cache, or ""."""

    target: Target
    platforms: tuple[str, ...]
    cache_ref: str = ""

    @property
    def uid(self) -> str:
        return self.target.uid


class BuildPlan(Struct, frozen=True):
    """Everything that one run builds. context: the project's folder. created: a fixed time for the labels, or None.

    left_out: uids of selected targets that have none of the platforms asked for.
    """

    context: Path
    builds: tuple[PlannedBuild, ...]
    options: BuildOptions
    created: str | None = None
    left_out: tuple[str, ...] = ()

    def labels(self, build: PlannedBuild) -> dict[str, str]:
        """Return the labels of a build, sorted by name."""
        labels = dict(build.target.labels) | ({CREATED: self.created} if self.created else {})
        return dict(sorted(labels.items()))

    def tags(self, build: PlannedBuild) -> list[str]:
        """Return what a build is named: its references, or its repository in the temporary registry."""
        temp = self.options.temp_registry
        return [build.target.temp_name(temp)] if temp else list(build.target.references)

    def attestations(self) -> list[str]:
        """Return the attestations that were asked for, in the form of `attest`."""
        return [
            *self.options.attest,
            *(_attestation("provenance", self.options.provenance)),
            *(_attestation("sbom", self.options.sbom)),
        ]


def plan_builds(
    context: Path,
    targets: Iterable[Target],
    options: BuildOptions,
    *,
    platforms: Sequence[str] = (),
    created: str | None = None,
) -> BuildPlan:
    """Return the plan for these targets. platforms: regular expressions, searched for; without any, all are built."""
    builds: list[PlannedBuild] = []
    left_out: list[str] = []
    for target in targets:
        matching = tuple(one for one in target.platforms if any(re.search(text, one) for text in platforms))
        built = matching if platforms else target.platforms
        if not built:
            left_out.append(target.uid)
            continue
        cache = target.cache_name(options.cache_registry, built) if options.cache_registry else ""
        builds.append(PlannedBuild(target, built, cache))
    return BuildPlan(context, tuple(builds), options, created, tuple(left_out))


def bake_file(plan: BuildPlan) -> dict[str, Any]:
    """Return groups and targets by uid."""
    groups: dict[str, dict[str, list[str]]] = {"default": {"targets": []}}
    for build in plan.builds:
        for name in dict.fromkeys(filter(None, ("default", build.target.image, build.target.variant))):
            groups.setdefault(name, {"targets": []})["targets"].append(build.uid)
    return {"group": groups, "target": {build.uid: _entry(plan, build) for build in plan.builds}}


def check_file(plan: BuildPlan) -> dict[str, Any]:
    """Return a bake file that is only checked: with an output, `bake --call check` pushes empty images."""
    targets = bake_file(plan)["target"]
    kept = ("context", "dockerfile", "args", "target", "platforms")
    return {
        "group": {"default": {"targets": list(targets)}},
        "target": {uid: {key: entry[key] for key in kept if key in entry} for uid, entry in targets.items()},
    }


def _entry(plan: BuildPlan, build: PlannedBuild) -> dict[str, Any]:
    target, options = build.target, plan.options
    entry: dict[str, Any] = {
        "context": ".",
        "dockerfile": target.containerfile,
        "labels": plan.labels(build),
        "tags": plan.tags(build),
        "args": dict(target.build_args),
    }
    if target.build_target is not None:
        entry["target"] = target.build_target
    entry["platforms"] = list(build.platforms)
    if build.cache_ref:
        entry["cache-from"] = [cache_source(build)]
        if options.push:
            entry["cache-to"] = [cache_destination(build)]
    if target.secrets:
        entry["secret"] = [{"type": "env", "id": secret.id, "env": secret.variable} for secret in target.secrets]
    if options.by_digest:
        entry["output"] = [dict(BY_DIGEST)]
    if attestations := plan.attestations():
        entry["attest"] = attestations
    if options.pull:
        entry["pull"] = True
    if not options.cache:
        entry["no-cache"] = True
    return entry


def cache_source(build: PlannedBuild) -> dict[str, str]:
    """Return where the cache of a build is read."""
    return {"type": "registry", "ref": build.cache_ref}


def cache_destination(build: PlannedBuild) -> dict[str, str]:
    """Return where the cache of a build is written."""
    return {**cache_source(build), "mode": "max", "compression": "zstd", "oci-mediatypes": "true"}


def _attestation(kind: str, value: str) -> tuple[str, ...]:
    """Return the value of `--provenance` or `--sbom` in the form of `attest`, as buildx reads it."""
    if not value:
        return ()
    if value.lower() in ("true", "1", "t"):
        return (f"type={kind}",)
    if value.lower() in ("false", "0", "f"):
        return (f"type={kind},disabled=true",)
    return (f"type={kind},{value}",)
