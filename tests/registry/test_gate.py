"""The gate of one host: fair, bounded, adaptive, and closed while the host asks the client to wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bakery.events import Event, HostPaused
from bakery.registry.gate import Gate, Lane
from tests.clock import JumpingClock


def make_gate(*, small: int = 4, clock: JumpingClock | None = None, events: list[Event] | None = None) -> Gate:
    emitted = [] if events is None else events
    return Gate("host", clock=clock or JumpingClock(), emit=emitted.append, small=small, bodies=2)


@contextlib.asynccontextmanager
async def slot(gate: Gate, lane: Lane) -> AsyncIterator[None]:
    await gate.enter(lane)
    try:
        yield
    finally:
        gate.leave(lane)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Crowd:
    """Tasks that enter and stay until released; `inside` lists who is in."""

    def __init__(self, gate: Gate, group: asyncio.TaskGroup) -> None:
        self.gate, self.group = gate, group
        self.inside: list[int] = []
        self.order: list[int] = []
        self.doors: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def come(self, *names: int, lane: Lane = Lane.SMALL) -> None:
        for name in names:
            self.doors[name] = asyncio.Event()
            self.tasks[name] = self.group.create_task(self._visit(name, lane))

    async def _visit(self, name: int, lane: Lane) -> None:
        async with slot(self.gate, lane):
            self.inside.append(name)
            self.order.append(name)
            await self.doors[name].wait()
            self.inside.remove(name)

    async def go(self, *names: int) -> None:
        for name in names:
            self.doors[name].set()
        await settle()


async def test_a_lane_is_bounded_and_first_come_first_served():
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(make_gate(), group)
        crowd.come(*range(8))
        await settle()
        assert crowd.inside == [0, 1, 2, 3]
        await crowd.go(2)
        assert crowd.inside == [0, 1, 3, 4]
        await crowd.go(*range(8))
        assert crowd.order == list(range(8))


async def test_small_requests_do_not_queue_behind_bodies():
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(make_gate(), group)
        crowd.come(10, 11, 12, lane=Lane.BODY)
        crowd.come(1)
        await settle()
        assert crowd.inside == [10, 11, 1]
        await crowd.go(10, 11, 12, 1)


async def test_a_cancelled_waiter_takes_no_slot():
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(make_gate(), group)
        crowd.come(*range(6))
        await settle()
        crowd.tasks[4].cancel()
        await crowd.go(0)
        assert crowd.inside == [1, 2, 3, 5]
        crowd.come(7)
        await settle()
        # Cancelled at the moment in which the slot is handed over.
        crowd.doors[1].set()
        await asyncio.sleep(0)
        crowd.tasks[7].cancel()
        await settle()
        crowd.come(8)
        await settle()
        assert 8 in crowd.inside
        await crowd.go(*crowd.doors)


async def test_a_slot_that_is_handed_over_is_taken():
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(make_gate(small=1), group)
        crowd.come(0, 1)
        await settle()
        await crowd.go(0)
        crowd.come(2)
        await settle()
        assert crowd.inside == [1]
        await crowd.go(1, 2)


async def test_a_waiter_that_is_cancelled_returns_no_slot():
    gate = make_gate(small=1)
    await gate.enter(Lane.SMALL)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(gate.enter(Lane.SMALL))
        await settle()
        first.cancel()
        second = group.create_task(gate.enter(Lane.SMALL))
        await settle()
        assert not second.done()
        gate.leave(Lane.SMALL)


async def test_a_waiter_that_is_cancelled_as_it_gets_its_slot_returns_it():
    gate = make_gate(small=1)
    await gate.enter(Lane.SMALL)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(gate.enter(Lane.SMALL))
        await settle()
        gate.leave(Lane.SMALL)
        first.cancel()
    await gate.enter(Lane.SMALL)


async def test_a_pause_lets_no_request_through_and_halves_the_width():
    clock, events = JumpingClock(), list[Event]()
    gate = make_gate(clock=clock, events=events)
    gate.pause(10, "429")
    began = clock.now()
    async with slot(gate, Lane.SMALL):
        assert clock.now() - began >= 10
    assert gate.width(Lane.SMALL) == 2
    assert events == [HostPaused("host", 10, "429")]


async def test_requests_that_queue_when_a_pause_begins_wait_for_its_end():
    clock = JumpingClock()
    gate = make_gate(small=1, clock=clock)
    entered: list[float] = []

    async def visit() -> None:
        async with slot(gate, Lane.SMALL):
            entered.append(clock.now())

    async with asyncio.TaskGroup() as group:
        await gate.enter(Lane.SMALL)
        group.create_task(visit())
        await settle()
        began = clock.now()
        gate.pause(10, "429")
        gate.leave(Lane.SMALL)
    assert entered[0] - began >= 10


async def test_a_pause_that_grows_is_waited_for_to_its_new_end():
    clock = JumpingClock()
    gate = make_gate(clock=clock)
    gate.pause(10, "429")
    began = clock.now()
    sleep = clock.sleep

    async def sleep_and_be_told_more(seconds: float) -> None:
        clock.sleep = sleep  # type: ignore[method-assign]  # once
        gate.pause(30, "429")
        await sleep(seconds)

    clock.sleep = sleep_and_be_told_more  # type: ignore[method-assign]  # a clock that this test controls
    await gate.enter(Lane.SMALL)
    assert clock.now() - began == 30


async def test_a_complaint_when_a_pause_has_just_ended_is_a_new_one():
    clock = JumpingClock()
    gate = make_gate(small=16, clock=clock)
    gate.pause(10, "429")
    clock.time += 10
    gate.pause(10, "429")
    assert gate.width(Lane.SMALL) == 4


async def test_overlapping_pauses_count_once_and_the_longest_holds():
    clock, events = JumpingClock(), list[Event]()
    gate = make_gate(small=16, clock=clock, events=events)
    for wait_s in (5, 5, 3, 20):
        gate.pause(wait_s, "429")
    assert gate.width(Lane.SMALL) == 8
    assert [event.wait_s for event in events if isinstance(event, HostPaused)] == [5, 20]


async def busy(gate: Gate, rounds: int) -> None:
    """Use the full width in every round, with good responses."""
    for _ in range(rounds):
        width = gate.width(Lane.SMALL)
        for _ in range(width):
            await gate.enter(Lane.SMALL)
        for _ in range(width):
            gate.succeeded(Lane.SMALL)
        for _ in range(width):
            gate.leave(Lane.SMALL)


async def test_the_lane_for_small_requests_widens_and_the_one_for_bodies_does_not():
    gate = make_gate(small=4)
    await busy(gate, 100)
    assert gate.width(Lane.SMALL) == 16
    assert gate.width(Lane.BODY) == 2


async def test_a_round_of_good_responses_doubles_a_lane_and_each_lets_a_waiter_in_at_once():
    gate = make_gate(small=2)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(gate, group)
        crowd.come(*range(5))
        await settle()
        gate.succeeded(Lane.SMALL)
        await settle()
        assert (gate.width(Lane.SMALL), crowd.inside) == (3, [0, 1, 2])
        gate.succeeded(Lane.SMALL)
        await settle()
        assert (gate.width(Lane.SMALL), crowd.inside) == (4, [0, 1, 2, 3])
        await crowd.go(*range(5))


async def test_after_a_complaint_a_round_of_good_responses_widens_a_lane_by_one():
    gate = make_gate(small=8)
    gate.narrow()
    widths = []
    for _ in range(3):
        await busy(gate, 1)
        widths.append(gate.width(Lane.SMALL))
    assert widths == [4, 5, 6]


async def test_after_a_complaint_a_lane_never_exceeds_its_usual_width():
    gate = make_gate(small=4)
    gate.narrow()
    assert gate.width(Lane.SMALL) == 2
    await busy(gate, 100)
    assert gate.width(Lane.SMALL) == 4


async def test_a_lane_that_was_wide_keeps_half_its_width_after_a_complaint():
    gate = make_gate(small=4)
    await busy(gate, 100)
    gate.narrow()
    await busy(gate, 100)
    assert gate.width(Lane.SMALL) == 8


async def test_a_lane_that_is_not_full_does_not_grow():
    gate = make_gate(small=4)
    for _ in range(100):
        async with slot(gate, Lane.SMALL):
            gate.succeeded(Lane.SMALL)
    assert gate.width(Lane.SMALL) == 4


async def test_an_urgent_request_does_not_queue_but_waits_for_the_end_of_a_pause():
    clock = JumpingClock()
    gate = make_gate(small=1, clock=clock)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(gate, group)
        crowd.come(0, 1)
        await settle()
        assert crowd.inside == [0]
        gate.pause(30, "the host asked for it")
        began = clock.now()
        await gate.enter(Lane.SMALL, urgent=True)
        assert clock.now() - began == 30
        gate.leave(Lane.SMALL)
        assert crowd.inside == [0]  # the slot beyond the width is not passed on
        await crowd.go(0, 1)
    assert crowd.order == [0, 1]
