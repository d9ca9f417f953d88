"""Plain lines: each event and record is one line, in three formats, and contains no command for GitHub."""

import json
import logging
import re
from datetime import UTC, datetime

import pytest

from bakery.config.yaml.problem import InvalidProject, Problem
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
from bakery.report.lines import (
    Form,
    Line,
    LineFormatter,
    annotated,
    annotation,
    coloured,
    line_of,
    lines_of,
    lines_of_error,
    log,
    render,
)
from bakery.report.printing import group

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
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
    "tag": (TagMoved("app", "x:1", "sha256:1", ""), "DEBUG", "app [commit]: x:1 -> sha256:1 (was new)"),
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
    assert LineFormatter(Form(dated=True)).format(one).startswith("1970-01-01T00:00:00Z DEBUG app [commit]: ")


def test_json_lines_are_objects_without_empty_members():
    one = record(EVENTS["step"][0])
    assert json.loads(LineFormatter(Form(json=True)).format(one)) | {"time": ""} == {
        "time": "",
        "level": "warning",
        "target": "app",
        "step": "copy",
        "message": "attempt 1 failed: 503; retrying in 2.0 s",
    }
    assert "target" not in json.loads(LineFormatter(Form(json=True)).format(record(EVENTS["pause"][0])))


def test_only_warnings_and_errors_are_annotations_on_github():
    assert LineFormatter(Form(github=True)).format(record(EVENTS["step"][0])) == (
        "::warning title=app [copy]::attempt 1 failed: 503; retrying in 2.0 s"
    )
    assert LineFormatter(Form(github=True)).format(record(EVENTS["tag"][0])).startswith("DEBUG app")


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


def test_gitlab_folds_a_group_too(capsys):
    with group("Publishing 2 targets", {"GITLAB_CI": "true"}):
        pass
    assert re.fullmatch(
        r"\x1b\[0Ksection_start:\d+:bakery_publishing_2_targets\[collapsed=true\]\r\x1b\[0KPublishing 2 targets\n"
        r"\x1b\[0Ksection_end:\d+:bakery_publishing_2_targets\r\x1b\[0K\n",
        capsys.readouterr().err,
    )


def test_an_annotation_names_the_place_in_a_file():
    line = Line(logging.ERROR, "bakery.yaml:3:5: error: no", style="report", file="bakery.yaml", line=3, column=5)
    assert render(line, NOW, Form(github=True)) == ("::error file=bakery.yaml,line=3,col=5::bakery.yaml:3:5: error: no")
    assert render(line, NOW, Form()) == "bakery.yaml:3:5: error: no"


def test_the_lines_of_a_report_are_objects_if_lines_are_json():
    lines = lines_of("Publishing\nerror[a/b]: no\nhint: log in\nwarning: old\nhint: none\n\nend\n")
    assert [json.loads(render(line, NOW, Form(json=True))) for line in lines] == [
        {"time": "2026-01-02T03:04:05Z", "level": "info", "message": "Publishing"},
        {"time": "2026-01-02T03:04:05Z", "level": "error", "code": "a/b", "message": "no", "hint": "log in"},
        {"time": "2026-01-02T03:04:05Z", "level": "warning", "message": "old", "hint": "none"},
        {"time": "2026-01-02T03:04:05Z", "level": "info", "message": "end"},
    ]


def test_a_closing_line_is_no_annotation_and_has_no_prefix():
    line = Line(logging.ERROR, "❌ Publish failed", style="plain")
    assert render(line, NOW, Form(github=True)) == render(line, NOW, Form()) == "❌ Publish failed"


def test_only_the_first_words_of_a_report_are_coloured():
    assert coloured("error[a/b]: an error: x\nhint: y\n✅ done\nplain\n") == (
        "\x1b[1;31merror[a/b]:\x1b[0m an error: x\n\x1b[36mhint:\x1b[0m y\n\x1b[32m✅\x1b[0m done\nplain\n"
    )


def test_every_problem_of_a_project_is_a_line_with_its_place():
    problem = Problem("bakery.yaml", 3, 5, "images[0]", "unknown key", "", False, False, "")
    first, last = lines_of_error(InvalidProject("bakery.yaml", [problem]))
    assert (first.file, first.line, first.column, first.title) == ("bakery.yaml", 3, 5, "images[0]")
    assert last.text == "cannot load bakery.yaml: 1 error"
