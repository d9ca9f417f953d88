"""What a run will do: which sources become which tags in which repository, and by which rules. Values only.

A plan is the same whether it comes from a project, a bake file, a folder of digests, references or a layout: the room
`plans` has a module for each, and nothing after the plan knows which it was. To publish something new, make
`PlannedTarget`s with the `Source`s, `Destination`s and `AssemblyRules` that say what is wanted, and pass them to
`refuse_clashes`. How each part is carried out:

- `Source.reference` may be a tag: it is resolved once, when the source is read, and the digest that it named then is
  used from there on and reported. It may be a layout on disk. Sources are waited for unless `must_exist` is set.
- A source that is an index is flattened; attestations follow the images that they describe.
- `AssemblyRules` says what the index looks like; see there.

Source: pipeline.md 4.2 and 5.1, commands.md 9 ("→ ours").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from bakery.errors import BakeryError
from bakery.oci.descriptor import Descriptor
from bakery.oci.platform import Platform
from bakery.oci.reference import LayoutReference, Repository, SourceReference, TagReference
from bakery.publish.policy import TagPolicy

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions

LATEST: Final = "latest"


class Source(Struct, frozen=True):
    """What an index is made from: one build, or an image that exists.

    platform: counts only if neither an index nor the image config names one. created: None means that of the configs.
    entry: a descriptor given by the user; its platform and annotations replace those of the source's entry.
    must_exist: fail at once if it is not there, instead of waiting for it.
    """

    reference: SourceReference
    platform: Platform | None = None
    created: datetime | None = None
    entry: Descriptor | None = None
    must_exist: bool = False


class Destination(Struct, frozen=True):
    """A repository and the tags of a target there, in the order in which they are written: `latest` last.

    Without tags, the image is published by digest only.
    """

    repository: Repository
    tags: tuple[str, ...]

    @property
    def references(self) -> tuple[TagReference, ...]:
        """Each tag as a reference."""
        return tuple(self.repository.with_tag(tag) for tag in self.tags)


class OnDuplicate(StrEnum):
    """What is used if sources with different digests have one platform."""

    NEWEST = "newest"  # the one created last, with a note
    LAST = "last"  # the one of the last source, with a note
    REFUSE = "refuse"  # neither: the target fails, and the error names both


class KeepSource(StrEnum):
    """Whether the bytes of a source are published as they are, if it is the only one and nothing in it changes."""

    NEVER = "never"  # always assemble an index
    INDEX = "index"  # keep an index; a single manifest becomes an index of one
    ANY = "any"  # keep a single manifest too: a carbon copy


class AssemblyRules(Struct, frozen=True):
    """What the index of a target looks like. The defaults are those of a project's targets.

    sets_created: replace or add the annotation `created`: SOURCE_DATE_EPOCH, or the newest time of the image configs.
    in_source_order: entries in the order of the sources; otherwise sorted by platform.
    only_platforms: keep these and their attestations, and fail if no source has one of them; empty means all.
    declared_in: where `PlannedTarget.platforms` comes from, for messages.
    exact_platforms: a platform that is not declared fails the target; otherwise it is left out, with a note. Either
    way, the run's `allow_extra_platforms` publishes it.
    entry_annotations: added to the entries of images, by platform; "" adds to all.
    media_type: of the index: OCI_INDEX or DOCKER_LIST, which only Docker manifests may be in; "" is that of an index
    that is kept, else OCI_INDEX. artifact_type, subject: members of the index.
    """

    on_duplicate: OnDuplicate = OnDuplicate.NEWEST
    keep: KeepSource = KeepSource.NEVER
    sets_created: bool = True
    in_source_order: bool = False
    only_platforms: tuple[Platform, ...] = ()
    declared_in: str = "bakery.yaml"
    exact_platforms: bool = False
    entry_annotations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None


PROJECT_RULES: Final = AssemblyRules()


class PlannedTarget(Struct, frozen=True):
    """One target of a run: its sources, its destinations, and what its index consists of."""

    uid: str
    image: str
    version: str
    variant: str
    os: str
    sources: tuple[Source, ...]
    destinations: tuple[Destination, ...]
    annotations: Mapping[str, str]  # of the index
    platforms: tuple[str, ...]  # declared, "linux/amd64"; empty: whatever the sources have
    soci: SociOptions | None = None  # None: not converted
    rules: AssemblyRules = PROJECT_RULES
    policy: TagPolicy = TagPolicy()


class SkippedTarget(Struct, frozen=True):
    """A target that is named but not published, and why. image: that of a target without a build; "" for any other."""

    uid: str
    reason: str
    image: str = ""


class RefusedTarget(Struct, frozen=True):
    """A target that must not be published as planned. The others are."""

    target: PlannedTarget
    error: BakeryError


class Plan(Struct, frozen=True):
    """The targets in push order (the newest is pushed last), and what is left out.

    unbuilt: selected targets without a build. They are not published, and only matter for sets that are
    published whole or not at all.
    """

    targets: tuple[PlannedTarget, ...]
    refused: tuple[RefusedTarget, ...] = ()
    skipped: tuple[SkippedTarget, ...] = ()
    warnings: tuple[str, ...] = ()
    unbuilt: tuple[SkippedTarget, ...] = ()

    @property
    def not_staged(self) -> tuple[tuple[str, str, BakeryError], ...]:
        """What will never be staged, and not on purpose: the image, the uid, and why."""
        refused = [(item.target.image, item.target.uid, item.error) for item in self.refused]
        left_out = [(item.image, item.uid, BakeryError(item.reason)) for item in (*self.skipped, *self.unbuilt)]
        return (*refused, *(one for one in left_out if one[0]))

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Every destination repository, in push order."""
        return tuple(dict.fromkeys(place.repository for target in self.targets for place in target.destinations))

    @property
    def source_repositories(self) -> tuple[Repository, ...]:
        """Every repository that a source is read from."""
        sources = (source.reference for target in self.targets for source in target.sources)
        return tuple(dict.fromkeys(one.repository for one in sources if not isinstance(one, LayoutReference)))

    @property
    def registries(self) -> tuple[str, ...]:
        """The name of every registry, of sources and destinations."""
        return tuple(dict.fromkeys(one.registry for one in (*self.source_repositories, *self.repositories)))


