"""Files that a run left, read by a later command: JSON summaries and journals.

One that does not exist, or that is not what it must be, is a RecordError, whichever command works on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.errors import InvalidContent, RecordError


def read_record(file: Path, *, limit_bytes: int, hint: str) -> bytes:
    """Return the content of a file. Raises RecordError if it cannot be read or is empty. hint: what to pass instead."""
    from bakery.files import read_regular

    try:
        raw = read_regular(file, limit_bytes=limit_bytes)
    except FileNotFoundError as error:
        raise RecordError("cannot read", about=file, why="it does not exist", hint="check the path") from error
    except OSError as error:
        raise RecordError("cannot read", about=file, why=error.strerror or str(error), hint=hint) from error
    if not raw.strip():
        raise RecordError("cannot read", about=file, why="it is empty", hint=hint)
    return raw


@contextmanager
def record_of(file: Path, *, hint: str) -> Iterator[None]:
    """Raise RecordError for content in this block that is not that of a record."""
    try:
        yield
    except InvalidContent as error:
        raise RecordError(error.what, about=error.about or file, why=error.why, hint=hint) from error
