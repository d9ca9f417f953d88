"""Whether a tag may move: by its class, what it names now, and what it would name. Pure.

A policy has a rule for each class of tags; options of the command line add rules to every tag. A tag that does not
exist yet, or that names the image already, is never judged: every policy lets it be.
Source: docs/release.md, "Tags do not go backwards".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BakeryError
from bakery.oci.annotation import format_time
from bakery.oci.digest import Digest
from bakery.targets.push_order import UNKNOWN, version_rank

_NUMBERS: Final = re.compile(r"v?(?P<numbers>[0-9]+(?:\.[0-9]+)*)")


class TagClass(StrEnum):
    """What a tag stands for."""

    LATEST = "latest"
    MAJOR = "major"  # 1
    MINOR = "minor"  # 1.2
    VERSION = "version"  # 1.2.3: one release, rebuilt or not
    OTHER = "other"  # edge, a branch, a commit


class Rule(StrEnum):
    """What holds for a tag, from the loosest to the strictest."""

    MOVE = "move"
    WARN = "warn"  # it moves to an older version with a warning
    NO_DOWNGRADE = "no-downgrade"  # it stays where it is if the image is older, with a note
    IF_NEWER = "if-newer"  # it moves only to an image that was created later
    IMMUTABLE = "immutable"  # it never names another digest


class TagPolicy(Struct, frozen=True):
    """The rule of each class, as `tagPolicy` of bakery.yaml declares them, and what the command line adds.

    no_downgrade, if_newer: for every tag. immutable: patterns such as `*.*.*`, matched against the whole tag.
    """

    latest: Rule = Rule.WARN
    major: Rule = Rule.WARN
    minor: Rule = Rule.WARN
    version: Rule = Rule.MOVE
    other: Rule = Rule.MOVE
    no_downgrade: bool = False
    if_newer: bool = False
    immutable: tuple[str, ...] = ()

    @classmethod
    def declared(cls, rules: Mapping[str, str]) -> TagPolicy:
        """Return the policy with these rules by class, such as {"latest": "no-downgrade"}; the others by default."""
        return replace(cls(), **{name: Rule(rule) for name, rule in rules.items()})

    def rules_for(self, tag: str, version: str) -> frozenset[Rule]:
        """Return every rule for a tag of an image of this version ("" if it is unknown)."""
        declared: Rule = getattr(self, tag_class(tag, version).value)
        rules = {declared}
        if self.no_downgrade:
            rules.add(Rule.NO_DOWNGRADE)
        if self.if_newer:
            rules.add(Rule.IF_NEWER)
        if any(fnmatchcase(tag, pattern) for pattern in self.immutable):
            rules.add(Rule.IMMUTABLE)
        return frozenset(rules - {Rule.MOVE})

    def stricter(self, *, no_downgrade: bool, if_newer: bool, immutable: tuple[str, ...]) -> TagPolicy:
        """Return the policy with what the command line adds."""
        return replace(
            self,
            no_downgrade=self.no_downgrade or no_downgrade,
            if_newer=self.if_newer or if_newer,
            immutable=(*self.immutable, *immutable),
        )


class PolicyRefused(BakeryError):
    """A policy does not let a tag move."""

    error_code = "publish/tag-policy"


class ImageFacts(Struct, frozen=True):
    """What an image says about its age. version: "" if it is unknown."""

    digest: Digest
    version: str = ""
    created: datetime | None = None

    def __str__(self) -> str:
        told = [self.version] if self.version else []
        told += [f"created {format_time(self.created)}"] if self.created else []
        return f"{', '.join(told)} ({self.digest})" if told else str(self.digest)


class Action(StrEnum):
    """What becomes of a tag."""

    MOVE = "move"
    SKIP = "skip"
    REFUSE = "refuse"


class Verdict(Struct, frozen=True):
    """Whether a tag may move. text: why not, or a warning; "" if there is nothing to report."""

    action: Action
    text: str = ""


MOVES: Final = Verdict(Action.MOVE)


def tag_class(tag: str, version: str = "") -> TagClass:
    """Return the class of a tag. version: of the image; "" judges the number of its parts, as for 1.2.3.

    What follows the numbers does not count: `1.2-min` is a minor tag of version 1.2.3, `latest-min` is like `latest`.
    """
    if tag == TagClass.LATEST or tag.startswith("latest-"):
        return TagClass.LATEST
    match = _NUMBERS.match(tag)
    if match is None or tag[match.end() : match.end() + 1] not in ("", "-", "_"):
        return TagClass.OTHER
    parts, whole = match["numbers"].split("."), _NUMBERS.match(version)
    if whole is None:
        return (TagClass.MAJOR, TagClass.MINOR, TagClass.VERSION)[min(len(parts), 3) - 1]
    numbers = whole["numbers"].split(".")
    if parts == numbers[: len(parts)] and len(parts) < len(numbers):
        return TagClass.MAJOR if len(parts) == 1 else TagClass.MINOR
    return TagClass.VERSION


def is_older(new: ImageFacts, now: ImageFacts) -> bool:
    """Return whether an image is certainly older than another: by version, or by `created` for the same version."""
    ranks = version_rank(_plain(new.version)), version_rank(_plain(now.version))
    if UNKNOWN not in ranks and ranks[0] != ranks[1]:
        return ranks[0] < ranks[1]
    if new.version and now.version and new.version != now.version:
        return False  # versions that cannot be compared
    return new.created is not None and now.created is not None and new.created < now.created


def judge(tag: str, rules: Iterable[Rule], new: ImageFacts, now: ImageFacts) -> Verdict:
    """Return whether a tag may move from what it names now to another image. The strictest rule decides."""
    rules = frozenset(rules)
    if Rule.IMMUTABLE in rules:
        return Verdict(Action.REFUSE, f"{tag} is immutable and names {now.digest}, not {new.digest}")
    if Rule.IF_NEWER in rules and not _is_newer(new, now):
        if new.created is None or now.created is None:
            return Verdict(Action.REFUSE, f"cannot determine whether {new} is newer than {now}, which {tag} names")
        return Verdict(Action.REFUSE, f"{tag} names {now}, and {new} is not newer")
    if rules & {Rule.NO_DOWNGRADE, Rule.WARN} and is_older(new, now):
        if Rule.NO_DOWNGRADE in rules:
            return Verdict(Action.SKIP, f"{tag} stays at {now}: {new} is older")
        return Verdict(Action.MOVE, f"{tag} goes back from {now} to {new}, which is older")
    return MOVES


def needs_facts(rules: Iterable[Rule]) -> bool:
    """Return whether a verdict depends on versions or times of what a tag names."""
    return bool(set(rules) & {Rule.WARN, Rule.NO_DOWNGRADE, Rule.IF_NEWER})


def newest_version(tags: Iterable[str]) -> str:
    """Return the version that these tags of one image stand for: that with the most parts, or ""."""
    found = [tag for tag in tags if tag_class(tag) is TagClass.VERSION]
    return max(found, key=lambda tag: (version_rank(_plain(tag)), tag), default="")


def _is_newer(new: ImageFacts, now: ImageFacts) -> bool:
    return new.created is not None and now.created is not None and new.created > now.created


def _plain(version: str) -> str:
    """Return a version as `version_rank` reads it: without a leading v, and with two numbers at least."""
    text = version[1:] if version[:1] == "v" and version[1:2].isdigit() else version
    return f"{text}.0" if text.isdigit() else text
