"""Publishing as a library user does it: a request becomes a plan, a plan becomes an outcome, nothing is printed."""

import asyncio
import json
from pathlib import Path

import pytest

from bakery.app.planning import MOST_UNKNOWN, PublishRequest, plan, project_targets
from bakery.app.publishing import PublishOptions, publish
from bakery.errors import MetadataError, NothingSelected, UsageError
from bakery.events import Noted, ProblemFound, TagMoved
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.outcome import State
from bakery.rehearsal.embedded import EmbeddedRegistry
from tests.engines.workload import add_image, layer

PROJECT = """\
repository: {url: https://github.com/acme/images, vendor: Acme, maintainer: Acme <images@acme.example>}
registries: [{host: "%s", namespace: acme}]
images:
  - name: app
    options: [{tool: soci, enabled: true}]
    versions: [{name: "1.0.0", latest: true, os: [{name: Ubuntu 24.04, platforms: [linux/amd64]}]}]
  - name: other
    versions: [{name: "1.0.0", latest: true, os: [{name: Ubuntu 24.04, platforms: [linux/amd64]}]}]
"""
UIDS = ("app-1-0-0-ubuntu-24-04", "other-1-0-0-ubuntu-24-04")


def entry(name="registry.example/tmp/app", content=b"x"):
    return {"image.name": name, "containerimage.digest": str(Digest.of(content))}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bakery.yaml").write_text(PROJECT % "registry.example")
    (tmp_path / "both.json").write_text(json.dumps({uid: entry(content=uid.encode()) for uid in UIDS}))
    return tmp_path


def request(folder: Path, *files: str, **more) -> PublishRequest:
    return PublishRequest(tuple(str(folder / file) for file in files), folder, environment={}, **more)


async def test_a_plan_is_carried_out_and_every_tag_is_an_event(tmp_path, capfd):
    async with EmbeddedRegistry() as registry:
        (tmp_path / "bakery.yaml").write_text(PROJECT % registry.address)
        built = add_image(registry, "tmp/other", "linux/amd64", layers=[layer("other")], salt="other")
        name = str(Repository(registry.address, "tmp/other"))
        metadata = {UIDS[1]: {"image.name": name, "containerimage.digest": str(built.digest)}}
        (tmp_path / "m.json").write_text(json.dumps(metadata))
        events: list[object] = []
        made = plan(request(tmp_path, "m.json"), emit=events.append)
        assert made is not None
        options = PublishOptions(tmp_path, environment={})
        outcome = await asyncio.to_thread(publish, made, options, emit=events.append)
        tags = registry.tags("acme/other")
    assert [target.state for target in outcome.targets] == [State.PUBLISHED]
    assert {event.reference.rpartition(":")[2] for event in events if isinstance(event, TagMoved)} == set(tags)
    assert Noted("", "Found 1 target in 1 file", warning=False) in events
    assert capfd.readouterr() == ("", "")


def test_soci_takes_part_unless_it_is_left_out_and_can_be_all_there_is(folder):
    whole, without, only = (
        plan(request(folder, "both.json", **more)) for more in ({}, {"with_soci": False}, {"only_soci": True})
    )
    assert whole is not None
    assert without is not None
    assert only is not None
    assert [target.soci is not None for target in whole.targets] == [True, False]
    assert [target.soci is not None for target in without.targets] == [False, False]
    assert [target.destinations[0].tags for target in only.targets] == [()]


def test_an_image_name_selects_and_must_match_an_image_of_the_project(folder):
    made = plan(request(folder, "both.json", image_name="^oth"))
    assert made is not None
    assert [target.image for target in made.targets] == ["other"]
    events: list[object] = []
    with pytest.raises(NothingSelected, match="no image matches --image-name nothing: expected one of: app, other"):
        plan(request(folder, "both.json", image_name="nothing"))
    assert plan(request(folder, "both.json", image_name="nothing", allow_empty=True), emit=events.append) is None
    assert Noted("", "--image-name nothing matches none of the 2 built targets") in events


