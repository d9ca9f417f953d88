"""Where bytes lie: in memory, or in a folder that outlives the process. Knows digests and links, no registry rules.

A link says that a repository holds some content under a name: a blob, a manifest, a tag. In a folder every change is
one rename or one unlink, so `kill -9` at any moment leaves a sound store: content first, then the link to it. Nothing
is synced to disk: what a crash of the whole machine leaves is not promised.
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
from bakery.rehearsal.answers import Content

_VERSION: Final = "bakery registry folder, version 1\n"


class Kind(StrEnum):
    """What a link is for. The values are folder names; no repository component begins with an underscore."""

    BLOB = "_blobs"
    MANIFEST = "_manifests"
    TAG = "_tags"


class Link(Struct, frozen=True):
    """One name in one repository. name: a digest or a tag. text: what the link says; storage.py writes it."""

    kind: Kind
    repository: str
    name: str
    text: str


class Incoming(Protocol):
    """Content on its way in. It becomes visible by `keep` and not before."""

    size: int

    def write(self, data: bytes) -> None: ...

    def read(self, offset: int, length: int) -> bytes | memoryview: ...

    def cut(self, size: int) -> None:
        """Forget what was written after the first `size` bytes."""
        ...

    def keep(self, digest: Digest) -> None: ...

    def discard(self) -> None: ...


class Shelf(Protocol):
    """Content by digest, and the links that say who holds it."""

    def incoming(self) -> Incoming: ...

    def content(self, digest: Digest) -> Content | None: ...

    def remove(self, digest: Digest) -> None: ...

    def link(self, link: Link) -> None: ...

    def unlink(self, kind: Kind, repository: str, name: str) -> None: ...

    def links(self) -> Iterator[Link]:
        """Every link that was there at the start."""
        ...

    def sweep(self, held: set[Digest]) -> None:
        """Remove content that is none of these: what a killed process left behind."""
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


class _MemoryIncoming:
    def __init__(self, shelf: dict[Digest, bytearray]) -> None:
        self._shelf, self._data, self.size = shelf, bytearray(), 0

    def write(self, data: bytes) -> None:
        self._data += data
        self.size += len(data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])  # a view would forbid the array to grow

    def cut(self, size: int) -> None:
        del self._data[size:]
        self.size = size

    def keep(self, digest: Digest) -> None:
        self._shelf.setdefault(digest, self._data)

    def discard(self) -> None:
        self._data = bytearray()


class MemoryShelf:
    """Everything is in memory and gone with the process."""

    def __init__(self) -> None:
        self._contents: dict[Digest, bytearray] = {}

    def incoming(self) -> Incoming:
        return _MemoryIncoming(self._contents)

    def content(self, digest: Digest) -> Content | None:
        data = self._contents.get(digest)
        return None if data is None else _MemoryContent(data)

    def remove(self, digest: Digest) -> None:
        self._contents.pop(digest, None)

    def link(self, link: Link) -> None:
        pass

    def unlink(self, kind: Kind, repository: str, name: str) -> None:
        pass

    def links(self) -> Iterator[Link]:
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


class _FileIncoming:
    def __init__(self, shelf: FolderShelf, path: Path) -> None:
        self._shelf, self._path, self.size = shelf, path, 0
        self._file: IO[bytes] | None = None  # opened by the first byte: most upload sessions of a mount never get one

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
        place = self._shelf.place(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        self._path.rename(place)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


class FolderShelf:
    """A folder: `content/ALGORITHM/xx/HEX`, `repositories/NAME/{_blobs,_manifests,_tags}/…`, `incoming/`.

    One process at a time may have it open. Raises BakeryError where another has, or where it is no folder of ours.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming, self._repositories = root / "incoming", root / "repositories"
        root.mkdir(parents=True, exist_ok=True)
        mark = root / "bakery-registry"
        if not mark.exists() and any(root.iterdir()):
            raise BakeryError(
                "opening a registry folder",
                about=root,
                why="it holds something else",
                hint="name an empty or a new folder",
            )
        self._lock = mark.open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise BakeryError(
                "opening a registry folder",
                about=root,
                why="another process serves it",
                hint="stop that one or name another folder",
            ) from None
        if not mark.stat().st_size:
            self._lock.write(_VERSION)
            self._lock.flush()
        shutil.rmtree(self._incoming, ignore_errors=True)  # uploads do not outlive the process that took them
        for folder in (self._incoming, self._repositories, root / "content"):
            folder.mkdir(exist_ok=True)

    def place(self, digest: Digest) -> Path:
        """Where this content lies, or would."""
        return self._root / "content" / digest.algorithm / digest.hex[:2] / digest.hex

    def incoming(self) -> Incoming:
        return _FileIncoming(self, self._incoming / uuid4().hex)

    def content(self, digest: Digest) -> Content | None:
        place = self.place(digest)
        try:
            return _FileContent(place, place.stat().st_size)
        except FileNotFoundError:
            return None

    def remove(self, digest: Digest) -> None:
        self.place(digest).unlink(missing_ok=True)

    def _link_path(self, kind: Kind, repository: str, name: str) -> Path:
        return self._repositories / repository / kind.value / name

    def link(self, link: Link) -> None:
        place = self._link_path(link.kind, link.repository, link.name)
        draft = self._incoming / uuid4().hex
        draft.write_text(link.text)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(place)

    def unlink(self, kind: Kind, repository: str, name: str) -> None:
        self._link_path(kind, repository, name).unlink(missing_ok=True)

    def links(self) -> Iterator[Link]:
        for kind in Kind:
            for folder in sorted(self._repositories.rglob(kind.value)):
                repository = folder.parent.relative_to(self._repositories).as_posix()
                if not folder.is_dir() or "/_" in repository:
                    continue  # a tag may be called `_tags`; a folder of ours never lies in another
                for file in sorted(folder.iterdir()):
                    yield Link(kind, repository, file.name, file.read_text())

    def sweep(self, held: set[Digest]) -> None:
        for file in (self._root / "content").glob("*/*/*"):
            if Digest(file.parent.parent.name, file.name) not in held:
                file.unlink()

    def close(self) -> None:
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._lock.close()
