"""`--dry-run`: it reads registries, writes nothing, waits for nothing, and says what each tag will name."""

import json
import re

import pytest

from bakery.errors import ExitCode
from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.tokens import Access
from tests.cli.test_publish import TAGS, Stage, stage

__all__ = ["stage"]  # a fixture


async def dry_run(stage: Stage, files, *words):
    """Run a dry run twice: as JSON, and as text with these words."""
    code, out, err = await stage.bakery("ci", "publish", "--dry-run", "--output", "json", *files)
    assert code == ExitCode.DONE, err
    code, _, text = await stage.bakery("ci", "publish", "--dry-run", *words, *files)
    return json.loads(out), code, text


def changes(document, target=0):
    (place,) = document["targets"][target]["destinations"]
    return {one["tag"]: one["change"] for one in place["changes"]}


async def test_a_dry_run_only_reads_and_shows_what_every_tag_names_now_and_will_name(stage):
    stage.project("app")
    files = stage.build("app")
    document, code, text = await dry_run(stage, files)
    assert code == ExitCode.DONE
    assert stage.published("app") == set()
    for registry in (stage.source, stage.destination):
        assert registry.count("PUT") == registry.count("POST") == registry.count("PATCH") == 0
    assert changes(document) == dict.fromkeys(TAGS, "new")
    digest = document["targets"][0]["digest"]
    assert digest[:19] in text
    assert re.search(r"^    \+ latest +new$", text, re.MULTILINE)
    assert document["survey"]["would_fail"] is False
    assert document["survey"]["send_bytes"] > 0
    await stage.bakery("ci", "publish", *files)
    assert str(stage.destination.tags("acme/app")["latest"]) == digest
    document, _, text = await dry_run(stage, files)
    assert changes(document) == dict.fromkeys(TAGS, "equal")
    assert document["survey"]["send_bytes"] == document["survey"]["send_blobs"] == 0
    assert "4 unchanged" in text


async def test_a_tag_that_moves_is_shown_with_what_it_names_now(stage):
    stage.project("app")
    old = stage.build("app", ["linux/amd64"])
    await stage.bakery("ci", "publish", "--allow-missing-platforms", *old)
    before = stage.destination.tags("acme/app")["latest"]
    document, _, text = await dry_run(stage, stage.build("app"))
    (place,) = document["targets"][0]["destinations"]
    assert set(changes(document).values()) == {"moves"}
    assert {one["now"] for one in place["changes"]} == {str(before)}
    assert place["blobs_lacking"] == 2, "config and layer of the other platform"
    assert re.search(rf"^    ~ latest +moves  now {str(before)[:19]}$", text, re.MULTILINE)


async def test_a_tag_that_the_policy_refuses_or_holds_back_is_shown_with_the_reason(stage):
    stage.project("app")
    await stage.bakery("ci", "publish", "--allow-missing-platforms", *stage.build("app", ["linux/amd64"]))
    files = stage.build("app")
    words = ("--immutable", "1.0.0")
    code, out, err = await stage.bakery("ci", "publish", "--dry-run", "--output", "json", *words, *files)
    assert code == ExitCode.DONE, err
    document = json.loads(out)
    assert changes(document)["1.0.0"] == "refused"
    assert document["survey"]["would_fail"] is True
    assert changes(document)["latest"] == "stays", "no tag of a target moves if an immutable one is refused"
    _, _, text = await stage.bakery("ci", "publish", "--dry-run", *words, *files)
    assert re.search(r"^    ! 1.0.0 +would be refused by policy  now sha256:.*immutable", text, re.MULTILINE)
    assert "immutable" in text
    code, _, _ = await stage.bakery("ci", "publish", *words, *files)
    assert code == ExitCode.FAILED


async def test_a_set_of_which_a_part_would_fail_stays_where_it_is(stage):
    stage.project("app", "bad")
    files = stage.build("app") + stage.build("bad", ["linux/amd64"])
    for whole, change in (("target", "new"), ("image", "new"), ("run", "stays")):
        words = ("--all-or-nothing", whole, "--output", "json")
        _, out, _ = await stage.bakery("ci", "publish", "--dry-run", *words, *files)
        assert set(changes(json.loads(out)).values()) == {change}


