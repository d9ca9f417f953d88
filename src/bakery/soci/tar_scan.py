"""Finding the files of a tar archive that comes in pieces. Reads headers, passes over data, keeps nothing but the list.

Follows soci.md, "files": what Go's archive/tar reads, with the differences that are named there. Headers that repeat
each other's fields are the rule (owner, mode, time), so parsed fields are remembered: 60,000 small files in a second.
"""

from __future__ import annotations

from typing import Final

from bakery.soci.checkpoint import Gauge
from bakery.soci.failure import LayerLimit
from bakery.soci.tar_header import (
    BLOCK,
    XATTR_PREFIX,
    ZERO_BLOCK,
    BadHeader,
    check_times,
    checksum_fits,
    is_sparse,
    number,
    parse_decimal,
    parse_records,
    parse_time,
    text,
    time_text,
)
from bakery.soci.ztoc import FileTable

_DIRECTORY: Final = 0x35
_KINDS: Final = {
    0x00: b"reg",
    0x30: b"reg",
    0x31: b"hardlink",
    0x32: b"symlink",
    0x33: b"char",
    0x34: b"block",
    0x35: b"dir",
    0x36: b"fifo",
}
_WITH_DATA: Final = frozenset({0x00, 0x30})
_PAX: Final = 0x78  # x
_GLOBAL: Final = 0x67  # g
_LONG_NAME: Final = 0x4C  # L
_LONG_LINK: Final = 0x4B  # K
_OPAQUE: Final = b".wh..wh..opq"
_MAX_REMEMBERED: Final = 8192
_COMPRESSED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")
_V7, _USTAR, _GNU = range(3)

_Owner = tuple[int, bytes, bytes, int, int]  # format, uname, gname, device numbers


