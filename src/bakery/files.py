"""Reading files that a user names: regular files of a bounded size, and nothing that blocks or never ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class UnreadableFile(OSError):
    """The path names something other than a regular file, or a file that is too large. `strerror` says which."""


def cannot_write(path: Path) -> str:
    """Return why a file cannot be written, or "" if nothing is known that forbids it. Nothing is opened."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if path.is_dir():
        return "it is a folder"
    return "" if os.access(path if path.exists() else path.parent, os.W_OK) else "permission denied"


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
