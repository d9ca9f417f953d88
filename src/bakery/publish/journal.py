"""The journal of a run: an append-only file of JSON lines, written as things happen.

A run that is killed leaves what it did up to the last moment: which tag named what before, and names what now. Each
line has `time` (RFC 3339, UTC), `event` (the name of a record of bakery.events) and that record's fields.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from msgspec.structs import asdict

from bakery.errors import UsageError
from bakery.events import Event
from bakery.oci.annotation import format_time

_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """An `Emit` that writes. Enter it for the run. Raises UsageError where the file cannot be opened.

    A disk that fills up later ends the journal with a warning, not the publish.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _now) -> None:
        self._path, self._now = path, now
        try:
            self._file = path.open("a", encoding="utf-8", buffering=1)  # line by line: a kill loses at most one
        except OSError as error:
            raise UsageError("opening the journal", about=path, why=str(error.strerror)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written was told when it was tried
            self._file.close()

    def __call__(self, event: Event) -> None:
        line = {"time": format_time(self._now()), "event": type(event).__name__, **asdict(event)}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except (OSError, ValueError) as error:
            _log.warning("the journal %s ends here: %s", self._path, error)