class TarScanner:
    """Feed it the uncompressed bytes; then `files` lists what is in them. Errors name the layer and the position."""

    def __init__(self, gauge: Gauge) -> None:
        self.files = FileTable()
        self.has_xattrs = False  # an entry with extended attributes, or an opaque whiteout
        self._gauge = gauge
        self._limits = gauge.limits
        self._position = 0  # bytes seen
        self._next = 0  # where the next header begins
        self._data_end = 0  # before this the stream must not end
        self._partial = b""
        self._collected: bytearray | None = None  # content of an extended header
        self._collecting = 0  # its type
        self._missing = 0  # bytes of it still to come
        self._zero_seen = False
        self._end: int | None = None  # where the archive ends, once it has
        self._records: dict[bytes, bytes] | None = None
        self._long_name = self._long_link = b""
        self._headers = 0  # extended headers since the last entry
        self._numbers: dict[bytes, int] = {}
        self._times: dict[bytes, bytes] = {}
        self._owners: dict[bytes, _Owner] = {}

    @property
    def archive_size(self) -> int:
        """After `finish()`: the position after the end mark, or of the end of the stream."""
        return self._position if self._end is None else self._end

    def feed(self, view: memoryview) -> None:
        """The next bytes. They are not kept."""
        base = self._position
        self._position = end = base + len(view)
        while self._end is None:
            if self._collected is not None:
                start = self._data_end - self._missing - base
                taken = view[start : start + self._missing]
                self._collected += taken
                self._missing -= len(taken)
                if self._missing:
                    return
                self._extended(bytes(self._collected))
                self._collected = None
            if self._next >= end:
                return
            if self._partial:
                block = self._partial + bytes(view[: BLOCK - len(self._partial)])
            else:
                at = self._next - base
                block = bytes(view[at : at + BLOCK])
            if len(block) < BLOCK:
                self._partial = block
                return
            self._partial = b""
            self._next += BLOCK
            try:
                self._header(block)
            except BadHeader:
                raise self._bad_header(block) from None

    def finish(self) -> None:
        """The stream has ended. Raises LayerDamaged where it ends inside a header or a file's data."""
        if self._end is not None:
            return
        if self._partial or self._position < self._data_end:
            if not self.files.count and self._partial.startswith(_COMPRESSED):
                raise self._gauge.unsupported("its media type says plain tar, but it is compressed")
            raise self._gauge.damaged(f"the tar archive is cut off after {self._position} bytes")

    def _bad_header(self, block: bytes) -> Exception:
        position = self._next - BLOCK
        if position == 0 and block.startswith(_COMPRESSED):
            return self._gauge.unsupported("where a tar archive should begin there is more compressed data")
        return self._gauge.damaged(f"the tar header at byte {position} is invalid")

    def _header(self, block: bytes) -> None:
        if block == ZERO_BLOCK:
            if self._zero_seen:
                self._end = self._next
            self._zero_seen = True
            return
        if self._zero_seen or not checksum_fits(block):
            raise BadHeader
        numbers = self._numbers.get
        owner = self._owners.get(block[257:345]) or self._owner(block[257:345])
        layout, uname, gname, devmajor, devminor = owner
        raw_mode, raw_uid, raw_gid, raw_size = block[100:108], block[108:116], block[116:124], block[124:136]
        mode, uid, gid, size = numbers(raw_mode), numbers(raw_uid), numbers(raw_gid), numbers(raw_size)
        if mode is None:
            mode = self._number(raw_mode)
        if uid is None:
            uid = self._number(raw_uid)
        if gid is None:
            gid = self._number(raw_gid)
        if size is None:
            size = self._number(raw_size)
        raw_time = block[136:148]
        mod_time = self._times.get(raw_time)
        if mod_time is None:
            mod_time = self._time(raw_time)
        kind = block[156]
        end = block.find(0, 0, 100)
        name = block[:100] if end < 0 else block[:end]
        linkname = text(block[157:257]) if block[157] else b""
        if layout != _V7:
            prefix = self._prefix(block, layout) if block[345] or layout != _USTAR else b""
            if prefix:
                name = prefix + b"/" + name
        if size < 0 and (kind not in _KINDS or kind in _WITH_DATA):
            raise BadHeader
        if kind not in _KINDS:
            self._special(kind, size)
            return
        records = self._records
        if records:
            check_times(records)
            name = records.get(b"path") or name
            linkname = records.get(b"linkpath") or linkname
            uname = records.get(b"uname") or uname
            gname = records.get(b"gname") or gname
            uid, gid = _override(records, b"uid", uid), _override(records, b"gid", gid)
            size = _override(records, b"size", size)
            if records.get(b"mtime"):
                mod_time = time_text(*parse_time(records[b"mtime"]))
            if is_sparse(records):
                raise self._gauge.unsupported(f"the file {_shown(name)} is sparse")
            if not self.has_xattrs:
                self.has_xattrs = any(key.startswith(XATTR_PREFIX) for key in records)
        if self._headers:
            name, linkname = self._long_name or name, self._long_link or linkname
            self._records, self._long_name, self._long_link, self._headers = None, b"", b"", 0
        if kind == 0 and name.endswith(b"/"):
            kind = _DIRECTORY
        offset = self._next
        if kind in _WITH_DATA:
            if size < 0:
                raise BadHeader
            if size:
                self._data_end = offset + size
                self._next = offset + (size + BLOCK - 1) // BLOCK * BLOCK
        else:
            size = 0  # whatever the header says: no data follows, and a reader counts on that
        if name.endswith(_OPAQUE):
            self.has_xattrs = True
        files = self.files
        files.add(
            name,
            _KINDS[kind],
            offset,
            size,
            linkname,
            mode,
            uid & 0xFFFFFFFF,
            gid & 0xFFFFFFFF,
            uname,
            gname,
            mod_time,
            devmajor,
            devminor,
            records,
        )
        if files.count > self._limits.entries:
            raise self._limit(f"it has more than {self._limits.entries} entries", "entries")
        if not files.count & 0xFF:
            self._check_size()

    def _special(self, kind: int, size: int) -> None:
        """An entry that describes the next one, or one that a ztoc has no word for."""
        if kind not in (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
            raise self._gauge.unsupported(f"there is a tar entry of type {chr(kind)!r} at byte {self._next - BLOCK}")
        self._headers += 1
        if self._headers > self._limits.headers:
            raise self._limit(f"more than {self._limits.headers} extended headers stand before one entry", "headers")
        if kind != _GLOBAL:
            if size > self._limits.header:
                raise self._limit(f"an extended header has more than {self._limits.header} bytes", "header")
            self._collected, self._collecting, self._missing = bytearray(), kind, size
        self._data_end = self._next + size
        self._next += (size + BLOCK - 1) // BLOCK * BLOCK

    def _extended(self, data: bytes) -> None:
        if self._collecting == _PAX:
            try:
                self._records = parse_records(data)
            except BadHeader:
                raise self._gauge.damaged(
                    f"the extended tar header before byte {self._data_end} has malformed records"
                ) from None
        elif self._collecting == _LONG_NAME:
            self._long_name = text(data)
        else:
            self._long_link = text(data)
        self._check_size()

    def _check_size(self) -> None:
        if self.files.size > self._limits.toc:
            raise self._limit(f"the names and records of its files take more than {self._limits.toc} bytes", "toc")

    def _limit(self, answer: str, limit: str) -> LayerLimit:
        return LayerLimit(
            "indexing", about=self._gauge.about, answer=answer, hint=f"if it is meant to be so, raise the limit {limit}"
        )

    def _number(self, field: bytes) -> int:
        if len(self._numbers) >= _MAX_REMEMBERED:
            self._numbers.clear()
        value = self._numbers[field] = number(field)
        return value

    def _time(self, field: bytes) -> bytes:
        if len(self._times) >= _MAX_REMEMBERED:
            self._times.clear()
        value = self._times[field] = time_text(number(field), 0)
        return value

    def _owner(self, field: bytes) -> _Owner:
        """The header from its magic to its device numbers."""
        if field.startswith(b"ustar\0"):
            layout = _USTAR
        elif field.startswith(b"ustar  \0"):
            layout = _GNU
        else:
            layout = _V7
        value: _Owner = (_V7, b"", b"", 0, 0)
        if layout != _V7:
            value = (layout, text(field[8:40]), text(field[40:72]), number(field[72:80]), number(field[80:88]))
        if len(self._owners) >= _MAX_REMEMBERED:
            self._owners.clear()
        self._owners[field] = value
        return value

    def _prefix(self, block: bytes, layout: int) -> bytes:
        """What stands before the name."""
        if layout == _USTAR and block[508:] != b"tar\0":
            return text(block[345:500])
        if layout == _USTAR:  # star's variant: two times behind a shorter prefix
            number(block[476:488])
            number(block[488:500])
            return text(block[345:476])
        try:
            for start in (345, 357):
                if block[start]:
                    number(block[start : start + 12])
        except BadHeader:
            # Go's own writer once put a prefix where GNU has times; its reader takes it for one where it is ASCII.
            found = text(block[345:500])
            return found if found.isascii() else b""
        return b""


def _override(records: dict[bytes, bytes], key: bytes, value: int) -> int:
    found = records.get(key)
    return parse_decimal(found) if found else value


def _shown(name: bytes) -> str:
    return repr(name[:200].decode("utf-8", "backslashreplace"))
