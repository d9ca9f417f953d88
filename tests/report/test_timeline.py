"""The data of the timeline, and the page that it is put into. tests/peers/test_timeline.py opens that in Chromium."""

from __future__ import annotations

import json
import re

from bakery.events import HostTraffic, RequestRetried, RunStarted, StepFinished, StepStarted
from bakery.report.model import Run
from bakery.report.rates import rates
from bakery.report.timeline import MOST_MARKS, timeline
from bakery.report.timeline_page import timeline_page
from tests.report.runs import NEW, OLD, run_of


def data_of(page: str):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_a_step_has_its_stage_place_begin_length_and_error():
    data = timeline(run_of(4, failing=frozenset({3})))
    failed = data["targets"][3]
    stage, place, began, took, error, _ = next(step for step in failed["steps"] if step[4])
    assert (data["stages"][stage], data["texts"][place]) == ("stage", "ghcr.io/acme/hello")
    assert (began, took) == (1.6, 1.5)
    assert data["texts"][error] == "403 DENIED: no permission to push"


def test_a_move_names_tag_and_digest_before():
    target = (data := timeline(run_of(1)))["targets"][0]
    assert [(data["texts"][place], tag, data["texts"][before]) for place, tag, before in target["moves"]][:2] == [
        ("ghcr.io/acme/hello", "1.0.0", OLD),
        ("ghcr.io/acme/hello", "latest", OLD),
    ]
    assert data["texts"][target["digest"]] == NEW


def test_more_marks_than_a_page_needs_are_counted():
    run = run_of(1)
    for number in range(MOST_MARKS):
        run.apply(RequestRetried("ghcr.io", "read", "x", 1, 0.1, "503", "hello-1-0-0"), 10 + number / 1000)
    data = timeline(run)
    assert sum(len(target["marks"]) for target in data["targets"]) <= MOST_MARKS
    assert data["marksLeftOut"] == len(run.marks) - MOST_MARKS > 0


def test_long_reasons_are_cut_and_the_same_one_is_there_once():
    run = Run()
    for uid in ("a", "b"):
        run.apply(StepStarted(uid, "stage"), 0.0)
        run.apply(StepFinished(uid, "stage", 1.0, "x" * 5000), 1.0)
    (long,) = [text for text in timeline(run)["texts"] if text.startswith("x")]
    assert len(long) == 401


def test_rates_are_the_traffic_between_two_samples():
    run = Run()
    for at, requests, received, sent in ((0.0, 0, 0, 0), (1.0, 10, 100, 1000), (3.0, 10, 100, 5000)):
        run.apply(HostTraffic("ghcr.io", requests, received, sent), at)
    found = [
        (one.start, one.end, one.out_per_s, one.in_per_s, one.requests_per_s) for one in rates(run.hosts["ghcr.io"])
    ]
    assert found == [(0.0, 1.0, 1000, 100, 10), (1.0, 3.0, 2000, 0, 0), (3.0, 3.0, 0, 0, 0)]


def test_the_page_holds_the_data_and_nothing_from_outside():
    run = run_of(3)
    page = timeline_page(run)
    assert data_of(page) == json.loads(json.dumps(timeline(run)))
    assert not re.search(r'\b(src|href)="|@import|url\(', page.partition('id="data"')[0])
    assert "default-src 'none'" in page


def test_no_text_of_a_run_ends_the_element_that_holds_the_data():
    run = Run()
    hostile = "</script><!-- <script> \u2028 /*SCRIPT*/ \ud800"
    run.apply(RunStarted(hostile), 0.0)
    run.apply(StepStarted(hostile, "stage"), 0.0)
    page = timeline_page(run)
    page.encode()
    assert page.count("</script>") == 2
    assert data_of(page)["doing"].startswith("</script>")
