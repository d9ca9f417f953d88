"""Foreign text: whatever a server, a child process or a file says, no control character or command is printed."""

import contextlib
import io
import json
import logging
import re
import typing

import msgspec
import pytest

from bakery import errors, events
from bakery.config.yaml.problem import InvalidProject, Problem
from bakery.errors import BakeryError, message, one_line
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.plugins.dgoss import show
from bakery.plugins.dgoss.result import GossResult, GossStatus, read_report
from bakery.publish.journal import Journal
from bakery.publish.outcome import Failure, Outcome, PlatformOutcome, State, Step, TargetOutcome
from bakery.publish.plan import SkippedTarget
from bakery.report.lines import Form, LineFormatter, annotated, line_of, log
from bakery.report.merging import merge
from bakery.report.page import summary_page
from bakery.report.printing import group, print_text
from bakery.report.reading import read_summary
from bakery.report.soci import conversion_lines
from bakery.report.summary import dump, to_json
from bakery.text import clean, forget_secrets, hide, json_text, without_commands
from tests.report.texts import outcome_lines

CANARY = (
    "a\x00\x07\x1b[2J\x1b]0;t\x07\x7f\x85\x9b31m\r\n::stop-commands::PWN\n ##[stop-commands]PWN x##[debug]y "
    "\u00a0::add-mask::PWN\u2028::debug::PWN\v::echo::on\u202e\u2066\u200f\ufeff\ud800<img src=x>"
)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
COMMAND = re.compile(r"^\s*::|##\[|::[a-z]", re.MULTILINE)
OURS = re.compile(r"^::(group|endgroup|error|warning)( title=[^:\n]*)?::", re.MULTILINE)


def assert_harmless(text: str, *, github: bool = True) -> None:
    text.encode()
    assert not FORBIDDEN.search(text), FORBIDDEN.findall(text)
    if github:
        assert not COMMAND.search(OURS.sub("", text)), text


def all_errors():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BakeryError)]
    for kind in kinds:
        yield kind(CANARY, about=CANARY, why=CANARY, hint=CANARY)
    yield ValueError(CANARY)
    problem = Problem(CANARY, 1, 1, CANARY, CANARY, CANARY, False, False, CANARY)
    yield InvalidProject("bakery.yaml", [problem])


def all_events():
    for kind in typing.get_args(events.Event):
        yield sample(kind)


def sample(kind):
    if kind is str:
        return CANARY
    if kind in (int, float, bool):
        return kind(1)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field.name: sample(field.type) for field in msgspec.structs.fields(kind)})
    return (sample(typing.get_args(kind)[0]),)


@pytest.fixture
def outcome():
    error = BakeryError(CANARY, about=CANARY, why=CANARY, hint=CANARY)
    platform = PlatformOutcome(CANARY, Digest.of(b"x"), 1, 1)
    target = TargetOutcome(
        CANARY, CANARY, CANARY, CANARY, CANARY, State.FAILED, Digest.of(b"x"), (platform,), (),
        Failure(Step.STAGE, error), (CANARY,), 1.0,
    )  # fmt: skip
    return Outcome((target,), (SkippedTarget(CANARY, CANARY),), (CANARY,))


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: type(error).__name__)
def test_no_error_carries_foreign_control_characters_or_commands(error, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    print_text(f"{message(error)}\n{one_line(error)}\n")
    assert_harmless(capsys.readouterr().err)
    assert "\n" not in one_line(error)


@pytest.mark.parametrize("github", [False, True])
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("event", list(all_events()), ids=lambda event: type(event).__name__)
def test_no_event_carries_them_into_a_log_line(event, form, github):
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter(Form(json=form == "json", github=github)))
    logger = logging.Logger("test", logging.DEBUG)
    logger.addHandler(handler)
    log(event, logger)
    assert_harmless(out.getvalue(), github=github)
    if not isinstance(event, events.ProblemFound):
        assert out.getvalue().count("\n") == 1
        assert "\n" not in line_of(event).text
    if form == "json":
        json.loads(out.getvalue())


def test_no_traceback_and_no_third_partys_record_carries_them():
    try:
        raise RuntimeError(CANARY)
    except RuntimeError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "f", 1, "broke %s", (CANARY,), info)
    assert_harmless(LineFormatter(Form(github=True)).format(record))


def test_no_table_and_no_report_carries_them(outcome):
    for text in (outcome_lines(outcome, everything=True), outcome_lines(outcome, width=60), conversion_lines(outcome)):
        assert_harmless(text, github=False)
        assert_harmless(annotated(text))
    assert len(outcome_lines(outcome, everything=True).splitlines()) == 7


def test_the_page_of_a_summary_shows_them_as_text(outcome):
    page = summary_page(merge([read_summary(to_json(outcome))]), disclaimer=CANARY)
    assert_harmless(page, github=False)
    assert "<img" not in page.replace("\\<", "")


def test_the_json_summary_keeps_the_values_and_is_safe_to_print(outcome):
    text = dump(to_json(outcome))
    assert_harmless(text, github=False)
    assert "##[" not in text
    assert json.loads(text)["targets"][0]["platforms"] == [CANARY]


def test_json_keeps_every_value():
    value = {CANARY: [CANARY, 1.5, None, "ünï"]}
    for ascii_only in (False, True):
        assert json.loads(json_text(value, indent=2, ascii_only=ascii_only)) == value


def test_the_journal_is_valid_json_without_them(tmp_path):
    with Journal(tmp_path / "journal") as journal:
        for event in all_events():
            journal(event)
    text = (tmp_path / "journal").read_text()
    assert_harmless(text, github=False)
    assert len([json.loads(line) for line in text.splitlines()]) == len(typing.get_args(events.Event))


def test_a_groups_title_is_foreign_text_too(capsys):
    with group(CANARY, {"GITHUB_ACTIONS": "true"}):
        pass
    assert_harmless(capsys.readouterr().err)


def test_a_tested_container_prints_nothing_that_a_terminal_or_github_obeys():
    check = {"resource-type": CANARY, "resource-id": CANARY, "property": CANARY, "title": CANARY, "successful": False,
             "summary-line": CANARY, "summary-line-compact": CANARY}  # fmt: skip
    report = read_report(json.dumps({"summary": {"test-count": 1, "failed-count": 1}, "results": [check]}))
    target = type("Target", (), dict.fromkeys(("uid", "image", "version", "os", "variant"), CANARY))()
    results = [
        GossResult(target, GossStatus.FAILED, report),
        GossResult(target, GossStatus.ERROR, None, CANARY, CANARY, CANARY),
    ]
    for text in (show.table(results), show.closing(results), show.markdown(results)):
        assert_harmless(text, github=False)
    assert_harmless(without_commands(show.closing(results)))
    assert show.junit(results[1])


def test_platforms_of_foreign_configs_are_shown_cleaned():
    found = Descriptor("x", Digest.of(b"x"), 1, platform=Platform(CANARY, CANARY))
    assert_harmless(clean(str(found.platform)), github=False)


def test_known_secrets_are_masked_whatever_quotes_them():
    with contextlib.ExitStack() as stack:
        stack.callback(forget_secrets)
        for secret in ("s3cr3t-token", "pass"):
            hide(secret)
        error = BakeryError("cannot log in", why="401: bad token xs3cr3t-tokenx, pass or bypass")
        assert str(one_line(error)) == "cannot log in: 401: bad token x***x, *** or bypass"
    assert "s3cr3t-token" in clean("s3cr3t-token")