def push_order(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in the order of writing: sorted, `latest` last, because some registries list tags by push time."""
    return tuple(sorted(tags, key=lambda tag: (tag == LATEST, tag)))


def destinations(tags: Iterable[tuple[Repository, Iterable[str]]]) -> tuple[Destination, ...]:
    """Return each repository once, with all its tags. docker.io and index.docker.io, for example, are the same one."""
    found: dict[Repository, set[str]] = {}
    for repository, names in tags:
        found.setdefault(repository, set()).update(names)
    return tuple(Destination(repository, push_order(names)) for repository, names in found.items())


def refuse_clashes(
    planned: Iterable[PlannedTarget],
    *,
    skipped: tuple[SkippedTarget, ...] = (),
    warnings: tuple[str, ...] = (),
    hint: str = "",
) -> Plan:
    """Return the plan for these targets, in this order. Two targets that claim the same tag are both refused."""
    targets = tuple(planned)
    clashes = _clashes(targets, hint)
    refused = tuple(RefusedTarget(target, clashes[target.uid]) for target in targets if target.uid in clashes)
    return Plan(tuple(target for target in targets if target.uid not in clashes), refused, skipped, warnings)


def _clashes(planned: Iterable[PlannedTarget], hint: str) -> dict[str, BakeryError]:
    """Return an error for each target that claims a tag of another one, by uid."""
    claimed: dict[TagReference, str] = {}
    clashes: dict[str, BakeryError] = {}
    for target in planned:
        for reference in (reference for place in target.destinations for reference in place.references):
            other = claimed.setdefault(reference, target.uid)
            if other != target.uid:
                why = f"{other} and {target.uid} both claim it"
                kind = "publish/tag-clash"
                error = BakeryError("cannot publish tag", about=reference, why=why, hint=hint, error_code=kind)
                clashes.setdefault(other, error)
                clashes.setdefault(target.uid, error)
    return clashes
