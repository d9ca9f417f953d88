"""What a clean-up deletes from one repository, in which order, and what keeps the rest. Pure.

Roots are the manifests that are not selected and belong to none that is; what a root reaches stays (commands.md 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from bakery.clean.criteria import Criteria, Selected, Times, select
from bakery.clean.items import Content, Contents, Item, Items
from bakery.clean.outcome import Deletion, KeptItem, RepositoryPlan
from bakery.clean.reachability import Graph, Via, in_order, reached
from bakery.errors import BadDocument, BakeryError, NotFound
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository

_NUMBERS: Final = re.compile(r"(\d+)")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Findings(Struct, frozen=True):
    """What was found in a repository. unreadable: manifests that something names and that could not be read, and why.

    named: the manifests that files name. leftovers: those that an earlier clean-up was about to delete.
    """

    repository: Repository
    items: Items
    contents: Contents
    unreadable: Mapping[Digest, BakeryError]
    times: Times
    named: Collection[Digest] = ()
    leftovers: Collection[Digest] = ()


def decide(found: Findings, criteria: Criteria, now: datetime) -> RepositoryPlan:
    """Return what goes and what stays.

    Raises BakeryError if a manifest that stays cannot be read: what it needs is unknown, so that nothing may go.
    """
    graph = Graph(found.items, found.contents)
    selected = _selected(found, criteria, now)
    if criteria.keep_last:
        selected = _without_newest(found, criteria, graph, now, selected)
    whole, going = _going(found, criteria, graph, now, selected)
    roots = [digest for digest in found.items if digest not in going]
    kept = reached(roots, graph.held)
    notes = _check_readable(found, kept)
    doubtful = {digest for digest in going if digest in found.items and _is_doubtful(found.unreadable.get(digest))}
    kept |= reached((digest for digest in doubtful if digest not in kept), graph.held)
    leaving = [digest for digest in going if digest not in kept and digest in found.items]
    deletions = [
        _deletion(found, digest, _why(found, going, whole, digest), number)
        for number, together in enumerate(in_order(leaving, graph))
        for digest in together
    ]
    untagged = [
        Deletion(found.repository.with_tag(tag), digest, (tag,), selected[digest].why, 0)
        for digest in selected
        for tag in selected[digest].tags
    ]
    kept_items = [
        KeptItem(found.items[digest].digest, found.items[digest].tags, _kept_by(found, kept, digest, doubtful))
        for digest in whole
        if digest in kept
    ]
    below = {digest: [link.to for link in graph.below(digest)] for digest in leaving}
    return RepositoryPlan(
        found.repository,
        (*untagged, *deletions),
        tuple(kept_items),
        len(found.items) - len(deletions),
        _freed(found, leaving),
        tuple(notes),
        below,
        tuple(found.unreadable[digest] for digest in going if digest in doubtful),
    )


def _going(
    found: Findings, criteria: Criteria, graph: Graph, now: datetime, selected: Mapping[Digest, Selected]
) -> tuple[dict[Digest, Selected], dict[Digest, Via]]:
    """Return which manifests are selected as a whole, and these with all that belongs to them and to nothing else."""
    whole = {digest: one for digest, one in selected.items() if not one.tags}
    going = reached(whole, graph.below)
    staying = {digest for digest in going if digest not in whole and _stands_alone(digest, found, criteria, now)}
    return whole, reached(whole, lambda digest: [link for link in graph.below(digest) if link.to not in staying])


def _selected(found: Findings, criteria: Criteria, now: datetime) -> dict[Digest, Selected]:
    selected = {}
    for digest, item in found.items.items():
        one = select(criteria, item, found.times, now, is_named=digest in found.named)
        if one is None and digest in found.leftovers and not item.ordinary_tags:
            one = Selected("left by an earlier clean-up")
        if one is not None:
            selected[digest] = one
    return selected


def _without_newest(
    found: Findings, criteria: Criteria, graph: Graph, now: datetime, selected: Mapping[Digest, Selected]
) -> dict[Digest, Selected]:
    """Return the selection without the newest ones, which --keep-last keeps.

    What belongs to another selected manifest is not counted, and neither is what something else keeps anyway: it would
    take the place of one that only this option keeps, as soon as a run has deleted what it belonged to.
    """
    whole, going = _going(found, criteria, graph, now, selected)
    kept = reached((digest for digest in found.items if digest not in going), graph.held)
    inner = {to for digest in selected for to in reached([digest], graph.below) if to != digest}
    tops = [digest for digest in selected if digest not in inner and not (digest in whole and digest in kept)]
    tops.sort(key=lambda digest: _newest_first(found, found.items[digest]), reverse=True)
    newest = set(tops[: criteria.keep_last])
    return {digest: one for digest, one in selected.items() if digest not in newest}


def _newest_first(found: Findings, item: Item) -> tuple[datetime, list[list[tuple[int, int, str]]]]:
    return found.times.of(item) or _LONG_AGO, sorted(map(_natural, item.tags), reverse=True)


def _natural(tag: str) -> list[tuple[int, int, str]]:
    """Return a sort key in which 1.10 follows 1.9."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in _NUMBERS.split(tag)]


