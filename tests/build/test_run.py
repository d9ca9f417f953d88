"""A build with a stand-in for buildx: one failure hides no other, the metadata file is written whatever happens."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bakery.app.build import BuildRequest, Interrupted, build, check, check_options, plan_build
from bakery.app.selecting import Filters
from bakery.build.options import BuildOptions
from bakery.build.outcome import State
from bakery.errors import BakeryError, ConfigurationError, UsageError
from bakery.events import Event, StepOutput, StepRetried, TargetFinished
from tests.build.making import BREAD, CAKE, ROLL, UIDS, standin, write_project
from tests.clock import JumpingClock

REGISTRY = "temp.example/acme"
DIGEST = f"sha256:{BREAD.encode().hex():0<64.64}"


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project")


def built(project, tool, clock=None, emit=lambda event: None, **options):
    """Build with a stand-in, and return the outcome and the metadata file."""
    file = project.parent / "metadata.json"
    how = BuildOptions(push=True, temp_registry=REGISTRY, metadata_file=file, **options)
    plan = plan_build(BuildRequest(project, options=how))
    outcome = build(plan, environment=tool.environment, clock=clock or JumpingClock(), emit=emit)
    return outcome, json.loads(file.read_text())


STRATEGIES = [
    pytest.param({}, {}, id="bake"),
    pytest.param({}, {"defer_error": False}, id="bake, older buildx"),
    pytest.param({"strategy": "build"}, {}, id="build"),
]


@pytest.mark.parametrize(("options", "rules"), STRATEGIES)
def test_targets_next_to_a_failed_one_are_built_and_in_the_metadata(project, tmp_path, options, rules):
    tool = standin(tmp_path / "tool", fail={CAKE: 1}, **rules)
    outcome, metadata = built(project, tool, **options)
    assert [one.state for one in outcome.targets] == [State.BUILT, State.FAILED, State.BUILT]
    assert [one.uid for one in outcome.failed] == [CAKE]
    assert outcome.exit_code == 1
    assert list(metadata) == [BREAD, ROLL]
    assert metadata[BREAD] == {
        "buildx.build.ref": f"b/b0/{BREAD}", "containerimage.digest": DIGEST, "image.name": f"{REGISTRY}/bread/tmp",
    }  # fmt: skip
    assert outcome.targets[0].digest == DIGEST
    assert outcome.targets[0].cache_hit_ratio == 0.5


@pytest.mark.parametrize(("options", "rules"), STRATEGIES)
def test_a_failure_has_its_step_its_last_output_and_its_place(project, tmp_path, options, rules):
    outcome, _ = built(project, standin(tmp_path / "tool", fail={CAKE: 1}, **rules), **options)
    failure = outcome.failed[0].failure
    assert failure is not None
    assert failure.step == "[2/2] RUN make"
    assert failure.tail == (f"making {CAKE}", "ERROR: exit code: 2")
    assert (failure.file, failure.line) == ("cake/1.0/Containerfile.ubuntu2404", 3)
    assert "exit code: 2" in failure.reason


def test_one_bake_builds_all_targets_and_defers_errors(project, tmp_path):
    tool = standin(tmp_path / "tool")
    built(project, tool)
    (call,) = tool.calls("bake")
    assert call["words"][:2] == ["bake", "--progress"]
    assert call["words"][-2:] == ["--jobs", "defer-error"]
    assert not {"--push", "--load", "--set"}.intersection(call["words"])
    assert list(json.loads(call["stdin"])["target"]) == list(UIDS)
    assert call["cwd"] == str(project)
    assert not (project / ".bakery-bake.json").exists()


def test_the_number_of_targets_at_once_is_passed_to_a_bake_if_it_is_given(project, tmp_path):
    tool = standin(tmp_path / "tool")
    built(project, tool, jobs=2)
    assert tool.calls("bake")[0]["words"][-2:] == ["--jobs", "defer-error,parallel=2"]


@pytest.mark.parametrize("options", [{}, {"fail_fast": True}], ids=["older buildx", "fail-fast"])
def test_without_deferred_errors_each_target_has_a_bake(project, tmp_path, options):
    tool = standin(tmp_path / "tool", defer_error=bool(options))
    built(project, tool, **options)
    assert sorted(call["words"][-1] for call in tool.calls("bake")) == sorted(UIDS)
    assert not any("--jobs" in call["words"] for call in tool.calls("bake"))


@pytest.mark.parametrize(("options", "rules"), STRATEGIES)
def test_only_what_failed_is_built_again_five_seconds_later(project, tmp_path, options, rules):
    tool, clock = standin(tmp_path / "tool", fail={CAKE: 2}, **rules), JumpingClock()
    events: list[Event] = []
    outcome, metadata = built(project, tool, clock, events.append, retry=2, **options)
    assert outcome.exit_code == 0
    assert set(metadata) == set(UIDS)
    assert [one.attempts for one in outcome.targets] == [1, 3, 1]
    assert clock.slept == [5.0, 5.0]
    retried = [event for event in events if isinstance(event, StepRetried)]
    assert [(event.target, event.step, event.attempt, event.wait_s) for event in retried] == [
        (CAKE, "build", 1, 5.0), (CAKE, "build", 2, 5.0),
    ]  # fmt: skip
    ended = {event.target: event.state for event in events if isinstance(event, TargetFinished)}
    assert ended == dict.fromkeys(UIDS, "done")


@pytest.mark.parametrize(("options", "rules"), STRATEGIES)
def test_the_end_of_a_target_is_announced_with_the_time_it_took(project, tmp_path, options, rules):
    class Ticking(JumpingClock):
        def now(self) -> float:
            self.time += 1.0
            return self.time

    events: list[Event] = []
    outcome, _ = built(project, standin(tmp_path / "tool", **rules), Ticking(), events.append, **options)
    told = {event.target: event.elapsed_s for event in events if isinstance(event, TargetFinished)}
    assert told == {one.uid: one.seconds for one in outcome.targets}
    assert min(told.values()) >= 1.0


def test_a_target_that_fails_each_time_is_reported_once_with_its_attempts(project, tmp_path):
    events: list[Event] = []
    outcome, _ = built(project, standin(tmp_path / "tool", fail={CAKE: 9}), emit=events.append, retry=1)
    assert outcome.failed[0].attempts == 2
    ended = [(event.target, event.state) for event in events if isinstance(event, TargetFinished)]
    assert sorted(ended) == sorted([(BREAD, "done"), (CAKE, "failed"), (ROLL, "done")])


def test_after_the_first_failure_fail_fast_starts_no_further_target(project, tmp_path):
    tool = standin(tmp_path / "tool", fail={BREAD: 1})
    outcome, metadata = built(project, tool, strategy="build", fail_fast=True, jobs=1)
    assert [one.state for one in outcome.targets] == [State.FAILED, State.STOPPED, State.STOPPED]
    assert [one.attempts for one in outcome.targets] == [1, 0, 0]
    assert outcome.exit_code == 1
    assert metadata == {}
    assert len(tool.calls("build")) == 1


def test_the_other_failure_is_explained_by_a_check_when_buildx_names_one_of_two(project, tmp_path):
    # As buildx does for a Containerfile that it cannot parse: no step fails, and one reason is printed.
    for name in ("bread", "cake"):
        (project / name / "1.0" / "Containerfile.ubuntu2404").write_text("FRUM scratch\n")
    message = {"buildError": {"message": "unknown instruction: FRUM", "location": {"ranges": [{"start": {"line": 1}}]}}}
    tool = standin(tmp_path / "tool", fail={BREAD: 1, CAKE: 1}, silent=[BREAD, CAKE], check={BREAD: {"check": message}})
    outcome, _ = built(project, tool)
    failure = outcome.targets[0].failure
    assert failure is not None
    assert (failure.reason, failure.line) == ("unknown instruction: FRUM", 1)
    assert failure.file == "bread/1.0/Containerfile.ubuntu2404"
    assert "exit code: 2" in str(outcome.targets[1].failure)


@pytest.mark.parametrize(("options", "rules"), STRATEGIES[1:])
def test_lines_of_a_command_for_one_target_name_the_target(project, tmp_path, options, rules):
    events: list[Event] = []
    built(project, standin(tmp_path / "tool", **rules), emit=events.append, **options)
    lines = [event for event in events if isinstance(event, StepOutput)]
    assert {event.target for event in lines} == set(UIDS)
    assert all(event.text for event in lines)


def test_every_missing_containerfile_is_named_before_anything_runs(project, tmp_path):
    for name in ("bread", "roll"):
        (project / name / "1.0" / "Containerfile.ubuntu2404").unlink()
    tool = standin(tmp_path / "tool")
    with pytest.raises(ConfigurationError) as raised:
        built(project, tool)
    assert raised.value.exit_code == 3
    assert "bread/1.0/Containerfile.ubuntu2404" in str(raised.value)
    assert "roll/1.0/Containerfile.ubuntu2404" in str(raised.value)
    assert "cake" not in str(raised.value)
    assert tool.calls() == []


def test_the_plan_stays_in_the_context_on_request(project, tmp_path):
    tool = standin(tmp_path / "tool")
    built(project, tool, clean=False)
    kept = json.loads((project / ".bakery-bake.json").read_text())
    assert kept == json.loads(tool.calls("bake")[0]["stdin"])


def test_a_builder_that_does_not_run_is_an_error_before_the_build(project, tmp_path):
    tool = standin(tmp_path / "tool", inspect="Name: b\nDriver: docker\nError: failed to connect\n")
    with pytest.raises(BakeryError, match="cannot reach the builder b: failed to connect"):
        built(project, tool)
    assert tool.calls("bake") == []
    assert not (tmp_path / "metadata.json").exists()


PROGRAMS = {
    "docker with the plugin": (("docker", "buildx"), {"buildx": True}, "docker"),
    "docker without the plugin": (("docker", "docker-buildx"), {}, "docker-buildx"),
    "no docker": (("buildx",), {}, "buildx"),
}


@pytest.mark.parametrize(("programs", "rules", "used"), PROGRAMS.values(), ids=PROGRAMS)
def test_buildx_is_found_as_a_plugin_or_by_itself(project, tmp_path, programs, rules, used):
    tool = standin(tmp_path / "tool", *programs, **rules)
    assert built(project, tool)[0].exit_code == 0
    assert {call["program"] for call in tool.calls("bake")} == {used}


def test_the_program_of_the_variable_is_the_only_one_tried(project, tmp_path):
    tool = standin(tmp_path / "tool", "docker", "docker-buildx")
    environment = tool.environment | {"BAKERY_DOCKER": str(tool.folder / "bin" / "docker")}
    plan = plan_build(BuildRequest(project))
    with pytest.raises(BakeryError, match="docker buildx: "):
        build(plan, environment=environment)


def test_podman_builds_and_pushes_tag_by_tag_with_strategy_build(project, tmp_path):
    tool = standin(tmp_path / "tool", "podman")
    environment = tool.environment | {"BAKERY_DOCKER": "podman"}
    file = tmp_path / "metadata.json"
    how = BuildOptions(strategy="build", push=True, metadata_file=file)
    plan = plan_build(BuildRequest(project, Filters(image_platform=("amd64",)), how))
    outcome = build(plan, environment=environment)
    assert outcome.exit_code == 0
    pushes = [call["words"][-1] for call in tool.calls("push")]
    assert sorted(pushes) == sorted(tag for one in plan.builds for tag in one.target.references)
    assert outcome.targets[0].digest == f"sha256:{'5' * 64}"
    assert set(json.loads(file.read_text())) == set(UIDS)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "--strategy bake"),
        ({"strategy": "build", "cache_registry": "r.example"}, "--cache-registry"),
        ({"strategy": "build", "push": True, "temp_registry": "r.example"}, "--temp-registry"),
        ({"strategy": "build"}, "several platforms"),
    ],
)
def test_podman_refuses_what_it_cannot_do(project, tmp_path, options, named):
    environment = standin(tmp_path / "tool", "podman").environment | {"BAKERY_DOCKER": "podman"}
    with pytest.raises(UsageError, match=named):
        build(plan_build(BuildRequest(project, options=BuildOptions(**options))), environment=environment)


def test_a_check_reads_no_output_of_the_plan(project, tmp_path):
    warning = {"ruleName": "FromAsCasing", "detail": "casing", "location": {"ranges": [{"start": {"line": 1}}]}}
    tool = standin(tmp_path / "tool", check={CAKE: {"check": {"warnings": [warning]}}})
    how = BuildOptions(push=True, temp_registry=REGISTRY, cache_registry=REGISTRY)
    (result,) = check(plan_build(BuildRequest(project, options=how)), environment=tool.environment)
    assert (result.uid, result.warnings[0].rule, result.warnings[0].line) == (CAKE, "FromAsCasing", 1)
    (call,) = tool.calls("bake")
    entries = json.loads(call["stdin"])["target"].values()
    assert all(not {"output", "cache-to", "tags"}.intersection(entry) for entry in entries)


def interrupt_when(file: Path) -> threading.Thread:
    """Send this process SIGTERM once a file exists."""

    def wait() -> None:
        while not file.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("options", "rules"), STRATEGIES)
def test_what_was_built_before_a_signal_is_in_the_metadata(project, tmp_path, options, rules):
    tool = standin(tmp_path / "tool", fail={CAKE: 1}, hang=[ROLL], **rules)
    waiting = interrupt_when(tool.folder / "waiting")
    with pytest.raises(Interrupted) as raised:
        built(project, tool, **options, jobs=1)
    waiting.join()
    assert raised.value.exit_code == 143
    assert [one.state for one in raised.value.outcome.targets] == [State.BUILT, State.FAILED, State.STOPPED]
    assert list(json.loads((tmp_path / "metadata.json").read_text())) == [BREAD]


def test_a_docker_without_buildx_is_named_by_what_it_says_and_not_by_its_advice(project, tmp_path):
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'docker: unknown command: docker buildx' >&2\n"
                       "echo \"Run 'docker --help' for more information\" >&2\nexit 1\n")  # fmt: skip
    program.chmod(0o755)
    plan = plan_build(BuildRequest(project))
    with pytest.raises(BakeryError) as caught:
        build(plan, environment={"PATH": f"{program.parent}:/bin:/usr/bin", "BAKERY_DOCKER": str(program)})
    assert caught.value.why == f"{program} buildx: docker: unknown command: docker buildx"


def test_dockers_own_builder_is_refused_for_a_push_by_digest_before_anything_is_built(project, tmp_path):
    inspect = "Name:   default\nDriver: docker\n\nNodes:\nName:   default\nStatus: running\n"
    tool = standin(tmp_path / "tool", inspect=inspect)
    with pytest.raises(BakeryError, match="cannot push by digest with the builder default") as caught:
        built(project, tool)
    assert caught.value.hint.startswith("create another one with 'docker buildx create --use'")
    assert tool.calls("bake") == []
    how = BuildOptions(push=True)
    assert build(plan_build(BuildRequest(project, options=how)), environment=tool.environment).exit_code == 0


def test_a_metadata_file_in_a_folder_that_does_not_exist_is_refused_before_anything_is_built(tmp_path):
    how = BuildOptions(metadata_file=tmp_path / "nope" / "metadata.json")
    with pytest.raises(UsageError, match=f"folder {tmp_path}/nope does not exist") as caught:
        check_options(how)
    assert "a folder that exists" in caught.value.hint
