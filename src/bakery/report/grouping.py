"""Failures of a run, the same ones together: a registry that is full fails a hundred targets for one reason. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from bakery.errors import BakeryError, code_of, reason
from bakery.publish.outcome import Failure, Outcome
from bakery.report.model import without_details
from bakery.text import plural

MOST_NAMED: Final = 8  # targets that a line names besides the first


class FailedPlace(Struct, frozen=True):
    """Where something failed. repository: the destination, or "" if the target failed before any."""

    uid: str
    repository: str = ""


class FailureGroup(Struct, frozen=True):
    """One failure of one or several targets and destinations. failure: that of the first place."""

    failure: Failure
    places: tuple[FailedPlace, ...]

    @property
    def code(self) -> str:
        """The code of the error."""
        return code_of(self.failure.error)

    @property
    def uids(self) -> tuple[str, ...]:
        """The targets that failed, each once."""
        return tuple(dict.fromkeys(place.uid for place in self.places))

    @property
    def text(self) -> str:
        """The error of the first place, and what others it concerns: targets, or destinations of the only target."""
        first = self.places[0]
        where = f"{first.repository}: " if first.repository else ""
        text = f"{first.uid}: [{self.failure.step}] {where}{reason(self.failure.error)}"
        if len(self.uids) == 1:  # the same at several registries
            return text + others([place.repository for place in self.places], "other destination")
        return text + others(self.uids, "other target")


def grouped(outcome: Outcome) -> tuple[FailureGroup, ...]:
    """Return the failures of a run, in the order in which each first occurs, without those that others caused.

    Two failures are the same if step, code and registry are, and what failed and why differ only in digests, times, and
    the names of the targets and their repositories.
    """
    groups: dict[tuple[str, ...], tuple[Failure, list[FailedPlace]]] = {}
    for target in outcome.targets:
        found = [] if target.failure is None else [(target.failure, "")]
        found += [(one.failure, str(one.repository)) for one in target.destinations if one.failure is not None]
        for failure, repository in found:
            if failure.is_consequence:
                continue
            key = _key(failure, target.uid, repository)
            groups.setdefault(key, (failure, []))[1].append(FailedPlace(target.uid, repository))
    return tuple(FailureGroup(failure, tuple(places)) for failure, places in groups.values())


def by_error(found: Iterable[tuple[str, Exception]]) -> tuple[tuple[Exception, tuple[str, ...]], ...]:
    """Return each error once, with what has it: references or targets. The same errors are as in `grouped`."""
    groups: dict[tuple[str, ...], tuple[Exception, list[str]]] = {}
    for reference, error in found:
        parts = reference.split(": ")  # of a target, and its repository
        names = [*parts, *filter(None, (part.partition("/")[2] for part in parts))]
        groups.setdefault(_key_of(error, names), (error, []))[1].append(reference)
    return tuple((error, tuple(references)) for error, references in groups.values())


def others(names: Sequence[str], noun: str) -> str:
    """Return the names after the first one, with their count, to be added to a text; "" for a single name."""
    rest = f" and {len(names) - 1 - MOST_NAMED} more" if len(names) - 1 > MOST_NAMED else ""
    shown = ", ".join(names[1 : MOST_NAMED + 1])
    return f" (and {plural(len(names) - 1, noun)}: {shown}{rest})" if len(names) > 1 else ""


def _key(failure: Failure, uid: str, repository: str) -> tuple[str, ...]:
    names = [name for name in (repository, repository.partition("/")[2], uid) if name]
    return (str(failure.step), *_key_of(failure.error, names))


def _key_of(error: Exception, names: Sequence[str]) -> tuple[str, ...]:
    texts = (error.what, error.why, error.hint) if isinstance(error, BakeryError) else (reason(error),)
    about = error.about.partition("/")[0] if isinstance(error, BakeryError) else ""  # of a reference: its registry
    return (code_of(error), about, *(_without(text, names) for text in texts))


def _without(text: str, names: Sequence[str]) -> str:
    for name in names:
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "", text)
    return without_details(text)
