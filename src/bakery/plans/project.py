"""The plan of a project: its targets, and the builds that metadata files name. Pure: no registry is queried.

Source: pipeline.md 4.2 and 5.1 ("→ ours").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bakery.oci.reference import DigestReference, Repository
from bakery.publish.plan import (
    Destination,
    Plan,
    PlannedTarget,
    SkippedTarget,
    Source,
    destinations,
    refuse_clashes,
)
from bakery.publish.policy import TagPolicy
from bakery.targets.metadata import BuildResult, Metadata

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions
    from bakery.targets.target import Target


def plan_project(
    targets: Sequence[Target], metadata: Metadata, *, with_soci: bool = True, needs_tags: bool = True
) -> Plan:
    """Return the plan for those of these targets that the metadata names.

    targets: all that were selected, in any order. with_soci: False leaves the conversion out (`imagetools merge`).
    needs_tags: skip targets to which bakery.yaml gives no tag. Raises BadReference for an invalid destination.
    """
    planned: list[PlannedTarget] = []
    skipped: list[SkippedTarget] = []
    unbuilt: list[SkippedTarget] = []
    warnings: list[str] = []
    for target in sorted(targets, key=lambda target: target.push_key()):
        builds = metadata.results.get(target.uid, ())
        if builds:
            warnings += [f"{target.uid}: left out: {reason}" for reason in metadata.incomplete.get(target.uid, ())]
            one = _planned(target, builds, with_soci)
            if one.destinations or not needs_tags:
                planned.append(one)
            else:
                skipped.append(SkippedTarget(target.uid, "bakery.yaml gives it no tag", target.image))
        elif target.uid in metadata.incomplete:
            skipped.append(SkippedTarget(target.uid, "; ".join(metadata.incomplete[target.uid]), target.image))
        else:
            unbuilt.append(SkippedTarget(target.uid, "no metadata file has a build of it", target.image))
    plan = refuse_clashes(
        planned,
        skipped=tuple(skipped),
        warnings=tuple(warnings),
        hint="change tagPatterns in bakery.yaml, or publish one of them with --image-name",
    )
    return replace(plan, unbuilt=tuple(unbuilt))


def conversion_only(plan: Plan) -> Plan:
    """Return a plan that only assembles and converts to SOCI: results are pushed next to the builds, without a tag.

    Targets without SOCI are skipped.
    """
    wanted = (*plan.targets, *(item.target for item in plan.refused))  # no tag is written, so duplicates do not matter
    skipped = tuple(SkippedTarget(target.uid, "soci.enabled is false") for target in wanted if target.soci is None)
    targets = tuple(
        replace(target, destinations=(Destination(_home(target), ()),)) for target in wanted if target.soci is not None
    )
    return Plan(targets, (), (*plan.skipped, *skipped), plan.warnings)


def _home(target: PlannedTarget) -> Repository:
    reference = target.sources[0].reference
    assert isinstance(reference, DigestReference)  # as every build of a metadata file
    return reference.repository


def source_of(build: BuildResult) -> Source:
    """Return a build of a metadata file as a source."""
    return Source(build.reference, build.platform, build.created)


def _planned(target: Target, builds: tuple[BuildResult, ...], with_soci: bool) -> PlannedTarget:
    soci: SociOptions | None = target.option("soci") if with_soci else None
    return PlannedTarget(
        uid=target.uid,
        image=target.image,
        version=target.version,
        variant=target.variant or "",
        os=target.os or "",
        sources=tuple(source_of(build) for build in builds),
        destinations=destinations((Repository.parse(name), tags) for name, tags in target.destinations),
        annotations=target.labels,
        platforms=target.platforms,
        soci=soci if soci is not None and soci.enabled else None,
        policy=TagPolicy.declared(target.tag_policy),
    )
