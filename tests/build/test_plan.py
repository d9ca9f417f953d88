"""A plan has only platforms that a target declares, and is the whole build. tests/cli/test_reading has whole plans."""

from itertools import pairwise

import pytest

from bakery.app.build import BuildRequest, plan_build
from bakery.app.selecting import Filters
from bakery.build import argv
from bakery.build.options import BuildOptions
from bakery.build.plan import bake_file, check_file
from bakery.errors import NothingSelected
from bakery.events import Event, Noted
from tests.build.making import BREAD, UIDS, write_project


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path)


def planned(project, *platforms, **options):
    return plan_build(BuildRequest(project, Filters(image_platform=platforms), BuildOptions(**options)))


def entry(project, *platforms, **options):
    return bake_file(planned(project, *platforms, **options))["target"][BREAD]


def test_platforms_are_narrowed_in_the_order_of_the_target(project):
    assert entry(project)["platforms"] == ["linux/amd64", "linux/arm64"]
    assert entry(project, "arm64", "amd64")["platforms"] == ["linux/amd64", "linux/arm64"]
    assert entry(project, "^linux/arm64$")["platforms"] == ["linux/arm64"]


def test_the_cache_is_that_of_the_platforms_that_are_built(project):
    assert entry(project, cache_registry="r.example")["cache-from"][0]["ref"].endswith(":1.0-ubuntu-24.04")
    one = entry(project, "arm64", cache_registry="r.example", push=True)
    assert one["cache-from"] == [{"type": "registry", "ref": "r.example/bread/cache:1.0-ubuntu-24.04-arm64"}]
    assert one["cache-to"][0]["ref"] == one["cache-from"][0]["ref"]
    assert "cache-to" not in entry(project, cache_registry="r.example")


PIE_AND_BUN = """\
  - name: pie
    versions: [{name: "1.0", latest: true}]
  - name: bun
    versions: [{name: "1.0", latest: true, os: [{name: "Ubuntu 24.04", platforms: [linux/arm64]}]}]
"""


def test_a_target_without_the_platform_is_left_out_with_a_note(tmp_path):
    project = write_project(tmp_path / "p", platforms="linux/amd64")
    with (project / "bakery.yaml").open("a") as file:
        file.write(PIE_AND_BUN)
    notes: list[Event] = []
    plan = plan_build(BuildRequest(project, Filters(image_platform=("arm64",))), emit=notes.append)
    assert [one.uid for one in plan.builds] == ["bun-1-0-ubuntu-24-04"]
    assert plan.left_out == ("pie-1-0",)
    assert any(isinstance(note, Noted) and note.target == "pie-1-0" for note in notes)


def test_no_target_is_an_error_that_names_the_filters(project):
    with pytest.raises(NothingSelected, match="--image-platform"):
        planned(project, "s390x")


def test_a_temporary_registry_and_push_make_every_target_push_by_digest(project):
    by_digest = [{"type": "image", "push-by-digest": "true", "name-canonical": "true", "push": "true"}]
    assert entry(project, push=True, temp_registry="r.example:5000/a/")["output"] == by_digest
    assert entry(project, push=True, temp_registry="r.example:5000/a/")["tags"] == ["r.example:5000/a/bread/tmp"]
    assert "output" not in entry(project, push=True)
    assert "output" not in entry(project, temp_registry="r.example")


def test_a_check_has_no_output_that_buildx_would_push(project):
    plan = planned(project, push=True, temp_registry="r.example", cache_registry="r.example", sbom="true")
    assert set(check_file(plan)["target"][BREAD]) == {"context", "dockerfile", "args", "platforms"}


ATTESTATIONS = {
    "none": ({}, []),
    "provenance off": ({"provenance": "false"}, ["type=provenance,disabled=true"]),
    "sbom on": ({"sbom": "true"}, ["type=sbom"]),
    "with attributes": (
        {"provenance": "mode=max", "sbom": "generator=x"}, ["type=provenance,mode=max", "type=sbom,generator=x"],
    ),
    "attest": ({"attest": ("type=sbom",)}, ["type=sbom"]),
}  # fmt: skip


@pytest.mark.parametrize(("options", "attest"), ATTESTATIONS.values(), ids=ATTESTATIONS)
def test_attestations_are_passed_on_in_the_form_of_the_plan(project, options, attest):
    assert entry(project, **options).get("attest", []) == attest


def test_what_is_given_is_in_the_plan_and_what_is_not_is_not(project):
    assert not {"pull", "no-cache"}.intersection(entry(project))
    given = entry(project, pull=True, cache=False)
    assert (given["pull"], given["no-cache"]) == (True, True)


LOADS = {
    "nothing pushed": ({}, ["--load"]),
    "no load": ({"load": False}, []),
    "pushed": ({"push": True}, ["--push"]),
    "pushed and loaded": ({"push": True, "load": True}, ["--load", "--push"]),
    "pushed by digest": ({"push": True, "temp_registry": "r.example"}, []),
    "pushed by digest and loaded": ({"push": True, "temp_registry": "r.example", "load": True}, ["--load"]),
}


