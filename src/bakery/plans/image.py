"""The plan of images that are not a project's: sources, destinations, and what their indexes say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import UsageError
from bakery.oci.annotation import CREATED
from bakery.plans.annotations import Annotations
from bakery.publish.plan import LATEST, AssemblyRules, Destination, KeepSource, PlannedTarget, Source

# What exists keeps its digest if nothing in it changes.
RULES: Final = AssemblyRules(keep=KeepSource.INDEX)


class NamedSources(Struct, frozen=True):
    """The sources of one of several images, and the names that it may have."""

    names: tuple[str, ...]
    sources: tuple[Source, ...]


def image_targets(
    images: Sequence[NamedSources],
    places: Sequence[Destination],
    annotations: Annotations,
    *,
    rules: AssemblyRules,
    otherwise: str = "publish each image with a command of its own",
) -> list[PlannedTarget]:
    """Return a target per image. Of several, each has the destinations whose repository ends in one of its names.

    otherwise: the hint of the error if they cannot be assigned so. Raises UsageError if an image has no destination,
    or a destination not exactly one image.
    """
    if len(images) == 1:
        return [image_target(images[0].sources, places, annotations, rules=rules)]
    names = ", ".join(image.names[0] for image in images)
    given: list[list[Destination]] = [[] for _ in images]
    for place in places:
        end = place.repository.path.rpartition("/")[2]
        found = [number for number, image in enumerate(images) if end in image.names]
        if len(found) != 1:
            raise _unassigned(
                f"{place.repository} belongs to {'several' if found else 'none'} of the images", names, otherwise
            )
        given[found[0]].append(place)
    targets = []
    for image, own in zip(images, given, strict=True):
        if not own:
            raise _unassigned(f"no tag is for image {image.names[0]}", names, otherwise)
        name = own[0].repository.path.rpartition("/")[2]
        targets.append(image_target(image.sources, own, annotations, uid=name, rules=rules))
    return targets


def _unassigned(why: str, names: str, hint: str) -> UsageError:
    return UsageError(
        "cannot assign the tags",
        why=f"{why}; with several images, each gets the tags whose repository ends in its name: {names}",
        hint=hint,
    )


def image_target(
    sources: Sequence[Source],
    places: Sequence[Destination],
    annotations: Annotations,
    *,
    uid: str = "",
    rules: AssemblyRules = RULES,
) -> PlannedTarget:
    """Return the target that publishes these sources as one image.

    uid: "" means the first destination. The annotation `created` is replaced if there is one (pipeline.md 5.5), and
    never added. places: at least one.
    """
    first = places[0]
    versions = [tag for tag in first.tags if tag != LATEST] or list(first.tags)
    reference = first.references[0] if first.tags else first.repository
    return PlannedTarget(
        uid=uid or str(reference),
        image=first.repository.path.rpartition("/")[2],
        version=versions[0] if versions else "",
        variant="",
        os="",
        sources=tuple(sources),
        destinations=tuple(places),
        annotations=annotations.index,
        platforms=(),
        rules=replace(
            rules, sets_created=CREATED in annotations.index, entry_annotations=_merged(rules, annotations.entries)
        ),
    )


def _merged(rules: AssemblyRules, entries: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    names = dict.fromkeys((*rules.entry_annotations, *entries))
    return {name: {**rules.entry_annotations.get(name, {}), **entries.get(name, {})} for name in names}
