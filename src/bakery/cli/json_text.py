"""JSON as commands print it: two spaces, ASCII, in the order given. The library's own writer takes seconds for this."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as _text
from typing import Any


def pretty(value: Any) -> str:
    """The value as indented JSON, without a line end."""
    pieces: list[str] = []
    _write(value, "\n", pieces)
    return "".join(pieces)


def one_line(value: Any) -> str:
    """The value as JSON in one line, with a space after `,` and `:`."""
    return json.dumps(value)


def _write(value: Any, line: str, pieces: list[str]) -> None:
    if isinstance(value, str):
        pieces.append(_text(value))
    elif isinstance(value, Mapping):
        if not value:
            pieces.append("{}")
            return
        inner = line + "  "
        before = "{" + inner
        for key, item in value.items():
            pieces.append(f"{before}{_text(key)}: ")
            _write(item, inner, pieces)
            before = "," + inner
        pieces.append(line + "}")
    elif isinstance(value, Sequence):
        if not value:
            pieces.append("[]")
            return
        inner = line + "  "
        if all(type(item) is str for item in value):
            pieces.append("[" + inner + ("," + inner).join(map(_text, value)) + line + "]")
            return
        before = "[" + inner
        for item in value:
            pieces.append(before)
            _write(item, inner, pieces)
            before = "," + inner
        pieces.append(line + "]")
    else:
        pieces.append(json.dumps(value))
