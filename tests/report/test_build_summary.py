"""The summary of a build: the older tool's members are numbers, unknown sizes are null, shared caches count once."""

import json

import jsonschema
import pytest
from msgspec.structs import replace

from bakery.build.outcome import BuildFailure
from bakery.build.sizes import Size, TargetSizes
from bakery.report.build_summary import build_json, counts_table, size_text, sizes_table, summarize_build
from tests import written
from tests.report import builds

CACHE = Size(300, 2)
FULL, SMALL, TOOL = (target.uid for target in builds.targets())
SIZES = {
    FULL: TargetSizes(Size(24_100_000, 5), Size(70_000_000, 9), CACHE),
    SMALL: TargetSizes(cache=CACHE),
}
OLDER = {
    "uid": str, "image_name": str, "version": str, "os": str, "variant": str, "platforms": int, "tags": int,
}  # fmt: skip
OLDER_SIZES = ("layers", "registry_size", "local_size", "cache_size")


def document(outcome=None, sizes=SIZES):
    made = build_json(summarize_build(outcome or builds.outcome(), sizes))
    assert json.loads(json.dumps(made)) == made
    return made


def test_the_members_of_the_older_tool_keep_their_names_and_types():
    made = document()
    for target in made["targets"]:
        assert {name: type(target[name]) for name in OLDER} == OLDER
        assert all(target[name] is None or type(target[name]) is int for name in OLDER_SIZES)
        assert target["platforms"] == len(target["platform_list"])
        assert target["tags"] == len(target["tag_list"])
    full, _, tool = made["targets"]
    assert (full["platforms"], full["tags"], full["os"], full["variant"]) == (2, 8, "Debian 12", "Full")
    assert (tool["os"], tool["variant"]) == ("", "")


def test_totals_are_sums_of_what_is_known_and_a_shared_cache_counts_once():
    made = document()
    assert (made["build_targets"], made["platform_builds"]) == (3, 5)
    assert made["registry_tags"] == sum(target["tags"] for target in made["targets"])
    sizes = (made["registry_size_bytes"], made["local_size_bytes"], made["cache_size_bytes"])
    assert sizes == (24_100_000, 70_000_000, 300)
    assert document(sizes={FULL: SIZES[FULL]})["cache_size_bytes"] == 300, "known of one of the two"
    unknown = document(sizes={})
    assert [unknown[f"{kind}_size_bytes"] for kind in ("registry", "local", "cache")] == [None] * 3


def test_layers_are_those_of_the_registry_and_else_those_of_docker():
    assert document()["targets"][0]["layers"] == 5
    assert document(sizes={FULL: TargetSizes(local=Size(7, 9))})["targets"][0]["layers"] == 9
    assert document(sizes={})["targets"][0]["layers"] is None


def test_each_target_has_its_state_digest_time_cache_ratio_warnings_and_failure():
    full, small, tool = document()["targets"]
    assert (full["state"], full["digest"], full["elapsed_s"], full["attempts"]) == ("built", builds.DIGEST, 1.5, 1)
    assert (full["cache_hit_ratio"], full["warnings"], full["errors"]) == (0.75, 0, [])
    assert (small["state"], small["digest"], small["cache_hit_ratio"]) == ("failed", None, None)
    assert small["errors"] == [{
        "step": "[2/4] RUN make", "message": 'app/Containerfile:3: process "make" did not complete: exit code: 2',
        "file": "app/Containerfile", "line": 3,
    }]  # fmt: skip
    assert (tool["state"], tool["warnings"], tool["errors"]) == ("stopped", None, [])


def test_only_the_platforms_that_were_asked_for_count():
    full, *_ = builds.targets()
    outcome = builds.outcome(targets=(builds.built(full, platforms=("linux/arm64",)),))
    (target,) = document(outcome)["targets"]
    assert (target["platforms"], target["platform_list"]) == (1, ["linux/arm64"])


@pytest.mark.parametrize(("signum", "code"), [(0, 1), (2, 130), (15, 143)])
def test_the_exit_code_is_that_of_the_command(signum, code):
    assert document(builds.outcome(signum=signum))["exit_code"] == code


def test_what_a_failure_says_is_cleaned():
    _, small, _ = builds.targets()
    failure = BuildFailure("bad\x1b[2J\n::error::x", "step\x07")
    made = document(builds.outcome(targets=(replace(builds.failed(small), failure=failure),)))
    (error,) = made["targets"][0]["errors"]
    assert "\x1b" not in error["message"]
    assert "\n" not in error["message"]
    assert error["step"] == "step\\x07"
    assert (error["file"], error["line"]) == (None, None)


def test_the_table_has_a_line_per_target_without_repeated_names_and_a_total():
    lines = sizes_table(summarize_build(builds.outcome(), SIZES)).splitlines()
    assert lines[0] == "Build Summary (3 targets)"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "Image Version OS Variant State Time Cached Platforms Tags Layers Registry Size Local Size Cache Size",
        " ".join(lines[2].split()),
        "app 1.0.0 Debian 12 Full built 1.5 s 75% 2 8 5 24.1 MB 70.0 MB 300 B",
        "Small failed 1.5 s — 2 4 — — — 300 B",
        "tool 2 — — stopped 0.0 s — 1 1 — — — —",
        " ".join(lines[6].split()),
        "Total 4.2 s 5 13 24.1 MB 70.0 MB 300 B",
    ]
    assert set(lines[2]) | set(lines[6]) == {"-", " "}


def test_the_counts_of_a_plan_say_that_aliases_are_among_the_tags():
    lines = [" ".join(line.split()) for line in counts_table(3, 5, 1400).splitlines()]
    assert lines[0] == "Build Summary"
    assert lines[2:] == [
        "Build Targets 3", "Platform Builds 5", "Registry Tags 1,400", "Tags include aliases such as latest.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "—"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"),
     (24_100_000, "24.1 MB"), (5 * 10**12, "5.0 TB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_sizes_are_decimal_and_unknown_ones_a_dash(size_bytes, text):
    assert size_text(size_bytes) == text


def test_the_published_schema_describes_what_is_written_and_refuses_other_types():
    validator = jsonschema.Draft202012Validator(written.published(written.OF_FORMAT["build"]))
    for made in (document(), document(sizes={}), document(builds.outcome(targets=()))):
        assert [error.message for error in validator.iter_errors(made)] == []
    assert list(validator.iter_errors(document() | {"platform_builds": "5"}))
    assert list(validator.iter_errors({key: value for key, value in document().items() if key != "targets"}))
