"""The trace has the form that Perfetto reads: complete events that nest, named threads, counters, times in whole µs."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.events import Event, HostPaused, HostTraffic, StepFinished, StepStarted
from bakery.report.journals import entries, runs
from bakery.report.model import Run
from bakery.report.trace import trace
from bakery.text import json_text
from tests.report.runs import run_of

SAMPLE = Path(__file__).parent / "samples" / "journal-2.jsonl"
WHOLE = {"type": "integer", "minimum": 0}
# The parts of "Trace Event Format" (Chromium) that we use, by the phase of an event.
FORM = {
    "type": "object",
    "required": ["ph", "name", "pid"],
    "properties": {"ph": {"enum": ["X", "i", "C", "M"]}, "name": {"type": "string", "minLength": 1}, "pid": WHOLE},
    "oneOf": [
        {
            "required": ["ts", "dur", "tid", "cat", "args"],
            "properties": {"ph": {"const": "X"}, "ts": WHOLE, "dur": WHOLE, "tid": WHOLE, "cat": {"type": "string"}},
        },
        {
            "required": ["ts", "tid", "s"],
            "properties": {"ph": {"const": "i"}, "ts": WHOLE, "tid": WHOLE, "s": {"enum": ["t", "p", "g"]}},
        },
        {
            "required": ["ts", "args"],
            "properties": {
                "ph": {"const": "C"},
                "ts": WHOLE,
                "args": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "number"}},
            },
        },
        {
            "required": ["args"],
            "properties": {
                "ph": {"const": "M"},
                "name": {"enum": ["process_name", "thread_name", "process_sort_index"]},
                "args": {"type": "object"},
            },
        },
    ],
}


def sample():
    return runs(entries(SAMPLE.read_text().splitlines()))[0]


RUNS = {"made": lambda: run_of(20, failing=frozenset({3})), "recorded": sample, "empty": lambda: run_of(1, retries=0)}


@pytest.fixture(params=list(RUNS.values()), ids=list(RUNS))
def events(request):
    written = json.loads(json_text(trace(request.param())))
    assert written["displayTimeUnit"] == "ms"
    return written["traceEvents"]


def test_every_event_has_the_form_of_its_phase(events):
    validator = jsonschema.Draft202012Validator(FORM)
    for event in events:
        validator.validate(event)


def check_nesting(events):
    """Every complete event of a thread is inside of another one, or apart from it, to the microsecond."""
    threads = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in threads.values():
        opened: list[int] = []  # the ends
        for start, end in spans:
            while opened and opened[-1] <= start:
                opened.pop()
            assert not opened or end <= opened[-1]
            opened.append(end)
    return threads


def check_order(events):
    """Metadata is first, then everything by time; the values of a counter have times of their own."""
    times = [event.get("ts", -1) for event in events]
    assert times == sorted(times)
    counters = [(event["pid"], event["name"], event["ts"]) for event in events if event["ph"] == "C"]
    assert len(counters) == len(set(counters))


def test_complete_events_of_a_thread_nest(events):
    assert check_nesting(events)


def test_events_are_in_the_order_of_time(events):
    check_order(events)


# A clock of nanoseconds; samples of one registry are never closer than this.
TIMES = st.integers(1, 1_000_000).map(lambda number: number / 1000 + 0.000_000_7)


@given(st.lists(st.tuples(TIMES, TIMES, st.sampled_from(["read", "stage x/a", "stage y/b"])), max_size=20), st.data())
def test_whatever_the_times_a_trace_has_the_right_form(steps, data):
    run = Run()
    happened: list[tuple[float, Event]] = []
    for number, (start, length, name) in enumerate(steps):
        uid = f"target-{number}"
        happened += [(start, StepStarted(uid, name)), (start + length, StepFinished(uid, name, length))]
        happened.append((start, HostPaused("ghcr.io", data.draw(TIMES), "429")))
        traffic = HostTraffic("ghcr.io", number, number * 10, number * 20)
        happened.append((start, traffic))
    for at, event in sorted(happened, key=lambda one: one[0]):
        run.apply(event, at)
    events = json.loads(json_text(trace(run)))["traceEvents"]
    validator = jsonschema.Draft202012Validator(FORM)
    for event in events:
        validator.validate(event)
    check_nesting(events)
    check_order(events)


def test_every_process_and_thread_that_is_used_has_a_name(events):
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    assert {(event["pid"], event["tid"]) for event in events if event["ph"] in "Xi"} <= named
    assert {event["pid"] for event in events} == processes


def test_a_failed_step_and_a_retry_say_why():
    events = trace(run_of(4, failing=frozenset({3})))["traceEvents"]
    (failed,) = [event for event in events if event["ph"] == "X" and "error" in event["args"]]
    assert (failed["name"], failed["args"]["error"]) == ("stage", "403 DENIED: no permission to push")
    assert failed["dur"] == 1_500_000
    retry = next(event for event in events if event["ph"] == "i" and event["name"] == "retry")
    assert retry["args"]["reason"] == "503 UNAVAILABLE: try again later"
    pause = next(event for event in events if event["name"] == "paused")
    assert (pause["ts"], pause["dur"]) == (1_000_000, 2_000_000)


def test_counters_have_what_went_per_second():
    events = trace(run_of(4))["traceEvents"]
    counters = [event["args"] for event in events if event["name"] == "bytes per second"]
    assert {"sent": 360_000, "received": 8000} in counters
    assert counters[-1] == {"sent": 0, "received": 0}
