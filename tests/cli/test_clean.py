"""`bakery clean` as a process: which repositories it cleans, what it prints and never prints, and its exit codes."""

import asyncio
import json
import os
import pty
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.tokens import Access
from tests.clean.ghcr import GitHubStandIn, github
from tests.clean.making import index_of, push, push_image, signature_tag
from tests.program import PROGRAM

PROJECT = """\
repository:
  url: https://github.com/acme/images
  vendor: Acme
  maintainer: Acme <images@acme.example>
registries:
  - host: docker.io
    namespace: acme
images:
  - name: app
    versions:
      - name: "1.0.0"
        latest: true
        os:
          - name: Ubuntu 24.04
            platforms: [linux/amd64]
"""
OLD = "2026-01-01T00:00:00Z"
TOKEN = GitHubStandIn.token


@dataclass
class Kitchen:
    """A project, a registry, and GitHub's API for it. The API is at another address, so only --api selects it."""

    registry: EmbeddedRegistry
    api: GitHubStandIn
    folder: Path

    @property
    def namespace(self) -> str:
        return f"{self.registry.address}/acme"

    async def clean(self, *arguments: str, environment: dict[str, str] | None = None, stdin: int | None = None):
        clean = {name: text for name, text in os.environ.items() if name not in ("GITHUB_TOKEN", "GH_TOKEN")}
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "clean", *arguments, cwd=self.folder, env={**clean, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE if stdin is None else stdin,
        )  # fmt: skip
        async with asyncio.timeout(50):
            out, err = await process.communicate()
        return process.returncode, out.decode(), (err or b"").decode()


@pytest.fixture
async def kitchen(tmp_path):
    (tmp_path / "bakery.yaml").write_text(PROJECT)
    async with EmbeddedRegistry() as registry, github(registry) as api:
        yield Kitchen(registry, api, tmp_path)


async def test_a_temp_registry_is_cleaned_at_once_off_a_terminal(kitchen):
    raw = push_image(kitchen.registry, "one", name="acme/app/tmp", created=OLD)[1]
    push(kitchen.registry, index_of([raw]), "old", name="acme/app/tmp")
    push_image(kitchen.registry, "two", "unknown-age", name="acme/app/tmp")
    code, out, err = await kitchen.clean("temp-registry", kitchen.namespace, "--older-than", "3")
    assert (code, out) == (0, "")
    assert set(kitchen.registry.tags("acme/app/tmp")) == {"unknown-age"}
    assert f"{kitchen.namespace}/app/tmp: 2 deleted, 1 stay" in err


async def test_a_cache_registry_is_cleaned_of_untagged_manifests_by_default(kitchen):
    image, raw = push_image(kitchen.registry, "one", name="acme/app/cache")
    index = push(kitchen.registry, index_of([raw]), "cache", name="acme/app/cache")
    push_image(kitchen.registry, "two", name="acme/app/cache")
    environment = kitchen.api.environment()
    code, _, err = await kitchen.clean("cache-registry", kitchen.namespace, "--api", "github", environment=environment)
    assert code == 0, err
    assert set(kitchen.registry.manifests("acme/app/cache")) == {image, index}
    assert kitchen.api.token not in err


async def test_a_dry_run_prints_what_would_go_and_what_is_kept_and_deletes_nothing(kitchen):
    image, raw = push_image(kitchen.registry, "one", name="acme/app/cache")
    push(kitchen.registry, index_of([raw]), "cache", name="acme/app/cache")
    lost, _ = push_image(kitchen.registry, "two", name="acme/app/cache")
    command = ("cache-registry", kitchen.namespace, "--api", "github", "--dry-run")
    code, out, _ = await kitchen.clean(*command, "--output", "json", environment=kitchen.api.environment())
    assert code == 0
    (repository,) = json.loads(out)["repositories"]
    assert [(one["reference"], one["why"], one["state"]) for one in repository["versions"]] == [
        (f"{kitchen.namespace}/app/cache@{lost}", "untagged", "planned")
    ]
    assert repository["versions"][0]["bytes"] > 0
    assert [(one["digest"], one["kept_by"]) for one in repository["kept"]] == [(str(image), "child of cache")]
    code, out, _ = await kitchen.clean(*command, environment=kitchen.api.environment())
    assert "untagged" in out
    assert "Selected, but kept:" in out
    assert len(kitchen.registry.manifests("acme/app/cache")) == 3


