"""What options of a publish change in a plan, wherever it comes from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.oci.annotation import CREATED
from bakery.plans.annotations import Annotations
from bakery.publish.plan import OnDuplicate, Plan, PlannedTarget, RefusedTarget

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions

REQUIRE: Final = "--require-platform"


class Overrides(Struct, frozen=True):
    """annotations: added; they win. platforms: exactly these; empty changes nothing. soci: convert every target.

    on_duplicate: None changes nothing.
    """

    annotations: Annotations = Annotations()
    platforms: tuple[str, ...] = ()
    soci: bool = False
    on_duplicate: OnDuplicate | None = None


def overridden(plan: Plan, wanted: Overrides) -> Plan:
    """Return the plan with these changes in every target."""
    refused = (RefusedTarget(_target(item.target, wanted), item.error) for item in plan.refused)
    return replace(plan, targets=tuple(_target(target, wanted) for target in plan.targets), refused=tuple(refused))


def _target(target: PlannedTarget, wanted: Overrides) -> PlannedTarget:
    rules, annotations = target.rules, wanted.annotations
    if CREATED in annotations.index:  # the user's own time stays
        rules = replace(rules, sets_created=False)
    if annotations.entries:
        entries = {name: dict(texts) for name, texts in rules.entry_annotations.items()}
        for name, texts in annotations.entries.items():
            entries[name] = {**entries.get(name, {}), **texts}
        rules = replace(rules, entry_annotations=entries)
    if wanted.platforms:
        rules = replace(rules, exact_platforms=True, declared_in=REQUIRE)
    if wanted.on_duplicate is not None:
        rules = replace(rules, on_duplicate=wanted.on_duplicate)
    return replace(
        target,
        annotations={**target.annotations, **annotations.index},
        platforms=wanted.platforms or target.platforms,
        soci=target.soci or (_default_soci() if wanted.soci else None),
        rules=rules,
    )


def _default_soci() -> SociOptions:
    from bakery.config.schema.options import SociOptions  # not at the start: it imports what reads bakery.yaml

    return SociOptions(enabled=True)
