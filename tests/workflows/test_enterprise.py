"""The workflows that `make enterprise` rewrites, on a runner of GitHub Enterprise Server: artifacts of version 3."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.install.trees import ROOT, VERSION, run
from tests.peers.programs import need
from tests.plugins.test_dgoss_parts import PASSING
from tests.workflows import test_files as rules
from tests.workflows.conftest import DOCKER, PLATFORMS, Scene, platforms, runner
from tests.workflows.runner import Ran, Runner
from tests.workflows.server import BRANCH, HOST, REPOSITORY, URL, Server, environment, make_server
from tests.workflows.test_clean import FOLDERS, left, push
from tests.workflows.test_publish_images import BUILD_NOTED, project, record
from tests.workflows.test_pull_request import DGOSS, prepare
from tests.workflows.test_without_a_project import bake_file, dockerfile, record_bake, run_bake, run_image

pytestmark = [pytest.mark.slow]
NAMES = ("clean", "publish-bake", "publish-image", "publish-images", "pull-request")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return make_server(tmp_path_factory.mktemp("server"))


@pytest.fixture
def made(scene: Scene, server: Server, tools: Path) -> Runner:
    """A runner of the server, with recorded builds."""
    return on_server(scene, server, tools)


def on_server(scene: Scene, server: Server, tools: Path, **programs: str) -> Runner:
    joined = runner(scene, server.tree, tools, scene.folder / "project", **programs)
    joined.join(URL, server.actions)
    return joined


async def publish(made: Runner, scene: Scene, **inputs: object) -> Ran:
    given = {"push": True, "temp-registry": f"{scene.builds.address}/acme", **inputs}
    return await asyncio.to_thread(made.run, "publish-images", given)


def artifacts(scene: Scene) -> dict[str, set[str]]:
    """Return the files of each artifact of the last run."""
    folder = scene.folder / "run/artifacts"
    return {
        one.name: {str(file.relative_to(one)) for file in one.rglob("*") if file.is_file()} for one in folder.iterdir()
    }


async def test_a_project_is_published_from_the_registry_of_the_server(scene, server, tools):
    record(scene, project(scene))
    made = on_server(scene, server, tools, bakery=BUILD_NOTED)
    ran = await asyncio.to_thread(made.run, "publish-images", {"push": True})
    assert ran.results == {"matrix": "success", "build": "success", "publish": "success", "summary": "success"}, ran.log
    for registry in (scene.one, scene.two):
        for name in ("acme/bread", "acme/cake"):
            assert platforms(registry, name, "latest") == list(PLATFORMS)
    assert scene.notes.count(f"build --temp-registry {HOST}/acme\n") == 4
    assert scene.notes.count(f"login {HOST} ") == 5, "four builds and the publish"
    assert "ghcr.io" not in scene.notes
    assert '"published"' in ran.outputs["images"]
    assert "bread" in ran.page


async def test_jobs_of_a_matrix_share_an_artifact_and_the_journal_has_its_own(scene, made):
    record(scene, project(scene))
    ran = await publish(made, scene)
    assert ran.is_green, ran.log
    builds = {f"{name}-1.0-{platform.replace('/', '-')}.json" for name in ("bread", "cake") for platform in PLATFORMS}
    assert artifacts(scene) == {
        "images-metadata": builds,
        "images-summary": builds,
        "images-summary-publish": {"bakery-journal.jsonl", "summaries/publish.json"},
    }


async def test_a_platform_that_fails_in_a_second_run_is_not_that_of_the_first(scene, made):
    folder = project(scene)
    record(scene, folder)
    ran = await publish(made, scene)
    assert ran.is_green, ran.log
    before = scene.one.tags("acme/cake")["latest"]
    (scene.recorded / "cake-1.0-linux-arm64.json").unlink()
    ran = await publish(made, scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure", "summary": "success"}, ran.log
    assert scene.one.tags("acme/cake")["latest"] == before
    assert "A job failed" in ran.page


async def test_without_push_the_page_needs_no_artifact_of_the_publish(scene, made):
    record(scene, project(scene))
    ran = await publish(made, scene, push=False)
    assert ran.results == {"matrix": "success", "build": "success", "publish": "skipped", "summary": "success"}, ran.log
    assert "unable to find an artifact with the name images-summary-publish" in ran.log
    assert scene.one.repositories() == []


async def test_a_run_whose_builds_leave_nothing_says_so_and_is_red(scene, server, tools):
    project(scene)
    made = on_server(scene, server, tools, docker=DOCKER.replace("login*) ", "login*) exit 1 # "))
    ran = await asyncio.to_thread(made.run, "publish-images", {"push": True})
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure", "summary": "success"}, ran.log
    assert "No build reported anything." in ran.page


async def test_a_project_without_metadata_is_not_published(scene, made):
    folder = project(scene)
    record(scene, folder)
    for file in scene.recorded.iterdir():
        file.unlink()
    ran = await publish(made, scene)
    assert ran.results["publish"] == "failure", ran.log
    assert "unable to find an artifact with the name images-metadata" in ran.log
    assert scene.one.repositories() == []


async def test_the_targets_of_a_bake_file_are_published(scene, made):
    bake_file(scene)
    record_bake(scene, ("app", PLATFORMS[0]), ("app", PLATFORMS[1]), ("tool", PLATFORMS[1]))
    ran = await run_bake(made, scene, sign=True)
    assert ran.is_green, ran.log
    assert platforms(scene.one, "acme/app", "1.0") == list(PLATFORMS)
    assert platforms(scene.two, "acme/tool", "1.0") == [PLATFORMS[1]]


async def test_a_bake_target_that_failed_is_missing(scene, made):
    bake_file(scene)
    record_bake(scene, ("app", PLATFORMS[0]), ("app", PLATFORMS[1]))
    ran = await run_bake(made, scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure"}, ran.log
    assert platforms(scene.one, "acme/app", "1.0") == list(PLATFORMS)
    assert not scene.two.tags("acme/tool")


@pytest.mark.parametrize("missing", ["", "linux-arm64"], ids=["all built", "one platform failed"])
async def test_one_image_is_published_if_it_has_all_its_platforms(scene, made, missing):
    dockerfile(scene)
    scene.builds = scene.one
    for platform in PLATFORMS:
        if platform.replace("/", "-") != missing:
            scene.record(f"{platform.replace('/', '-')}/metadata.json", scene.build("acme/app", platform))
    ran = await run_image(made, scene)
    result = "failure" if missing else "success"
    assert ran.results == {"matrix": "success", "build": result, "publish": result}, ran.log
    for registry in (scene.one, scene.two):
        assert bool(registry.tags("acme/app")) is not bool(missing)


async def test_a_pull_request_is_built_tested_and_rehearsed(scene, server, tools):
    prepare(scene, PASSING, 0)
    made = on_server(scene, server, tools, dgoss=DGOSS)
    ran = await asyncio.to_thread(made.run, "pull-request", {"test": True})
    assert ran.results == {"plan": "success", "build": "success", "result": "success"}, ran.log
    assert "Rehearsal completed" in ran.page


async def test_a_pull_request_whose_build_fails_is_red(scene, made):
    record(scene, project(scene), without="cake-1.0-linux-arm64")
    ran = await asyncio.to_thread(made.run, "pull-request", {})
    assert ran.results == {"plan": "success", "build": "failure", "result": "failure"}, ran.log


async def test_old_builds_and_caches_are_deleted(scene, made):
    project(scene)
    for repository in FOLDERS:
        push(scene, repository, "old", "2020-01-01T00:00:00Z")
    ran = await asyncio.to_thread(made.run, "clean", {"temp-registry": f"{scene.builds.address}/acme"})
    assert ran.is_green, ran.log
    assert left(scene) == {name: [] for name in FOLDERS}


@pytest.mark.parametrize("name", NAMES)
async def test_the_workflows_as_they_are_do_not_run_there(scene, server, sources, tools, name):
    """What the runner of these tests refuses: it is what makes the tests above say anything."""
    made = runner(scene, sources, tools, project(scene))
    made.join(URL, server.actions)
    given = {"images": "r.example/acme/app"} if name == "publish-image" else {}
    with pytest.raises(AssertionError, match=r"anchors|runners ubuntu"):
        await asyncio.to_thread(made.run, name, given)


# The rules of test_files.py hold for the result as well.


def files(server: Server) -> list[Path]:
    found = sorted((server.tree / ".github/workflows").glob("*.yml"))
    assert [file.stem for file in found] == sorted(NAMES)
    return found


@pytest.mark.parametrize(
    "rule",
    [
        rules.test_no_expression_reaches_a_shell,
        rules.test_third_party_actions_are_pinned_by_commit_with_their_version,
        rules.test_every_step_runs_in_a_bash_that_notices_failures,
        rules.test_every_script_parses,
        rules.test_a_workflow_has_no_permissions_but_those_of_its_jobs,
    ],
)
def test_what_holds_for_workflows_holds_for_rewritten_ones(server, rule):
    for file in files(server):
        rule(file)


def test_scripts_permissions_and_the_interface_stay_as_they_are(server):
    for file in files(server):
        before, after = (
            yaml.safe_load((folder / ".github/workflows" / file.name).read_text()) for folder in (ROOT, server.tree)
        )
        for one in (before, after):  # YAML 1.1 reads `on` as true
            for name in ("runners", "publish-runner"):
                one[True]["workflow_call"]["inputs"].get(name, {}).pop("default", None)
        assert before[True] == after[True]
        for name, job in before["jobs"].items():
            other = after["jobs"][name]
            assert job["permissions"] == other["permissions"]
            assert [(one["run"], one.get("env")) for one in job["steps"] if "run" in one] == [
                (one["run"], one.get("env")) for one in other["steps"] if "run" in one
            ]
            assert {**job, "steps": [], "runs-on": ""} == {**other, "steps": [], "runs-on": ""}


@pytest.mark.peer
def test_actionlint_finds_nothing_in_rewritten_workflows(server):
    done = subprocess.run(
        [need("actionlint"), *files(server)], cwd=server.clone, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_finds_nothing_in_rewritten_workflows(server):
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", server.tree / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# The command.


def test_the_command_lists_what_it_did_and_the_actions_that_the_server_needs(server):
    lines = server.said.splitlines()
    assert f"rewrote {', '.join(f'{name}.yml' for name in NAMES)} of v{VERSION} for {REPOSITORY}" in lines
    assert "removed audit.yml, release.yml: they are for developing Bakery" in lines
    used = {step.get("uses", "").partition("@")[0] for file in rules.ACTIONS for step in steps(file)}
    used |= {step.get("uses", "").partition("@")[0] for file in files(server) for step in steps(file)}
    used = {name for name in used if name and not name.startswith(REPOSITORY)}
    assert {line.strip().partition("@")[0] for line in lines if line.startswith("  ")} == used


def steps(file: Path) -> list[dict[str, str]]:
    return list(rules.steps(yaml.safe_load(file.read_text())))


def test_the_branch_is_one_commit_after_the_release(server):
    assert run("git", "rev-parse", f"{BRANCH}^", cwd=server.bare).strip() == server.commit


def make(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "enterprise", *words], cwd=clone, capture_output=True, text=True, timeout=60)


@pytest.fixture
def clone(server: Server, tmp_path: Path) -> Path:
    """A clone of the release."""
    run("git", "clone", "--quiet", server.clone, tmp_path / "clone", cwd=tmp_path)
    run("git", "checkout", "--quiet", f"v{VERSION}", cwd=tmp_path / "clone")
    run("bash", "-euc", environment(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


def test_labels_of_runners_are_those_that_are_given(clone):
    done = make(clone, "REPOSITORY=acme/bakery", "RUNNER=small", "RUNNERS=default=big linux/arm64=arm,big")
    assert done.returncode == 0, done.stderr
    document = yaml.safe_load((clone / ".github/workflows/publish-images.yml").read_text())
    inputs = document[True]["workflow_call"]["inputs"]
    assert inputs["publish-runner"]["default"] == "small"
    assert inputs["runners"]["default"] == "default=big linux/arm64=arm,big"
    assert yaml.safe_load((clone / ".github/workflows/clean.yml").read_text())["jobs"]["clean"]["runs-on"] == "small"


REFUSED = {
    "without a repository": ((), "REPOSITORY is not set: make enterprise REPOSITORY=acme/bakery"),
    "a URL": (("REPOSITORY=https://github.acme.example/acme/bakery",), "invalid repository"),
    "a mapping that is not one": (("REPOSITORY=acme/bakery", "RUNNERS=big"), "invalid runners: 'big'"),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_words_are_refused_and_change_nothing(clone, words, message):
    done = make(clone, *words)
    assert done.returncode != 0
    assert message in done.stderr
    assert run("git", "status", "--porcelain", cwd=clone) == ""


def test_changes_and_rewritten_workflows_are_refused(clone):
    (clone / "README.md").write_text("changed")
    assert "changes that are not committed" in make(clone, "REPOSITORY=acme/bakery").stderr
    run("git", "checkout", "--quiet", BRANCH, "--force", cwd=clone)
    done = make(clone, "REPOSITORY=acme/bakery")
    assert "clean.yml: it is already rewritten; check out a release" in done.stderr
