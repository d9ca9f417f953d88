"""Tar archives and gzip streams with every peculiarity, built byte by byte without a library."""

from __future__ import annotations

import hashlib
import struct
import zlib
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st


def number(value: int, width: int, base256: bool = False) -> bytes:
    if not base256 and 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return bytes([0x80 if value >= 0 else 0xFF]) + value.to_bytes(width - 1, "big", signed=value < 0)


def header(
    name: bytes,
    kind: bytes = b"0",
    size: int = 0,
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 1_700_000_000,
    link: bytes = b"",
    uname: bytes = b"",
    gname: bytes = b"",
    devices: tuple[int, int] = (0, 0),
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    **fields: bytes,
) -> bytes:
    """Return one header. fields: raw bytes that replace the computed ones, raw_size and raw_mtime."""
    parts = [
        name.ljust(100, b"\0"),
        number(mode, 8),
        number(uid, 8),
        number(gid, 8),
        fields.get("raw_size", number(size, 12)),
        fields.get("raw_mtime", number(mtime, 12)),
        b" " * 8,
        kind,
        link.ljust(100, b"\0"),
        magic,
        uname.ljust(32, b"\0"),
        gname.ljust(32, b"\0"),
        number(devices[0], 8) if magic[:5] == b"ustar" else bytes(8),
        number(devices[1], 8) if magic[:5] == b"ustar" else bytes(8),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    block = b"".join(parts)
    assert len(block) == 512, len(block)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    data = b"".join(record(key, value) for key, value in records)
    return header(b"PaxHeaders.0/entry", kind, len(data)) + padded(data)


def gnu_long(kind: bytes, value: bytes) -> bytes:
    return header(b"././@LongLink", kind, len(value) + 1, magic=b"ustar  \0") + padded(value + b"\0")


def entry(name: bytes, data: bytes = b"", **more: Any) -> bytes:
    return header(name, size=len(data), **more) + padded(data)


END = bytes(1024)

GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def gzip(data: bytes, level: int = 6, *, memory: int = 8, strategy: int = 0, flush: int = 0, every: int = 0) -> bytes:
    """Return one gzip member. every: flush in the given way after this many bytes."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, memory, strategy)
    out = [GZIP_HEAD]
    if every:
        for start in range(0, len(data), every):
            out.append(compressor.compress(data[start : start + every]))
            if start + every < len(data):
                out.append(compressor.flush(flush))
    else:
        out.append(compressor.compress(data))
    out += [compressor.flush(), struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)]
    return b"".join(out)


names = st.one_of(
    st.binary(max_size=100).map(lambda name: name.replace(b"\0", b"")),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30).map(lambda s: s.encode()[:100]),
    st.sampled_from([b"a/b", b"dir/", b"var/.wh..wh..opq", b"./dotted", b""]),
)
contents = st.one_of(
    st.binary(max_size=2000),
    st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 2000)).map(lambda pair: pair[0] * pair[1]),
    st.integers(0, 120_000).map(bytes),
)
_keys = st.sampled_from([b"comment", b"SCHILY.xattr.user.a", b"SCHILY.xattr.", b"x", b"LIBARCHIVE.creationtime"])
_records = st.lists(
    st.one_of(
        st.tuples(_keys, st.binary(max_size=50)),
        st.tuples(st.just(b"path"), names),
        st.tuples(st.just(b"linkpath"), names),
        st.tuples(st.sampled_from([b"uid", b"gid"]), st.integers(-(2**40), 2**40).map(lambda n: b"%d" % n)),
        st.tuples(
            st.just(b"mtime"),
            st.from_regex(rb"\A-?[0-9]{1,11}(\.[0-9]{0,12})?\Z"),
        ),
    ),
    min_size=0,
    max_size=5,
)


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """One entry, with any extended headers before it."""
    kind = draw(st.sampled_from([b"0", b"0", b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6"]))
    name = draw(names)
    # Type NUL without data: whether it is a directory depends on its name, which several headers may set.
    data = draw(contents) if kind == b"0" else b""
    before = b""
    if draw(st.booleans()):
        before += pax(*draw(_records))
        if kind == b"\0":
            kind = b"0"
    if draw(st.integers(0, 5)) == 0:
        before += gnu_long(draw(st.sampled_from([b"L", b"K"])), draw(names) + b"x" * draw(st.integers(0, 300)))
    magic = draw(st.sampled_from([b"ustar\x0000", b"ustar\x0000", b"ustar  \0", bytes(8)]))
    return before + entry(
        name,
        data,
        kind=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.sampled_from([0, 1000, 2**31 + 7])),
        gid=draw(st.integers(0, 70000)),
        mtime=draw(st.integers(-(2**40), 2**40)),
        link=draw(names) if kind in b"12" else b"",
        uname=draw(st.sampled_from([b"", b"root", b"us\xc3\xa9r"])),
        gname=draw(st.sampled_from([b"", b"wheel"])),
        devices=(draw(st.integers(0, 300)), draw(st.integers(0, 300))) if kind in b"34" else (0, 0),
        magic=magic,
        prefix=draw(st.sampled_from([b"", b"pre/fix"])) if magic == b"ustar\x0000" else b"",
    )


class Made(bytes):
    """Bytes with a short repr."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes, sha256 {hashlib.sha256(self).hexdigest()[:12]}>"


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """A whole archive with one of the allowed ends."""
    body = b"".join(draw(st.lists(entries(), max_size=12)))
    return Made(body + draw(st.sampled_from([END, END, bytes(512), b"", END + bytes(9216), END + b"never read" * 60])))


@st.composite
def gzips(draw: st.DrawFn, data: bytes) -> bytes:
    """The data as one or more members, compressed in any way."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    edges = [0, *cuts, len(data)]
    return Made(
        b"".join(
            gzip(
                data[start:end],
                draw(st.integers(0, 9)),
                memory=draw(st.integers(1, 9)),
                strategy=draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4])),
                flush=draw(st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH])),
                every=draw(st.sampled_from([0, 0, 700, 5000, 40000])),
            )
            for start, end in pairwise(edges)
        )
    )


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the data in pieces, cut at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
