"""Inflating by ISA-L from checkpoint to checkpoint, and by zlib around them.

ISA-L's `isal_inflate` goes over the ends of blocks, and nothing asks it to stop there. But its state is public
(igzip_lib.h: the caller allocates it), and in it stands whether the block in hand is the stream's last. Told so of the
block in which the next checkpoint can first lie, it stops at that block's end; what it has not used of its input tells
the bit. The rest is zlib's as ever: gzip headers, small members, and what is left up to a checkpoint where that block
ended too early. After a checkpoint ISA-L starts anew with nothing but offset, bits and window, as a reader will: so the
checksum at the member's end proves every checkpoint before it.

ISA-L takes some Huffman codes for sound that zlib refuses: those that leave codes unused. No compressor writes them.
The package isal carries ISA-L in an extension module and exports its functions, as zlib-ng does (inflate.py). Where it
is not there, or not as it is known here, zlib does all of it, with the same result.
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
_MIDST: Final = (_TYPE0, _CODED)  # between the header of a block and its end
_MESSAGES: Final = {-1: "invalid block", -2: "invalid symbol", -3: "invalid distance"}
_VERSIONS: Final = ((2, 31), (2, 32))  # those whose state is laid out as below

# With so much of the way to a checkpoint left it can go on once more without coming there: ISA-L inflates up to 32 KiB
# more than it is given room for, into its state, and a match.
_FURTHER: Final = 33 * 1024
_CLOSE: Final = 5 * _FURTHER  # from here on it is to stop at a block's end
_WORTH: Final = 512 * 1024  # less on the way to the next checkpoint is left to zlib
_MEMBER: Final = 64 * 1024  # so much of a member is zlib's: some layers have a member for every file
_TRAILER_SIZE: Final = 8
_GIVEN_UP: Final = 9  # beside what inflate.py says that a step found

# Who goes on.
_ZLIB: Final = 0
_BOUNDARY: Final = 1  # whoever it is worth for: ISA-L has stopped at the end of a block
_ISAL: Final = 2
_TRAILER: Final = 3  # nobody: the member's deflate stream has ended


class _State(ctypes.Structure):
    """struct inflate_state of igzip_lib.h."""

    _fields_ = (
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint32),
        ("total_out", ctypes.c_uint32),
        ("next_in", ctypes.c_void_p),
        ("read_in", ctypes.c_uint64),  # bits read and not used; above `read_in_length` of them lies anything
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
        ("tmp_out_valid", ctypes.c_int32),  # up to where there is output in tmp_out_buffer,
        ("tmp_out_processed", ctypes.c_int32),  # and up to where it was given out
        ("tmp_in_buffer", ctypes.c_uint8 * 328),  # of a header that has not come whole
        ("tmp_out_buffer", ctypes.c_uint8 * (2 * WINDOW + 288)),
        ("unknown", ctypes.c_uint8 * 4096),  # not of ISA-L: a state that is larger than we know must not harm us
    )


class Igzip:
    """The functions of ISA-L. Raises AttributeError for one that the library lacks."""

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
    """The ISA-L inside the package isal; None where it is not to be had, or not as we know it."""
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
    """A trial before it is trusted: over two blocks that end within a byte, the second from a checkpoint."""
    deflate, data = zlib.compressobj(6, zlib.DEFLATED, -15), [bytes(range(32, 127)), bytes(range(126, 31, -1)) * 4]
    stream = b"".join(deflate.compress(part) + deflate.flush(zlib.Z_BLOCK) for part in data) + deflate.flush()
    buffer = ctypes.create_string_buffer(WINDOW)
    address, out = address_of(stream), ctypes.addressof(buffer)
    judge, sprint = BlockInflater(raw=True), _Sprint(igzip)
    judge.take(stream)
    filled = at = 0
    for _ in range(2):
        judge.room(out + filled, WINDOW - filled)
        if judge.step() != BLOCK_END:
            return False
        end = len(stream) - judge.input_left
        sprint.start(out, filled, sprint.bits, sprint.value)
        sprint.next_out, sprint.room_left = out + filled, WINDOW - filled
        for stop, found in ((end - 8, MORE), (len(stream), BLOCK_END)):
            sprint.next_in, sprint.input_left = address + at, stop - at
            if sprint.go(_CLOSE) != found:
                return False
            at = sprint.next_in - address
        if (at, sprint.bits, sprint.room_left) != (end, judge.unused_bits, judge.room_left):
            return False
        filled = WINDOW - sprint.room_left
    judge.close()
    return buffer.raw[:filled] == b"".join(data)


class _Sprint:
    """ISA-L from one block's end to another.

    `start` says from where; the caller sets next_in and input_left, next_out and room_left, and finds them moved on
    after each `go`. After BLOCK_END and _GIVEN_UP `bits` and `value` are those of the last byte that it has not used.
    """

    def __init__(self, igzip: Igzip) -> None:
        self._igzip = igzip
        self._state = _State()
        self._at = ctypes.addressof(self._state)
        self._output = self._at + _State.tmp_out_buffer.offset
        self.next_in = self.input_left = self.next_out = self.room_left = 0
        self.bits = self.value = 0
        self.message = ""
        self.carry = b""  # after _GIVEN_UP: bytes behind the last block's end that were read
        self._made_to_stop = False  # at the end of the block in hand
        self._is_last = False  # that block is the last of the stream
        self._found = MORE  # once it has stopped: what at; output may be left

    def start(self, window: int, size: int, bits: int, value: int) -> None:
        """Begin where a block begins, with these unused bits and the `size` bytes of output at `window` behind us."""
        state = self._state
        self._igzip.init(self._at)
        if size:
            self._igzip.set_dictionary(self._at, window, size)
        state.read_in, state.read_in_length = value, bits
        self._made_to_stop, self._found = False, MORE

    def go(self, ahead: int) -> int:
        """Inflate on until input or room are used up, or to the first block's end behind more than `ahead` bytes.

        Gives MORE or BLOCK_END, MEMBER_END at the stream's end (which is not the member's), CORRUPT; or _GIVEN_UP, at
        the end of an earlier block, where blocks are too small and come in too small pieces.
        """
        state = self._state
        while True:
            pending = state.tmp_out_valid - state.tmp_out_processed
            if self._found != MORE:
                self._give_out(min(pending, self.room_left))
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
                # A byte stays: with the last one given out at a stream's end ISA-L forgets the bits it has not used.
                most = max(0, min(self.room_left, pending - 1))
            had_place = state.tmp_out_valid < 2 * WINDOW
            answer = self._inflate(most)
            handed = most - state.avail_out
            ahead -= handed
            if answer < 0:
                self.message = _MESSAGES.get(answer, f"error {answer}")
                return CORRUPT
            now_pending = state.tmp_out_valid - state.tmp_out_processed
            if state.block_state in (_INPUT_DONE, _FINISH):
                self._stop(BLOCK_END if self._made_to_stop and not self._is_last else MEMBER_END)
                continue
            is_close = now_pending and ahead - now_pending <= _CLOSE
            if is_close and not self._made_to_stop and state.block_state in _MIDST:
                self._made_to_stop, self._is_last = True, bool(state.bfinal)
                state.bfinal = 1
            if not self.input_left and had_place and handed + now_pending == pending:
                return MORE

    def _inflate(self, most: int) -> int:
        state = self._state
        state.next_in, state.avail_in = self.next_in, self.input_left
        state.next_out, state.avail_out = self.next_out, most
        answer: int = self._igzip.inflate(self._at)
        self.next_in, self.input_left = state.next_in, state.avail_in
        self.next_out += most - state.avail_out
        self.room_left -= most - state.avail_out
        return answer

    def _stop(self, found: int) -> None:
        state = self._state
        unused: int = state.read_in_length
        self.next_in -= unused // 8
        self.input_left += unused // 8
        self.bits = unused % 8
        self.value = state.read_in & (1 << self.bits) - 1
        self._found = found

    def _give_up(self) -> None:
        # No block in hand: its header has not come whole. What of it has come is in two places.
        state = self._state
        unused: int = state.read_in_length
        read = state.read_in & (1 << unused) - 1
        self.bits = unused % 8
        self.value = read & (1 << self.bits) - 1
        self.carry = (read >> self.bits).to_bytes(unused // 8, "little")
        self.carry += bytes(state.tmp_in_buffer[: state.tmp_in_size])
        self._found = _GIVEN_UP

    def _give_out(self, size: int) -> None:
        """What lies in the state, by ourselves: ISA-L would forget how many bits it has not used."""
        ctypes.memmove(self.next_out, self._output + self._state.tmp_out_processed, size)
        self._state.tmp_out_processed += size
        self.next_out += size
        self.room_left -= size


class SwiftInflater:
    """Inflater by ISA-L and zlib in turns."""

    def __init__(self, igzip: Igzip, library: Zlib | None = None) -> None:
        self._igzip = igzip
        self._member = BlockInflater(library)  # from the beginning of a member
        self._library = library
        self._zlib = self._member
        self._who = _ZLIB
        self._at_block_end = False
        self._input: bytes | memoryview = b""
        self._address = self._used = self._size = 0
        self._last_byte = 0  # before the input
        self._carry = b""  # before the input, and not used yet
        self._out = self._room = 0
        self._crc = self._length = 0  # of the member's output
        self._trailer = b""
        self._message = ""
        self._bits = self._value = 0

    @cached_property
    def _raw(self) -> BlockInflater:
        """From the end of a block."""
        return BlockInflater(self._library, raw=True)

    @cached_property
    def _sprint(self) -> _Sprint:
        return _Sprint(self._igzip)

    def take(self, chunk: bytes | memoryview) -> None:
        """See Inflater."""
        self._input = chunk
        self._address, self._used, self._size = address_of(chunk), 0, len(chunk)

    def room(self, address: int, size: int) -> None:
        """See Inflater."""
        self._out, self._room = address, size

    @property
    def input_left(self) -> int:
        """See Inflater."""
        return self._size - self._used

    @property
    def room_left(self) -> int:
        """See Inflater."""
        return self._room

    @property
    def unused_bits(self) -> int:
        """See Inflater."""
        return self._bits

    @property
    def message(self) -> str:
        """See Inflater."""
        return self._message

    def step(self, ahead: int = 0) -> int:
        """See Inflater."""
        if self._who == _TRAILER:
            return self._check()
        if self._at_block_end:
            self._choose(ahead)
        out = self._out
        found = self._sprinted(ahead) if self._who == _ISAL else self._stepped(ahead)
        if self._out != out:
            self._crc = self._igzip.crc32(self._crc, out, self._out - out)
            self._length += self._out - out
        if self._used == self._size and self._size:
            self._last_byte = self._input[-1]
        if found == MEMBER_END and self._zlib is not self._member:
            self._who = _TRAILER
            return self._check()
        return found

    def _choose(self, ahead: int) -> None:
        """Who goes on from the end of a block."""
        window = min(WINDOW, self._length)
        if ahead >= _WORTH and not self._carry and (self._length >= _MEMBER or self._zlib is not self._member):
            self._sprint.start(self._out - window, window, self._bits, self._value)
            self._zlib, self._who = self._raw, _ISAL
        elif self._who == _BOUNDARY:
            self._raw.start_at(self._out - window, window, self._bits, self._value)
            self._zlib, self._who = self._raw, _ZLIB
            if self._carry:  # a part of a block's header: nothing comes of it yet
                self._raw.take(self._carry)
                self._raw.step()
                self._carry = b""
        self._at_block_end = False

    def _stepped(self, ahead: int) -> int:
        """By zlib; block by block where the end of one may be ISA-L's beginning."""
        inflater = self._zlib
        inflater.point_at(self._address + self._used, self._size - self._used)
        inflater.room(self._out, self._room)
        found = inflater.step(ahead if ahead < _WORTH else 0)
        self._used = self._size - inflater.input_left
        self._out += self._room - inflater.room_left
        self._room = inflater.room_left
        if found == BLOCK_END:
            self._at_block_end = True
            self._bits = inflater.unused_bits
            last = self._input[self._used - 1] if self._used else self._last_byte
            self._value = last >> (8 - self._bits)
        elif found == CORRUPT:
            self._message = inflater.message
        return found

    def _sprinted(self, ahead: int) -> int:
        sprint = self._sprint
        sprint.next_in, sprint.input_left = self._address + self._used, self._size - self._used
        sprint.next_out, sprint.room_left = self._out, self._room
        found = sprint.go(ahead)
        self._used = self._size - sprint.input_left
        self._out, self._room = sprint.next_out, sprint.room_left
        self._bits, self._value = sprint.bits, sprint.value
        if found == CORRUPT:
            self._message = sprint.message
        elif found == BLOCK_END:
            self._at_block_end, self._who = True, _BOUNDARY
        elif found == _GIVEN_UP:
            self._at_block_end, self._who = True, _BOUNDARY
            back = min(len(sprint.carry), self._used)
            self._used -= back
            self._carry = sprint.carry[: len(sprint.carry) - back]
            return MORE
        return found

    def _check(self) -> int:
        """The member's trailer."""
        taken = min(_TRAILER_SIZE - len(self._trailer), self._size - self._used)
        self._trailer += bytes(self._input[self._used : self._used + taken])
        self._used += taken
        if len(self._trailer) < _TRAILER_SIZE:
            return MORE
        crc, length = struct.unpack("<II", self._trailer)
        if crc != self._crc:
            self._message = "incorrect data check"
        elif length != self._length & 0xFFFFFFFF:
            self._message = "incorrect length check"
        else:
            return MEMBER_END
        return CORRUPT

    def next_member(self) -> None:
        """See Inflater."""
        self._member.next_member()
        self._zlib, self._who = self._member, _ZLIB
        self._at_block_end = False
        self._crc = self._length = 0
        self._trailer = b""

    def close(self) -> None:
        """See Inflater."""
        self._member.close()
        if "_raw" in self.__dict__:
            self._raw.close()


def fastest(library: Zlib | None = None) -> Inflater:
    """The fastest that is to be had; with `library`, that one alone."""
    igzip = load_igzip() if library is None else None
    return BlockInflater(library) if igzip is None else SwiftInflater(igzip)