async def test_what_a_dry_run_foretells_is_what_the_run_sends(stage):
    stage.project("app", "other")
    files = stage.build("app") + stage.build("other")
    document, _, _ = await dry_run(stage, files)
    for registry in (stage.source, stage.destination):
        registry.forget_requests()
    code, out, _ = await stage.bakery("ci", "publish", "--summary-format", "json", *files)
    assert code == ExitCode.DONE
    survey = document["survey"]
    sent = sum(target["registry_size"] for target in json.loads(out)["targets"])
    assert survey["send_bytes"] == sent
    assert survey["send_blobs"] == 8
    real = stage.source.count() + stage.destination.count()
    assert real / 2 < survey["requests"] < real * 2


@pytest.mark.timeout(30)
async def test_a_missing_source_or_platform_is_reported_at_once_and_fails_only_with_strict(stage):
    stage.project("app", "bad", "gone")
    files = stage.build("app") + stage.build("bad", ["linux/amd64"])
    entry = {"image.name": f"{stage.source.address}/tmp/gone", "containerimage.digest": str(Digest.of(b"gone"))}
    (stage.folder / "gone.json").write_text(json.dumps({stage.uid("gone"): entry}))
    document, code, text = await dry_run(stage, [*files, "gone.json"])
    assert code == ExitCode.DONE
    by_image = {target["image_name"]: target for target in document["targets"]}
    assert by_image["app"]["error"] is None
    assert by_image["bad"]["error"]["code"] == "publish/missing-platform"
    assert by_image["bad"]["platforms_missing"] == ["linux/arm64"]
    assert by_image["gone"]["error"]["code"] == "publish/source-missing"
    assert "missing: linux/arm64" in text
    assert "the run would fail" in text
    _, code, _ = await dry_run(stage, [*files, "gone.json"], "--strict")
    assert code == ExitCode.FAILED
    _, code, _ = await dry_run(stage, stage.build("app"), "--strict")
    assert code == ExitCode.DONE


async def test_a_missing_login_is_reported_and_the_other_registry_is_surveyed(stage, tmp_path):
    stage.project("app")
    files = stage.build("app")
    async with EmbeddedRegistry(access=Access(users={"ci": "secret"})) as closed:
        text = (stage.folder / "bakery.yaml").read_text()
        place = f'registries:\n  - {{host: "{closed.address}", namespace: acme}}\n'
        (stage.folder / "bakery.yaml").write_text(text.replace("registries:\n", place))
        code, out, err = await stage.bakery("ci", "publish", "--dry-run", "--output", "json", *files)
    assert code == ExitCode.DONE, err
    places = {one["repository"].partition("/")[0]: one for one in json.loads(out)["targets"][0]["destinations"]}
    assert places[closed.address]["error"]["code"] in ("auth/login", "auth/denied")
    assert "docker login" in places[closed.address]["error"]["hint"]
    assert {one["change"] for one in places[closed.address]["changes"]} == {"unknown"}
    assert places[stage.destination.address]["error"] is None
    assert {one["change"] for one in places[stage.destination.address]["changes"]} == {"new"}


@pytest.mark.timeout(30)
async def test_a_registry_that_is_down_is_a_finding_after_a_few_attempts(stage):
    stage.project("app")
    files = stage.build("app")
    text = (stage.folder / "bakery.yaml").read_text()
    (stage.folder / "bakery.yaml").write_text(text.replace(stage.destination.address, "127.0.0.1:1"))
    document, code, _ = await dry_run(stage, files, "--strict")
    (place,) = document["targets"][0]["destinations"]
    assert place["error"]["code"] == "network/unreachable"
    assert code == ExitCode.FAILED


