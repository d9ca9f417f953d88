"""The timeline and the trace of a run, as files: right after it, or later from its journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bakery.errors import BakeryError

if TYPE_CHECKING:
    from bakery.report.model import Run

_MAX_BYTES: Final = 512 * 1024 * 1024
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})


def write_recordings(
    run: Run, *, timeline: Path | None = None, trace: Path | None = None, names: Mapping[str, str] = _NO_NAMES
) -> None:
    """Write the timeline as a page of HTML, and the run as a trace. Raises BakeryError if a file cannot be written.

    names: what to write in place of addresses: a rehearsal has the names of the registries that its own stand for.
    """
    if timeline is not None:
        from bakery.report.timeline_page import timeline_page

        _write(timeline, _named(timeline_page(run), names))
    if trace is not None:
        from bakery.report import trace as traces
        from bakery.text import json_text

        _write(trace, _named(json_text(traces.trace(run)), names) + "\n")


def run_of_journal(file: Path) -> Run:
    """Return the last run in a journal. Raises RecordError if the file cannot be read or has no events."""
    from bakery.app.records import read_record, record_of
    from bakery.report.journals import entries, runs

    hint = "pass the journal of a run (--journal)"
    raw = read_record(file, limit_bytes=_MAX_BYTES, hint=hint)
    with record_of(file, hint=hint):
        return runs(entries(raw.decode("utf-8", "replace").splitlines()))[-1]


def _named(text: str, names: Mapping[str, str]) -> str:
    for address, name in names.items():
        text = text.replace(address, name)
    return text


def _write(file: Path, text: str) -> None:
    from bakery.files import write_text

    try:
        write_text(file, text)
    except OSError as error:
        raise BakeryError("cannot write", about=file, why=str(error.strerror or error)) from error
