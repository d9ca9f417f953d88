"""The timeline of a run as one page of HTML that loads nothing from outside. Pure but for reading its own files.

`page_files/timeline.html` is the page, with its style and its script in files of their own; they are put into it here,
together with the data. The data is in a script element of JSON, where no text can end the element.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

from bakery.report.model import Run
from bakery.report.timeline import timeline

_FOLDER: Final = "page_files"
_UNSAFE: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def timeline_page(run: Run) -> str:
    """Return the page."""
    data = json.dumps(timeline(run), ensure_ascii=False, separators=(",", ":")).translate(_UNSAFE)
    page = _read("timeline.html")
    for place, text in (
        ("/*STYLE*/", _read("timeline.css")),
        ("/*SCRIPT*/", _read("timeline.js")),
        ("/*DATA*/", data),
    ):
        before, found, after = page.partition(place)
        assert found, f"timeline.html has no place for {place}"
        page = f"{before}{text}{after}"
    return page


def _read(name: str) -> str:
    return files("bakery.report").joinpath(_FOLDER, name).read_text(encoding="utf-8")
