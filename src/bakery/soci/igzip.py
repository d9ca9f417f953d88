"""Inflate with ISA-L between checkpoints, and with zlib around them (decision 0013).

ISA-L's `isal_inflate` does not stop at the ends of blocks. But its state is public (igzip_lib.h: the caller allocates
it) and records whether the current block is the last one of the stream. If that is set in the first block in which the
next checkpoint is possible, ISA-L stops at the end of that block, and the state tells how many bits it has not used.
zlib does the rest: gzip headers, small members, and the remaining way if that block ended before the checkpoint. After
a checkpoint, ISA-L restarts with only offset, bits and window, as a reader will. So the checksum at the end of the
member verifies every checkpoint in it.

ISA-L accepts Huffman codes that leave codes unused, which zlib rejects. No compressor writes them. The extension module
of the package isal exports the functions of ISA-L, like that of zlib-ng (inflate.py). Without the package, or with an
unknown version, zlib does everything, with the same result.
"""

from __future__ import annotations

import ctypes
import struct
import zlib
from functools import cached_property, lru_cache
from typing import Final

from bakery.soci.inflate import BLOCK_END, CORRUPT, MEMBER_END, MORE, WINDOW, BlockInflater, Inflater, Zlib, address_of

# enum isal_block_state
_TYPE0, _CODED, _INPUT_DONE, _FINISH = 2, 3, 4, 5
_IN_BLOCK: Final = (_TYPE0, _CODED)  # between the header of a block and its end
_MESSAGES: Final = {-1: "invalid block", -2: "invalid symbol", -3: "invalid distance"}
_VERSIONS: Final = ((2, 31), (2, 32))  # whose state has the layout below

# The most that one call can inflate beyond its output buffer: ISA-L keeps up to 32 KiB, and a match, in its state. At
# this distance from a checkpoint, one more call cannot pass it.
_FURTHER: Final = 33 * 1024
_CLOSE: Final = 5 * _FURTHER  # from here on, make it stop at the end of a block
_WORTH: Final = 512 * 1024  # a shorter way to the next checkpoint is left to zlib
_MEMBER: Final = 64 * 1024  # the start of a member is left to zlib: some layers have one member per file
_TRAILER_SIZE: Final = 8
_GIVEN_UP: Final = 9  # a further result of a step, besides those of inflate.py

# What continues.
_ZLIB: Final = 0
_BOUNDARY: Final = 1  # ISA-L has stopped at the end of a block: either may continue
_ISAL: Final = 2
_TRAILER: Final = 3  # the member's deflate stream has ended


class _State(ctypes.Structure):
    """struct inflate_state of igzip_lib.h."""

    _fields_ = (
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint32),
        ("total_out", ctypes.c_uint32),
        ("next_in", ctypes.c_void_p),
        ("read_in", ctypes.c_uint64),  # bits read and not used; those above `read_in_length` are undefined
        ("avail_in", ctypes.c_uint32),
        ("read_in_length", ctypes.c_int32),
        ("literal_codes", ctypes.c_uint8 * (4 * 4096 + 2 * 1264)),
        ("distance_codes", ctypes.c_uint8 * (2 * 1024 + 2 * 80)),
        ("block_state", ctypes.c_int32),
        ("dict_length", ctypes.c_uint32),
        ("bfinal", ctypes.c_uint32),
        ("crc_flag", ctypes.c_uint32),
        ("crc", ctypes.c_uint32),
        ("hist_bits", ctypes.c_uint32),
        ("type0_block_len", ctypes.c_int32),
        ("write_overflow_lits", ctypes.c_int32),
        ("write_overflow_len", ctypes.c_int32),
        ("copy_overflow_length", ctypes.c_int32),
        ("copy_overflow_distance", ctypes.c_int32),
        ("wrapper_flag", ctypes.c_int16),
        ("tmp_in_size", ctypes.c_int16),
        ("tmp_out_valid", ctypes.c_int32),  # end of the output in tmp_out_buffer,
        ("tmp_out_processed", ctypes.c_int32),  # and of the part that was returned
        ("tmp_in_buffer", ctypes.c_uint8 * 328),  # of an incomplete header
        ("tmp_out_buffer", ctypes.c_uint8 * (2 * WINDOW + 288)),
        ("unknown", ctypes.c_uint8 * 4096),  # not in ISA-L: protects our memory if its state is larger than here
    )


