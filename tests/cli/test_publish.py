"""The publishing commands as processes: what they push, their exit codes, and what goes to which stream."""

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakery.cli import options
from bakery.errors import ExitCode
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse, Slow
from tests.engines.workload import add_image, layer
from tests.program import PROGRAM, RUN


@dataclass
class Stage:
    """Two registries, a project that publishes from one to the other, and metadata files of its builds."""

    source: EmbeddedRegistry
    destination: EmbeddedRegistry
    folder: Path
    images: dict[str, list[str]] = field(default_factory=dict)

    def project(self, *images: str, soci: bool = False) -> None:
        options = "\n    options:\n      - tool: soci\n        enabled: true" if soci else ""
        text = f"""\
repository:
  url: https://github.com/acme/images
  vendor: Acme
  maintainer: Acme <images@acme.example>
registries:
  - host: "{self.destination.address}"
    namespace: acme
images:
"""
        for name in images:
            text += f"""\
  - name: {name}{options}
    versions:
      - name: "1.0.0"
        latest: true
        os:
          - name: Ubuntu 24.04
            platforms: [linux/amd64, linux/arm64]
"""
        (self.folder / "bakery.yaml").write_text(text)

    def uid(self, image: str) -> str:
        return f"{image}-1-0-0-ubuntu-24-04"

    def build(self, image: str, platforms=("linux/amd64", "linux/arm64")) -> list[str]:
        """Push builds to the temporary registry, one metadata file per platform, and return the names of the files."""
        files = []
        for platform in platforms:
            path = f"tmp/{image}/tmp"
            salt = f"{image} {platform}"
            descriptor = add_image(self.source, path, platform, layers=[layer(salt)], salt=salt)
            entry = {
                "image.name": str(Repository(self.source.address, path)),
                "containerimage.digest": str(descriptor.digest),
            }
            name = f"{image}-{platform.partition('/')[2]}-metadata.json"
            (self.folder / name).write_text(json.dumps({self.uid(image): entry}))
            files.append(name)
        return files

    async def bakery(self, *arguments: str, environment=None, before_wait=None):
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, *arguments, cwd=self.folder, env=os.environ | (environment or {}),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(50):
            if before_wait is not None:
                await before_wait(process)
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    def published(self, image: str) -> set[str]:
        return set(self.destination.tags(f"acme/{image}"))


@pytest.fixture
async def stage(tmp_path):
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(EmbeddedRegistry())
        destination = await stack.enter_async_context(EmbeddedRegistry())
        yield Stage(source, destination, tmp_path)


TAGS = {"1.0.0", "1.0.0-ubuntu-24.04", "ubuntu-24.04", "latest"}
MERGES = ("ci publish", "ci merge", "imagetools publish", "imagetools merge", "oras merge")


@pytest.mark.parametrize("command", MERGES)
async def test_every_publishing_command_pushes_all_tags_and_keeps_stdout_for_machines(stage, command):
    stage.project("app")
    files = stage.build("app")
    code, out, err = await stage.bakery(*command.split(), *files)
    assert (code, out) == (ExitCode.DONE, ""), err
    assert stage.published("app") == TAGS
    assert "✅" in err


class TestMergeScenarios:
    """Builds of four targets, and which of them `--image-name` selects."""

    NAMES = ("content", "content-base", "package-manager", "workbench")

    async def merge(self, stage, *arguments):
        stage.project(*self.NAMES)
        for name in self.NAMES:
            stage.build(name)
        code, _, err = await stage.bakery("ci", "merge", *arguments, "*-metadata.json")
        return code, err, {name for name in self.NAMES if stage.published(name) == TAGS}

    async def test_four_targets_of_two_platforms_each_are_merged(self, stage):
        code, err, published = await self.merge(stage)
        assert (code, published) == (ExitCode.DONE, set(self.NAMES)), err

    async def test_a_name_that_matches_one_image_merges_only_that_image(self, stage):
        code, _, published = await self.merge(stage, "--image-name", "^workbench$")
        assert (code, published) == (ExitCode.DONE, {"workbench"})

    async def test_a_name_that_matches_no_image_of_the_project_is_an_error_with_the_nearest(self, stage):
        code, err, published = await self.merge(stage, "--image-name", "^workbnch$")
        assert (code, published) == (ExitCode.FAILED, set())
        assert "pass --image-name workbench" in err
        code, err, published = await self.merge(stage, "--image-name", "^workbnch$", "--allow-empty")
        assert (code, published) == (ExitCode.DONE, set())
        assert "^workbnch$" in err

    async def test_a_name_that_matches_only_images_that_were_not_built_is_a_warning(self, stage):
        stage.project(*self.NAMES)
        stage.build("content")
        code, _, err = await stage.bakery("ci", "publish", "--image-name", "workbench", "*-metadata.json")
        assert code == ExitCode.DONE
        assert "--image-name workbench matches none of the 1 built target" in err

    async def test_a_name_that_is_part_of_another_selects_both_unless_anchored(self, stage):
        code, _, published = await self.merge(stage, "--image-name", "content")
        assert (code, published) == (ExitCode.DONE, {"content", "content-base"})
        stage.destination.delete_tag("acme/content", "latest")
        code, _, published = await self.merge(stage, "--image-name", "^content$")
        assert (code, stage.published("content")) == (ExitCode.DONE, TAGS)