def _stands_alone(digest: Digest, found: Findings, criteria: Criteria, now: datetime) -> bool:
    """Return whether what belongs to a selected manifest is a root nevertheless: it has a tag, or is young."""
    item = found.items.get(digest)
    if item is None:
        return False
    if item.ordinary_tags or criteria.keeps(item):
        return True
    cutoff, content = criteria.cutoff(now), found.contents.get(digest)
    if cutoff is None or item.pushed is None or item.tags or (content is not None and content.subject is not None):
        return False
    return item.pushed >= cutoff  # another build pushed it again, and may be about to use it


def _is_doubtful(error: BakeryError | None) -> bool:
    """Return whether a manifest may be more than it seems. What is not a manifest refers to nothing, and may go."""
    return error is not None and not isinstance(error, BadDocument)


def _check_readable(found: Findings, kept: Mapping[Digest, Via]) -> list[str]:
    """Return notes on children that are missing already. Raises what stopped reading anything else that is kept."""
    notes = []
    indexes = {
        child.digest
        for content in found.contents.values()
        for child in content.children
        if not mt.is_manifest(child.media_type)
    }
    for digest, via in kept.items():
        error = found.unreadable.get(digest)
        if error is None:
            continue
        if digest in found.items or digest in indexes or not isinstance(error, NotFound):
            raise error
        notes.append(f"{found.repository}@{digest} is missing already: {via.how} of {via.by}")
    return notes


def _why(found: Findings, going: Mapping[Digest, Via], whole: Mapping[Digest, Selected], digest: Digest) -> str:
    if digest in whole:
        return whole[digest].why
    via = going[digest]
    return f"{via.how} of {_name(found, via.by)}"


def _kept_by(found: Findings, kept: Mapping[Digest, Via], digest: Digest, doubtful: Collection[Digest]) -> str:
    if digest in doubtful:
        return f"cannot be read: {found.unreadable[digest].why or found.unreadable[digest].what}"
    via = kept[digest]
    return f"{via.how} of {_name(found, via.by)}" if via.by is not None else "not selected"


def _name(found: Findings, digest: Digest | None) -> str:
    item = found.items.get(digest) if digest is not None else None
    return item.tags[0] if item is not None and item.tags else str(digest)


def _deletion(found: Findings, digest: Digest, why: str, order: int) -> Deletion:
    item, content = found.items[digest], found.contents.get(digest)
    reference = found.repository.with_digest(digest)
    return Deletion(reference, digest, item.tags, why, _size(content), item.key, order)


def _size(content: Content | None) -> int:
    return 0 if content is None else content.descriptor.size + sum(blob.size for blob in set(content.blobs))


def _freed(found: Findings, leaving: Sequence[Digest]) -> int:
    """Return the bytes that nothing left in the repository names: an estimate, as registries share between them."""
    gone = set(leaving)
    stays = {blob.digest for digest, content in found.contents.items() if digest not in gone for blob in content.blobs}
    sizes = {
        blob.digest: blob.size for digest in gone if digest in found.contents for blob in found.contents[digest].blobs
    }
    manifests = sum(found.contents[digest].descriptor.size for digest in gone if digest in found.contents)
    return manifests + sum(size for digest, size in sizes.items() if digest not in stays)
