"""Choose the entries of an index from the sources of a target. Pure.

Source: pipeline.md 4.2 and 5.4, commands.md 9 ("→ ours").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from bakery.errors import BadDigest, BadDocument, BakeryError
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.manifest import ATTESTATION_OF, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import SourceReference
from bakery.publish.image import Child
from bakery.publish.plan import PROJECT_RULES, AssemblyRules, OnDuplicate, Source
from bakery.text import plural


class ResolvedSource(Struct, frozen=True):
    """A source with its manifests, flattened.

    pinned: its reference by digest. root: what that names. nested: the indexes between root and children, innermost
    first. created: when it was built, according to metadata or its configs.
    """

    source: Source
    pinned: SourceReference
    root: RawManifest
    children: tuple[Child, ...]
    nested: tuple[RawManifest, ...] = ()
    created: datetime | None = None

    @property
    def is_index(self) -> bool:
        """Whether the source is an index, not a single manifest."""
        return mt.is_index(self.root.descriptor.media_type)


def choose(
    sources: Sequence[ResolvedSource], rules: AssemblyRules = PROJECT_RULES
) -> tuple[tuple[Child, ...], tuple[str, ...]]:
    """Return one image per platform, followed by the attestations of the chosen images; and notes about the choice.

    Of two builds of one platform the rules say which wins; with NEWEST, between builds of the same age, the higher
    digest wins, so that the order of the files does not matter. Raises BadDocument for an image whose platform is
    unknown and for a source without an image, and BakeryError for duplicates that the rules refuse.
    """
    images, notes = _chosen_images(sources, rules)
    position = {child.descriptor.digest: number for number, child in enumerate(images)}
    attestations: dict[Digest, Child] = {}
    for source in sources:
        for child in source.children:
            if not child.is_image and ((about := described(child)) is None or about in position):
                attestations.setdefault(child.descriptor.digest, child)

    def place(child: Child) -> tuple[int, str]:
        about = described(child)
        return position[about] if about is not None else len(images), str(child.descriptor.digest)

    return (*images, *sorted(attestations.values(), key=place)), tuple(notes)


def _chosen_images(sources: Sequence[ResolvedSource], rules: AssemblyRules) -> tuple[list[Child], list[str]]:
    for source in sources:
        if not any(child.is_image for child in source.children):
            raise BadDocument(
                "cannot use build",
                about=source.pinned,
                why=f"none of its {plural(len(source.children), 'manifest')} is a container image",
                hint="pass the digest that the build of an image pushed",
            )
    chosen: dict[Platform, tuple[ResolvedSource, Child]] = {}
    notes: list[str] = []
    pairs = [(source, child) for source in sources for child in source.children if child.is_image]
    if rules.on_duplicate is OnDuplicate.NEWEST and not rules.in_source_order:
        pairs.sort(key=_age)
    for source, child in pairs:
        platform = child.descriptor.platform
        if platform is None:
            raise BadDocument(
                "cannot determine the platform of",
                about=source.pinned,
                why="neither an index nor the image config names it",
                hint="build it with --platform",
            )
        key = platform.normalised()
        before = chosen.get(key)
        if before is not None and before[1].descriptor.digest != child.descriptor.digest:
            winner, loser = (source, child), before
            if rules.on_duplicate is OnDuplicate.REFUSE:
                raise _two_builds(platform, before, winner)
            if rules.on_duplicate is OnDuplicate.NEWEST and _age(loser) > _age(winner):
                winner, loser = loser, winner
            word = "newer" if rules.on_duplicate is OnDuplicate.NEWEST else "last"
            used, unused = winner[1].descriptor.digest, loser[1].descriptor.digest
            notes.append(f"two builds of {platform}: using the {word} {used} instead of {unused}")
            chosen[key] = winner
        else:
            chosen[key] = source, child
    order = chosen if rules.in_source_order else sorted(chosen)
    return [chosen[key][1] for key in order], notes


def _two_builds(
    platform: Platform, one: tuple[ResolvedSource, Child], other: tuple[ResolvedSource, Child]
) -> BakeryError:
    names = " and ".join(f"{child.descriptor.digest} of {source.source.reference}" for source, child in (one, other))
    return BakeryError(
        "cannot assemble the index",
        why=f"two sources have an image for {platform}: {names}",
        hint="leave one of them out, or choose with --on-duplicate",
        error_code="publish/duplicate-platform",
    )


def _age(pair: tuple[ResolvedSource, Child]) -> tuple[datetime, str]:
    source, child = pair
    return source.created or datetime.min.replace(tzinfo=UTC), str(child.descriptor.digest)


def described(child: Child) -> Digest | None:
    """Return the digest of the image that an attestation or artifact is about; None if it names none."""
    text = child.descriptor.annotations.get(ATTESTATION_OF)
    if text:
        try:
            return Digest.parse(text)
        except BadDigest:
            return None
    return child.manifest.subject.digest if child.manifest.subject is not None else None


def select_platforms(children: Sequence[Child], wanted: Sequence[Platform]) -> tuple[Child, ...]:
    """Return the images of these platforms and what describes them; everything if none is wanted.

    Raises BakeryError if no image has one of the platforms.
    """
    if not wanted:
        return tuple(children)
    there = [child.descriptor.platform for child in children if child.is_image and child.descriptor.platform]
    for platform in wanted:
        if not any(_covers(platform, one) for one in there):
            raise BakeryError(
                "cannot assemble the index",
                why=f"no source has an image for {platform}; there are: {', '.join(map(str, there)) or 'none'}",
            )
    return _only(children, lambda platform: any(_covers(one, platform) for one in wanted))


def left_out(children: Sequence[Child], declared: Iterable[str]) -> tuple[Child, ...]:
    """Return the images whose platform is not declared, and what describes them; nothing if nothing is declared."""
    platforms = [Platform.parse(text) for text in declared]
    if not platforms:
        return ()
    kept = _only(children, lambda platform: any(_covers(one, platform) for one in platforms))
    return tuple(child for child in children if child not in kept)


def _only(children: Sequence[Child], wants: Callable[[Platform], bool]) -> tuple[Child, ...]:
    dropped = {
        child.descriptor.digest
        for child in children
        if child.is_image and child.descriptor.platform is not None and not wants(child.descriptor.platform)
    }
    return tuple(
        child for child in children if child.descriptor.digest not in dropped and described(child) not in dropped
    )


def _covers(wanted: Platform, there: Platform) -> bool:
    """Return whether an image of a platform is what was asked for: without a variant or OS version, any will do."""
    return wanted.normalised() in (there.normalised(), there.normalised().loose())
