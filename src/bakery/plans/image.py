"""The plan of one image that is not a project's: sources, destinations, and what its index says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from bakery.oci.annotation import CREATED
from bakery.plans.annotations import Annotations
from bakery.publish.plan import LATEST, AssemblyRules, Destination, Keep, PlannedTarget, Source

# What exists keeps its digest if nothing in it changes.
RULES: Final = AssemblyRules(keep=Keep.INDEX)


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
