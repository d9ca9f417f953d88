"""Plain lines: each event and record on one line, in three forms, and nothing in them that GitHub would obey."""

import json
import logging

import pytest

from bakery.events import HostPaused, Noted, RequestRetried, SourcesMissing, StepRetried, StepStarted, TagMoved
from bakery.report.lines import LineFormatter, annotated, annotation, group, line_of, log

EVENTS = {
    "request": (
        RequestRetried("ghcr.io", "reading", "x", 2, 1.5, "503"),
        "WARNING",
        "reading x: attempt 2: 503; again",
    ),
    "pause": (HostPaused("ghcr.io", 30, "429"), "WARNING", "ghcr.io asks us to stay away for 30.0 s: 429"),
    "step": (StepRetried("app", "copy", 1, 2, "503"), "WARNING", "app [copy]: attempt 1 failed: 503; again in 2.0 s"),
    "sources": (
        SourcesMissing("app", ("x@sha256:1",), 3, 600),
        "INFO",
        "app [wait]: waiting on x@sha256:1 (3 of",
    ),
    "tag": (TagMoved("app", "x:1", "sha256:1", ""), "INFO", "app [commit]: x:1 -> sha256:1 (was new)"),
    "note": (Noted("app", "no SOCI", warning=False), "INFO", "app: no SOCI"),
    "begin": (StepStarted("app", "copy"), "DEBUG", "StepStarted"),
}


def record(event):
    kept = []
    logger = logging.Logger("test", logging.DEBUG)
    logger.addHandler(type("Keep", (logging.Handler,), {"emit": lambda self, one: kept.append(one)})())
    log(event, logger)
    return kept[0]


@pytest.mark.parametrize(("event", "level", "text"), EVENTS.values(), ids=EVENTS)
def test_an_event_is_one_line_with_its_target_and_step(event, level, text):
    line = LineFormatter().format(record(event))
    assert line.startswith(level)
    assert text in line
    assert "\n" not in line
    assert line_of(event).level == getattr(logging, level)


def test_in_ci_lines_carry_the_time_in_utc():
    one = record(EVENTS["tag"][0])
    one.created = 0.5
    assert LineFormatter(dated=True).format(one).startswith("1970-01-01T00:00:00Z INFO app [commit]: ")


def test_json_lines_are_objects_without_what_is_empty():
    one = record(EVENTS["step"][0])
    assert json.loads(LineFormatter("json").format(one)) | {"time": ""} == {
        "time": "",
        "level": "warning",
        "target": "app",
        "step": "copy",
        "message": "attempt 1 failed: 503; again in 2.0 s",
    }
    assert "target" not in json.loads(LineFormatter("json").format(record(EVENTS["pause"][0])))


def test_warnings_are_annotations_on_github_and_the_rest_is_not():
    assert LineFormatter(github=True).format(record(EVENTS["step"][0])) == (
        "::warning title=app [copy]::attempt 1 failed: 503; again in 2.0 s"
    )
    assert LineFormatter(github=True).format(record(EVENTS["tag"][0])).startswith("INFO app")


def test_an_annotation_holds_whatever_text_it_is_given():
    assert annotation("error", "50% of\na, b::c", title="a:b,c") == "::error title=a%3Ab%2Cc::50%25 of%0Aa, b::c"


def test_a_report_becomes_annotations_line_by_line_and_obeys_nobody():
    text = "error: app: [stage] no\nwarning: old\nplain\n  ::set-output name=x::y\n"
    assert annotated(text) == "::error::app: [stage] no\n::warning::old\nplain\n   ::set-output name=x::y\n"


def test_a_second_line_is_indented():
    try:
        raise LookupError("no")
    except LookupError as error:
        one = logging.LogRecord("x", logging.ERROR, "f", 1, "broke", None, (type(error), error, error.__traceback__))
    lines = LineFormatter().format(one).splitlines()
    assert lines[0] == "ERROR broke"
    assert all(line.startswith("    ") for line in lines[1:])
    assert len(lines) > 2


def test_a_group_is_folded_on_github_alone_and_closed_whatever_happens(capsys):
    with pytest.raises(KeyError), group("work", {"GITHUB_ACTIONS": "true"}):
        raise KeyError
    with group("work", {}):
        pass
    assert capsys.readouterr().err == "::group::work\n::endgroup::\n"
