"""stderr that never ends a command: its reader may have gone (`| head -1`), its disk may be full."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO


class SturdyStream:
    """A text stream. From its first failed write on, everything goes to the null device."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or drop it if the stream is broken."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush what was written, or drop it if the stream is broken."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self) -> None:
        # The descriptor itself is replaced: the buffer of the old stream, and children, write to it too.
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, self._stream.fileno())
        except (OSError, ValueError):
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # open until we exit
        finally:
            os.close(null)


def prepare() -> None:
    """Make sys.stdout and sys.stderr usable, also if the caller closed them, and stderr sturdy."""
    for name in ("stdout", "stderr"):  # None if the caller closed it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # open until we exit
    sys.stderr = SturdyStream(sys.stderr)
