"""Files that a user names. Only regular files of a bounded size are read, and opening one never blocks."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final, TextIO

WRITABLE_HINT: Final = "pass a file in a folder that exists and that you may write to"


class UnreadableFile(OSError):
    """The path names something other than a regular file, or a file that is too large. `strerror` says which."""


def cannot_write(path: Path) -> str:
    """Return why a file cannot be written, or "" if nothing is known that forbids it. Nothing is opened."""
    if not path.parent.is_dir():
        return f"folder {path.parent} does not exist"
    if path.is_dir():
        return "it is a folder"
    place = path if path.exists() else path.parent
    if os.access(place, os.W_OK):
        return ""
    return "read-only file system" if os.statvfs(place).f_flag & os.ST_RDONLY else "permission denied"


def read_regular(path: Path, *, limit_bytes: int) -> bytes:
    """Return the content of a regular file. Raises OSError, whose strerror is the reason.

    A pipe would block until someone writes, and /dev/zero never ends, so that only regular files are read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile(0, "it is not a regular file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise UnreadableFile(0, f"it is larger than {limit_bytes >> 20} MiB", str(path))
    return content


def write_text(path: Path, text: str, *, append: bool = False) -> None:
    """Write text to a file, or append it. Raises OSError as `open_for_text` does."""
    with open_for_text(path, append=append) as file:
        file.write(text)


def open_for_text(path: Path, *, append: bool = False) -> TextIO:
    """Open a file to write text, line by line. Raises OSError, also for a pipe that no process reads.

    Opening such a pipe would block until a reader comes, beyond any limit for the time of a run.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_APPEND if append else os.O_TRUNC)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "it is a pipe that no process reads", str(path)) from error
        raise
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "a" if append else "w", encoding="utf-8", buffering=1)