REFUSED = {
    "a pattern that matches nothing": (["none-*.json"], ExitCode.FAILED, "none-*.json"),
    "one of two patterns that matches nothing": (["good.json", "none-*.json"], ExitCode.FAILED, "none-*.json"),
    "entries without a name": (["nameless.json"], ExitCode.FAILED, "image.name"),
    "a missing file": (["none.json"], ExitCode.CONFIGURATION, "none.json"),
    "bad JSON": (["bad.json"], ExitCode.CONFIGURATION, "bad.json"),
    "only unknown uids": (["unknown.json"], ExitCode.FAILED, "no-such-target"),
    "an empty object": (["empty.json"], ExitCode.FAILED, "--allow-empty"),
    "a bad regular expression": (["--image-name", "(", "good.json"], ExitCode.USAGE, "--image-name"),
    "an unknown option": (["--dry-rum", "good.json"], ExitCode.USAGE, "--dry-run"),
    "an unknown engine": (["--engine", "warp", "good.json"], ExitCode.USAGE, "native"),
    "a bad shard": (["--shard", "3/2", "good.json"], ExitCode.USAGE, "--shard"),
    "metadata of one build": (["good.json", "flat.json"], ExitCode.CONFIGURATION, "flat.json: it is about one build"),
    "and what publishes it": (["flat.json"], ExitCode.CONFIGURATION, "`bakery publish --tag REPOSITORY:TAG FILE`"),
    "an invalid time": (["--wait-timeout", "soon", "good.json"], ExitCode.USAGE, "--wait-timeout"),
}


@pytest.mark.parametrize(("arguments", "code", "named"), REFUSED.values(), ids=REFUSED)
async def test_unusable_input_is_reported_before_any_request(stage, arguments, code, named):
    stage.project("app")
    (stage.folder / "bad.json").write_text("{ no")
    (stage.folder / "empty.json").write_text("{}")
    (stage.folder / "nameless.json").write_text(json.dumps({stage.uid("app"): {}}))
    entry = {"image.name": "registry.example/x", "containerimage.digest": str(Digest.of(b"x"))}
    (stage.folder / "unknown.json").write_text(json.dumps({"no-such-target": entry}))
    (stage.folder / "flat.json").write_text(json.dumps(entry))
    stage.build("app")
    (stage.folder / "app-amd64-metadata.json").rename(stage.folder / "good.json")
    found, out, err = await stage.bakery("ci", "publish", *arguments)
    assert (found, out) == (code, ""), err
    assert named in err
    assert "Traceback" not in err
    assert stage.source.count() == stage.destination.count() == 0


async def test_what_is_for_programs_is_written_even_if_there_is_nothing_to_publish(stage):
    stage.project("app")
    (stage.folder / "empty.json").write_text("{}")
    words = ("ci", "publish", "--allow-empty", "empty.json")
    code, out, err = await stage.bakery(*words, "--output", "json", "--summary-file", "summary.json")
    assert (code, json.loads(out)) == (ExitCode.DONE, {"format": 1, "images": []}), err
    summary = json.loads((stage.folder / "summary.json").read_text())
    assert (summary["kind"], summary["targets"], summary["exit_code"]) == ("publish", [], 0)
    _, out, _ = await stage.bakery(*words, "--summary-format", "json")
    assert json.loads(out)["build_targets"] == 0
    _, out, _ = await stage.bakery(*words, "--dry-run", "--output", "json")
    assert json.loads(out)["targets"] == []
    assert (await stage.bakery(*words))[1] == ""
    assert stage.source.count() == stage.destination.count() == 0