async def test_a_published_repository_is_only_cleaned_with_yes(kitchen):
    push_image(kitchen.registry, "one", "pr-1", name="acme/app")
    latest, _ = push_image(kitchen.registry, "two", "latest", name="acme/app")
    signature, _ = push_image(kitchen.registry, "sig", signature_tag(latest), name="acme/app")
    command = ("repository", f"{kitchen.namespace}/app", "--tag", "^pr-")
    code, _, err = await kitchen.clean(*command)
    assert (code, "cannot delete without --yes" in err) == (2, True)
    assert set(kitchen.registry.tags("acme/app")) == {"pr-1", "latest", signature_tag(latest)}
    code, _, err = await kitchen.clean(*command, "--yes")
    assert code == 0, err
    assert set(kitchen.registry.manifests("acme/app")) == {latest, signature}


@pytest.mark.parametrize(("answer", "left"), [("n", {"pr-1", "latest"}), ("y", {"latest"})])
async def test_on_a_terminal_it_shows_the_plan_and_asks(kitchen, answer, left):
    push_image(kitchen.registry, "one", "pr-1", name="acme/app")
    push_image(kitchen.registry, "two", "latest", name="acme/app")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    code, _, _ = await kitchen.clean("repository", f"{kitchen.namespace}/app", "--tag", "^pr-", stdin=theirs)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert code == 0
    assert "Delete 1 manifest or tag?" in shown
    assert "tag pr-1" in shown
    assert shown.count("manifest or tag to delete") == 1
    assert ("nothing deleted" in shown) is (answer == "n")
    assert set(kitchen.registry.tags("acme/app")) == left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("temp-registry", "ghcr.io/acme"), "expected --older-than DAYS, --untagged or --metadata FILE"),
        (("repository", "ghcr.io/acme/app", "--yes"), "--untagged, --tag REGEX or --metadata FILE"),
        (("temp-registry", "ghcr.io/acme", "--older-than", "0"), "not a number of days above 0"),
        (("temp-registry", "ghcr.io/acme", "--older-than", "nan"), "not a number of days above 0"),
        (("cache-registry", "ghcr.io/acme", "--no-untagged"), "expected --older-than DAYS"),
        (("repository", "ghcr.io/acme/app", "--tag", "(", "--yes"), "invalid value for --tag"),
        (("repository", "ghcr.io/Acme", "--untagged", "--yes"), "invalid reference"),
        (("temp-registry", "ghcr.io/A B", "--older-than", "3"), "invalid reference"),
    ],
)
async def test_wrong_usage_is_exit_2(kitchen, arguments, message):
    code, _, err = await kitchen.clean(*arguments)
    assert code == 2, err
    assert message in err


async def test_a_missing_token_is_exit_4(kitchen):
    code, _, err = await kitchen.clean("temp-registry", "ghcr.io/acme", "--older-than", "3")
    assert code == 4
    assert "GITHUB_TOKEN is not set" in err


async def test_a_wrong_token_is_exit_4_and_never_shown(kitchen):
    environment = {"GITHUB_API_URL": kitchen.api.url, "GH_TOKEN": "wrong-and-secret"}
    command = ("cache-registry", kitchen.namespace, "--api", "github", "-v")
    code, out, err = await kitchen.clean(*command, environment=environment)
    assert code == 4
    assert "wrong-and-secret" not in out + err


async def test_a_token_is_not_sent_over_plain_http_to_another_machine(kitchen):
    environment = {"GITHUB_API_URL": "http://github.example", "GITHUB_TOKEN": "secret-token"}
    command = ("cache-registry", kitchen.namespace, "--api", "github")
    code, _, err = await kitchen.clean(*command, environment=environment)
    assert code == 3
    assert "only sent over https" in err


async def test_packages_that_do_not_exist_are_nothing_to_do(kitchen):
    code, _, err = await kitchen.clean("temp-registry", kitchen.namespace, "--older-than", "3")
    assert code == 0
    assert "it does not exist" in err


async def test_metadata_files_name_builds_that_no_registry_lists(kitchen):
    raw = push_image(kitchen.registry, "one", name="acme/app/tmp")[1]
    index = push(kitchen.registry, index_of([raw]), name="acme/app/tmp")
    elsewhere, _ = push_image(kitchen.registry, "two", name="other/app/tmp")
    entry = {"image.name": f"{kitchen.namespace}/app/tmp", "containerimage.digest": str(index)}
    other = {"image.name": f"{kitchen.registry.address}/other/app/tmp", "containerimage.digest": str(elsewhere)}
    (kitchen.folder / "one-metadata.json").write_text(json.dumps({"app": entry, "other": other}))
    (kitchen.folder / "bakery.yaml").unlink()
    code, _, err = await kitchen.clean("temp-registry", kitchen.namespace, "--metadata", "*-metadata.json")
    assert code == 0, err
    assert kitchen.registry.manifests("acme/app/tmp") == []
    assert kitchen.registry.manifests("other/app/tmp") == [elsewhere]


