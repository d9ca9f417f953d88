"""Files that a summary is written to, and the page of a GitHub step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakery.errors import BakeryError


def append_page(summary: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Add the page of a summary in JSON to $GITHUB_STEP_SUMMARY, if that is set."""
    from bakery.report.merging import merge
    from bakery.report.page import LIMIT_BYTES, summary_page
    from bakery.report.reading import read_summary

    page = environment.get("GITHUB_STEP_SUMMARY", "")
    if page:
        room = LIMIT_BYTES - (Path(page).stat().st_size if Path(page).is_file() else 0)  # for all commands of the step
        write_file(Path(page), summary_page(merge([read_summary(summary)]), limit_bytes=room), mode="a")


def write_file(file: Path, text: str, *, mode: str = "w") -> None:
    """Write text to a file. Raises BakeryError, which says that the result itself was printed."""
    try:
        with file.open(mode, encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise not_written(file, error) from error


def not_written(place: object, error: OSError) -> BakeryError:
    """Return the error for a summary that cannot be written."""
    why = f"{error.strerror or error}; the result is printed above"
    return BakeryError("cannot write the summary to", about=place, why=why)