async def test_nothing_to_publish_is_allowed_with_allow_empty(stage):
    stage.project("app")
    (stage.folder / "empty.json").write_text("{}")
    for argument in ("empty.json", "none-*.json"):
        code, _, err = await stage.bakery("ci", "publish", "--allow-empty", argument)
        assert code == ExitCode.DONE
        assert "nothing to publish" in err


async def test_a_declared_platform_that_was_not_built_fails_only_its_target(stage):
    stage.project("app", "whole")
    files = stage.build("app", ["linux/arm64"]) + stage.build("whole")
    code, _, err = await stage.bakery("ci", "publish", *files)
    assert code == ExitCode.FAILED
    assert "linux/amd64" in err
    assert stage.published("app") == set()
    assert stage.published("whole") == TAGS
    code, _, _ = await stage.bakery("ci", "publish", "--allow-missing-platforms", *files)
    assert (code, stage.published("app")) == (ExitCode.DONE, TAGS)


async def test_a_target_without_any_tag_is_skipped_and_the_others_are_published(stage):
    stage.project("app", "web")
    text = (stage.folder / "bakery.yaml").read_text()
    untagged = '  - name: web\n    tagPatterns:\n      - patterns: ["{{ Variant }}"]\n        only: [all]'
    (stage.folder / "bakery.yaml").write_text(text.replace("  - name: web", untagged))
    files = [*stage.build("app"), *stage.build("web")]
    code, _, err = await stage.bakery("ci", "publish", *files)
    assert code == ExitCode.DONE, err
    assert f"skipped: {stage.uid('web')}: bakery.yaml gives it no tag" in err
    assert stage.published("app") == TAGS


async def test_an_offline_dry_run_prints_the_plan_and_contacts_no_registry(stage):
    stage.project("app")
    code, out, err = await stage.bakery("ci", "publish", "--dry-run", "--offline", *stage.build("app"))
    assert (code, out) == (ExitCode.DONE, "")
    assert stage.uid("app") in err
    assert f"{stage.destination.address}/acme/app" in err
    assert stage.source.count() == stage.destination.count() == 0


async def test_an_offline_dry_run_prints_its_plan_as_json(stage):
    stage.project("app")
    arguments = ("--dry-run", "--offline", "--summary", "--summary-format", "json")
    code, out, _ = await stage.bakery("ci", "publish", *arguments, *stage.build("app"))
    (target,) = json.loads(out)["targets"]
    assert code == ExitCode.DONE
    assert len(target["sources"]) == 2
    assert target["destinations"][0]["tags"][-1] == "latest"
    assert json.loads(out)["survey"] is None
    assert stage.source.count() == stage.destination.count() == 0


async def test_stdout_has_only_the_json_summary_with_digests_and_failures(stage):
    stage.project("app", "bad")
    files = stage.build("app") + stage.build("bad", ["linux/amd64"])
    arguments = ("--summary", "--summary-format", "json", "--summary-file", "summary.json")
    code, out, _ = await stage.bakery("ci", "publish", *arguments, *files)
    assert code == ExitCode.FAILED
    summary = json.loads(out)
    assert summary == json.loads((stage.folder / "summary.json").read_text())
    by_uid = {target["uid"]: target for target in summary["targets"]}
    good, bad = by_uid[stage.uid("app")], by_uid[stage.uid("bad")]
    assert good["digest"] == str(stage.destination.tags("acme/app")["latest"])
    assert good["platforms"] == ["linux/amd64", "linux/arm64"]
    assert len(good["tags"]) == len(TAGS)
    assert "linux/arm64" in bad["errors"][0]["message"]
    (stage.folder / "odd.json").write_text('{"targets": ["x"]}')
    os.mkfifo(stage.folder / "pipe.json")
    (stage.folder / "endless.json").symlink_to("/dev/zero")
    odd = ("odd.json", "pipe.json", "endless.json")
    code, _, err = await stage.bakery("ci", "summary", "summary.json", *odd, "--output", "page.md")
    assert [name for name in odd if f"skipping summary file {name}" in err] == list(odd)
    page = (stage.folder / "page.md").read_text()
    assert (code, page.splitlines()[0]) == (ExitCode.DONE, "## ❌ 1 of 2 targets failed"), err
    assert good["digest"] in page
    code, _, err = await stage.bakery("ci", "summary", "summary.json", "missing.json", "--output", "page.md")
    assert code == ExitCode.FAILED
    assert "no such file: missing.json" in err
    assert (stage.folder / "page.md").read_text() == page
    code, _, _ = await stage.bakery("ci", "summary", *odd, "--output", "page.md")
    assert code == ExitCode.FAILED