def test_a_shard_takes_its_images_only(folder):
    parts = [plan(request(folder, "both.json", shard=f"{number}/2")) for number in (1, 2)]
    assert sorted(target.image for part in parts if part for target in part.targets) == ["app", "other"]


NOTHING = {
    "no file": (["none-*.json"], "nothing to publish: no file matches"),
    "no entry": (["empty.json"], "name no target of bakery.yaml (0 entries read)"),
    "an unknown entry": (["unknown.json"], "name no target of bakery.yaml (1 entry read)"),
    "an unusable entry": (["nameless.json"], "image.name"),
}


@pytest.mark.parametrize(("files", "text"), NOTHING.values(), ids=NOTHING)
def test_nothing_to_publish_is_an_error_or_a_warning_if_allowed(folder, files, text):
    (folder / "empty.json").write_text("{}")
    (folder / "unknown.json").write_text(json.dumps({"nobody": entry()}))
    (folder / "nameless.json").write_text(json.dumps({UIDS[0]: {}}))
    with pytest.raises(NothingSelected) as caught:
        plan(request(folder, *files))
    assert text in str(caught.value)
    assert "--allow-empty" in caught.value.hint
    events: list[object] = []
    assert plan(request(folder, *files, allow_empty=True), emit=events.append) is None
    assert any(isinstance(event, Noted) and text in event.message for event in events)


def test_unknown_entries_are_warnings_and_a_flood_of_them_is_counted(folder):
    flood = {f"nobody-{number}": entry() for number in range(MOST_UNKNOWN + 1500)}
    (folder / "flood.json").write_text(json.dumps(flood))
    events: list[object] = []
    assert plan(request(folder, "both.json", "flood.json"), emit=events.append) is not None
    warnings = [event.message for event in events if isinstance(event, Noted) and event.warning]
    assert len(warnings) == MOST_UNKNOWN + 1
    assert warnings[-1] == "1,500 more are not targets of bakery.yaml either"


def test_problems_of_the_project_are_events_with_their_place(folder):
    file = folder / "bakery.yaml"
    file.write_text(file.read_text().replace("    versions:", "    versoins: []\n    versions:", 1))
    events: list[object] = []
    assert plan(request(folder, "both.json"), emit=events.append) is not None
    (problem,) = [event for event in events if isinstance(event, ProblemFound)]
    assert (problem.file, problem.line, problem.column) == (str(file), 6, 5)
    assert "versoins" in problem.text


def test_a_bad_expression_is_reported_before_any_file_is_read(folder):
    with pytest.raises(UsageError, match="--image-name"):
        plan(request(folder, "missing.json", image_name="("))
    with pytest.raises(MetadataError, match=r"missing\.json"):
        plan(request(folder, "missing.json"))


def test_targets_of_a_project_can_be_limited_to_some_images(folder):
    assert [target.image for target in project_targets(folder, "app")] == ["app"]
    with pytest.raises(NothingSelected, match="--image-name none"):
        project_targets(folder, "none")


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "9" * 12])
def test_a_source_date_epoch_must_be_whole_seconds(text):
    options = PublishOptions(environment={"SOURCE_DATE_EPOCH": text})
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        options.run_options(1)
    assert PublishOptions(environment={"SOURCE_DATE_EPOCH": "17"}).run_options(1).assembly.source_date_epoch == 17


def test_each_engine_has_its_default_number_of_jobs():
    native, cli = (PublishOptions(engine=name, environment={}) for name in ("native", "cli"))
    assert (native.run_options(100).jobs, cli.run_options(100).jobs) == (32, 4)
    assert PublishOptions(jobs=3, environment={"BAKERY_MAX_CONCURRENCY": "7"}).run_options(100).jobs == 3
    assert PublishOptions(environment={"BAKERY_MAX_CONCURRENCY": "7"}).run_options(100).jobs == 7
