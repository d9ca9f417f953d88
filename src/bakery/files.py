"""Files that a user names. Only regular files of a bounded size are read, and opening one never blocks.

What is at a path is only asked here: pathlib raises for a folder that may not be searched or a name that is too long,
and which of them depends on the version of Python.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Final, TextIO

MISSING: Final = "it does not exist"
NO_FILE: Final = "no such file"
_IRREGULAR: Final = "it is not a regular file"
_LINE_BYTES: Final = 1024 * 1024
WRITABLE_HINT: Final = "pass a file in a folder that exists and that you may write to"


class UnreadableFile(OSError):
    """The path names something other than a regular file, or a file that is too large. `strerror` says which."""


def is_there(path: Path) -> bool:
    """Return whether something is at a path. False if that cannot be known."""
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises


def is_file(path: Path) -> bool:
    """Return whether a path names a regular file. False if that cannot be known."""
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises


def is_folder(path: Path) -> bool:
    """Return whether a path names a folder. False if that cannot be known."""
    return os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises


def real_path(path: Path) -> Path:
    """Return a path without links, absolute; as far as they can be followed."""
    return Path(os.path.realpath(path))  # Path.resolve raises for a loop


def cannot_find(path: Path) -> str:
    """Return why nothing can be found at a path, or "" if something is there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def not_a_file(path: Path) -> str:
    """Return why a path does not name a regular file, or "" if it does."""
    why = cannot_find(path)
    return NO_FILE if why == MISSING else why or ("" if is_file(path) else _IRREGULAR)


def files_below(folder: Path) -> list[Path]:
    """Return everything in a folder and its folders that is not a folder, sorted; nothing that is hidden.

    Links to folders are not followed. Raises OSError for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += (Path(parent, name) for name in files if not name.startswith("."))
    return sorted(found)


def cannot_write(path: Path) -> str:
    """Return why a file cannot be written, or "" if nothing is known that forbids it. Nothing is opened."""
    if not is_folder(path.parent):
        why = cannot_find(path.parent)
        return f"folder {path.parent} does not exist" if why in ("", MISSING) else why
    if is_folder(path):
        return "it is a folder"
    if (why := cannot_find(path)) not in ("", MISSING):
        return why
    place = path.parent if why else path
    if os.access(place, os.W_OK):
        return ""
    return "read-only file system" if os.statvfs(place).f_flag & os.ST_RDONLY else "permission denied"


def read_regular(path: Path, *, limit_bytes: int, stream: bool = False) -> bytes:
    """Return the content of a regular file. Raises OSError, whose strerror is the reason.

    A pipe would block until someone writes, and /dev/zero never ends, so that only regular files are read. stream: a
    pipe that a process writes is read as well, as the shell's `<(command)` is, and the null device is empty.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    is_pipe = stream and stat.S_ISFIFO(status.st_mode)
    is_null = stream and os.path.samestat(status, Path(os.devnull).stat())
    if not (stat.S_ISREG(status.st_mode) or is_pipe or is_null):
        os.close(descriptor)
        raise UnreadableFile(0, _IRREGULAR, str(path))
    os.set_blocking(descriptor, True)  # reading a pipe that no process writes does not block
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit_bytes + 1)
    if is_pipe and not content:
        raise UnreadableFile(0, "it is a pipe that no process writes", str(path))
    if len(content) > limit_bytes:
        raise UnreadableFile(0, f"it is larger than {limit_bytes >> 20} MiB", str(path))
    return content


def write_text(path: Path, text: str, *, append: bool = False) -> None:
    """Write text to a file, or append it. Raises OSError as `open_for_text` does."""
    with open_for_text(path, append=append) as file:
        file.write(text)


def open_for_text(path: Path, *, append: bool = False) -> TextIO:
    """Open a file to write text, line by line. Raises OSError, also for a pipe that no process reads.

    A line of up to a MiB is one write: a process that is killed writes all of it or nothing.
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
    file = os.fdopen(descriptor, "ab" if append else "wb", buffering=_LINE_BYTES)
    return io.TextIOWrapper(file, encoding="utf-8", line_buffering=True)
