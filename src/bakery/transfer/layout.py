"""OCI image layouts as source and destination: a directory, or a tar of one. Content by digest, and what is at the top.

A layout comes from somebody else: it may hold links, pipes and devices in the place of files, and a tar may name paths
outside itself. So paths are built from validated digests alone, every component is opened without following links, only
regular files are read, and members of a tar are read where they lie and never extracted (registry.md 7, row 18).
All content is checked against digest and size. Source: OCI image-spec 1.1, image-layout.md. Synchronous: files only.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Protocol, Self

from bakery.errors import DigestMismatch, InvalidContent, UsageError
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.canonical import MAX_MANIFEST_BYTES, parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import Index

CHUNK_BYTES: Final = 1024 * 1024
REF_NAME: Final = "org.opencontainers.image.ref.name"
_MARK: Final = b'{"imageLayoutVersion":"1.0.0"}'
_MARK_NAME: Final = "oci-layout"
_INDEX_NAME: Final = "index.json"
_MAX_MARK_BYTES: Final = 4096
_MAX_MEMBERS: Final = 100_000
_MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024  # a config may be larger than a manifest


class BadLayout(InvalidContent):
    """A folder or tar that is no OCI image layout, or one that tries to lead outside itself."""


class _Files(Protocol):
    """Where the files of a layout are. Paths are made of names that we chose."""

    def open(self, *path: str) -> IO[bytes] | None:
        """The file, or None where there is none. Raises BadLayout for what is no regular file."""

    def close(self) -> None: ...


class Layout:
    """A layout to read from: `with open_layout(path) as layout`."""

    def __init__(self, path: Path, files: _Files) -> None:
        self.path, self._files = path, files
        self._itself: dict[Digest, bytes] = {}  # index.json, where it is the image

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def top(self) -> Index:
        """What index.json lists."""
        found = oci.parse(self._small(_INDEX_NAME, MAX_MANIFEST_BYTES), media_type=mt.OCI_INDEX, about=self._at())
        if not isinstance(found, Index):
            raise BadLayout("reading an image layout", about=self._at(), why="it is no index")
        return found

    def root(self, select: str = "") -> Descriptor:
        """The one image of the layout, or that with this digest or name (annotation org.opencontainers.image.ref.name).

        Only type, digest and size count. Where index.json itself lists the platforms of one image, it is that image's
        index. Raises BadLayout where no image or more than one fits.
        """
        listed = self.top().manifests
        fitting = [
            entry
            for entry in listed
            if not select or select in (str(entry.digest), entry.annotations.get(REF_NAME, entry.digest.hex))
        ]
        distinct = {entry.digest: entry for entry in fitting}
        if len(distinct) > 1 and not select and all(mt.is_manifest(e.media_type) and e.platform for e in listed):
            raw = self._small(_INDEX_NAME, MAX_MANIFEST_BYTES)
            itself = Descriptor.of(raw, mt.OCI_INDEX)
            self._itself[itself.digest] = raw
            return itself
        if len(distinct) != 1:
            names = ", ".join(entry.annotations.get(REF_NAME) or str(entry.digest) for entry in listed[:20])
            raise BadLayout(
                "choosing an image",
                about=self.path,
                why=f"{len(distinct)} of its {len(listed)} images fit {select or 'without a choice'}",
                hint=f"name one by digest or reference name: {names}" if listed else "the layout is empty",
            )
        return next(iter(distinct.values())).bare()

    def has(self, blob: Descriptor) -> bool:
        """Whether content of this digest and size is there; it is not read."""
        file = self._files.open("blobs", blob.digest.algorithm, blob.digest.hex)
        if file is None:
            return False
        with file:
            return file.seek(0, os.SEEK_END) == blob.size

    def read(self, blob: Descriptor, *, withhold: bool = True) -> Iterator[bytes]:
        """The content in chunks. Ends without error only where digest and size are right.

        withhold: give the last chunk only after that; without it a reader sees what is wrong before it is told.
        Raises BadLayout where it is not there, DigestMismatch where it is something else.
        """
        file = self._files.open("blobs", blob.digest.algorithm, blob.digest.hex)
        if file is None:
            raise BadLayout("reading an image layout", about=self.path, why=f"it does not hold {blob.digest}")
        hasher, size = blob.digest.hasher(), 0
        with file:
            while chunk := file.read(CHUNK_BYTES):
                size += len(chunk)
                hasher.update(chunk)
                if size > blob.size:
                    break
                if size < blob.size or not withhold:
                    yield chunk
                else:
                    last = chunk
        if size != blob.size or hasher.hexdigest() != blob.digest.hex:
            raise DigestMismatch(
                "reading an image layout",
                about=self.path,
                why=f"what it holds as {blob.digest} is something else, or not {blob.size} bytes long",
                hint="the layout is damaged: write it again",
            )
        if size and withhold:
            # The last chunk only now: a reader that had it all would not wait to hear that it was wrong.
            yield last

    def document(self, blob: Descriptor) -> bytes | None:
        """A manifest, index or config as a whole; None where it is not there."""
        if blob.digest in self._itself:
            return self._itself[blob.digest]
        if blob.size > _MAX_DOCUMENT_BYTES:
            raise BadLayout("reading an image layout", about=blob.digest, why=f"{blob.size} bytes are no manifest")
        file = self._files.open("blobs", blob.digest.algorithm, blob.digest.hex)
        if file is None:
            return None
        file.close()
        return b"".join(self.read(blob))

    def check_mark(self) -> None:
        """Raises BadLayout where the file `oci-layout` does not say that this is one."""
        mark = parse_object(self._small(_MARK_NAME, _MAX_MARK_BYTES), about=self._at(_MARK_NAME))
        if not str(mark.get("imageLayoutVersion", "")).startswith("1."):
            raise BadLayout("opening an image layout", about=self.path, why="its oci-layout names no version 1")

    def _small(self, name: str, limit_bytes: int) -> bytes:
        file = self._files.open(name)
        if file is None:
            raise BadLayout(
                "opening an image layout",
                about=self.path,
                why=f"there is no {name}",
            )
        with file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise BadLayout("opening an image layout", about=self.path, why=f"{name} is larger than {limit_bytes}")
        return content

    def _at(self, name: str = _INDEX_NAME) -> str:
        return f"{self.path}/{name}"


def open_layout(path: Path) -> Layout:
    """The layout in this folder or tar. Raises BadLayout where there is none."""
    try:
        # NONBLOCK: a pipe without writer must not hold us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadLayout("opening an image layout", about=path, why=error.strerror or str(error)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise BadLayout("opening an image layout", about=path, why="it is neither a folder nor a file")
        files: _Files = _Folder(path, descriptor) if stat.S_ISDIR(mode) else _Archive(path, descriptor)
        layout = Layout(path, files)
        layout.check_mark()
    except BaseException:
        os.close(descriptor)
        raise
    return layout


class _Folder:
    """A folder, every component below it opened without following links."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def open(self, *path: str) -> IO[bytes] | None:
        at = self._descriptor
        opened: list[int] = []
        try:
            for name in path[:-1]:
                at = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                opened.append(at)
            file = os.open(path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise self._refuse(path, f"it cannot be opened as a plain file ({error.strerror})") from error
        finally:
            for descriptor in opened:
                os.close(descriptor)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise self._refuse(path, "it is no regular file")
        return open(file, "rb", buffering=0)  # noqa: PTH123  # a descriptor, not a path

    def close(self) -> None:
        os.close(self._descriptor)

    def _refuse(self, path: tuple[str, ...], answer: str) -> BadLayout:
        return BadLayout("reading an image layout", about=self._path.joinpath(*path), why=answer)


class _Part(io.RawIOBase):
    """A member of a tar, read where it lies. Several may be open at once: reads name their position."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size, self._at = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # io's annotation is wider than what it passes
        wanted = max(0, min(len(view), self._size - self._at))
        chunk = os.pread(self._descriptor, wanted, self._start + self._at)
        view[: len(chunk)] = chunk
        self._at += len(chunk)
        return len(chunk)


class _Archive:
    """A tar, its members found once. Links are no members of a layout, wherever they point."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._members: dict[str, tuple[int, int]] = {}
        self._refused: dict[str, str] = {}
        count = 0
        try:
            size = os.fstat(descriptor).st_size
            with (
                io.BufferedReader(_Part(descriptor, 0, size)) as file,
                tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive,
            ):
                while (member := archive.next()) is not None:
                    count += 1
                    if count > _MAX_MEMBERS:
                        raise self._refuse(f"more than {_MAX_MEMBERS} members")
                    self._add(member)
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
            hint = "a compressed layout must be unpacked first" if isinstance(error, tarfile.ReadError) else ""
            raise BadLayout("opening an image layout", about=path, why=f"it is no tar: {error}", hint=hint) from None

    def open(self, *path: str) -> IO[bytes] | None:
        name = "/".join(path)
        if name in self._refused:
            raise self._refuse(f"its member {name} {self._refused[name]}")
        found = self._members.get(name)
        if found is None:
            return None
        return io.BufferedReader(_Part(self._descriptor, *found), CHUNK_BYTES)

    def close(self) -> None:
        os.close(self._descriptor)

    def _add(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        if member.isdir():
            return
        if not member.isreg() or member.issparse():
            self._refused[name] = "is no regular file"
        elif name in self._members:
            self._refused[name] = "occurs twice"
        else:
            self._members[name] = member.offset_data, member.size

    def _refuse(self, answer: str) -> BadLayout:
        return BadLayout("reading an image layout", about=self._path, why=answer)


class LayoutWriter:
    """A layout being written: nothing is at its place before `commit`. `with LayoutWriter(path) as writer`

    A path that ends in `.tar` becomes a tar, any other a folder. A folder that is a layout already gets the content
    added and its index.json replaced at the end, so that a second run finds what the first one left; a folder that is
    something else is refused. Several threads may write different content at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._merging = path.is_dir() and any(path.iterdir())
        compressed = path.suffix in (".gz", ".tgz", ".zst", ".bz2", ".xz")
        if not path.is_dir() and (compressed or (path.exists() and path.suffix != ".tar")):
            raise UsageError("writing an image layout", about=path, hint="name a folder, or a file ending in .tar")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._merging:
            with open_layout(path) as present:
                present.top()
            self._stage = path
        else:
            # Beside its place, so that the last step is a rename; mkdir obeys the umask, mkdtemp would not.
            self._stage = path.parent / f".{path.name}.{secrets.token_hex(6)}"
            self._stage.mkdir()
        self._descriptor = os.open(self._stage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if not self._merging:
            shutil.rmtree(self._stage, ignore_errors=True)

    def write(self, blob: Descriptor, chunks: Iterable[bytes]) -> None:
        """Store content that whoever gives it has checked. An error that the chunks raise leaves nothing behind."""
        self._put(("blobs", blob.digest.algorithm), blob.digest.hex, chunks)

    def commit(self, root: Descriptor) -> None:
        """Everything is written: make `root` the one image of the layout, and the layout appear."""
        self._put((), _MARK_NAME, [_MARK])
        self._put((), _INDEX_NAME, [encode_index([root.bare()]).raw])
        if self._merging:
            return
        if self._path.suffix == ".tar" and not self._path.is_dir():
            self._pack()
        else:
            self._stage.rename(self._path)

    def _pack(self) -> None:
        packed = self._stage.with_name(f"{self._stage.name}.tar")
        try:
            with tarfile.open(packed, "x", format=tarfile.USTAR_FORMAT) as archive:
                for file in sorted(self._stage.rglob("*")):
                    member = archive.gettarinfo(file, str(file.relative_to(self._stage)))
                    # The same content gives the same tar, whoever packs it and when.
                    member.uid = member.gid = member.mtime = 0
                    member.uname = member.gname = ""
                    member.mode = 0o755 if member.isdir() else 0o644
                    if member.isdir():
                        archive.addfile(member)
                    else:
                        with file.open("rb") as content:
                            archive.addfile(member, content)
            packed.replace(self._path)
        finally:
            packed.unlink(missing_ok=True)

    def _put(self, folders: tuple[str, ...], name: str, chunks: Iterable[bytes]) -> None:
        at, opened = self._descriptor, list[int]()
        partial = f".{name}.{secrets.token_hex(6)}"
        try:
            for folder in folders:
                with contextlib.suppress(FileExistsError):  # another thread, or the layout that we add to
                    os.mkdir(folder, dir_fd=at)
                at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                opened.append(at)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with open(os.open(partial, flags, 0o666, dir_fd=at), "wb") as file:  # noqa: PTH123  # a descriptor, not a path
                    for chunk in chunks:
                        file.write(chunk)
                os.rename(partial, name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                os.unlink(partial, dir_fd=at)
                raise
        except OSError as error:
            raise BadLayout("writing an image layout", about=self._path, why=error.strerror or str(error)) from error
        finally:
            for descriptor in opened:
                os.close(descriptor)
