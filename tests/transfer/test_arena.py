"""Arenas: parts never overlap, and what was taken back is lent again."""

import errno
import mmap
import os
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bakery.transfer.arena import Arena, Loan

PAGE = mmap.PAGESIZE
SIZE = 8 * PAGE


def borrow(arena: Arena, size: int) -> Loan:
    loan = arena.lend(size)
    assert loan is not None
    return loan


def size_of(loan: Loan) -> int:
    return -(-len(loan.memory) // PAGE) * PAGE


@given(st.lists(st.one_of(st.integers(1, SIZE), st.integers(-20, -1)), max_size=40))
def test_parts_never_overlap_and_a_whole_arena_comes_back(steps):
    """A positive step borrows so many bytes, a negative one returns one of the loans."""
    arena, loans = Arena(SIZE), []
    for step in steps:
        if step > 0 and (loan := arena.lend(step)) is not None:
            assert len(loan.memory) == step
            loans.append(loan)
        elif step < 0 and loans:
            arena.take_back(loans.pop(step % len(loans)))
        taken = sorted((loan.offset, loan.offset + size_of(loan)) for loan in loans)
        assert all(end <= start for (_, end), (start, _) in pairwise(taken))
        assert all(start >= 0 and end <= SIZE for start, end in taken)
    for loan in loans:
        arena.take_back(loan)
    whole = arena.lend(SIZE)
    assert whole is not None
    assert arena.lend(1) is None


def test_loans_are_apart_and_keep_what_is_written():
    arena = Arena(3 * PAGE)
    loans = [borrow(arena, PAGE) for _ in range(3)]
    for number, loan in enumerate(loans):
        loan.memory[:] = bytes([number]) * PAGE
    assert [bytes(loan.memory) for loan in loans] == [bytes([number]) * PAGE for number in range(3)]


def test_the_first_part_that_is_large_enough_is_lent():
    arena = Arena(6 * PAGE)
    first, _second, third = (borrow(arena, 2 * PAGE) for _ in range(3))
    assert arena.lend(1) is None
    arena.take_back(third)
    arena.take_back(first)
    assert borrow(arena, PAGE + 1).offset == first.offset
    assert borrow(arena, 1).offset == third.offset


def test_parts_next_to_each_other_become_one():
    arena = Arena(6 * PAGE)
    loans = [borrow(arena, 2 * PAGE) for _ in range(3)]
    for number in (0, 2, 1):
        arena.take_back(loans[number])
    assert borrow(arena, 6 * PAGE).offset == 0


def test_an_arena_without_bytes_lends_nothing():
    assert Arena(0).lend(1) is None


def test_without_memory_for_it_nothing_is_lent(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    arena = Arena(PAGE)
    monkeypatch.setattr(mmap, "mmap", refuse)
    assert arena.lend(1) is None
    monkeypatch.undo()
    assert arena.lend(1) is None  # it is asked for once
