"""Plain lines: each event and record is one line, in three formats, and contains no command for GitHub."""

import json
import logging

import pytest

from bakery.events import (
    HostPaused,
    Noted,
    ProblemFound,
    RequestRetried,
    SourcesMissing,
    StepRetried,
    StepStarted,
    TagMoved,
)
from bakery.report.lines import LineFormatter, annotated, annotation, line_of, log
from bakery.report.printing import group

EVENTS = {
    "request": (
        RequestRetried("ghcr.io", "read manifest", "x", 2, 1.5, "503"),
        "WARNING",
        "retrying in 1.5 s: read manifest x (attempt 2 failed: 503)",
    ),
    "pause": (HostPaused("ghcr.io", 30, "429"), "WARNING", "ghcr.io requests a wait of 30.0 s: 429"),
    "step": (
        StepRetried("app", "copy", 1, 2, "503"),
        "WARNING",
        "app [copy]: attempt 1 failed: 503; retrying in 2.0 s",
    ),
    "sources": (
        SourcesMissing("app", ("x@sha256:1",), 3, 600),
        "INFO",
        "app [wait]: waiting for x@sha256:1 (3 of",
    ),
    "tag": (TagMoved("app", "x:1", "sha256:1", ""), "INFO", "app [commit]: x:1 -> sha256:1 (was new)"),
    "note": (Noted("app", "no SOCI", warning=False), "INFO", "app: no SOCI"),
    "problem": (
        ProblemFound("bakery.yaml", 3, 1, "bakery.yaml:3:1: warning: old"),
        "WARNING",
        "bakery.yaml:3:1: warning",
    ),
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


def test_lines_in_ci_start_with_the_time_in_utc():
    one = record(EVENTS["tag"][0])
    one.created = 0.5
    assert LineFormatter(dated=True).format(one).startswith("1970-01-01T00:00:00Z INFO app [commit]: ")


def test_json_lines_are_objects_without_empty_members():
    one = record(EVENTS["step"][0])
    assert json.loads(LineFormatter("json").format(one)) | {"time": ""} == {
        "time": "",
        "level": "warning",
        "target": "app",
        "step": "copy",
        "message": "attempt 1 failed: 503; retrying in 2.0 s",
    }
    assert "target" not in json.loads(LineFormatter("json").format(record(EVENTS["pause"][0])))


def test_only_warnings_and_errors_are_annotations_on_github():
    assert LineFormatter(github=True).format(record(EVENTS["step"][0])) == (
        "::warning title=app [copy]::attempt 1 failed: 503; retrying in 2.0 s"
    )
    assert LineFormatter(github=True).format(record(EVENTS["tag"][0])).startswith("INFO app")


def test_an_annotation_escapes_its_text_and_title():
    assert annotation("error", "50% of\na, b::c", title="a:b,c") == "::error title=a%3Ab%2Cc::50%25 of%0Aa, b: :c"


def test_errors_and_warnings_of_a_report_become_annotations_with_their_hints():
    text = "error[run/failed]: app: [stage] no\nhint: log in\nwarning: old\nplain\nhint: none\n"
    assert (
        annotated(text)
        == "::error title=run/failed::app: [stage] no%0Ahint: log in\n::warning::old\nplain\nhint: none\n"
    )


def test_text_in_a_report_that_looks_like_a_command_of_github_is_made_harmless():
    assert annotated("  ::set-output name=x::y\n##[group]x\r::stop") == (
        "  : :set-output name=x: :y\n## [group]x\\x0d: :stop"
    )


def test_a_second_line_is_indented():
    try:
        raise LookupError("no")
    except LookupError as error:
        one = logging.LogRecord("x", logging.ERROR, "f", 1, "broke", None, (type(error), error, error.__traceback__))
    lines = LineFormatter().format(one).splitlines()
    assert lines[0] == "ERROR broke"
    assert all(line.startswith("    ") for line in lines[1:])
    assert len(lines) > 2


def test_a_group_is_folded_only_on_github_and_closed_after_an_error(capsys):
    with pytest.raises(KeyError), group("work", {"GITHUB_ACTIONS": "true"}):
        raise KeyError
    with group("work", {}):
        pass
    assert capsys.readouterr().err == "::group::work\n::endgroup::\n"
