"""Parse single tar headers and extended headers. tar_scan.py finds them in a stream.

Accepts and rejects the same as Go's archive/tar, with which the SOCI snapshotter reads layers (soci.md, "files").
Source: POSIX.1-2017, pax, "ustar" and "pax Interchange Format"; GNU tar manual.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from zlib import adler32

BLOCK: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK)

_FILLS: Final = b" \0"
_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_INT64: Final = 2**63
_MTIME_KEYS: Final = (b"mtime", b"atime", b"ctime")
_TEXT_KEYS: Final = frozenset({b"path", b"linkpath", b"uname", b"gname"})
XATTR_PREFIX: Final = b"SCHILY.xattr."


class BadHeader(Exception):
    """The bytes are not a tar header that Go accepts. The scanner turns this into an error that names the layer."""


def text(field: bytes) -> bytes:
    """Return the field up to its first NUL."""
    end = field.find(0)
    return field if end < 0 else field[:end]


def number(field: bytes) -> int:
    """Parse an octal or base-256 number as a signed 64-bit integer. Raises BadHeader."""
    digits = field[:-1]
    if digits.isdigit() and field[-1] in _FILLS:  # the fast path, for nearly all numbers
        try:
            return int(digits, 8)
        except ValueError:
            raise BadHeader from None
    if field and field[0] & 0x80:
        # Base 256 in two's complement: the first bit marks the format, the second is the sign.
        value = int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << 8 * len(field) - 1
        if not -_INT64 <= value < _INT64:
            raise BadHeader
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    digits = text(digits)
    if _OCTAL.fullmatch(digits) is None:
        raise BadHeader
    value = int(digits, 8)
    if value >= 2 * _INT64:
        raise BadHeader
    return value - 2 * _INT64 if value >= _INT64 else value


def checksum_fits(block: bytes) -> bool:
    """Return whether the header's checksum is right, over unsigned bytes or, as in old tars, over signed ones."""
    # The low half of adler32 is 1 plus the sum of the bytes, modulo 65521: exact for up to 256 bytes, and fast.
    around = (adler32(block[:148]) & 0xFFFF) + (adler32(block[156:384]) & 0xFFFF) + (adler32(block[384:]) & 0xFFFF) - 3
    field = block[148:156]
    if field == b"%06o\0 " % (around + 256):  # the form of POSIX, used by nearly every archive
        return True
    if field[0] & 0x80:
        return False
    try:
        stated = number(field)
    except BadHeader:
        return False
    if around + 256 == stated:
        return True
    rest = block[:148] + block[156:]
    return sum(rest) - 256 * sum(byte > 127 for byte in rest) + 256 == stated


def parse_decimal(value: bytes) -> int:
    """Parse a decimal 64-bit integer of an extended header. Raises BadHeader."""
    if len(value) > 40 or _DECIMAL.fullmatch(value) is None:
        raise BadHeader
    found = int(value)
    if not -_INT64 <= found < _INT64:
        raise BadHeader
    return found


def parse_time(value: bytes) -> tuple[int, int]:
    """Return seconds and nanoseconds of a PAX time such as `-1.5`. Raises BadHeader."""
    whole, _, fraction = value.partition(b".")
    seconds = parse_decimal(whole)
    if not fraction:
        return seconds, 0
    if not fraction.isdigit():
        raise BadHeader
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    if whole.startswith(b"-") and nanoseconds:
        return seconds - 1, 1_000_000_000 - nanoseconds
    return seconds, nanoseconds


def time_text(seconds: int, nanoseconds: int) -> bytes:
    """Return the time in RFC 3339, in UTC, or nothing if it has no such form. Python's datetime has no year 0."""
    days, rest = divmod(seconds, 86400)
    date = _date(days)
    if not date:
        return b""
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{date}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{fraction}Z".encode()


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    # Civil date from days, with years that begin in March (proleptic Gregorian calendar).
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04d}-{month:02d}-{day:02d}" if 0 <= year <= 9999 else ""


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """Parse the records of a PAX extended header. The last one of a repeated key counts. Raises BadHeader."""
    records: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        space = data.find(b" ", at)
        length = parse_decimal(data[at:space] if space >= 0 else b"")
        stop = at + length
        if length < 5 or stop > end or stop <= space + 1 or data[stop - 1] != 0x0A:
            raise BadHeader
        key, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if not equals or not key or b"\0" in (value if key in _TEXT_KEYS else key):
            raise BadHeader
        at = stop
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            # GNU sparse 0.0 repeats these two alternately; Go turns them into the map of 0.1.
            wanted = b"GNU.sparse.numbytes" if len(sparse) % 2 else b"GNU.sparse.offset"
            if key != wanted or b"," in value:
                raise BadHeader
            sparse.append(value)
        else:
            records[key] = value
    if sparse:
        records[b"GNU.sparse.map"] = b",".join(sparse)
    return records


def is_sparse(records: dict[bytes, bytes]) -> bool:
    """Return whether Go treats a file with these records as sparse: its data then differs from its size."""
    version = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    if version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0")):
        return True
    return version == (b"", b"") and bool(records.get(b"GNU.sparse.map"))


def check_times(records: dict[bytes, bytes]) -> None:
    """Raise BadHeader for a time that Go rejects, although only mtime is used."""
    for key in _MTIME_KEYS:
        value = records.get(key)
        if value:
            parse_time(value)