async def test_journals_and_summaries_name_what_tags_named_before(kitchen):
    before, _ = push_image(kitchen.registry, "before", name="acme/app")
    first, _ = push_image(kitchen.registry, "first", name="acme/app")
    now, _ = push_image(kitchen.registry, "now", "latest", name="acme/app")
    moved = {"event": "TagMoved", "reference": f"{kitchen.namespace}/app:latest", "digest": str(now)}
    journal = json.dumps({**moved, "previous": str(before), "time": OLD}) + '\n{"event": "TagMo'
    (kitchen.folder / "journal.jsonl").write_text(journal)
    tags = [{"tag": "latest", "state": "published", "previous": str(first)}]
    place = {"repository": f"{kitchen.namespace}/app", "tags": tags}
    summary = {"targets": [{"uid": "app", "digest": str(now), "platform_digests": {}, "destinations": [place]}]}
    (kitchen.folder / "summary.json").write_text(json.dumps(summary))
    files = ("--metadata", "journal.jsonl", "--metadata", "summary.json")
    code, _, err = await kitchen.clean("repository", f"{kitchen.namespace}/app", "--untagged", "--yes", *files)
    assert code == 0, err
    assert kitchen.registry.manifests("acme/app") == [now]


async def test_a_registry_that_is_not_githubs_does_not_get_the_token(tmp_path):
    (tmp_path / "bakery.yaml").write_text(PROJECT)
    async with EmbeddedRegistry(access=Access(users={"x-access-token": TOKEN})) as registry, github(registry) as api:
        push_image(registry, "one", name="acme/app/cache")
        kitchen = Kitchen(registry, api, tmp_path)
        command = ("cache-registry", kitchen.namespace, "--api", "github")
        environment = {**api.environment(), "DOCKER_CONFIG": str(tmp_path)}
        code, _, err = await kitchen.clean(*command, environment=environment)
        assert code == 4
        assert len(registry.manifests("acme/app/cache")) == 1
        assert TOKEN not in err


async def test_after_a_kill_the_same_command_with_the_same_journal_deletes_the_rest(kitchen):
    raw = push_image(kitchen.registry, "one", name="acme/app")[1]
    index = push(kitchen.registry, index_of([raw]), "pr-1", name="acme/app")
    latest, _ = push_image(kitchen.registry, "two", "latest", name="acme/app")
    command = ("repository", f"{kitchen.namespace}/app", "--tag", "^pr-", "--yes", "--journal", "clean.jsonl")
    # The index goes, and then the registry answers no more: what a kill leaves, too.
    kitchen.registry.fault("DELETE", then="drop the connection", skip=1)
    code, _, _ = await kitchen.clean(*command, "--time-budget", "3")
    assert code == 1
    assert len(kitchen.registry.manifests("acme/app")) == 2
    kitchen.registry.clear_faults()
    code, _, err = await kitchen.clean(*command)
    assert code == 0, err
    assert kitchen.registry.manifests("acme/app") == [latest]
    lines = [json.loads(line) for line in (kitchen.folder / "clean.jsonl").read_text().splitlines()]
    deleted = [line["reference"].partition("@")[2] for line in lines if line["event"] == "ManifestDeleted"]
    assert deleted[0] == str(index)
    assert len(deleted) == 2


async def test_a_leftover_that_has_a_tag_by_now_stays(kitchen):
    image, raw = push_image(kitchen.registry, "one", name="acme/app")
    fields = {"target": "", "reason": "", "repository": f"{kitchen.namespace}/app", "digest": str(image)}
    line = {"time": OLD, "event": "ManifestDeleting", **fields}
    (kitchen.folder / "clean.jsonl").write_text(json.dumps(line) + "\n")
    push(kitchen.registry, raw, "latest", name="acme/app")
    command = ("repository", f"{kitchen.namespace}/app", "--tag", "^pr-", "--yes", "--journal", "clean.jsonl")
    code, _, err = await kitchen.clean(*command)
    assert code == 0, err
    assert kitchen.registry.manifests("acme/app") == [image]
