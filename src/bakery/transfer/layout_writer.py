"""Writing OCI image layouts: a directory, or a tar of one. Source: OCI image-spec 1.1, image-layout.md."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from bakery.errors import UsageError
from bakery.oci.descriptor import Descriptor
from bakery.oci.index import encode_index
from bakery.transfer.layout import INDEX_NAME, MARK_NAME, BadLayout, open_layout

_MARK: Final = b'{"imageLayoutVersion":"1.0.0"}'
_CANNOT_WRITE: Final = "cannot write image layout"


class LayoutWriter:
    """Writes a layout; nothing appears at `path` before `commit`. Use it as a context manager.

    A path that ends in `.tar` becomes a tar, any other a directory. If it is a layout already, content is added and its
    index.json is replaced at the end, so that a second run finds what the first one wrote; a directory that is not a
    layout is refused. Several threads may write different content at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._merging = path.is_dir() and any(path.iterdir())
        compressed = path.suffix in (".gz", ".tgz", ".zst", ".bz2", ".xz")
        if not path.is_dir() and (compressed or (path.exists() and path.suffix != ".tar")):
            why = "expected a directory, or a file name that ends in .tar"
            raise UsageError(_CANNOT_WRITE, about=path, why=why)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._merging:
            with open_layout(path) as present:
                present.top()
            self._stage = path
        else:
            # In the same directory, so that the last step is a rename; mkdir obeys the umask, mkdtemp would not.
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
        """Store content that is already verified. If the chunks raise an error, nothing is stored."""
        self._put(("blobs", blob.digest.algorithm), blob.digest.hex, chunks)

    def commit(self, root: Descriptor) -> None:
        """Make `root` the only image of the layout, and the layout appear at its path."""
        self._put((), MARK_NAME, [_MARK])
        self._put((), INDEX_NAME, [encode_index([root.bare()]).raw])
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
                    # The same content gives the same tar, whatever the user and the time.
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
                with contextlib.suppress(FileExistsError):  # by another thread, or of an existing layout
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
            raise BadLayout(_CANNOT_WRITE, about=self._path, why=error.strerror or str(error)) from error
        finally:
            for descriptor in opened:
                os.close(descriptor)
