"""Decide from the output of a failed oras or soci command whether to retry it. Pure.

Not for the native engine, whose errors carry this (`BakeryError.transient`). Permanent words win, so that
"unauthorized: repository not found" fails at once. Numbers count only as separate words, so that a digest that contains
"403" does not match. Source: pipeline.md 3.2, both lists, and the spellings that its "faults" paragraph found missing.
"""

from __future__ import annotations

import re
from typing import Protocol

_LINES = 50  # at each end of a stream: the reason is never in the middle of a long output


class FinishedCommand(Protocol):
    """A CommandResult, ShellResult or Exit."""

    @property
    def ok(self) -> bool: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...
    @property
    def timed_out(self) -> bool: ...


def _words(*patterns: str) -> re.Pattern[str]:
    # Not \b: a hyphen, dot or colon joins a number to a tag, an address, a port or a size ("v1.500", "10.0.0.1:503").
    return re.compile("|".join(rf"(?<![\w.:/@-])(?:{pattern})(?![\w/-]|[.:]\w)" for pattern in patterns))


# oras prints "basic credential not found" for a 401 without a login (1.3.6, November 2026), and Go prints "executable
# file not found" for a missing credential helper: neither will appear by waiting.
_REFUSED = re.compile(r"unauthorized|credential not found|executable file not found")
_NO_REFERENCE = re.compile(r"invalid reference")
# A secondary rate limit of GHCR is a 403 and passes (registry.md): the text tells them apart, not the number.
_RATE_LIMIT = re.compile(r"rate limit|too ?many ?requests")
_FORBIDDEN = re.compile(r"forbidden|denied")
_REFUSED_NUMBER = _words("401")
_FORBIDDEN_NUMBER = _words("403")
_MISSING = re.compile(r"not found|(?:manifest|blob|name)[ _]unknown")
_TRANSIENT_TEXT = re.compile(
    "|".join(
        (
            _MISSING.pattern,
            r"internal server error",
            r"bad gateway",
            r"service unavailable",
            r"gateway time-?out",
            r"temporarily unavailable",
            r"connection refused",
            r"connection reset",
            r"broken pipe",
            r"no such host",
            r"time-?out",
            r"timed out",
            r"deadline exceeded",
        )
    )
)
_TRANSIENT_NUMBER = _words("408", "425", "429", "499", r"5\d\d")
_EOF = re.compile(r"\beof\b")


def looks_transient(result: FinishedCommand) -> bool:
    """Return whether the same command may succeed later: true after a timeout, false if it could not be started."""
    if result.ok or result.returncode is None:
        return False
    if result.timed_out:
        return True
    text = _text(result)
    if _is_refusal(text):
        return False
    return any(pattern.search(text) for pattern in (_RATE_LIMIT, _TRANSIENT_TEXT, _TRANSIENT_NUMBER, _EOF))


def says_refused(result: FinishedCommand) -> bool:
    """Return whether the command failed because the registry denied it."""
    return not result.ok and _is_refusal(text := _text(result)) and not _NO_REFERENCE.search(text)


def says_not_found(result: FinishedCommand) -> bool:
    """Return whether the command failed because the registry does not have the content."""
    if result.ok or result.returncode is None or result.timed_out:
        return False
    text = _text(result)
    return _MISSING.search(text) is not None and not _is_refusal(text) and _TRANSIENT_NUMBER.search(text) is None


def _is_refusal(text: str) -> bool:
    if _REFUSED.search(text) or _REFUSED_NUMBER.search(text) or _NO_REFERENCE.search(text):
        return True
    if _RATE_LIMIT.search(text):
        return False
    return _FORBIDDEN.search(text) is not None or _FORBIDDEN_NUMBER.search(text) is not None


def _text(result: FinishedCommand) -> str:
    return _without_names("\n".join((_both_ends(result.stderr), _both_ends(result.stdout)))).lower()


def _both_ends(output: bytes) -> str:
    lines = output.decode(errors="replace").splitlines()
    return "\n".join(lines if len(lines) <= 2 * _LINES else lines[:_LINES] + lines[-_LINES:])


def _without_names(text: str) -> str:
    """Return the text without references, URLs and digests: a repository may be named "denied"."""
    return re.sub(r"sha(?:256|512):[0-9a-fA-F]+|\S*(?<!\bi)/\S*", " ", text)