def test_options_override_their_environment_variables(tmp_path):
    environment = {"BAKERY_PLAIN_HTTP": "a.example", "BAKERY_CA_FILE": "old.pem", "HOME": "/home/me"}
    assert options.overlaid(environment) == environment
    new, hosts = tmp_path / "new.pem", ["b.example", "c.example:5000"]
    new.touch()
    found = options.overlaid(environment, ca_file=new, plain_http=hosts, trusted_realm=["https://auth.example"])
    settings = RegistryConfig.from_environment(found)
    assert settings.ca_file == new
    assert settings.plain_http == {"b.example", "c.example:5000"}
    assert {str(origin) for origin in settings.trusted_realms} == {"https://auth.example"}


async def test_the_github_step_summary_gets_a_page_and_a_json_file_gets_json(stage):
    stage.project("app")
    files = stage.build("app")
    page = stage.folder / "step.md"
    page.write_text("before\n")
    environment = {"GITHUB_STEP_SUMMARY": str(page)}
    code, _, _ = await stage.bakery(
        "ci", "publish", "--summary", "--summary-file", "s.json", *files, environment=environment
    )
    assert code == ExitCode.DONE
    assert page.read_text().startswith("before\n## ✅ Published 1 target\n")
    assert json.loads((stage.folder / "s.json").read_text())["build_targets"] == 1


async def test_an_unwritable_summary_file_is_reported_before_anything_is_published(stage):
    stage.project("app")
    code, _, err = await stage.bakery("ci", "publish", "--summary-file", "no/such/folder.json", *stage.build("app"))
    assert code == ExitCode.USAGE
    assert "--summary-file" in err
    assert stage.published("app") == set()


async def test_the_shards_together_hold_every_image_once(stage):
    names = ("a", "b", "c", "d")
    stage.project(*names)
    for name in names:
        stage.build(name)
    seen: list[set[str]] = []
    for index in (1, 2, 3):
        code, _, err = await stage.bakery("ci", "publish", "--shard", f"{index}/3", "*-metadata.json")
        assert code == ExitCode.DONE, err
        seen.append({name for name in names if stage.published(name)} - set().union(*seen))
    assert set().union(*seen) == set(names)
    _, out, _ = await stage.bakery("ci", "matrix", "--shards", "3")
    assert [set(share["images"]) for share in json.loads(out)] == seen


async def test_the_exit_code_is_4_if_every_failure_is_one_of_authentication(stage):
    stage.project("app")
    files = stage.build("app")
    stage.destination.fault("POST", "/blobs/uploads/", then=Refuse(403, "DENIED"))
    code, _, err = await stage.bakery("ci", "publish", *files)
    assert code == ExitCode.AUTHENTICATION
    assert "403" in err


async def test_sources_that_never_appear_are_named(stage):
    stage.project("app")
    files = stage.build("app")
    (digest, *_) = stage.source.manifests("tmp/app/tmp")
    stage.source.delete_manifest("tmp/app/tmp", digest)
    code, _, err = await stage.bakery("ci", "publish", "--wait-timeout", "0.3", *files)
    assert code == ExitCode.FAILED
    assert str(digest) in err


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
    ids=["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"],
)
async def test_an_interrupt_writes_the_summary_and_exits_with_its_code(stage, number, code):
    stage.project("app", "done")
    done = stage.build("done")
    first, _, _ = await stage.bakery("ci", "publish", *done)
    assert first == ExitCode.DONE
    files = stage.build("app") + done
    stage.source.fault("GET", "/blobs/", repository="tmp/app/tmp", then=Slow(piece_bytes=1, pause_s=1.0))

    async def interrupt(process):
        assert process.stderr is not None
        while stage.source.count("GET", "blob", "tmp/app/tmp") == 0:  # noqa: ASYNC110  # the registry has no event for it
            await asyncio.sleep(0.01)
        process.send_signal(number)

    found, out, err = await stage.bakery(
        "ci", "publish", "--summary", "--summary-format", "json", *files, before_wait=interrupt
    )
    assert found == code, err
    assert json.loads(out)["interrupted"] is True
    assert json.loads(out)["exit_code"] == code
    assert "interrupted" in err
    assert "Traceback" not in err
    assert stage.published("app") == set()


