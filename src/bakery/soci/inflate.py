"""Inflating one gzip member after another, stopping where deflate blocks end. zlib-ng or libz, through ctypes.

Why ctypes: only `inflate(Z_BLOCK)` tells where a block ends (zlib manual, "inflate"), and no Python module offers it.
No build step is needed, and the GIL is released during each call. zlib-ng comes inside the zlib-ng package, whose
functions its extension module exports; it stops at the same places as libz and inflates two to three times faster
(bench/soci.py). Where it is not there, or hides its functions, the machine's libz does the same.
Knows nothing of checkpoints and tar.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol

from bakery.soci.failure import NoZlib

WINDOW: Final = 32768

_Z_OK, _Z_STREAM_END, _Z_BUF_ERROR, _Z_MEM_ERROR = 0, 1, -5, -4
_Z_NO_FLUSH, _Z_BLOCK = 0, 5
_GZIP_ONLY: Final = 31  # windowBits 15 + 16: the gzip format and no other
_RAW: Final = -15
_NAMES: Final = ("libz.so.1", "libz.dylib", "libz.1.dylib", "zlib1.dll")

# What one step found.
MORE: Final = 0  # the output is full or the input used up, nothing else
BLOCK_END: Final = 1  # at the end of a header, or of a block that is not the member's last
MEMBER_END: Final = 2  # the member's trailer was read and is right
CORRUPT: Final = 3


class _Stream(ctypes.Structure):
    """z_stream of zlib.h, the same since zlib 1.0; where long has 64 bits it is zng_stream of zlib-ng.h as well."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


class Zlib:
    """The functions of one libz, or with the prefix `zng_` of one zlib-ng. Raises AttributeError for one it lacks."""

    def __init__(self, library: ctypes.CDLL, prefix: str = "") -> None:
        self.inflate = library[f"{prefix}inflate"]
        self.inflate.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.reset = library[f"{prefix}inflateReset"]
        self.reset.argtypes = [ctypes.c_void_p]
        self.end = library[f"{prefix}inflateEnd"]
        self.end.argtypes = [ctypes.c_void_p]
        self.prime = library[f"{prefix}inflatePrime"]
        self.prime.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self.set_dictionary = library[f"{prefix}inflateSetDictionary"]
        self.set_dictionary.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
        self.init = _init_of_ng(library) if prefix else _init_of_libz(library)


def _init_of_libz(library: ctypes.CDLL) -> Callable[[int, int], int]:
    """zlib.h's inflateInit2 is a macro: it passes the version and the size that it was compiled with."""
    function = library.inflateInit2_
    function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.zlibVersion.restype = ctypes.c_char_p
    version: bytes = library.zlibVersion()
    return lambda stream, bits: int(function(stream, bits, version, ctypes.sizeof(_Stream)))


def _init_of_ng(library: ctypes.CDLL) -> Callable[[int, int], int]:
    function = library.zng_inflateInit2
    function.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return lambda stream, bits: int(function(stream, bits))


@lru_cache(maxsize=1)
def load_ng() -> Zlib | None:
    """The zlib-ng inside the package of that name; None where it is not to be had."""
    if ctypes.sizeof(ctypes.c_long) != 8:  # then zlib-ng's stream is laid out otherwise than libz's
        return None
    try:
        from zlib_ng import zlib_ng

        return Zlib(ctypes.CDLL(zlib_ng.__file__), "zng_")
    except (ImportError, OSError, AttributeError, TypeError):
        return None


_loaded: dict[tuple[str, ...], Zlib] = {}


def load(names: Sequence[str] = _NAMES) -> Zlib:
    """The machine's libz, under the first of `names` that is there. Raises NoZlib."""
    key = tuple(names)
    if key not in _loaded:
        for name in (*names, None):
            # The names first: find_library runs ldconfig or a compiler, which takes longer than a small layer.
            found = name or (ctypes.util.find_library("z") if key == _NAMES else None)
            if found is None:
                continue
            try:
                _loaded[key] = Zlib(ctypes.CDLL(found))
                break
            except (OSError, AttributeError):
                continue
        else:
            raise NoZlib(
                "loading zlib",
                about=", ".join(names),
                why="none of these libraries is there",
                hint="install zlib (Debian, Ubuntu: zlib1g; Fedora, Alpine: zlib)",
            )
    return _loaded[key]


def address_of(chunk: bytes | bytearray | memoryview) -> int:
    """Where its bytes lie; a memoryview must be writable. 0 where there are none."""
    if isinstance(chunk, bytes):
        return ctypes.cast(ctypes.c_char_p(chunk), ctypes.c_void_p).value or 0
    return ctypes.addressof(ctypes.c_char.from_buffer(chunk)) if chunk else 0


