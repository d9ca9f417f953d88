"""All entries, by code. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bakery.catalogue import builds, content, network, project, registry, usage
from bakery.catalogue.entry import Entry
from bakery.errors import UsageError

ENTRIES: Final[tuple[Entry, ...]] = tuple(
    sorted(
        (*usage.ENTRIES, *builds.ENTRIES, *project.ENTRIES, *registry.ENTRIES, *network.ENTRIES, *content.ENTRIES),
        key=lambda entry: entry.code,
    )
)
BY_CODE: Final[Mapping[str, Entry]] = {entry.code: entry for entry in ENTRIES}


def find(code: str) -> tuple[Entry, ...]:
    """Return the entry of a code, or the entries of a group such as `registry`. `error[registry/quota]` is understood.

    Raises UsageError with the nearest code.
    """
    from difflib import get_close_matches

    wanted = code.strip().lower().removeprefix("error").strip("[]: /")
    if wanted in BY_CODE:
        return (BY_CODE[wanted],)
    group = tuple(entry for entry in ENTRIES if entry.code.startswith(f"{wanted}/"))
    if group:
        return group
    last = {entry.code.partition("/")[2]: entry.code for entry in ENTRIES}
    near = get_close_matches(wanted, BY_CODE, n=1) or [
        last[name] for name in get_close_matches(wanted.rpartition("/")[2], last, n=1)
    ]
    hint = f"run 'bakery explain {near[0]}'" if near else "run 'bakery explain' to list the codes"
    raise UsageError("no such error code", about=repr(code), hint=hint, error_code="usage/value")
