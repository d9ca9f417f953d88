"""Merging the summaries of several jobs into one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bakery.errors import BakeryError
from bakery.events import Emit, Noted, ignore


def merged_page(files: Sequence[Path], *, disclaimer: str = "", emit: Emit = ignore) -> str:
    """Return the summaries in these JSON files as one Markdown page. disclaimer: a sentence above its table.

    A file that cannot be read is left out, with a warning.
    """
    from bakery.oci.canonical import parse_object
    from bakery.report.markdown import summary_page
    from bakery.report.summary import merge

    summaries = []
    for file in files:
        try:
            summaries.append(parse_object(file.read_bytes(), about=file, limit_bytes=64 * 1024 * 1024))
        except (OSError, BakeryError) as error:
            emit(Noted("", f"skipping summary file {file}: {_reason(error)}"))
    return summary_page(merge(summaries), disclaimer=disclaimer)


def _reason(error: OSError | BakeryError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else (error.why or error.what)