CLOSED = {
    "a reader that has gone": "| true; exit ${PIPESTATUS[0]}",
    "a full disk": "> /dev/full",
    "a stdout that is closed": ">&-",
}


@pytest.mark.parametrize("redirection", CLOSED.values(), ids=CLOSED)
async def test_the_result_is_printed_even_if_the_summary_cannot_be_written(stage, redirection):
    stage.project("app")
    files = stage.build("app")
    command = f'"$PYTHON" -c "{RUN}" ci publish --summary --summary-format json {" ".join(files)} {redirection}'
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=stage.folder, env=os.environ | {"PYTHON": sys.executable},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(50):
        _, err = await process.communicate()
    assert stage.published("app") == TAGS
    assert "✅ Publish completed" in err.decode()
    assert "internal error" not in err.decode()
    assert "Exception ignored" not in err.decode()
    assert process.returncode in (ExitCode.DONE, ExitCode.FAILED)
    assert ("cannot write the summary to" in err.decode()) == (process.returncode == ExitCode.FAILED)


DEAF = {
    "a reader that has gone": "2>&1 | true; exit ${PIPESTATUS[0]}",
    "a reader of one line": "2>&1 | head -1; exit ${PIPESTATUS[0]}",
    "a full disk": "2>/dev/full",
    "a stderr that is read-only": "2</dev/null",
    "a stderr that is closed": "2>&-",
    "both closed": ">&- 2>&-",
}


@pytest.mark.parametrize("redirection", DEAF.values(), ids=DEAF)
async def test_a_stderr_that_takes_nothing_ends_no_publish(stage, redirection):
    stage.project("app")
    options = f"-v --summary --summary-file s.json --journal j {' '.join(stage.build('app'))}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f'"$PYTHON" -c "{RUN}" ci publish {options} {redirection}', cwd=stage.folder,
        env=os.environ | {"PYTHON": sys.executable},
    )  # fmt: skip
    async with asyncio.timeout(50):
        assert await process.wait() == ExitCode.DONE
    assert stage.published("app") == TAGS
    assert json.loads((stage.folder / "s.json").read_text())["exit_code"] == 0
    assert (stage.folder / "j").read_text().count("TagMoved") == len(TAGS)


async def test_few_open_files_make_a_publish_slower_and_no_failure(stage):
    stage.project("app", "two", "three")
    files = [name for image in ("app", "two", "three") for name in stage.build(image)]
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f'ulimit -n 64; "$PYTHON" -c "{RUN}" ci publish {" ".join(files)}', cwd=stage.folder,
        env=os.environ | {"PYTHON": sys.executable}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(50):
        _, err = await process.communicate()
    assert process.returncode == ExitCode.DONE, err.decode()


async def test_an_unwritable_summary_page_is_reported_after_the_result(stage):
    stage.project("app")
    files = stage.build("app")
    environment = {"GITHUB_STEP_SUMMARY": str(stage.folder / "no" / "such")}
    code, _, err = await stage.bakery("ci", "publish", "--summary", *files, environment=environment)
    assert code == ExitCode.FAILED
    assert err.index("Publish completed") < err.index("cannot write the summary to")


async def test_one_repository_under_two_names_is_one_destination(stage):
    stage.project("app")
    text = (stage.folder / "bakery.yaml").read_text()
    hub = "  - {host: docker.io, namespace: acme}\n  - {host: index.docker.io, namespace: acme}\nimages:"
    (stage.folder / "bakery.yaml").write_text(text.replace("images:", hub))
    code, out, err = await stage.bakery(
        "ci", "publish", "--dry-run", "--offline", "--summary", "--summary-format", "json", *stage.build("app")
    )
    assert code == ExitCode.DONE, err
    places = [place["repository"] for place in json.loads(out)["targets"][0]["destinations"]]
    assert places.count("docker.io/acme/app") == 1


async def test_a_flood_of_unknown_entries_is_counted(stage):
    stage.project("app")
    files = stage.build("app")
    entry = {"image.name": "registry.example/x", "containerimage.digest": str(Digest.of(b"x"))}
    (stage.folder / "flood.json").write_text(json.dumps({f"nobody-{n}": entry for n in range(2000)}))
    code, _, err = await stage.bakery("ci", "publish", "flood.json", *files)
    assert (code, stage.published("app")) == (ExitCode.DONE, TAGS)
    assert "1,980 more" in err
    assert len(err.splitlines()) < 60


