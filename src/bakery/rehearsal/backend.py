"""Where bytes are stored: in memory, or in a folder that outlives the process. Knows digests and links, no API rules.

A link says that a repository holds some content under a name: a blob, a manifest or a tag. In a folder every change is
one rename or one unlink, and content is written before the link to it, so `kill -9` at any moment leaves a consistent
store. Nothing is synced to disk: a crash of the whole machine may lose data.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, Protocol
from uuid import uuid4

from msgspec import Struct

from bakery.errors import BakeryError
from bakery.oci.digest import Digest
from bakery.rehearsal.responses import StoredContent

_VERSION: Final = "bakery registry folder, version 1\n"


class LinkKind(StrEnum):
    """What a link is for. The values are folder names; no component of a repository name starts with an underscore."""

    BLOB = "_blobs"
    MANIFEST = "_manifests"
    TAG = "_tags"


class StoredLink(Struct, frozen=True):
    """One name in one repository. name: a digest or a tag. text: the content of the link, written by storage.py."""

    kind: LinkKind
    repository: str
    name: str
    text: str


class ContentWriter(Protocol):
    """Content that is being received. Only `keep` makes it visible."""

    size: int

    def write(self, data: bytes) -> None: ...

    def read(self, offset: int, length: int) -> bytes | memoryview: ...

    def cut(self, size: int) -> None:
        """Drop everything after the first `size` bytes."""
        ...

    def keep(self, digest: Digest) -> None: ...

    def discard(self) -> None: ...


class Backend(Protocol):
    """Content by digest, and the links that say which repositories hold it."""

    def writer(self) -> ContentWriter: ...

    def content(self, digest: Digest) -> StoredContent | None: ...

    def remove(self, digest: Digest) -> None: ...

    def link(self, link: StoredLink) -> None: ...

    def unlink(self, kind: LinkKind, repository: str, name: str) -> None: ...

    def links(self) -> Iterator[StoredLink]:
        """Yield every link that existed when the backend was opened."""
        ...

    def sweep(self, held: set[Digest]) -> None:
        """Remove all other content: the leftovers of a killed process."""
        ...

    def close(self) -> None: ...


class _MemoryContent:
    def __init__(self, data: bytearray) -> None:
        self._data = data
        self.size: int | None = len(data)

    def read(self, offset: int, length: int) -> memoryview:
        return memoryview(self._data)[offset : offset + length]

    def close(self) -> None:
        pass


class _MemoryWriter:
    def __init__(self, contents: dict[Digest, bytearray]) -> None:
        self._contents, self._data, self.size = contents, bytearray(), 0

    def write(self, data: bytes) -> None:
        self._data += data
        self.size += len(data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])  # a view would prevent the array from growing

    def cut(self, size: int) -> None:
        del self._data[size:]
        self.size = size

    def keep(self, digest: Digest) -> None:
        self._contents.setdefault(digest, self._data)

    def discard(self) -> None:
        self._data = bytearray()


class MemoryBackend:
    """Everything is in memory and is lost when the process ends."""

    def __init__(self) -> None:
        self._contents: dict[Digest, bytearray] = {}

    def writer(self) -> ContentWriter:
        return _MemoryWriter(self._contents)

    def content(self, digest: Digest) -> StoredContent | None:
        data = self._contents.get(digest)
        return None if data is None else _MemoryContent(data)

    def remove(self, digest: Digest) -> None:
        self._contents.pop(digest, None)

    def link(self, link: StoredLink) -> None:
        pass

    def unlink(self, kind: LinkKind, repository: str, name: str) -> None:
        pass

    def links(self) -> Iterator[StoredLink]:
        return iter(())

    def sweep(self, held: set[Digest]) -> None:
        pass

    def close(self) -> None:
        pass


class _FileContent:
    def __init__(self, path: Path, size: int) -> None:
        self._path, self._file = path, -1
        self.size: int | None = size

    def read(self, offset: int, length: int) -> bytes:
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return os.pread(self._file, length, offset)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _FileWriter:
    def __init__(self, backend: FolderBackend, path: Path) -> None:
        self._backend, self._path, self.size = backend, path, 0
        self._file: IO[bytes] | None = None  # opened for the first byte: most sessions that try a mount never get one

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = self._path.open("w+b", buffering=0)
        return self._file

    def write(self, data: bytes) -> None:
        file, view = self._opened(), memoryview(data)
        while view:
            view = view[os.write(file.fileno(), view) :]
        self.size += len(data)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._opened().fileno(), length, offset)

    def cut(self, size: int) -> None:
        file = self._opened()
        file.truncate(size)
        file.seek(size)
        self.size = size

    def keep(self, digest: Digest) -> None:
        self._opened().close()
        path = self._backend.content_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path.rename(path)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


class FolderBackend:
    """A folder: `content/ALGORITHM/xx/HEX`, `repositories/NAME/{_blobs,_manifests,_tags}/…`, `incoming/`.

    Only one process at a time may open it. Raises BakeryError if another process has it open, or if the folder holds
    anything else.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming, self._repositories = root / "incoming", root / "repositories"
        root.mkdir(parents=True, exist_ok=True)
        marker = root / "bakery-registry"
        if not marker.exists() and any(root.iterdir()):
            raise BakeryError(
                "cannot open registry folder", about=root, why="it holds other files", hint="choose an empty folder"
            )
        self._lock = marker.open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise BakeryError(
                "cannot open registry folder",
                about=root,
                why="another process is serving it",
                hint="stop that process or choose another folder",
            ) from None
        if not marker.stat().st_size:
            self._lock.write(_VERSION)
            self._lock.flush()
        shutil.rmtree(self._incoming, ignore_errors=True)  # upload sessions end with the process that took them
        for folder in (self._incoming, self._repositories, root / "content"):
            folder.mkdir(exist_ok=True)

    def content_path(self, digest: Digest) -> Path:
        """Return the path of this content, whether or not it exists."""
        return self._root / "content" / digest.algorithm / digest.hex[:2] / digest.hex

    def writer(self) -> ContentWriter:
        return _FileWriter(self, self._incoming / uuid4().hex)

    def content(self, digest: Digest) -> StoredContent | None:
        path = self.content_path(digest)
        try:
            return _FileContent(path, path.stat().st_size)
        except FileNotFoundError:
            return None

    def remove(self, digest: Digest) -> None:
        self.content_path(digest).unlink(missing_ok=True)

    def _link_path(self, kind: LinkKind, repository: str, name: str) -> Path:
        return self._repositories / repository / kind.value / name

    def link(self, link: StoredLink) -> None:
        path = self._link_path(link.kind, link.repository, link.name)
        draft = self._incoming / uuid4().hex
        draft.write_text(link.text)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(path)

    def unlink(self, kind: LinkKind, repository: str, name: str) -> None:
        self._link_path(kind, repository, name).unlink(missing_ok=True)

    def links(self) -> Iterator[StoredLink]:
        for kind in LinkKind:
            for folder in sorted(self._repositories.rglob(kind.value)):
                repository = folder.parent.relative_to(self._repositories).as_posix()
                if not folder.is_dir() or "/_" in repository:
                    continue  # a tag may be named `_tags`; link folders are never nested
                for file in sorted(folder.iterdir()):
                    yield StoredLink(kind, repository, file.name, file.read_text())

    def sweep(self, held: set[Digest]) -> None:
        for file in (self._root / "content").glob("*/*/*"):
            if Digest(file.parent.parent.name, file.name) not in held:
                file.unlink()

    def close(self) -> None:
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._lock.close()
