"""Text for people: counts with their nouns, and foreign text made safe to show. Imports nothing of this package.

Foreign text is everything that a server, a child process, a file or a file name contributes. `clean` is the only
function that makes it safe, and the modules that print (report, cli) pass all their text through it. `json_text` does
the same for JSON without changing any value.
"""

from __future__ import annotations

import re
from typing import Any, Final

_BREAKS: Final = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# C0 and C1 controls, separators, marks that change the direction of text, byte order marks, lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_IN_LINES: Final = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_OBEYED: Final = re.compile(r"^\s*:(?=:)|##(?=\[)", re.MULTILINE)
_COMMAND: Final = re.compile(rf"{_OBEYED.pattern}|:(?=:[A-Za-z])", re.MULTILINE)
_JSON_UNSAFE: Final = re.compile(f"{_UNSAFE_IN_LINES.pattern}|(?<=##)\\[|(?<=:):(?=[A-Za-z])")
_SHORT_SECRET: Final = 8  # characters; a shorter one is only hidden where it is a word of its own
_SHOWN_START: Final = 12  # characters of a long secret that give it away even if the rest was cut off
_MASK: Final = "***"
_secrets: set[str] = set()
# By how the messages of Python's parser begin.
_PROBLEMS: Final = {
    "Expecting value": "expected a value",
    "Expecting ','": "expected a comma or the end of the list or object",
    "Expecting ':'": "expected a colon",
    "Expecting property name": "expected a key in double quotes",
    "Illegal trailing comma": "unexpected comma",
    "Extra data": "unexpected text after the end of the document",
    "Unterminated string": "expected the end of the string that starts",
    "Invalid control character": "unexpected control character",
    "Invalid \\": "invalid escape",
    "Unexpected UTF-8 BOM": "unexpected byte order mark",
}


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: "1 target", "2 targets". many: the plural, if it is not the noun with an "s"."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def clean(text: str, *, lines: bool = False) -> str:
    """Return text that a terminal, a log and a page show as it is: on one line, with known secrets masked.

    Control characters, marks that change the direction of text and lone surrogates become visible escapes such as
    `\\x1b`. lines: keep line feeds and tabs, for text that was composed of cleaned lines.
    """
    text = _masked(text)
    if lines:
        return _UNSAFE_IN_LINES.sub(_escape, text)
    return _UNSAFE.sub(_escape, _BREAKS.sub(" ", text).replace("\t", " "))


def without_commands(text: str, *, result: bool = False) -> str:
    """Return text in which GitHub's runner finds no command: neither `::name::` nor `##[name]`, on any line.

    result: a result for programs, so that `::` is only changed at the start of a line, where the runner obeys it.
    """
    return (_OBEYED if result else _COMMAND).sub(lambda found: f"{found[0]} ", text)


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return a value as JSON that is safe to print: no control characters, no lone surrogates, no GitHub command.

    Parsing it yields the same value: whatever is unsafe is written as an escape.
    """
    import json

    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    return _JSON_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_problem(error: ValueError) -> str:
    """Return what is wrong with a text that is not JSON, without the words of Python's parser."""
    import json

    if isinstance(error, UnicodeDecodeError):
        return f"it is not text: byte {error.start} is not valid UTF-8"
    if not isinstance(error, json.JSONDecodeError):
        return str(error)[:300]  # of the code that calls the parser
    if not error.doc.strip():
        return "it is empty"
    problem = next((ours for start, ours in _PROBLEMS.items() if error.msg.startswith(start)), "it is not JSON")
    end = ", where the text ends" if error.pos >= len(error.doc.rstrip()) else ""
    return f"{problem} in line {error.lineno}, column {error.colno}{end}"


def hide(secret: str) -> None:
    """Have `clean` mask a password or token from now on. Very short ones are left: they would hit words."""
    if len(secret) >= 4:
        _secrets.add(secret)


def forget_secrets() -> None:
    """Mask nothing any more: for tests."""
    _secrets.clear()


def _masked(text: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        if len(secret) >= 2 * _SHOWN_START and secret[:_SHOWN_START] in text:  # it may have been cut
            text = re.sub(re.escape(secret[:_SHOWN_START]) + r"[A-Za-z0-9._~+/=-]*", _MASK, text.replace(secret, _MASK))
        if secret not in text:
            continue
        if len(secret) >= _SHORT_SECRET:
            text = text.replace(secret, _MASK)
        else:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", _MASK, text)
    return text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
