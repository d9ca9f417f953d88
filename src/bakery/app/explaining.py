"""`bakery explain`: the catalogue of errors, as text."""

from __future__ import annotations

from collections.abc import Mapping


def explain(code: str) -> str:
    """Return the page of an error code, or a list of codes for the first part of one, such as `registry`, or for "".

    Raises UsageError with the nearest code.
    """
    from bakery.catalogue.entry import text
    from bakery.catalogue.find import ENTRIES, find
    from bakery.report.table import aligned

    found = find(code) if code else ENTRIES
    if code and len(found) == 1:
        return text(found[0])
    return aligned([("CODE", "ERROR"), *((entry.code, entry.title) for entry in found)])


def pages() -> Mapping[str, str]:
    """Return the pages of docs/errors, by their paths in it."""
    from bakery.catalogue.entry import index, markdown
    from bakery.catalogue.find import ENTRIES

    return {"README.md": index(ENTRIES)} | {entry.page: markdown(entry) for entry in ENTRIES}
