"""Files that commands write besides their results: summaries, the page of a GitHub step, timeline and trace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bakery.errors import BakeryError, UsageError
from bakery.files import WRITABLE_HINT, cannot_write, is_file, write_text

if TYPE_CHECKING:
    from bakery.report.model import Run


class Recordings(Struct, frozen=True):
    """Where the timeline and the trace of a run are written, if anywhere."""

    timeline: Path | None = None
    trace: Path | None = None

    def check(self) -> None:
        """Raise UsageError for a file that cannot be written, before anything is done."""
        check_writable("--timeline", self.timeline)
        check_writable("--trace", self.trace)

    def write(self, run: Run, *, names: Mapping[str, str] | None = None) -> None:
        """Write the files. Raises BakeryError if that fails; the result of the run is on the terminal by then.

        names: what to write in place of addresses.
        """
        from bakery.app.timelines import write_recordings

        write_recordings(run, timeline=self.timeline, trace=self.trace, names=names or {})


def check_writable(option: str, file: Path | None) -> None:
    """Raise UsageError for a file that cannot be written, before anything is done."""
    if file is not None and (why := cannot_write(file)):
        raise UsageError(f"invalid value for {option}", about=repr(str(file)), why=why, hint=WRITABLE_HINT)


def append_page(summary: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Add the page of a summary in JSON to $GITHUB_STEP_SUMMARY, if that is set."""
    from bakery.report.merging import merge
    from bakery.report.page import LIMIT_BYTES, summary_page
    from bakery.report.reading import read_summary

    page = environment.get("GITHUB_STEP_SUMMARY", "")
    if page:
        room = LIMIT_BYTES - (Path(page).stat().st_size if is_file(Path(page)) else 0)  # for all commands of the step
        write_file(Path(page), summary_page(merge([read_summary(summary)]), limit_bytes=room), append=True)


def write_file(file: Path, text: str, *, append: bool = False) -> None:
    """Write text to a file. Raises BakeryError, which says that the result itself was printed."""
    try:
        write_text(file, text, append=append)
    except OSError as error:
        raise not_written(file, error) from error


def not_written(place: object, error: OSError) -> BakeryError:
    """Return the error for a summary that cannot be written."""
    why = f"{error.strerror or error}; the result is printed above"
    return BakeryError("cannot write the summary to", about=place, why=why)
