"""The journal of a run: an append-only file of JSON lines, written as things happen.

A run that is killed leaves a record of what it did until then: what each tag named before, and what it names now. Each
line has `time` (RFC 3339, UTC), `event` (the name of a record in bakery.events) and that record's fields. Its schema is
in docs/schemas; `report.journals` reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Self

from msgspec import to_builtins

from bakery.errors import UsageError
from bakery.events import FORMAT, Event, RunStarted
from bakery.files import WRITABLE_HINT, cannot_write, is_file, open_for_text
from bakery.oci.annotation import format_time
from bakery.text import clean, json_text

_log = logging.getLogger(__name__)

_FREE_TEXT: Final = ("reason", "error", "message", "text")  # fields of events that may quote a server


def _now() -> datetime:
    return datetime.now(UTC)


def _ends_with_line(path: Path) -> bool:
    """Return whether the file is empty or its last line is complete: a run that was killed may have cut it."""
    if not is_file(path):  # a pipe or a device cannot be read back
        return True
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 1))
        return file.read(1) in (b"", b"\n")


def _lock(file: IO[str], path: Path) -> None:
    """Reserve the file for this run. File systems without locks have none; pipes and devices need none."""
    if not is_file(path):
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        hint = "name another file with --journal"
        raise JournalBusy(
            "cannot open the journal", about=path, why="another run is writing to it", hint=hint
        ) from error
    except OSError as error:
        _log.debug("cannot lock the journal %s: %s", path, error)


def line_of(event: Event, when: datetime) -> str:
    """Return the line of an event. The first line of a run has the number of the format."""
    fields = to_builtins(event)
    if isinstance(event, RunStarted):
        fields = {"format": FORMAT, **fields}
    fields |= {name: clean(fields[name], lines=True) for name in _FREE_TEXT if name in fields}
    return json_text({"time": format_time(when), "event": type(event).__name__, **fields}) + "\n"


class JournalBusy(UsageError):
    """Another run is writing to the journal."""


class Journal:
    """An `Emit` that writes events to a file. Use it as a context manager.

    Raises UsageError if it cannot be opened, and JournalBusy if another run has it open: the lines of two runs at once
    could not be separated. The system releases it when the process ends, however it ends.

    If the file cannot be written later, for example because the disk is full, one warning is logged; the run goes on.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _now) -> None:
        self._path, self._now = path, now
        self._warned = False
        try:
            self._file = open_for_text(path, append=True)  # by line: a kill loses at most one
            _lock(self._file, path)
            if not _ends_with_line(path):
                self._file.write("\n")
        except OSError as error:
            why = cannot_write(path) or str(error.strerror)
            raise UsageError("cannot open the journal", about=path, why=why, hint=WRITABLE_HINT) from error

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):  # reported when it was written
            self._file.close()

    def __call__(self, event: Event) -> None:
        try:
            self._file.write(line_of(event, self._now()))
        except (OSError, ValueError) as error:
            if not self._warned:
                why = error.strerror if isinstance(error, OSError) and error.strerror else error
                _log.warning("cannot write to the journal %s: %s", self._path, why)
            self._warned = True
