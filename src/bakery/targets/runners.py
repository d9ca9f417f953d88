"""Which CI runner builds a platform, and a name for what its job leaves behind. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from msgspec import Struct

from bakery.errors import UsageError

_DEFAULT: Final = "default"
_NO_ARTIFACT: Final = re.compile(r'[\\/":<>|*?\s]+')  # what GitHub forbids in names of artifacts; and white space
_FIELDS: Final = ("image", "version", "channel", "platform")


class Runners(Struct, frozen=True):
    """Labels of runners by prefix of a platform. The longest prefix wins; `default` is for every other platform."""

    labels: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read `linux/arm64=ubuntu-24.04-arm` or, with several labels, `default=self-hosted,x64`.

        Raises UsageError for anything else.
        """
        labels = {}
        for text in texts:
            prefix, equals, names = text.strip().partition("=")
            found = tuple(name for name in names.split(",") if name)
            if not prefix or not equals or not found:
                why = "expected PLATFORM=LABEL, or default=LABEL"
                raise UsageError("invalid value for --runner", about=repr(text), why=why)
            labels[prefix] = found
        return cls(labels)

    def of(self, platform: str) -> str | list[str]:
        """Return the label, or the list of labels, for a platform. Raises UsageError if no prefix matches."""
        parts = platform.split("/")
        prefixes = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        for prefix in (*prefixes, _DEFAULT):
            if found := self.labels.get(prefix):
                return found[0] if len(found) == 1 else list(found)
        hint = "pass --runner default=LABEL for every other platform"
        raise UsageError("cannot find a runner", about=f"for {platform}", why="no --runner matches it", hint=hint)


def with_runners(jobs: Sequence[Mapping[str, Any]], runners: Runners) -> list[dict[str, Any]]:
    """Return jobs with a `runner`, and with an `id` that no other job has and that may name an artifact."""
    named, seen = [], set[str]()
    for job in jobs:
        words = [str(job[name]) for name in _FIELDS if job.get(name)]
        base = _NO_ARTIFACT.sub("-", "-".join(words))
        text, number = base, 1
        while text in seen:
            number += 1
            text = f"{base}-{number}"
        seen.add(text)
        named.append({**job, "runner": runners.of(str(job.get("platform", _DEFAULT))), "id": text})
    return named
