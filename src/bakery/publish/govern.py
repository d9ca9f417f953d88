"""The tag policy of one target at one destination: what `policy` decides, asked when it matters.

It is asked twice: during staging, so that a refusal comes before the first tag of a set moves, and again right before
the write, if the tag has changed by then. The API of registries has no compare-and-set: what another run
writes between that read and our write is found, with `--if-newer`, when the tag is read back after the window
(docs/release.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from bakery.errors import BakeryError
from bakery.oci.digest import Digest
from bakery.publish.engine import Engine
from bakery.publish.facts import facts_of, read_facts, trusts_labels
from bakery.publish.image import AssembledImage
from bakery.publish.plan import PlannedTarget
from bakery.publish.policy import MOVES, Action, ImageFacts, PolicyRefused, Rule, Verdict, judge, needs_facts
from bakery.publish.progress import DestinationProgress
from bakery.retry import Clock
from bakery.tasks import together

_log = logging.getLogger(__name__)

SHORTEST_WINDOW_S: Final = 1.0
LONGEST_WINDOW_S: Final = 10.0
_WINDOWS: Final = 4  # how many times as long as our own read and write those of another run may take
_BINDING: Final = frozenset({Rule.NO_DOWNGRADE, Rule.IF_NEWER, Rule.IMMUTABLE})


class Governor:
    """Decides which tags of a target may move at one destination. note: called with what users should know."""

    def __init__(
        self,
        target: PlannedTarget,
        image: AssembledImage,
        place: DestinationProgress,
        engine: Engine,
        *,
        clock: Clock,
        note: Callable[[str], None],
    ) -> None:
        self._place, self._engine, self._clock, self._note = place, engine, clock, note
        self._new = facts_of(target, image, place.destination)
        self._labels = trusts_labels(image, self._new.version)
        self._rules = {tag: target.policy.rules_for(tag, self._new.version) for tag in place.destination.tags}
        self._known: dict[Digest, ImageFacts] = {self._new.digest: self._new}
        self._window_s = SHORTEST_WINDOW_S
        self._written_at = 0.0

    async def foresee(self, *, is_whole: bool) -> None:
        """Judge every tag that would move, by what it named when it was read.

        Raises PolicyRefused if a tag is refused and the set is whole, or if an immutable tag has another digest: then
        no tag of the target moves here.
        """
        moving = [tag for tag in self._rules if self._place.previous[tag] not in (None, self._new.digest)]
        verdicts = await self._judge((tag, self._place.previous[tag]) for tag in moving if self._rules[tag])
        self._record(verdicts)
        if is_whole or any(Rule.IMMUTABLE in self._rules[tag] for tag in self._place.refused):
            self.check()

    def check(self) -> None:
        """Raise PolicyRefused if the policy refuses a tag, naming each."""
        place = self._place
        if place.refused:
            raise PolicyRefused(
                "a tag may not move",
                why="; ".join(place.verdicts[tag].text for tag in place.refused),
                hint="publish under another tag, or change the policy: tagPolicy in bakery.yaml, or the options",
            )

    @property
    def versions(self) -> dict[Digest, str]:
        """The versions that are known of what the tags name."""
        return {digest: facts.version for digest, facts in self._known.items() if facts.version}

    def binds(self, tag: str) -> bool:
        """Return whether a rule may hold a tag back: then a write depends on what the tag names."""
        return bool(self._rules[tag] & _BINDING)

    async def right_before(self, tag: str) -> bool:
        """Return whether a tag may still move. If a rule binds it, it is read again, which is then its previous digest.

        A tag that names the image by now needs no move.
        """
        if not self.binds(tag):
            return True
        found = await self._engine.read_tag(self._place.destination.repository.with_tag(tag))
        if found == self._place.previous[tag]:
            return True
        self._place.previous[tag] = found
        if found is not None and found != self._new.digest:
            self._record(await self._judge([(tag, found)]))
        return found != self._new.digest and tag not in self._place.held

    def wrote(self, tag: str, began: float) -> None:
        """Record that a tag was written. began: when it was read before that."""
        if Rule.IF_NEWER in self._rules[tag]:
            self._written_at = self._clock.now()
            own_s = _WINDOWS * (self._written_at - began)
            self._window_s = min(max(self._window_s, own_s), LONGEST_WINDOW_S)

    async def after_window(self, tags: Iterable[str]) -> list[str]:
        """Return those of these tags, which this run moved, that an older image has taken since: they move once more.

        Only tags with `if-newer` are looked at, when every other run must have written what it decided before. Tags
        that a newer image has taken are left to it.
        """
        racing = [tag for tag in tags if Rule.IF_NEWER in self._rules[tag]]
        if not racing:
            return []
        await self._clock.sleep(max(0.0, self._written_at + self._window_s - self._clock.now()))
        repository = self._place.destination.repository
        found = await together(self._engine.read_tag(repository.with_tag(tag)) for tag in racing)
        others = [
            (tag, one)
            for tag, one in zip(racing, found, strict=True)
            if one not in (None, self._new.digest, self._place.previous[tag])
        ]
        verdicts = await self._judge(others)
        for tag, verdict in verdicts.items():
            if verdict.action is not Action.MOVE:
                self._place.taken.add(tag)
                self._note(f"another run moved {tag} since, to an image that is newer")
        return [tag for tag, verdict in verdicts.items() if verdict.action is Action.MOVE]

    async def _judge(self, tags: Iterable[tuple[str, Digest | None]]) -> dict[str, Verdict]:
        named = {tag: digest for tag, digest in tags if digest is not None}
        unknown = {digest for tag, digest in named.items() if needs_facts(self._rules[tag])} - self._known.keys()
        for facts in await together(self._read(digest, named) for digest in unknown):
            self._known[facts.digest] = facts
        return {
            tag: judge(tag, self._rules[tag], self._new, self._known.get(digest, ImageFacts(digest)))
            if self._rules[tag]
            else MOVES
            for tag, digest in named.items()
        }

    async def _read(self, digest: Digest, named: dict[str, Digest]) -> ImageFacts:
        rules = frozenset[Rule]().union(*(self._rules[tag] for tag, one in named.items() if one == digest))
        try:
            return await read_facts(
                self._engine,
                self._place.destination.repository,
                digest,
                labels=self._labels,
                tags=Rule.NO_DOWNGRADE in rules,
            )
        except BakeryError as error:
            if rules & _BINDING:
                raise
            _log.debug("the age of %s is unknown: %s", digest, error)  # there is only no warning
            return ImageFacts(digest)

    def _record(self, verdicts: dict[str, Verdict]) -> None:
        self._place.verdicts |= verdicts
        for verdict in verdicts.values():
            if verdict.text and verdict.action is not Action.REFUSE:
                self._note(f"{self._place.destination.repository}: {verdict.text}")
