"""Plain lines on stderr, for people; stdout is for machines (pipeline.md 11). Never wrapped, never markup.

A terminal that cannot show a character gets a plain one in its place, never an error in the middle of a report.
"""

from __future__ import annotations

import sys
from typing import TextIO

_PLAIN = str.maketrans({"✅": "ok:", "❌": "FAILED:", "✓": "+", "✗": "x", "⚠": "!", "…": "...", "→": "->"})


def say(text: str, stream: TextIO | None = None) -> None:
    """Print text, which brings its own line ends."""
    out = sys.stderr if stream is None else stream
    out.write(showable(text, out.encoding or "utf-8"))
    out.flush()


def showable(text: str, encoding: str) -> str:
    """The text in what this encoding can spell."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.translate(_PLAIN).encode("ascii", "replace").decode()
    return text
