"""Find the files in a tar archive that arrives in chunks. Reads headers, skips data, and keeps only the list of files.

Follows soci.md, "files": what Go's archive/tar reads, except for the differences named there. Most headers differ only
in name, size, time and checksum; the rest is parsed and laid out for the ztoc once, and cached.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import adler32

from bakery.soci.checkpoint import LayerGuard
from bakery.soci.file_table import Common, FileTable, flat_text, lay_out
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
_MAX_CACHED: Final = 8192
_MAX_FACTS: Final = 2048  # each keeps half a kilobyte of raw header
_COMPRESSED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")
_USTAR: Final = b"ustar\0"
_GNU: Final = b"ustar  \0"

# name; mode, uid and gid; size; time; checksum; everything from the type on
_HEADER = struct.Struct("100s24s12s12s8s356s")


class _Facts(NamedTuple):
    """The contents of a header except name, size and time. common: the same, laid out, if it describes a file."""

    kind: int
    prefix: bytes
    linkname: bytes
    mode: int
    uid: int
    gid: int
    uname: bytes
    gname: bytes
    devmajor: int
    devminor: int
    common: Common = Common(b"", b"")


def _laid_out(facts: _Facts) -> _Facts:
    kind, _, linkname, mode, uid, gid, uname, gname, devmajor, devminor, _ = facts
    common = lay_out(_KINDS[kind], linkname, mode, uid, gid, uname, gname, devmajor, devminor)
    return facts._replace(common=common)


class TarScanner:
    """Takes the uncompressed bytes and lists the files in `files`. Errors name the layer and the position."""

    def __init__(self, guard: LayerGuard) -> None:
        self.files = FileTable()
        self.has_xattrs = False  # an entry with extended attributes, or an opaque whiteout
        self._guard = guard
        self._limits = guard.limits
        self._position = 0  # bytes so far
        self._next = 0  # start of the next header
        self._data_end = 0  # the stream must not end before this
        self._partial = b""
        self._collected: bytearray | None = None  # content of an extended header
        self._collecting = 0  # its type
        self._missing = 0  # bytes of it still to come
        self._zero_seen = False
        self._end: int | None = None  # end of the archive, once known
        self._records: dict[bytes, bytes] | None = None
        self._long_name = self._long_link = b""
        self._headers = 0  # extended headers since the last entry
        self._numbers: dict[bytes, int] = {}
        self._times: dict[bytes, bytes] = {}  # laid out for the ztoc
        self._facts: dict[bytes, _Facts] = {}
        self._sums: dict[bytes, int] = {}  # by checksum field: the low half of adler32 of a header with this checksum

    @property
    def archive_size(self) -> int:
        """Return the position after the end mark, or of the end of the stream. Valid after `finish()`."""
        return self._position if self._end is None else self._end

    def feed(self, view: memoryview) -> None:
        """Take the next bytes. They are not kept."""
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
        """End the stream. Raises LayerDamaged if it ends inside a header or a file's data."""
        if self._end is not None:
            return
        if self._partial or self._position < self._data_end:
            if not self.files.count and self._partial.startswith(_COMPRESSED):
                raise self._guard.unsupported("its media type says plain tar, but it is compressed")
            raise self._guard.damaged(f"the tar archive is cut off after {self._position} bytes")

    def _bad_header(self, block: bytes) -> Exception:
        position = self._next - BLOCK
        if position == 0 and block.startswith(_COMPRESSED):
            return self._guard.unsupported("it is compressed twice")
        return self._guard.damaged(f"the tar header at byte {position} is invalid")

    def _header(self, block: bytes) -> None:
        if block == ZERO_BLOCK:
            if self._zero_seen:
                self._end = self._next
            self._zero_seen = True
            return
        name, ids, raw_size, raw_time, stated, rest = _HEADER.unpack(block)
        if self._zero_seen or not self._checksum_fits(block, stated):
            raise BadHeader
        facts = self._facts.get(ids + rest) or self._read(ids, rest)
        size = self._numbers.get(raw_size)
        if size is None:
            size = self._number(raw_size)
        time = self._times.get(raw_time)
        if time is None:
            time = self._time(raw_time)
        end = name.find(0)
        if end >= 0:
            name = name[:end]
        if facts.prefix:
            name = facts.prefix + b"/" + name
        kind = facts.kind
        if size < 0 and (kind not in _KINDS or kind in _WITH_DATA):
            raise BadHeader
        if kind not in _KINDS:
            self._special(kind, size)
            return
        records = self._records
        if self._headers:
            facts, name, size, time = self._described(facts, name, size, time)
        if not kind and name.endswith(b"/"):
            kind = _DIRECTORY
            facts = _laid_out(facts._replace(kind=kind))
        offset = self._next
        if kind in _WITH_DATA:
            if size < 0:
                raise BadHeader
            if size:
                self._data_end = offset + size
                self._next = offset + (size + BLOCK - 1) // BLOCK * BLOCK
        else:
            size = 0  # regardless of the header: no data follows, and readers rely on it
        if name.endswith(_OPAQUE):
            self.has_xattrs = True
        files = self.files
        files.add(name, offset, size, time, facts.common, records)
        if files.count > self._limits.entries:
            raise self._guard.limit(f"it has more than {self._limits.entries} entries", "entries")
        if not files.count & 0xFF:
            self._check_size()

    def _checksum_fits(self, block: bytes, stated: bytes) -> bool:
        # The low half of adler32 is 1 plus the sum of the bytes, modulo 65521: exact if all are ASCII.
        if block.isascii():
            known = self._sums.get(stated)
            if known is None:
                known = self._sum(stated)
            if adler32(block) & 0xFFFF == known:
                return True
        return checksum_fits(block)

    def _sum(self, stated: bytes) -> int:
        if len(self._sums) >= _MAX_CACHED:
            self._sums.clear()
        # The form of POSIX, used by nearly every archive. The checksum field itself is summed as spaces.
        plain = stated[:6].isdigit() and stated[6:] == b"\0 "
        value = self._sums[stated] = number(stated) - 8 * 0x20 + sum(stated) + 1 if plain else -1
        return value

    def _described(self, facts: _Facts, name: bytes, size: int, time: bytes) -> tuple[_Facts, bytes, int, bytes]:
        """Return these facts with the extended headers that precede the entry applied."""
        records, link = self._records, facts.linkname
        if records:
            check_times(records)
            name, link = records.get(b"path") or name, records.get(b"linkpath") or link
            size = _override(records, b"size", size)
            if records.get(b"mtime"):
                time = flat_text(time_text(*parse_time(records[b"mtime"])))
            facts = facts._replace(
                uid=_override(records, b"uid", facts.uid),
                gid=_override(records, b"gid", facts.gid),
                uname=records.get(b"uname") or facts.uname,
                gname=records.get(b"gname") or facts.gname,
            )
            if is_sparse(records):
                raise self._guard.unsupported(f"the file {_shown(name)} is sparse")
            if not self.has_xattrs:
                self.has_xattrs = any(key.startswith(XATTR_PREFIX) for key in records)
        name, link = self._long_name or name, self._long_link or link
        self._records, self._long_name, self._long_link, self._headers = None, b"", b"", 0
        return _laid_out(facts._replace(linkname=link)), name, size, time

    def _special(self, kind: int, size: int) -> None:
        """Handle an entry that describes the next one. Raises LayerUnsupported for any other type."""
        if kind not in (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
            raise self._guard.unsupported(
                f"a ztoc cannot describe the tar entry of type {chr(kind)!r} at byte {self._next - BLOCK}"
            )
        self._headers += 1
        if self._headers > self._limits.headers:
            raise self._guard.limit(f"more than {self._limits.headers} extended headers precede one entry", "headers")
        if kind != _GLOBAL:
            if size > self._limits.header:
                raise self._guard.limit(f"an extended header has more than {self._limits.header} bytes", "header")
            self._collected, self._collecting, self._missing = bytearray(), kind, size
        self._data_end = self._next + size
        self._next += (size + BLOCK - 1) // BLOCK * BLOCK

    def _extended(self, data: bytes) -> None:
        if self._collecting == _PAX:
            try:
                self._records = parse_records(data)
            except BadHeader:
                raise self._guard.damaged(
                    f"the extended tar header before byte {self._data_end} has malformed records"
                ) from None
        elif self._collecting == _LONG_NAME:
            self._long_name = text(data)
        else:
            self._long_link = text(data)
        self._check_size()

    def _check_size(self) -> None:
        if self.files.size > self._limits.toc:
            raise self._guard.limit(
                f"the names and records of its files take more than {self._limits.toc} bytes", "toc"
            )

    def _number(self, field: bytes) -> int:
        if len(self._numbers) >= _MAX_CACHED:
            self._numbers.clear()
        value = self._numbers[field] = number(field)
        return value

    def _time(self, field: bytes) -> bytes:
        if len(self._times) >= _MAX_CACHED:
            self._times.clear()
        value = self._times[field] = flat_text(time_text(number(field), 0))
        return value

    def _read(self, ids: bytes, rest: bytes) -> _Facts:
        """Parse mode, uid and gid of a header (`ids`), and everything from the type on (`rest`)."""
        kind, magic, tail = rest[0], rest[101:109], rest[189:]
        linkname = text(rest[1:101])
        owner: tuple[bytes, bytes, int, int] = (b"", b"", 0, 0)
        prefix = b""
        if magic.startswith((_USTAR, _GNU)):
            owner = (text(rest[109:141]), text(rest[141:173]), number(rest[173:181]), number(rest[181:189]))
            prefix = _ustar_prefix(tail) if magic.startswith(_USTAR) else _gnu_prefix(tail)
        facts = _Facts(kind, prefix, linkname, number(ids[:8]), number(ids[8:16]), number(ids[16:]), *owner)
        if kind in _KINDS:
            facts = _laid_out(facts)
        if len(self._facts) >= _MAX_FACTS:
            self._facts.clear()
        self._facts[ids + rest] = facts
        return facts


def _ustar_prefix(tail: bytes) -> bytes:
    """Return the prefix of the name, from the last 167 bytes of a header."""
    if not tail[0] or tail[163:] != b"tar\0":
        return text(tail[:155])
    number(tail[131:143])  # the star variant: a shorter prefix, then two times
    number(tail[143:155])
    return text(tail[:131])


def _gnu_prefix(tail: bytes) -> bytes:
    try:
        for start in (0, 12):
            if tail[start]:
                number(tail[start : start + 12])
    except BadHeader:
        # Go's writer once put a prefix in the place of GNU's times; its reader accepts that if it is ASCII.
        found = text(tail[:155])
        return found if found.isascii() else b""
    return b""


def _override(records: dict[bytes, bytes], key: bytes, value: int) -> int:
    found = records.get(key)
    return parse_decimal(found) if found else value


def _shown(name: bytes) -> str:
    return repr(name[:200].decode("utf-8", "backslashreplace"))