class Igzip:
    """The functions of ISA-L. Raises AttributeError if one is missing."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.init = library.isal_inflate_init
        self.init.argtypes, self.init.restype = [ctypes.c_void_p], None
        self.set_dictionary = library.isal_inflate_set_dict
        self.set_dictionary.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
        self.inflate = library.isal_inflate
        self.inflate.argtypes = [ctypes.c_void_p]
        self.crc32 = library.crc32_gzip_refl
        self.crc32.argtypes, self.crc32.restype = [ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint64], ctypes.c_uint32


@lru_cache(maxsize=1)
def load_igzip() -> Igzip | None:
    """Return ISA-L from the package isal, or None if it is missing or behaves differently than expected."""
    try:
        import isal
        from isal import igzip_lib

        if (isal.ISAL_MAJOR_VERSION, isal.ISAL_MINOR_VERSION) not in _VERSIONS:
            return None
        igzip = Igzip(ctypes.CDLL(igzip_lib.__file__))
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return igzip if _stops_where_zlib_does(igzip) else None


def _stops_where_zlib_does(igzip: Igzip) -> bool:
    """Try whether ISA-L stops like zlib, on two blocks that end within a byte, the second one from a checkpoint."""
    deflate, data = zlib.compressobj(6, zlib.DEFLATED, -15), [bytes(range(32, 127)), bytes(range(126, 31, -1)) * 4]
    stream = b"".join(deflate.compress(part) + deflate.flush(zlib.Z_BLOCK) for part in data) + deflate.flush()
    buffer = ctypes.create_string_buffer(WINDOW)
    address, out = address_of(stream), ctypes.addressof(buffer)
    expected, run = BlockInflater(raw=True), _BlockRun(igzip)
    expected.take(stream)
    filled = at = 0
    for _ in range(2):
        expected.room(out + filled, WINDOW - filled)
        if expected.step() != BLOCK_END:
            return False
        end = len(stream) - expected.input_left
        run.start(out, filled, run.bits, run.value)
        run.next_out, run.room_left = out + filled, WINDOW - filled
        for stop, found in ((end - 8, MORE), (len(stream), BLOCK_END)):
            run.next_in, run.input_left = address + at, stop - at
            if run.go(_CLOSE) != found:
                return False
            at = run.next_in - address
        if (at, run.bits, run.room_left) != (end, expected.unused_bits, expected.room_left):
            return False
        filled = WINDOW - run.room_left
    expected.close()
    return buffer.raw[:filled] == b"".join(data)


class _BlockRun:
    """Inflates with ISA-L from the end of one block to the end of another.

    After `start`, the caller sets next_in and input_left, next_out and room_left, which each `go` advances. After
    BLOCK_END and _GIVEN_UP, `bits` and `value` are the unused bits of the last byte read.
    """

    def __init__(self, igzip: Igzip) -> None:
        self._igzip = igzip
        self._state = _State()
        self._at = ctypes.addressof(self._state)
        self._output = self._at + _State.tmp_out_buffer.offset
        self.next_in = self.input_left = self.next_out = self.room_left = 0
        self.bits = self.value = 0
        self.message = ""
        self.carry = b""  # after _GIVEN_UP: bytes read after the end of the last block
        self._made_to_stop = False  # at the end of the current block
        self._is_last = False  # that block is the last one of the stream
        self._found = MORE  # the result once it has stopped; output may be left

    def start(self, window: int, size: int, bits: int, value: int) -> None:
        """Start at a block, with these unused bits and the `size` bytes of output at `window` before it."""
        state = self._state
        self._igzip.init(self._at)
        if size:
            self._igzip.set_dictionary(self._at, window, size)
        state.read_in, state.read_in_length = value, bits
        self._made_to_stop, self._found = False, MORE

    def go(self, ahead: int) -> int:
        """Inflate until input or room is used up, or up to the first block end after more than `ahead` bytes of output.

        Returns MORE, BLOCK_END, MEMBER_END (at the end of the stream, before the trailer), CORRUPT, or _GIVEN_UP at the
        end of an earlier block, if blocks are too small and arrive in too small pieces.
        """
        state = self._state
        while True:
            pending = state.tmp_out_valid - state.tmp_out_processed
            if self._found != MORE:
                self._return_output(min(pending, self.room_left))
                return self._found if state.tmp_out_valid == state.tmp_out_processed else MORE
            if not self.room_left:
                return MORE
            left = ahead - pending
            if left > _CLOSE and not self._made_to_stop:
                most = min(self.room_left, left - 3 * _FURTHER)
            elif left < _FURTHER and not self._made_to_stop:
                self._give_up()
                continue
            else:
                # Keep one byte: after returning the last one at the end of a stream, ISA-L loses the unused bits.
                most = max(0, min(self.room_left, pending - 1))
            had_room = state.tmp_out_valid < 2 * WINDOW
            status = self._inflate(most)
            returned = most - state.avail_out
            ahead -= returned
            if status < 0:
                self.message = _MESSAGES.get(status, f"error {status}")
                return CORRUPT
            now_pending = state.tmp_out_valid - state.tmp_out_processed
            if state.block_state in (_INPUT_DONE, _FINISH):
                self._stop(BLOCK_END if self._made_to_stop and not self._is_last else MEMBER_END)
                continue
            is_close = now_pending and ahead - now_pending <= _CLOSE
            if is_close and not self._made_to_stop and state.block_state in _IN_BLOCK:
                self._made_to_stop, self._is_last = True, bool(state.bfinal)
                state.bfinal = 1
            if not self.input_left and had_room and returned + now_pending == pending:
                return MORE

    def _inflate(self, most: int) -> int:
        state = self._state
        state.next_in, state.avail_in = self.next_in, self.input_left
        state.next_out, state.avail_out = self.next_out, most
        status: int = self._igzip.inflate(self._at)
        self.next_in, self.input_left = state.next_in, state.avail_in
        self.next_out += most - state.avail_out
        self.room_left -= most - state.avail_out
        return status

    def _stop(self, found: int) -> None:
        state = self._state
        unused: int = state.read_in_length
        self.next_in -= unused // 8
        self.input_left += unused // 8
        self.bits = unused % 8
        self.value = state.read_in & (1 << self.bits) - 1
        self._found = found

    def _give_up(self) -> None:
        # Between blocks: the next header is incomplete, and the part read so far is in two places.
        state = self._state
        unused: int = state.read_in_length
        read = state.read_in & (1 << unused) - 1
        self.bits = unused % 8
        self.value = read & (1 << self.bits) - 1
        self.carry = (read >> self.bits).to_bytes(unused // 8, "little")
        self.carry += bytes(state.tmp_in_buffer[: state.tmp_in_size])
        self._found = _GIVEN_UP

    def _return_output(self, size: int) -> None:
        """Copy output from the state, since ISA-L would then lose the number of unused bits."""
        ctypes.memmove(self.next_out, self._output + self._state.tmp_out_processed, size)
        self._state.tmp_out_processed += size
        self.next_out += size
        self.room_left -= size


class SwiftInflater:
    """An Inflater that alternates between ISA-L and zlib."""

    def __init__(self, igzip: Igzip, library: Zlib | None = None) -> None:
        self._igzip = igzip
        self._member = BlockInflater(library)  # from the start of a member
        self._library = library
        self._zlib = self._member
        self._turn = _ZLIB
        self._at_block_end = False
        self._input: bytes | memoryview = b""
        self._address = self._used = self._size = 0
        self._last_byte = 0  # before the input
        self._carry = b""  # before the input, and not used yet
        self._out = self.room_left = 0
        self._crc = self._length = 0  # of the member's output
        self._trailer = b""
        self.message = ""
        self.unused_bits = self._value = 0

    @cached_property
    def _raw(self) -> BlockInflater:
        """The zlib inflater from the end of a block."""
        return BlockInflater(self._library, raw=True)

    @cached_property
    def _run(self) -> _BlockRun:
        return _BlockRun(self._igzip)

    def take(self, chunk: bytes | memoryview) -> None:
        """See Inflater."""
        self._input = chunk
        self._address, self._used, self._size = address_of(chunk), 0, len(chunk)

    def room(self, address: int, size: int) -> None:
        """See Inflater."""
        self._out, self.room_left = address, size

    @property
    def input_left(self) -> int:
        """See Inflater."""
        return self._size - self._used

    def step(self, ahead: int = 0) -> int:
        """See Inflater."""
        if self._turn == _TRAILER:
            return self._check()
        if self._at_block_end:
            self._choose(ahead)
        out = self._out
        found = self._with_isal(ahead) if self._turn == _ISAL else self._with_zlib(ahead)
        if self._out != out:
            self._crc = self._igzip.crc32(self._crc, out, self._out - out)
            self._length += self._out - out
        if self._used == self._size and self._size:
            self._last_byte = self._input[-1]
        if found == MEMBER_END and self._zlib is not self._member:
            self._turn = _TRAILER
            return self._check()
        return found

    def _choose(self, ahead: int) -> None:
        """Choose what continues from the end of a block."""
        window = min(WINDOW, self._length)
        if ahead >= _WORTH and not self._carry and (self._length >= _MEMBER or self._zlib is not self._member):
            self._run.start(self._out - window, window, self.unused_bits, self._value)
            self._zlib, self._turn = self._raw, _ISAL
        elif self._turn == _BOUNDARY:
            self._raw.start_at(self._out - window, window, self.unused_bits, self._value)
            self._zlib, self._turn = self._raw, _ZLIB
            if self._carry:  # part of a block header, which gives no output yet
                self._raw.take(self._carry)
                self._raw.step()
                self._carry = b""
        self._at_block_end = False

    def _with_zlib(self, ahead: int) -> int:
        """Inflate with zlib, and block by block if ISA-L may continue after one of them."""
        inflater = self._zlib
        inflater.point_at(self._address + self._used, self._size - self._used)
        inflater.room(self._out, self.room_left)
        found = inflater.step(ahead if ahead < _WORTH else 0)
        self._used = self._size - inflater.input_left
        self._out += self.room_left - inflater.room_left
        self.room_left = inflater.room_left
        if found == BLOCK_END:
            self._at_block_end = True
            self.unused_bits = inflater.unused_bits
            last = self._input[self._used - 1] if self._used else self._last_byte
            self._value = last >> (8 - self.unused_bits)
        elif found == CORRUPT:
            self.message = inflater.message
        return found

    def _with_isal(self, ahead: int) -> int:
        run = self._run
        run.next_in, run.input_left = self._address + self._used, self._size - self._used
        run.next_out, run.room_left = self._out, self.room_left
        found = run.go(ahead)
        self._used = self._size - run.input_left
        self._out, self.room_left = run.next_out, run.room_left
        self.unused_bits, self._value = run.bits, run.value
        if found == CORRUPT:
            self.message = run.message
        elif found == BLOCK_END:
            self._at_block_end, self._turn = True, _BOUNDARY
        elif found == _GIVEN_UP:
            self._at_block_end, self._turn = True, _BOUNDARY
            back = min(len(run.carry), self._used)
            self._used -= back
            self._carry = run.carry[: len(run.carry) - back]
            return MORE
        return found

    def _check(self) -> int:
        """Verify the trailer of the member."""
        taken = min(_TRAILER_SIZE - len(self._trailer), self._size - self._used)
        self._trailer += bytes(self._input[self._used : self._used + taken])
        self._used += taken
        if len(self._trailer) < _TRAILER_SIZE:
            return MORE
        crc, length = struct.unpack("<II", self._trailer)
        if crc != self._crc:
            self.message = "incorrect data check"
        elif length != self._length & 0xFFFFFFFF:
            self.message = "incorrect length check"
        else:
            return MEMBER_END
        return CORRUPT

    def next_member(self) -> None:
        """See Inflater."""
        self._member.next_member()
        self._zlib, self._turn = self._member, _ZLIB
        self._at_block_end = False
        self._crc = self._length = 0
        self._trailer = b""

    def close(self) -> None:
        """See Inflater."""
        self._member.close()
        if "_raw" in self.__dict__:
            self._raw.close()


def fastest(library: Zlib | None = None) -> Inflater:
    """Return the fastest inflater available, or one that uses only `library`."""
    igzip = load_igzip() if library is None else None
    return BlockInflater(library) if igzip is None else SwiftInflater(igzip)
