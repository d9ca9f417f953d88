"""Inflate one gzip member after another, stopping at the ends of deflate blocks. zlib-ng or libz, through ctypes.

Only `inflate(Z_BLOCK)` stops where a block ends (zlib manual, "inflate"), and no Python module offers it. With ctypes
there is no build step, and the GIL is released during each call. The extension module of the package zlib-ng exports
the functions of zlib-ng, which stops at the same places as libz and inflates two to three times faster (bench/soci.py).
Without that package, or if it hides its functions, the system's libz is used. Checkpoints are in checkpoint.py.
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
_GZIP_ONLY: Final = 31  # windowBits 15 + 16: only the gzip format
_RAW: Final = -15
_NAMES: Final = ("libz.so.1", "libz.dylib", "libz.1.dylib", "zlib1.dll")

# The results of one step.
MORE: Final = 0  # the output is full or the input used up
BLOCK_END: Final = 1  # at the end of a header, or of a block other than the member's last
MEMBER_END: Final = 2  # after the member's trailer, which is valid
CORRUPT: Final = 3


class _Stream(ctypes.Structure):
    """z_stream of zlib.h, unchanged since zlib 1.0. If long has 64 bits, also zng_stream of zlib-ng.h."""

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
    """The functions of libz, or with the prefix `zng_` of zlib-ng. Raises AttributeError if one is missing."""

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
    """Return inflateInit2, which is a macro in zlib.h: it passes the version and size that it was compiled with."""
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
    """Return zlib-ng from the package of that name, or None if it is not available."""
    if ctypes.sizeof(ctypes.c_long) != 8:  # zlib-ng's stream then has another layout than libz's
        return None
    try:
        from zlib_ng import zlib_ng

        return Zlib(ctypes.CDLL(zlib_ng.__file__), "zng_")
    except (ImportError, OSError, AttributeError, TypeError):
        return None


_loaded: dict[tuple[str, ...], Zlib] = {}


def load(names: Sequence[str] = _NAMES) -> Zlib:
    """Return the system's libz, by the first of `names` that loads. Raises NoZlib."""
    key = tuple(names)
    if key not in _loaded:
        for name in (*names, None):
            # Names first: find_library runs ldconfig or a compiler, which takes longer than a small layer.
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
                "cannot load zlib",
                why=f"none of these libraries is installed: {', '.join(names)}",
                hint="install zlib (Debian, Ubuntu: zlib1g; Fedora, Alpine: zlib)",
            )
    return _loaded[key]


def address_of(chunk: bytes | bytearray | memoryview) -> int:
    """Return the address of its bytes, or 0 if it is empty. A memoryview must be writable."""
    if isinstance(chunk, bytes):
        return ctypes.cast(ctypes.c_char_p(chunk), ctypes.c_void_p).value or 0
    return ctypes.addressof(ctypes.c_char.from_buffer(chunk)) if chunk else 0


class Inflater(Protocol):
    """Inflates a stream of gzip members, step by step, into the caller's buffer.

    `take(chunk)` sets the input and `room(address, size)` the output. Each `step()` goes on until the output is full,
    the input is used up, or another result above applies. Members are verified (CRC-32, length).
    Must be closed; closing twice is allowed.
    """

    def take(self, chunk: bytes | memoryview) -> None:
        """Set the next input; the previous one must be used up. It is not copied. A memoryview must be writable."""

    def room(self, address: int, size: int) -> None:
        """Set the address and size of the output. The 32 KiB of output before it must directly precede it."""

    def step(self, ahead: int = 0) -> int:
        """Inflate up to the end of the first block that ends after more than `ahead` bytes of output.

        May stop at an earlier block end.
        """

    @property
    def input_left(self) -> int:
        """Return the number of input bytes not yet read."""

    @property
    def room_left(self) -> int:
        """Return the number of output bytes that still fit."""

    @property
    def unused_bits(self) -> int:
        """Return how many bits of the last byte read belong to the next block. Valid after BLOCK_END."""

    @property
    def message(self) -> str:
        """Return what is wrong. Valid after CORRUPT."""

    def next_member(self) -> None:
        """Prepare for another gzip header, after MEMBER_END."""

    def close(self) -> None:
        """Free the memory."""


class BlockInflater:
    """An Inflater that uses libz or zlib-ng. raw: one deflate stream without header and checksum."""

    def __init__(self, library: Zlib | None = None, *, raw: bool = False) -> None:
        self._zlib = library or load_ng() or load()
        self._stream = _Stream()
        self._at = ctypes.addressof(self._stream)
        self._input: bytes | bytearray | memoryview = b""
        self._open = False
        status = self._zlib.init(self._at, _RAW if raw else _GZIP_ONLY)
        if status != _Z_OK:
            raise MemoryError(f"inflateInit2 returned {status}")
        self._open = True

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        """See Inflater."""
        self._input = chunk  # keeps the bytes alive while libz points into them
        self.point_at(address_of(chunk), len(chunk))

    def point_at(self, address: int, size: int) -> None:
        """Set the input by its address. The caller keeps the bytes alive."""
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
        """See Inflater: the message of libz."""
        return (self._stream.msg or b"invalid data").decode("ascii", "replace")

    def step(self, ahead: int = 0) -> int:
        """See Inflater. Each stop costs a call from Python, and libz copies 32 KiB into its own window."""
        stream = self._stream
        if ahead > 0:
            # Not one byte more: without room, libz still reads on, past the ends of blocks without output.
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
        status = self._zlib.inflate(self._at, flush)
        if status in (_Z_OK, _Z_BUF_ERROR):
            # bit 7: at the end of a header or block; bit 6: the block was the last of its member. BUF_ERROR too: if
            # the end-of-block code was in bits read before, the call neither reads nor writes a byte.
            return BLOCK_END if flush == _Z_BLOCK and self._stream.data_type & 0xC0 == 0x80 else MORE
        if status == _Z_STREAM_END:
            return MEMBER_END
        if status == _Z_MEM_ERROR:
            raise MemoryError("inflate is out of memory")
        return CORRUPT

    def next_member(self) -> None:
        """See Inflater."""
        self._zlib.reset(self._at)

    def start_at(self, window: int, size: int, bits: int, value: int) -> None:
        """Start inside a raw stream, with these unused bits and the `size` bytes of output at `window` before it."""
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
