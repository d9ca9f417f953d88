"""Merging the summaries of several jobs into one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from bakery.errors import BakeryError
from bakery.events import Emit, Noted, ignore

_MAX_BYTES: Final = 64 * 1024 * 1024


class MergedPage(Struct, frozen=True):
    """A Markdown page, the number of summaries on it, and the paths that do not exist."""

    text: str
    summaries: int
    missing: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise BakeryError if a path does not exist, or if no summary could be read."""
        if self.missing:
            why = f"no such file: {', '.join(str(file) for file in self.missing)}"
            raise BakeryError("cannot merge every summary", why=why)
        if not self.summaries:
            raise BakeryError("cannot merge summaries", why="none of the files is a summary; see the warnings above")


def merged_page(files: Sequence[Path], *, disclaimer: str = "", emit: Emit = ignore) -> MergedPage:
    """Return the summaries in these JSON files as one Markdown page. disclaimer: a sentence above its table.

    A file that cannot be read, or that is not a summary, is left out with a warning.
    """
    from bakery.files import read_regular
    from bakery.oci.canonical import parse_object
    from bakery.report.merging import merge
    from bakery.report.page import summary_page
    from bakery.report.reading import read_summary

    summaries, missing = [], []
    for file in files:
        try:
            raw = read_regular(file, limit_bytes=_MAX_BYTES)
            summaries.append(read_summary(parse_object(raw, about=file, limit_bytes=_MAX_BYTES)))
        except FileNotFoundError:
            missing.append(file)
        except (OSError, BakeryError) as error:
            emit(Noted("", f"skipping summary file {file}: {_reason(error)}"))
    return MergedPage(summary_page(merge(summaries), disclaimer=disclaimer), len(summaries), tuple(missing))


def _reason(error: OSError | BakeryError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else (error.why or error.what)
