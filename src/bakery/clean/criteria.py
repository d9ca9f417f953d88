"""Which manifests of a repository a user wants deleted, before anything is known about what else needs them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from bakery.clean.items import Content, Contents, Item
from bakery.errors import UsageError
from bakery.oci.digest import Digest
from bakery.text import plural

_NO_TIME: Final = datetime(1980, 1, 2, tzinfo=UTC)  # reproducible builds write 1970-01-01 or 1980-01-01


class Criteria(Struct, frozen=True):
    """What is selected.

    older_than: days since the newest time that is known of a manifest. untagged: manifests without a tag, of any age.
    tags: regular expressions; they narrow older_than to the tags that match. named: manifests without a tag that files
    name, if there is neither older_than nor tags. keep_tags: regular expressions of tags that are never deleted.
    keep_last: the newest so many of what is selected stay.
    """

    older_than: float | None = None
    untagged: bool = False
    tags: tuple[str, ...] = ()
    keep_tags: tuple[str, ...] = ()
    keep_last: int = 0
    named: bool = False

    def __post_init__(self) -> None:
        for option, texts in (("--tag", self.tags), ("--keep-tag", self.keep_tags)):
            for text in texts:
                try:
                    re.compile(text)
                except (re.error, RecursionError, OverflowError) as error:
                    raise UsageError(f"invalid value for {option}", about=repr(text), why=str(error)) from error

    @property
    def is_empty(self) -> bool:
        """Whether nothing would ever be selected."""
        return self.older_than is None and not (self.untagged or self.tags or self.named)

    @property
    def needs_times(self) -> bool:
        """Whether the times of manifests decide."""
        return self.older_than is not None or self.keep_last > 0

    def keeps(self, item: Item) -> bool:
        """Return whether a tag of the item must stay."""
        return any(re.search(text, tag) for text in self.keep_tags for tag in item.tags)

    def cutoff(self, now: datetime) -> datetime | None:
        """Return the time before which everything is old enough; None if age does not matter."""
        if self.older_than is None:
            return None
        try:
            return now - timedelta(days=self.older_than)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)

    def matching(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return the tags that an expression matches, or all of them without an expression."""
        return tuple(tag for tag in tags if not self.tags or any(re.search(text, tag) for text in self.tags))


class Selected(Struct, frozen=True):
    """An item that the criteria select. tags: only these, because others must stay; empty selects the whole item."""

    why: str
    tags: tuple[str, ...] = ()


class Times:
    """When manifests were last pushed or created, as far as anything says so.

    configs: the time in the config of each image, by the digest of the config. named: times that files state.
    """

    def __init__(
        self, contents: Contents, configs: Mapping[Digest, datetime], named: Mapping[Digest, datetime]
    ) -> None:
        self._contents, self._configs, self._named = contents, configs, named

    def of(self, item: Item) -> datetime | None:
        """Return the newest time of an item, its children included; None if nothing says when it was made.

        The constant times of reproducible builds are no times.
        """
        found = [item.pushed, self._named.get(item.digest)]
        seen, pending = {item.digest}, [item.digest]
        for digest in pending:
            content = self._contents.get(digest)
            if content is None:
                continue
            found += [content.created, self._config(content)]
            fresh = [child.digest for child in content.children if child.digest not in seen]
            seen.update(fresh)
            pending += fresh
        return max((time for time in found if time is not None and time >= _NO_TIME), default=None)

    def _config(self, content: Content) -> datetime | None:
        return None if content.config is None else self._configs.get(content.config.digest)


def select(criteria: Criteria, item: Item, times: Times, now: datetime, *, is_named: bool = False) -> Selected | None:
    """Return why an item is selected, None if it is not. is_named: whether a file names it."""
    if criteria.keeps(item):
        return None
    if criteria.untagged and not item.tags:
        return Selected("untagged")
    own = item.ordinary_tags or item.tags
    matching, cutoff = criteria.matching(own), criteria.cutoff(now)
    if item.tags and not matching:
        return None
    if not item.tags and criteria.tags:
        return None
    if cutoff is None:
        if criteria.tags:
            return _by_tags(own, matching)
        return Selected("named by a file") if criteria.named and is_named and not item.tags else None
    time = times.of(item)
    if time is None or time >= cutoff:
        return None
    age = plural(max(0, (now - time).days), "day")
    return Selected(f"{age} old", matching if matching != own else ())


def _by_tags(own: tuple[str, ...], matching: tuple[str, ...]) -> Selected:
    return Selected(f"tag {', '.join(matching)}", matching if matching != own else ())