class Inflater(Protocol):
    """One stream of gzip members, a step at a time, into a buffer of the caller's.

    `take(chunk)` gives it input, `room(address, size)` a place for output, and each `step()` goes on until the output
    is full, the input used up, or something happened that has a name above. The members are checked (CRC-32, length).
    Must be closed; closing twice is fine.
    """

    def take(self, chunk: bytes | memoryview) -> None:
        """The next input. What was taken before must be used up. It is not copied: a memoryview must be writable."""

    def room(self, address: int, size: int) -> None:
        """Where output goes, and how many bytes have place there. Before it lie the last 32 KiB of output, or all."""

    def step(self, ahead: int = 0) -> int:
        """Inflate on, at most to the end of the first block that ends behind more than `ahead` bytes.

        It may stop at the end of an earlier one.
        """

    @property
    def input_left(self) -> int:
        """Bytes of input not yet read."""

    @property
    def room_left(self) -> int:
        """Bytes of output that still have place."""

    @property
    def unused_bits(self) -> int:
        """After BLOCK_END: how many bits of the last byte read belong to the next block."""

    @property
    def message(self) -> str:
        """After CORRUPT: what is wrong."""

    def next_member(self) -> None:
        """After MEMBER_END: be ready for another gzip header."""

    def close(self) -> None:
        """Give the memory back."""


class BlockInflater:
    """Inflater by libz or zlib-ng; with `raw`, one deflate stream without header and checksum."""

    def __init__(self, library: Zlib | None = None, *, raw: bool = False) -> None:
        self._zlib = library or load_ng() or load()
        self._stream = _Stream()
        self._at = ctypes.addressof(self._stream)
        self._input: bytes | bytearray | memoryview = b""
        self._open = False
        answer = self._zlib.init(self._at, _RAW if raw else _GZIP_ONLY)
        if answer != _Z_OK:
            raise MemoryError(f"inflateInit2 answered {answer}")
        self._open = True

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        """See Inflater."""
        self._input = chunk  # keeps the bytes alive while libz points into them
        self.point_at(address_of(chunk), len(chunk))

    def point_at(self, address: int, size: int) -> None:
        """`take` for bytes that somebody else keeps alive."""
        self._stream.next_in = address
        self._stream.avail_in = size

    def room(self, address: int, size: int) -> None:
        """See Inflater."""
        self._stream.next_out = address
        self._stream.avail_out = size

    @property
    def input_left(self) -> int:
        """See Inflater."""
        return int(self._stream.avail_in)

    @property
    def room_left(self) -> int:
        """See Inflater."""
        return int(self._stream.avail_out)

    @property
    def unused_bits(self) -> int:
        """See Inflater."""
        return int(self._stream.data_type) & 7

    @property
    def message(self) -> str:
        """See Inflater: what libz says."""
        return (self._stream.msg or b"invalid data").decode("ascii", "replace")

    def step(self, ahead: int = 0) -> int:
        """See Inflater.

        Each stop costs: a call from Python, and 32 KiB that libz copies into a window of its own.
        """
        stream = self._stream
        if ahead > 0:
            # Not one byte more: with no room left libz still reads on, over the ends of blocks that give no output.
            spare = stream.avail_out - ahead
            if spare > 0:
                stream.avail_out = ahead
            found = self._inflate(_Z_NO_FLUSH)
            if spare <= 0:
                return found
            full = not stream.avail_out
            stream.avail_out += spare
            if not full or found != MORE:
                return found
        return self._inflate(_Z_BLOCK)

    def _inflate(self, flush: int) -> int:
        answer = self._zlib.inflate(self._at, flush)
        if answer in (_Z_OK, _Z_BUF_ERROR):
            # bit 7: at the end of a header or block; bit 6: the block was the last of its member. BUF_ERROR too: the
            # end-of-block code can lie in bits read before, and then the call neither reads nor writes a byte.
            return BLOCK_END if flush == _Z_BLOCK and self._stream.data_type & 0xC0 == 0x80 else MORE
        if answer == _Z_STREAM_END:
            return MEMBER_END
        if answer == _Z_MEM_ERROR:
            raise MemoryError("inflate found no memory")
        return CORRUPT

    def next_member(self) -> None:
        """See Inflater."""
        self._zlib.reset(self._at)

    def start_at(self, window: int, size: int, bits: int, value: int) -> None:
        """For a raw stream: begin inside it, with these unused bits and the `size` bytes at `window` behind us."""
        self._zlib.reset(self._at)
        if bits:
            self._zlib.prime(self._at, bits, value)
        if size:
            self._zlib.set_dictionary(self._at, window, size)

    def close(self) -> None:
        """See Inflater."""
        if self._open:
            self._open = False
            self._zlib.end(self._at)

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()
