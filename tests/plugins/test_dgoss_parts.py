"""The parts of the dgoss plugin that need no program: the command, the result, and how results are shown."""

import json
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from bakery.errors import ConfigurationError
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import Repository
from bakery.parallel.command import ShellResult, ShellTask
from bakery.plugins.dgoss.invocation import (
    Programs,
    dgoss_task,
    escaped,
    full_platform,
    host_platform,
    newest_reference,
)
from bakery.plugins.dgoss.result import GossStatus, goss_result, read_report
from bakery.plugins.dgoss.show import closing, junit, markdown, table
from bakery.report.lines import showable
from bakery.targets.metadata import BuildResult
from tests.plugins.examples import make_project

HERE = Path(__file__).parent
REPORT = (HERE / "goss-report.json").read_text()  # as goss 0.4.9 printed it: 6 checks, 3 failed, 1 skipped
PASSING = '{"results": [], "summary": {"test-count": 2, "failed-count": 0, "skipped-count": 0, "total-duration": 5e8}}'


def task_of(target, folder, environment=None):
    return dgoss_task(
        target,
        target.option("goss"),
        context=folder,
        image="registry.acme.test/acme/oven@sha256:" + "a" * 64,
        platform="linux/amd64",
        programs=Programs("dgoss", "/opt/goss"),
        environment=environment or {"PATH": "/bin"},
        run_id="f00d",
        scratch=folder / "scratch",
    )


def test_the_command_has_the_documented_arguments_and_environment(tmp_path):
    target, _ = make_project(tmp_path)
    task = task_of(target, tmp_path)
    assert task.cmd == [
        *("dgoss", "run", "--platform", "linux/amd64"),
        *("-v", f"{tmp_path}/oven/1.0.0:/tmp/version"),
        *("-v", f"{tmp_path}/oven:/tmp/image"),
        *("-v", f"{tmp_path}:/tmp/project"),
        *("-e", "IMAGE_VERSION=1.0.0"),
        *("-e", "IMAGE_VERSION_MOUNT=/tmp/version"),
        *("-e", "IMAGE_MOUNT=/tmp/image"),
        *("-e", "PROJECT_MOUNT=/tmp/project"),
        *("-e", "IMAGE_VARIANT=Standard"),
        *("-e", "IMAGE_OS=Ubuntu\\ 24.04"),
        *("-e", "IMAGE_OS_NAME=ubuntu"),
        *("-e", "IMAGE_OS_CODENAME=noble"),
        *("-e", "IMAGE_OS_FAMILY=debian"),
        *("-e", "IMAGE_OS_VERSION=24.04"),
        *("-e", "IMAGE_OS_PLATFORM=linux/amd64"),
        *("--label", "bakery.dgoss=f00d"),
        "--init",
        *("--privileged", "--user", "0"),
        "registry.acme.test/acme/oven@sha256:" + "a" * 64,
        *("from", "image"),
    ]
    assert (task.key, task.cwd, task.timeout) == (target.uid, tmp_path, 900)
    assert task.env == {
        "PATH": "/bin",
        "GOSS_FILES_PATH": f"{tmp_path}/oven/test",
        "GOSS_OPTS": "--format json --no-color",
        "GOSS_PATH": "/opt/goss",
        "DGOSS_TEMP_DIR": f"{tmp_path}/scratch",
    }


def test_a_target_without_variant_and_os_uses_the_options_of_its_image(tmp_path):
    _, target = make_project(tmp_path)
    task = task_of(target, tmp_path)
    assert task.cmd[-2:] == ["sleep", "infinity"]
    assert not [word for word in task.cmd if word.startswith(("IMAGE_OS=", "IMAGE_VARIANT="))]
    assert task.timeout == 7


def test_the_test_directory_of_the_version_takes_precedence_over_that_of_the_image(tmp_path):
    target, _ = make_project(tmp_path)
    (tmp_path / target.version_path / "test").mkdir()
    assert (task_of(target, tmp_path).env or {})["GOSS_FILES_PATH"] == f"{tmp_path}/oven/1.0.0/test"


def test_a_target_without_a_test_directory_is_an_error(tmp_path):
    target, _ = make_project(tmp_path)
    (tmp_path / target.image_path / "test").rmdir()
    with pytest.raises(ConfigurationError, match=r"neither .* nor .* exists"):
        task_of(target, tmp_path)