@pytest.mark.parametrize(("options", "words"), LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("strategy", ["bake", "build"])
def test_images_are_loaded_unless_they_are_pushed_or_on_request(project, strategy, options, words):
    plan = planned(project, strategy=strategy, **options)
    file = project / "m.json"
    command = (
        argv.bake(("buildx",), plan, file)
        if strategy == "bake"
        else argv.build(("buildx",), plan, plan.builds[0], file)
    )
    assert [word for word in command if word in ("--load", "--push")] == words


def test_a_build_of_one_target_has_everything_on_its_command_line(project):
    plan = planned(
        project, "arm64", push=True, temp_registry="t.example", cache_registry="c.example", builder="b", pull=True,
        cache=False, sbom="true",
    )  # fmt: skip
    words = argv.build(("docker", "buildx"), plan, plan.builds[0], project / "m.json")
    assert words[:5] == ["docker", "buildx", "build", "--builder", "b"]
    assert words[-1] == str(project)
    pairs = list(pairwise(words))
    for pair in (
        ("--progress", "plain"),
        ("--label", "org.opencontainers.image.version=1.0"),
        ("--file", str(project / "bread/1.0/Containerfile.ubuntu2404")),
        ("--cache-from", "type=registry,ref=c.example/bread/cache:1.0-ubuntu-24.04-arm64"),
        (
            "--cache-to",
            "type=registry,ref=c.example/bread/cache:1.0-ubuntu-24.04-arm64,mode=max,compression=zstd,oci-mediatypes=true",
        ),
        ("--output", "type=image,push-by-digest=true,name-canonical=true,push=true"),
        ("--platform", "linux/arm64"),
        ("--tag", "t.example/bread/tmp"),
        ("--metadata-file", str(project / "m.json")),
    ):
        assert pair in pairs
    assert {"--pull", "--no-cache", "--attest=type=sbom"} <= set(words)


def test_groups_name_every_target(project):
    assert bake_file(planned(project))["group"]["default"]["targets"] == list(UIDS)


def test_the_label_of_the_time_is_only_set_with_a_time(project, monkeypatch):
    assert "org.opencontainers.image.created" not in entry(project)["labels"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert entry(project)["labels"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"


SPECIAL = """\
  - name: tart
    buildTarget: final
    buildSecrets: [{id: token, envVar: THE_TOKEN}]
    versions: [{name: "1.0", latest: true}]
"""


def test_the_stage_and_the_secrets_of_a_target_reach_both_strategies(project, monkeypatch):
    monkeypatch.setenv("THE_TOKEN", "x")
    with (project / "bakery.yaml").open("a") as file:
        file.write(SPECIAL)
    plan = planned(project)
    (tart,) = [one for one in plan.builds if one.uid == "tart-1-0"]
    made = bake_file(plan)["target"]["tart-1-0"]
    assert made["target"] == "final"
    assert made["secret"] == [{"type": "env", "id": "token", "env": "THE_TOKEN"}]
    pairs = list(pairwise(argv.build(("buildx",), plan, tart, project / "m.json")))
    assert ("--target", "final") in pairs
    assert ("--secret", "id=token,env=THE_TOKEN") in pairs
    assert not {"target", "secret"}.intersection(entry(project))
    assert "--target" not in argv.build(("buildx",), plan, plan.builds[0], project / "m.json")


def test_a_bake_defers_errors_on_request_and_may_be_limited(project):
    def modes(*, defer_error, **options):
        words = argv.bake(("buildx",), planned(project, **options), project / "m.json", defer_error=defer_error)
        return [second for first, second in pairwise(words) if first == "--jobs"]

    assert modes(defer_error=True) == ["defer-error"]
    assert modes(defer_error=True, jobs=3) == ["defer-error,parallel=3"]
    assert modes(defer_error=False) == []
    assert argv.bake_print(("buildx",), planned(project, jobs=3))[-2:] == ["--jobs", "defer-error,parallel=3"]


def test_the_builder_is_named_if_it_is_given(project):
    assert argv.inspect_builder(("buildx",), planned(project)) == ["buildx", "inspect"]
    assert argv.inspect_builder(("buildx",), planned(project, builder="b")) == ["buildx", "inspect", "b"]
    assert argv.start_builder(("buildx",), planned(project, builder="b"))[-1] == "--bootstrap"


def test_podman_gets_what_it_knows(project):
    plan = planned(project, "arm64", strategy="build", pull=True, cache=False)
    words = argv.podman_build(("podman",), plan, plan.builds[0])
    assert {"--pull", "--no-cache"} <= set(words)
    assert ("--file", str(project / "bread/1.0/Containerfile.ubuntu2404")) in list(pairwise(words))
    assert not {"--progress", "--metadata-file", "--load"}.intersection(words)
    plan = planned(project, "arm64", strategy="build")
    assert not {"--pull", "--no-cache"}.intersection(argv.podman_build(("podman",), plan, plan.builds[0]))