async def test_a_pull_request_gets_a_table_with_failures_first(stage):
    stage.project("app", "bad")
    files = stage.build("app") + stage.build("bad", ["linux/amd64"])
    code, out, _ = await stage.bakery("ci", "publish", "--dry-run", "--output", "markdown", *files)
    assert code == ExitCode.DONE
    lines = out.splitlines()
    assert lines[0] == "### This publish would fail"
    assert out.index("`publish/missing-platform`") < out.index("| Tag | Change |")
    row = next(line for line in lines if "/acme/app:latest" in line)
    assert "| new | - | `sha256:" in row
    assert "linux/amd64, linux/arm64" in row


async def test_what_would_fail_is_a_warning_and_with_strict_an_error(stage):
    stage.project("bad")
    files = stage.build("bad", ["linux/amd64"])
    _, _, text = await dry_run(stage, files)
    assert "warning[publish/missing-platform]: bad" in text
    assert "error[" not in text
    _, _, text = await dry_run(stage, files, "--strict")
    assert "error[publish/missing-platform]: bad" in text


async def test_the_summary_options_write_the_survey_to_files_and_to_the_page_of_the_step(stage):
    stage.project("app")
    page = stage.folder / "page.md"
    words = ("--summary", "--summary-file", "plan.json")
    code, out, err = await stage.bakery(
        "ci", "publish", "--dry-run", *words, *stage.build("app"), environment={"GITHUB_STEP_SUMMARY": str(page)}
    )
    assert (code, out) == (ExitCode.DONE, ""), err
    assert json.loads((stage.folder / "plan.json").read_text())["survey"]["would_fail"] is False
    assert page.read_text().startswith("### This publish would succeed")


async def test_an_offline_page_does_not_say_whether_the_run_would_succeed(stage):
    stage.project("app")
    words = ("--dry-run", "--offline", "--output", "markdown")
    _, out, _ = await stage.bakery("ci", "publish", *words, *stage.build("app"))
    assert out.startswith("### What this publish would do")
    assert stage.source.count() == stage.destination.count() == 0


async def test_options_of_a_dry_run_are_refused_without_it(stage):
    stage.project("app")
    for words in (["--strict"], ["--output", "markdown"]):
        code, _, err = await stage.bakery("ci", "publish", *words, *stage.build("app"))
        assert code == ExitCode.USAGE
        assert "--dry-run" in err


@pytest.mark.parametrize("command", ["ci merge", "publish", "imagetools publish", "oras merge"])
async def test_every_publishing_command_has_the_same_survey(stage, command):
    stage.project("app")
    files = stage.build("app")
    code, out, err = await stage.bakery(*command.split(), "--dry-run", "--output", "json", *files)
    assert code == ExitCode.DONE, err
    assert changes(json.loads(out)) == dict.fromkeys(TAGS, "new")
    assert stage.published("app") == set()


async def test_an_image_without_a_project_is_surveyed_too_even_without_a_tag(stage):
    files = stage.build("app")
    for path in files:  # flat, as `docker buildx build --metadata-file` writes them
        document = json.loads((stage.folder / path).read_text())
        (stage.folder / path).write_text(json.dumps(next(iter(document.values()))))
    for tags, expected in ((":1.2,latest", {"1.2": "new", "latest": "new"}), ("", {})):
        words = ("-t", f"{stage.destination.address}/acme/app{tags}", "--output", "json")
        code, out, err = await stage.bakery("publish", "--dry-run", *words, *files)
        assert code == ExitCode.DONE, err
        assert changes(json.loads(out)) == expected
        assert json.loads(out)["survey"]["send_blobs"] == 4
    assert stage.destination.count("PUT") == 0


async def test_imagetools_create_gives_the_same_survey(stage):
    stage.build("app")
    digest = next(iter(stage.source.manifests("tmp/app/tmp")))
    words = ("-t", f"{stage.destination.address}/app:1,latest", f"{stage.source.address}/tmp/app/tmp@{digest}")
    code, out, err = await stage.bakery("imagetools", "create", "--dry-run", "--output", "json", *words)
    assert code == ExitCode.DONE, err
    assert changes(json.loads(out)) == {"1": "new", "latest": "new"}
    code, out, _ = await stage.bakery("imagetools", "create", "--dry-run", "--output", "markdown", *words)
    assert code == ExitCode.DONE
    assert "would succeed" in out