def test_the_token_is_passed_by_name_and_only_on_github(tmp_path):
    target, _ = make_project(tmp_path)
    on_github = task_of(target, tmp_path, {"GITHUB_TOKEN": "secret-1", "GITHUB_ACTIONS": "true"})
    assert "GH_TOKEN" in on_github.cmd
    assert not [word for word in on_github.cmd if "secret-1" in word]
    assert (on_github.env or {})["GH_TOKEN"] == "secret-1"
    elsewhere = task_of(target, tmp_path, {"GITHUB_TOKEN": "secret-1"})
    assert "GH_TOKEN" not in elsewhere.cmd
    assert "GH_TOKEN" not in (elsewhere.env or {})


def test_a_wait_is_passed_as_goss_sleep(tmp_path):
    target, _ = make_project(tmp_path)
    options = replace(target.option("goss"), wait=5)
    task = dgoss_task(
        target, options, context=tmp_path, image="x", platform="linux/amd64", programs=Programs("dgoss", None),
        environment={}, run_id="f00d", scratch=tmp_path,
    )  # fmt: skip
    assert (task.env or {})["GOSS_SLEEP"] == "5"
    assert "GOSS_PATH" not in (task.env or {})


def test_only_characters_special_to_a_shell_are_escaped():
    assert escaped("a b\"c'd$e`f!*?&#()|<>;[]{}") == (r"a\ b\"c\'d\$e\`f\!\*\?\&\#\(\)\|\<\>\;\[\]\{\}")
    assert escaped("2026.06.1+88~rc-1/x:y@z,%=\\") == "2026.06.1+88~rc-1/x:y@z,%=\\"


def test_platforms_are_linux():
    assert full_platform("arm64") == "linux/arm64"
    assert full_platform("linux/arm/v7") == "linux/arm/v7"
    assert host_platform() in ("linux/amd64", "linux/arm64")


def result(stdout="", returncode: int | None = 0, exception=None, *, target=None, stderr=""):
    task = ShellTask("a", ["dgoss"], payload=target)
    return ShellResult(task, returncode, stdout.encode(), stderr.encode(), 1.0, exception)


ENDS = {  # name: (finished command, status, part of the error)
    "all passed": (result(PASSING), GossStatus.PASSED, ""),
    "some failed": (result(REPORT, 1), GossStatus.FAILED, ""),
    "a report with failures and code zero": (result(REPORT), GossStatus.FAILED, ""),
    "zero without a report": (result("INFO: done"), GossStatus.ERROR, "no report"),
    "zero with other JSON": (result('{"no": "summary"}'), GossStatus.ERROR, "no report"),
    "one without a report": (result("", 1), GossStatus.ERROR, "exit code 1"),
    "an exit code that goss never returns": (result(PASSING, 125), GossStatus.ERROR, "exit code 125"),
    "not started": (result("", None, OSError("no dgoss")), GossStatus.ERROR, "no dgoss"),
    "timed out with a report": (result(PASSING, -15, TimeoutError("late")), GossStatus.ERROR, "late"),
}


@pytest.mark.parametrize(("done", "status", "error"), ENDS.values(), ids=ENDS)
def test_status_and_error_of_a_finished_command(done, status, error):
    ended = goss_result(done)
    assert ended.status is status
    assert error in ended.error


@pytest.mark.parametrize("around", ["{}", "INFO: {{not json}}\n{}\nINFO: Deleting container", '{{"a": 1}}\n{}'])
def test_the_report_is_found_between_other_lines(around):
    report = read_report(around.format(REPORT))
    assert report is not None
    assert (report.total, report.failed, report.skipped, report.passed) == (6, 3, 1, 2)
    assert [check.resource_id for check in report.failures] == ["/no/such", "/etc/passwd", "echo hi"]
    assert report.failures[1].compact == 'File: /etc/passwd: mode: Expected "0644" to equal "0600"'


@pytest.fixture
def rows(tmp_path):
    first, second = make_project(tmp_path)
    return [
        goss_result(result(REPORT, 1, target=first)),
        goss_result(result("", 1, target=second, stderr="ERROR: | no image\n\x1b[31mred")),
    ]


def test_the_table_has_a_row_per_report_and_a_total(rows):
    lines = table(rows).splitlines()
    assert lines[0] == "Goss Test Results"
    assert lines[3].split() == ["oven", "1.0.0", "Ubuntu", "24.04", "Standard", "2", "3", "1", "6", "0.00"]
    assert lines[-1].split() == ["Total", "2", "3", "1", "6", "0.00"]
    assert len(lines) == 6


