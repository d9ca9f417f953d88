"""What a run will do: which builds become which tags in which repository. Pure: no registry is queried.

Source: pipeline.md 4.2 and 5.1 ("→ ours").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BakeryError
from bakery.oci.reference import Repository, TagReference
from bakery.targets.metadata import BuildResult, Metadata

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions
    from bakery.targets.target import Target

LATEST: Final = "latest"


class Destination(Struct, frozen=True):
    """A repository and the tags of a target there, in the order in which they are written: `latest` last."""

    repository: Repository
    tags: tuple[str, ...]

    @property
    def references(self) -> tuple[TagReference, ...]:
        """Each tag as a reference."""
        return tuple(self.repository.with_tag(tag) for tag in self.tags)


class PlannedTarget(Struct, frozen=True):
    """One target of a run: its builds, its destinations, and what its index consists of."""

    uid: str
    image: str
    version: str
    variant: str
    os: str
    builds: tuple[BuildResult, ...]
    destinations: tuple[Destination, ...]
    annotations: Mapping[str, str]  # of the index, without `created`
    platforms: tuple[str, ...]  # declared in bakery.yaml, "linux/amd64"
    soci: SociOptions | None = None  # None: not converted


class SkippedTarget(Struct, frozen=True):
    """A target that the metadata files name but that is not published, and why."""

    uid: str
    reason: str


class RefusedTarget(Struct, frozen=True):
    """A target that must not be published as planned. The others are."""

    target: PlannedTarget
    error: BakeryError


class Plan(Struct, frozen=True):
    """The targets in push order (the newest is pushed last), and what is left out."""

    targets: tuple[PlannedTarget, ...]
    refused: tuple[RefusedTarget, ...] = ()
    skipped: tuple[SkippedTarget, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Every destination repository, in push order."""
        return tuple(dict.fromkeys(place.repository for target in self.targets for place in target.destinations))


def push_order(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in the order of writing: sorted, `latest` last, because some registries list tags by push time."""
    return tuple(sorted(tags, key=lambda tag: (tag == LATEST, tag)))


def make_plan(targets: Sequence[Target], metadata: Metadata, *, with_soci: bool = True) -> Plan:
    """Return the plan for those of these targets that the metadata names.

    targets: all that were selected, in any order. with_soci: False leaves the conversion out (`imagetools merge`).
    Two targets that claim the same tag are both refused. Raises BadReference for an invalid destination.
    """
    planned: list[PlannedTarget] = []
    skipped: list[SkippedTarget] = []
    warnings: list[str] = []
    for target in sorted(targets, key=lambda target: target.push_key()):
        builds = metadata.results.get(target.uid, ())
        if builds:
            warnings += [f"{target.uid}: left out: {reason}" for reason in metadata.incomplete.get(target.uid, ())]
            planned.append(_planned(target, builds, with_soci))
        elif target.uid in metadata.incomplete:
            skipped.append(SkippedTarget(target.uid, "; ".join(metadata.incomplete[target.uid])))
    clashes = _clashes(planned)
    refused = tuple(RefusedTarget(target, clashes[target.uid]) for target in planned if target.uid in clashes)
    sound = tuple(target for target in planned if target.uid not in clashes)
    return Plan(sound, refused, tuple(skipped), tuple(warnings))


def conversion_only(plan: Plan) -> Plan:
    """Return a plan that only assembles and converts to SOCI: results are pushed next to the builds, without a tag.

    Targets without SOCI are skipped.
    """
    wanted = (*plan.targets, *(item.target for item in plan.refused))  # no tag is written, so duplicates do not matter
    skipped = tuple(SkippedTarget(target.uid, "soci.enabled is false") for target in wanted if target.soci is None)
    targets = tuple(
        replace(target, destinations=(Destination(target.builds[0].reference.repository, ()),))
        for target in wanted
        if target.soci is not None
    )
    return Plan(targets, (), (*plan.skipped, *skipped), plan.warnings)


def _planned(target: Target, builds: tuple[BuildResult, ...], with_soci: bool) -> PlannedTarget:
    soci: SociOptions | None = target.option("soci") if with_soci else None
    return PlannedTarget(
        uid=target.uid,
        image=target.image,
        version=target.version,
        variant=target.variant or "",
        os=target.os or "",
        builds=builds,
        destinations=_destinations(target),
        annotations=target.labels,
        platforms=target.platforms,
        soci=soci if soci is not None and soci.enabled else None,
    )


def _destinations(target: Target) -> tuple[Destination, ...]:
    """Return each repository once. docker.io and index.docker.io, for example, are the same one."""
    tags: dict[Repository, set[str]] = {}
    for name, of_target in target.destinations:
        tags.setdefault(Repository.parse(name), set()).update(of_target)
    return tuple(Destination(repository, push_order(of_repository)) for repository, of_repository in tags.items())


def _clashes(planned: Iterable[PlannedTarget]) -> dict[str, BakeryError]:
    """Return an error for each target that claims a tag of another one, by uid."""
    claimed: dict[TagReference, str] = {}
    clashes: dict[str, BakeryError] = {}
    for target in planned:
        for reference in (reference for place in target.destinations for reference in place.references):
            other = claimed.setdefault(reference, target.uid)
            if other != target.uid:
                error = BakeryError(
                    "cannot publish tag",
                    about=reference,
                    why=f"{other} and {target.uid} both claim it",
                    hint="change tagPatterns in bakery.yaml, or publish one of them with --image-name",
                )
                clashes.setdefault(other, error)
                clashes.setdefault(target.uid, error)
    return clashes
