"""What a run did to tags, by its journal or its JSON summary: what each named before, and what it was given.

Pure. A run that was killed may have cut its last line, which is left out. Everything else is checked, since files come
from other jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from bakery.errors import BadDocument
from bakery.oci.canonical import parse_json, parse_object
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository, TagReference, parse_reference

_MOVES: Final = ("TagMoving", "TagMoved", "TagRestored")
_HINT: Final = "pass the journal or the JSON summary of the run"
_OURS: Final = ("published", "moved", "unsure", "taken")  # states of a tag that a run may have moved


class Change(Struct, frozen=True):
    """A tag that a run moved, or may have moved. None is a tag that does not exist.

    before: what it named before the run. ours: every digest that the run gave it.
    """

    tag: TagReference
    before: Digest | None
    ours: frozenset[Digest | None]


class _Run(Struct):
    """The lines of one run. key: what it was for; a run with the same key is a repetition."""

    key: object
    is_done: bool = False
    moves: list[tuple[TagReference, Digest | None, Digest | None]] = []  # (tag, before, after)


def changes_of_journal(raw: bytes, *, about: object = "") -> tuple[Change, ...]:
    """Return the changes of the last run that moved tags, with those of the failed attempts right before it.

    An attempt belongs to it if it did the same for the same targets and was not successful. Raises BadDocument.
    """
    runs, cut, is_journal = [_Run(None)], None, False
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        place = f"{about}, line {number}"
        try:
            document = parse_object(line, about=place)
        except BadDocument as error:
            if cut is not None:
                raise cut from None
            cut = error  # by a kill, if it is the last line of its run
            continue
        if cut is not None and document.get("event") != "RunStarted":
            raise cut
        cut = None
        _read_line(runs, document, place)
        is_journal = is_journal or "event" in document
    if not is_journal:
        raise cut or BadDocument("invalid journal", about=about, why="none of its lines is an event", hint=_HINT)
    moved = [run for run in runs if run.moves]
    belongs = moved[-1:]
    for run in reversed(moved[:-1]):
        if run.is_done or run.key != belongs[0].key:
            break
        belongs.insert(0, run)
    return _net(move for run in belongs for move in run.moves)


def changes_of_summary(document: Mapping[str, Any], *, about: object = "") -> tuple[Change, ...]:
    """Return the changes of a run from its JSON summary. Raises BadDocument."""
    moves = []
    for target in _objects(document, "targets", about):
        digest = target.get("digest")
        if "destinations" not in target:
            raise BadDocument("cannot use", about=about, why="it does not record what tags named before")
        for place in _objects(target, "destinations", about):
            for tag in _objects(place, "tags", about):
                if tag.get("state") in _OURS:
                    reference = f"{place.get('repository')}:{tag.get('tag')}"
                    moves.append((_tag(reference, about), _digest(tag.get("previous")), _digest(digest)))
    return _net(moves)


def repositories(changes: Iterable[Change]) -> tuple[Repository, ...]:
    """Return the repositories of these changes, each once."""
    return tuple(dict.fromkeys(change.tag.repository for change in changes))


def is_summary(raw: bytes) -> bool:
    """Return whether a file is one JSON document, as a summary is, not one per line, as a journal is."""
    try:
        document = parse_json(raw, limit_bytes=len(raw))
    except BadDocument:
        return False
    return isinstance(document, dict) and "event" not in document


def _read_line(runs: list[_Run], line: Mapping[str, Any], about: object) -> None:
    event = line.get("event")
    if event == "RunStarted":
        targets = sorted(str(target.get("uid")) for target in _objects(line, "targets", about))
        runs.append(_Run((str(line.get("doing")), targets), moves=[]))
    elif event == "RunFinished":
        runs[-1].is_done = line.get("state") == "done"
    elif event in _MOVES:
        tag = _tag(line.get("reference"), about)
        before = _digest(line.get("replaced" if event == "TagRestored" else "previous"))
        runs[-1].moves.append((tag, before, _digest(line.get("digest"))))


def _net(moves: Iterable[tuple[TagReference, Digest | None, Digest | None]]) -> tuple[Change, ...]:
    """Return one change per tag: from what it named first to what it was given since. Tags that are back have none."""
    first: dict[TagReference, Digest | None] = {}
    given: dict[TagReference, list[Digest | None]] = {}
    for tag, before, after in moves:
        first.setdefault(tag, before)
        given.setdefault(tag, []).append(after)
    return tuple(
        Change(tag, before, frozenset(given[tag]) - {before})
        for tag, before in first.items()
        if given[tag][-1] != before
    )


def _objects(document: Mapping[str, Any], key: str, about: object) -> list[Mapping[str, Any]]:
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadDocument("cannot use", about=about, why=f"{key} must be a list of objects")
    return found


def _tag(text: object, about: object) -> TagReference:
    reference = parse_reference(text) if isinstance(text, str) else None
    if not isinstance(reference, TagReference):
        raise BadDocument("cannot use", about=about, why=f"expected a reference with a tag, got {text!r:.200}")
    return reference


def _digest(text: object) -> Digest | None:
    return None if text in (None, "") else Digest.parse(text)
