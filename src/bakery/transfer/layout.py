"""OCI image layouts to read: a directory, or a tar of one.

Layouts are untrusted: one may contain links, pipes and devices instead of files, and a tar may name paths outside
itself. So paths are built only from validated digests, every component is opened without following links, only regular
files are read, and members of a tar are read in place and never extracted (registry.md 7, row 18). All content is
verified by digest and size. Source: OCI image-spec 1.1, image-layout.md. Synchronous: files only.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Protocol, Self

from bakery.errors import DigestMismatch, InvalidContent
from bakery.files import is_folder
from bakery.oci import canonical
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.canonical import MAX_MANIFEST_BYTES, parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index
from bakery.text import plural

CHUNK_BYTES: Final = 1024 * 1024
REF_NAME: Final = "org.opencontainers.image.ref.name"
CONTAINERD_NAME: Final = "io.containerd.image.name"
MARK_NAME: Final = "oci-layout"
INDEX_NAME: Final = "index.json"
_MAX_MARK_BYTES: Final = 4096
_MAX_MEMBERS: Final = 100_000
_MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024  # a config may be larger than a manifest


_CANNOT_OPEN: Final = "cannot open image layout"
_CANNOT_READ: Final = "cannot read image layout"


_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2"}
_EXPORT: Final = "export the image again, for example with `docker buildx build --output type=oci,dest=image.tar`"


class BadLayout(InvalidContent):
    """A directory or tar that is not a valid OCI image layout."""

    error_code = "content/layout"


class _Files(Protocol):
    """The files of a layout. Paths consist of names that Bakery chose."""

    def open(self, *path: str) -> IO[bytes] | None:
        """Open a file; None if it does not exist. Raises BadLayout if it is not a regular file."""

    def close(self) -> None: ...


class Layout:
    """A layout to read from: `with open_layout(path) as layout`."""

    def __init__(self, path: Path, files: _Files) -> None:
        self.path, self._files = path, files
        self._itself: dict[Digest, bytes] = {}  # index.json, if it is the image

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def top(self) -> Index:
        """Return index.json. rules_oci writes it without `schemaVersion`."""
        raw = self._small(INDEX_NAME, MAX_MANIFEST_BYTES)
        document = parse_object(raw, about=self._at(), limit_bytes=MAX_MANIFEST_BYTES)
        if "schemaVersion" not in document:
            raw = canonical.encode({"schemaVersion": 2, **document}, canonical.INDEX)
        found = oci.parse(raw, media_type=mt.OCI_INDEX, about=self._at())
        if not isinstance(found, Index):
            raise BadLayout(_CANNOT_READ, about=self._at(), why="it is not an index")
        return found

    def root(self, select: str = "") -> Descriptor:
        """Return the only image of the layout, or the one with this digest or name (annotation `REF_NAME`).

        Returns only type, digest and size. If index.json itself lists the platforms of one image, it is the index of
        that image. Raises BadLayout if no image or more than one matches.
        """
        listed = self.top().manifests
        fitting = [entry for entry in listed if not select or _is_named(entry, select)]
        distinct = {entry.digest: entry for entry in fitting}
        if len(distinct) > 1 and not select and all(mt.is_manifest(e.media_type) and e.platform for e in listed):
            raw = self._small(INDEX_NAME, MAX_MANIFEST_BYTES)
            itself = Descriptor.of(raw, mt.OCI_INDEX)
            self._itself[itself.digest] = raw
            return itself
        if len(distinct) != 1:
            names = ", ".join(entry.annotations.get(REF_NAME) or str(entry.digest) for entry in listed[:20])
            why = f"{len(distinct)} of its {plural(len(listed), 'image')} match {select!r}"
            raise BadLayout(
                "cannot choose an image of",
                about=self.path,
                why=why if select else f"it has {plural(len(listed), 'image')}",
                hint=f"choose one by digest or reference name: {names}" if listed else "",
            )
        return next(iter(distinct.values())).bare()

    def has(self, blob: Descriptor) -> bool:
        """Return whether content of this digest and size is there. It is not read."""
        file = self._files.open("blobs", blob.digest.algorithm, blob.digest.hex)
        if file is None:
            return False
        with file:
            return file.seek(0, os.SEEK_END) == blob.size

    def read(self, blob: Descriptor, *, withhold: bool = True) -> Iterator[bytes]:
        """Yield the content in chunks. Raises BadLayout if it is missing, DigestMismatch if digest or size are wrong.

        withhold: yield the last chunk only after the content was verified; otherwise the reader gets wrong content
        before the error.
        """
        file = self._files.open("blobs", blob.digest.algorithm, blob.digest.hex)
        if file is None:
            raise BadLayout(_CANNOT_READ, about=self.path, why=f"{blob.digest} is missing")
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
                _CANNOT_READ,
                about=self.path,
                why=f"the content of {blob.digest} has another digest, or not {blob.size} bytes",
                hint="the layout is damaged: create it again",
            )
        if size and withhold:
            # Only now: a reader that has all of it may not wait for the error.
            yield last

    def document(self, blob: Descriptor) -> bytes | None:
        """Return a manifest, index or config; None if it is missing."""
        if blob.digest in self._itself:
            return self._itself[blob.digest]
        if blob.size > _MAX_DOCUMENT_BYTES:
            why = f"it has {blob.size} bytes, more than the {_MAX_DOCUMENT_BYTES} allowed for a manifest or config"
            raise BadLayout(_CANNOT_READ, about=blob.digest, why=why)
        file = self._files.open("blobs", blob.digest.algorithm, blob.digest.hex)
        if file is None:
            return None
        file.close()
        return b"".join(self.read(blob))

    def check_mark(self) -> None:
        """Raise BadLayout unless the file `oci-layout` marks this as a layout."""
        if not self._holds(MARK_NAME) and self._holds("manifest.json"):
            self._refuse_other_format()
        mark = parse_object(self._small(MARK_NAME, _MAX_MARK_BYTES), about=self._at(MARK_NAME))
        if not str(mark.get("imageLayoutVersion", "")).startswith("1."):
            raise BadLayout(_CANNOT_OPEN, about=self.path, why="its oci-layout does not name version 1")

    def _holds(self, name: str) -> bool:
        file = self._files.open(name)
        if file is not None:
            file.close()
        return file is not None

    def _refuse_other_format(self) -> None:
        """Raise BadLayout for the other formats of images that tools write, with how to convert them."""
        is_dir = is_folder(self.path)
        why = "it is skopeo's folder (dir:), not a layout" if is_dir else "it is a Docker archive, not a layout"
        old = f"{'dir' if is_dir else 'docker-archive'}:{self.path.name}"
        hint = f"convert it with `skopeo copy {old} oci-archive:image.tar`, or have it written as type=oci"
        raise BadLayout(_CANNOT_OPEN, about=self.path, why=why, hint=hint)

    def _small(self, name: str, limit_bytes: int) -> bytes:
        file = self._files.open(name)
        if file is None:
            raise BadLayout(_CANNOT_OPEN, about=self.path, why=f"it has no {name}")
        with file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise BadLayout(_CANNOT_OPEN, about=self.path, why=f"{name} is larger than {limit_bytes} bytes")
        return content

    def _at(self, name: str = INDEX_NAME) -> str:
        return f"{self.path}/{name}"


def _is_named(entry: Descriptor, select: str) -> bool:
    """Return whether this is the digest of an entry, its name, or the tag in its name."""
    names = [entry.annotations.get(key, "") for key in (REF_NAME, CONTAINERD_NAME)]
    return select == str(entry.digest) or any(name == select or name.endswith(f":{select}") for name in names if name)


def open_layout(path: Path) -> Layout:
    """Open the layout in a directory or tar. Raises BadLayout if it is not one."""
    try:
        # NONBLOCK: opening a pipe without a writer must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadLayout(_CANNOT_OPEN, about=path, why=error.strerror or str(error)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise BadLayout(_CANNOT_OPEN, about=path, why="it is neither a directory nor a file")
        files: _Files = _Folder(path, descriptor) if stat.S_ISDIR(mode) else _Archive(path, descriptor)
        layout = Layout(path, files)
        layout.check_mark()
    except BaseException:
        os.close(descriptor)
        raise
    return layout


class _Folder:
    """A directory. Every component below it is opened without following links."""

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
            raise self._bad(path, f"it is not a regular file ({error.strerror})") from error
        finally:
            for descriptor in opened:
                os.close(descriptor)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise self._bad(path, "it is not a regular file")
        return open(file, "rb", buffering=0)  # noqa: PTH123  # a descriptor, not a path

    def close(self) -> None:
        os.close(self._descriptor)

    def _bad(self, path: tuple[str, ...], why: str) -> BadLayout:
        return BadLayout(_CANNOT_READ, about=self._path.joinpath(*path), why=why)


class _Part(io.RawIOBase):
    """A member of a tar, read in place. Several may be open at once, since each read names its position."""

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
        view = memoryview(buffer)  # type: ignore[arg-type]  # typed wider than what io passes
        wanted = max(0, min(len(view), self._size - self._at))
        chunk = os.pread(self._descriptor, wanted, self._start + self._at)
        view[: len(chunk)] = chunk
        self._at += len(chunk)
        return len(chunk)


class _Archive:
    """A tar. Its members are listed once; links are refused, wherever they point."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._members: dict[str, tuple[int, int]] = {}
        self._refused: dict[str, str] = {}
        count, size = 0, os.fstat(descriptor).st_size
        if size == 0:
            raise BadLayout(_CANNOT_OPEN, about=path, why="it is empty", hint=_EXPORT)
        try:
            with (
                io.BufferedReader(_Part(descriptor, 0, size)) as file,
                tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive,
            ):
                while (member := archive.next()) is not None:
                    count += 1
                    if count > _MAX_MEMBERS:
                        raise self._bad(f"it has more than {_MAX_MEMBERS} members")
                    self._add(member)
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError):
            start = os.pread(descriptor, 8, 0)
            method = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), "")
            if method:
                why, hint = f"it is compressed with {method}", "decompress it first"
            else:
                why, hint = "it is not a tar" if count == 0 else "it is damaged, or its end is missing", _EXPORT
            raise BadLayout(_CANNOT_OPEN, about=path, why=why, hint=hint) from None

    def open(self, *path: str) -> IO[bytes] | None:
        name = "/".join(path)
        if name in self._refused:
            raise self._bad(f"its member {name} {self._refused[name]}")
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
            self._refused[name] = "is not a regular file"
        elif name in self._members:
            self._refused[name] = "occurs twice"
        else:
            self._members[name] = member.offset_data, member.size

    def _bad(self, why: str) -> BadLayout:
        return BadLayout(_CANNOT_READ, about=self._path, why=why)
