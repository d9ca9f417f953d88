"""Names and filters that match nothing in a project, with what was probably meant. Pure.

A filter that is misspelled selects nothing, and a job that does nothing is green. The filters that name something are
checked together, as they narrow each other: images, their versions, and of these variants, systems and platforms.
Whether a version is latest, a development version or a row of a matrix plays no part: such a filter may select nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from bakery.config.yaml.problem import nearest
from bakery.targets.expand import Pair, defined_versions
from bakery.targets.version_match import matches

if TYPE_CHECKING:
    from bakery.config.project import Project
    from bakery.targets.select import Selection

MOST_SHOWN: Final = 8  # names in a message; the nearest come first


class Unmatched(Struct, frozen=True):
    """A filter that matches nothing. option: as on the command line. names: those it could have matched."""

    option: str
    noun: str  # "image", "version", …
    text: str
    names: tuple[str, ...]

    @property
    def nearest(self) -> str:
        """The name that was most likely meant, or "" if none is similar."""
        return nearest(_plain(self.text), self.names)

    def known(self) -> str:
        """Return the names for a message: the most similar first, at most MOST_SHOWN, and the number of the others."""
        if not self.names:
            return f"the project has no {self.noun}"
        word = _plain(self.text)
        names = self.names
        if len(names) > MOST_SHOWN:
            names = tuple(sorted(names, key=lambda name: -SequenceMatcher(None, word, name.lower()).ratio()))
        rest = len(names) - MOST_SHOWN
        return f"expected one of: {', '.join(names[:MOST_SHOWN])}" + (f" and {rest} more" if rest > 0 else "")


def unmatched(project: Project, selection: Selection, looked_up: Sequence[Pair] = ()) -> Unmatched | None:
    """Return the first filter that matches nothing in the project, given the filters before it; None if all match.

    looked_up: selected versions that bakery.yaml does not list. A version without variants or systems passes the
    filters on those, as it does when targets are selected; if all do, such a filter is not a mistake.
    """
    return unmatched_image(project, selection.image_name) or _unmatched_target(project, selection, looked_up)


def unmatched_image(project: Project, expression: str) -> Unmatched | None:
    """Return an expression for image names that matches none of the project's images; None if it matches."""
    names = tuple(image.name for image in project.images)
    if not expression or any(re.search(expression, name) for name in names):
        return None
    return Unmatched("--image-name", "image", expression, names)


def _unmatched_target(project: Project, selection: Selection, looked_up: Sequence[Pair]) -> Unmatched | None:
    images = [image for image in project.images if re.search(selection.image_name, image.name)]
    pairs = [(image, version) for image in images for version in defined_versions(image)]
    pairs += [pair for pair in looked_up if pair not in pairs]
    if wanted := selection.image_version:
        every, pairs = pairs, [pair for pair in pairs if matches(wanted, pair[1].name)]
        if not pairs:
            return Unmatched("--image-version", "version", wanted, _once(version.name for _, version in every))
    for option, noun, text, names_of in (
        ("--image-variant", "variant", selection.image_variant, _variants),
        ("--image-os", "operating system", selection.image_os, _systems),
    ):
        there = _once(name for pair in pairs for name in names_of(pair))
        if there and not _passes(text, there):
            return Unmatched(option, noun, text, there)
        pairs = [pair for pair in pairs if _passes(text, names_of(pair))]
    for text in selection.image_platforms:
        there = _once(name for pair in pairs for name in _platforms(pair, selection.image_os))
        if there and not _passes(text, there):
            return Unmatched("--image-platform", "platform", text, there)
    return None


_Names = Callable[[Pair], Sequence[str]]


def _variants(pair: Pair) -> Sequence[str]:
    return [variant.name for variant in pair[0].variants]


def _systems(pair: Pair) -> Sequence[str]:
    return [system.name for system in pair[1].systems]


def _platforms(pair: Pair, system: str) -> Sequence[str]:
    return [name for one in pair[1].systems if re.search(system, one.name) for name in one.platforms]


def _passes(expression: str, names: Sequence[str]) -> bool:
    return not names or any(re.search(expression, name) for name in names)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _plain(expression: str) -> str:
    r"""Return the text of an expression without anchors and escapes: `^my\.app$` → `my.app`."""
    return re.sub(r"\\(.)", r"\1", expression.strip("^$")).lower()