async def test_a_read_only_destination_fails_with_a_hint(stage):
    stage.project("app")
    files = stage.build("app")
    stage.destination.fault("POST", "/blobs/uploads/", then=Refuse(405, "UNSUPPORTED"))
    code, _, err = await stage.bakery("ci", "publish", *files)
    assert code == ExitCode.FAILED
    lines = err.splitlines()
    (number,) = [number for number, line in enumerate(lines) if line.startswith("error[registry/unsupported]: ")]
    assert f"{stage.destination.address}/acme/app" in lines[number]
    assert lines[number + 1].startswith("hint: ")
    assert "read-only" in lines[number + 1]


class TestDeleteSources:
    """`ci publish --delete-sources`."""

    async def test_the_builds_of_a_published_target_are_deleted(self, stage):
        stage.project("app")
        code, _, err = await stage.bakery("ci", "publish", "--delete-sources", *stage.build("app"))
        assert code == 0, err
        assert stage.published("app") == TAGS
        assert stage.source.manifests("tmp/app/tmp") == []

    async def test_it_is_a_part_of_the_publish_with_one_line_for_each_repository(self, stage):
        stage.project("app")
        words = ("--delete-sources", "--journal", "journal", "--summary-format", "json")
        code, out, err = await stage.bakery("ci", "publish", *words, *stage.build("app"))
        assert code == 0, err
        assert json.loads(out)["kind"] == "publish"
        lines = [json.loads(line) for line in (stage.folder / "journal").read_text().splitlines()]
        events = [line["event"] for line in lines]
        assert [line["doing"] for line in lines if line["event"] == "RunStarted"] == ["publish"]
        assert events.count("ManifestDeleting") == events.count("ManifestDeleted") == 2
        assert {line["target"] for line in lines if line["event"] == "TargetFinished"} == {stage.uid("app")}
        assert f"deleted 2 manifests of builds in {stage.source.address}/tmp/app/tmp" in err
        assert err.count("deleted") == 1

    async def test_without_the_option_they_stay(self, stage):
        stage.project("app")
        code, _, _ = await stage.bakery("ci", "publish", *stage.build("app"))
        assert code == 0
        assert len(stage.source.manifests("tmp/app/tmp")) == 2

    async def test_builds_stay_while_a_destination_or_another_target_needs_them(self, stage):
        stage.project("app", "other")
        files = [*stage.build("app"), *stage.build("other")]
        stage.destination.fault("PUT", "/manifests/latest", then=Refuse(403, "DENIED"), repository="acme/other")
        code, _, err = await stage.bakery("ci", "publish", "--delete-sources", *files)
        assert code == ExitCode.AUTHENTICATION, err
        assert stage.source.manifests("tmp/app/tmp") == []
        assert len(stage.source.manifests("tmp/other/tmp")) == 2

    async def test_a_registry_that_refuses_is_a_note(self, stage):
        stage.project("app")
        stage.source.fault("DELETE", then=Refuse(405, "UNSUPPORTED"))
        code, _, err = await stage.bakery("ci", "publish", "--delete-sources", *stage.build("app"))
        assert code == 0, err
        assert "not deleted: " in err
        assert len(stage.source.manifests("tmp/app/tmp")) == 2

    async def test_nothing_is_deleted_where_images_are_published(self, stage):
        image = add_image(stage.destination, "acme/app", "linux/amd64", layers=[layer("x")])
        where = f"{stage.destination.address}/acme/app"
        code, _, err = await stage.bakery("publish", "-t", f"{where}:1", f"{where}@{image.digest}", "--delete-sources")
        assert code == 0, err
        assert image.digest in stage.destination.manifests("acme/app")
        assert "images are published there" in err


async def test_a_selected_target_without_a_build_holds_a_run_that_is_whole_and_an_image_only_if_it_is_of_it(stage):
    stage.project("app", "other")
    built = stage.build("app")
    code, _, err = await stage.bakery("ci", "publish", "--all-or-nothing", "run", *built)
    assert code == ExitCode.FAILED
    assert "no metadata file has a build of it" in err
    assert stage.published("app") == set()
    for narrower in (("--all-or-nothing", "image"), ("--all-or-nothing", "run", "--image-name", "app"), ()):
        code, _, err = await stage.bakery("ci", "publish", *narrower, *built)
        assert code == ExitCode.DONE, err
    assert stage.published("app") == TAGS