def test_a_name_is_left_out_if_it_repeats_the_row_above(tmp_path):
    first, _ = make_project(tmp_path)
    second = replace(first, version="2.0.0")
    text = table([goss_result(result(PASSING, target=target)) for target in (first, second)])
    assert text.count("oven") == 1
    assert text.splitlines()[-1].split() == ["Total", "4", "0", "0", "4", "1.00"]


def test_failures_are_listed_line_by_line(rows):
    text = closing(rows)
    assert "oven-1-0-0-standard-ubuntu-24-04 test failures:\n  File: /no/such: exists: Expected" in text
    assert "❌ dgoss tests failed" in text
    assert "stderr: ERROR: | no image" in text
    assert text.endswith("❌ dgoss could not be run\n")
    assert closing([]) == "✅ Tests completed\n"


def test_junit_has_the_counts_of_goss(rows):
    suite = ElementTree.fromstring(junit(rows[0]))[0]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "3", "errors": "0", "skipped": "1",
    }  # fmt: skip
    assert next(case.get("name") for case in suite if case.find("failure") is not None) == "File: /no/such: exists"


def test_junit_of_a_target_that_could_not_be_tested_is_an_error_in_valid_xml(rows):
    suite = ElementTree.fromstring(junit(rows[1]))[0]
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    error = suite[0].find("error")
    assert error is not None
    assert "\ufffd[31mred" in (error.text or "")


def test_the_summary_for_github_escapes_the_output_of_tests(rows):
    text = markdown(rows)
    assert "| oven | 1.0.0 | Ubuntu 24.04 | Standard | 2 | 3 | 1 | 6 | 0.00 s | ❌ |" in text
    assert "- File: /no/such: exists: Expected false to equal true" in text
    assert "\\[\"hi\",\"/\\\\\\\\d+/\"\\]" in text  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "✅ Tests → ok"), ("ascii", "ok: Tests -> ok"), ("no-such", "ok: Tests -> ok")]
)
def test_output_uses_only_characters_of_the_terminal_encoding(encoding, shown):
    assert showable("✅ Tests → ok", encoding) == shown


def build(platform, created, digest):
    reference = Repository("registry.acme.test", "acme/oven/tmp").with_digest(Digest("sha256", digest * 64))
    when = None if created is None else datetime(2026, 1, created, tzinfo=UTC)
    return BuildResult("oven", reference, platform and Platform.parse(platform), when, Path("m.json"))


def test_the_newest_build_of_the_platform_is_tested_by_digest():
    builds = [
        build("linux/amd64", 2, "a"),
        build("linux/amd64", 3, "b"),
        build("linux/amd64", None, "c"),
        build("linux/arm64", 9, "d"),
    ]
    assert newest_reference(builds, "linux/amd64") == f"registry.acme.test/acme/oven/tmp@sha256:{'b' * 64}"
    assert newest_reference(builds, "linux/386") is None
    assert newest_reference([], "linux/amd64") is None


def test_a_build_without_a_platform_counts_only_if_all_builds_have_none():
    unnamed = build(None, 9, "e")
    assert newest_reference([unnamed, build("linux/amd64", 1, "a")], "linux/amd64") != str(unnamed.reference)
    assert newest_reference([unnamed], "linux/amd64") == str(unnamed.reference)


HOSTILE = {
    "nested deeply": "{" + '"a":{' * 100_000,
    "nested deeply in the report": '{"summary": {"test-count": 1}, "meta": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "infinity": '{"summary": {"test-count": Infinity}}',
    "a number that is infinite": '{"summary": {"test-count": 1e999}}',
    "not a number": '{"summary": {"test-count": NaN}}',
    "a number of 5,000 digits": '{"summary": {"test-count": ' + "9" * 5000 + "}}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_report_that_is_not_valid_json_is_not_a_report(text):
    assert read_report(text) is None


def test_absurd_numbers_and_lone_surrogates_of_a_report_are_harmless(tmp_path):
    first, _ = make_project(tmp_path)
    check = {"resource-id": "\ud800", "summary-line": "\ud800\u001b[2J", "duration": 10**400, "successful": False}
    text = json.dumps({"summary": {"test-count": 1, "failed-count": 1, "total-duration": 10**400}, "results": [check]})
    done = goss_result(result(text, 1, target=first))
    assert done.report is not None
    assert (done.report.duration_s, done.report.checks[0].duration_s) == (0, 0)
    assert ElementTree.fromstring(junit(done)) is not None
    for shown in (table([done]), closing([done]), markdown([done])):
        assert shown.encode().isascii() or "\ud800" not in shown
