"""Build metadata files: every row of pipeline.md 4.2 that is about reading."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bakery.errors import ExitCode, MetadataError
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.targets.metadata import find_files, read_metadata, unmatched

BUILDS = Path(__file__).parents[2] / "examples" / "hello" / "builds"
DIGEST = str(Digest.of(b"a build"))
OTHER = str(Digest.of(b"another build"))


def entry(digest=DIGEST, name="registry.example/tmp/app/tmp", **more):
    return {"image.name": name, "containerimage.digest": digest} | more


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2))
    return path


def test_metadata_of_single_manifests_from_real_buildx_has_platforms():
    metadata = read_metadata([BUILDS / "plain-amd64.json", BUILDS / "plain-arm64.json"])
    platforms = {uid: [str(result.platform) for result in results] for uid, results in metadata.results.items()}
    assert platforms == {
        "hello-1-0-0-minimal-ubuntu-22-04": ["linux/amd64", "linux/arm64"],
        "hello-1-0-0-standard-ubuntu-22-04": ["linux/amd64", "linux/arm64"],
    }


def test_the_platform_in_the_provenance_is_ignored():
    metadata = read_metadata([BUILDS / "attested-arm64.json"])
    results = [result for results in metadata.results.values() for result in results]
    assert [result.platform for result in results] == [None, None]
    assert all(result.created is not None for result in results)  # from the label in the provenance


def test_a_pattern_is_expanded_in_sorted_order(tmp_path):
    for name in ("b.json", "a.json"):
        write(tmp_path / name, {})
    assert [path.name for path in find_files(["*.json"], tmp_path)] == ["a.json", "b.json"]
    assert find_files(["none-*.json"], tmp_path) == ()
    assert find_files(["a.json", str(tmp_path / "a.json")], tmp_path) == (tmp_path / "a.json",)


def test_every_invalid_file_is_reported_with_line_and_key(tmp_path):
    files = [
        tmp_path / "missing.json",
        write(tmp_path / "text.json", "{ not json"),
        write(tmp_path / "list.json", []),
        write(tmp_path / "shape.json", {"good": entry(), "bad": 3}),
        write(tmp_path / "digest.json", {"app": entry(digest="sha256:../..")}),
        write(tmp_path / "name.json", {"app": entry(name="Registry/UPPER")}),
    ]
    with pytest.raises(MetadataError) as caught:
        read_metadata(files)
    text = str(caught.value)
    assert all(file.name in text for file in files)
    assert "shape.json:6: bad" in text
    assert caught.value.exit_code == ExitCode.CONFIGURATION


def test_keys_of_buildx_itself_are_ignored(tmp_path):
    file = write(tmp_path / "m.json", {"buildx.build.warnings": [{"level": 1}], "app": entry()})
    assert read_metadata([file]).uids == ("app",)


def test_an_entry_without_a_name_or_digest_is_incomplete(tmp_path):
    file = write(tmp_path / "m.json", {"a": {"containerimage.digest": DIGEST}, "b": {"image.name": "r.example/b"}})
    metadata = read_metadata([file])
    assert metadata.results == {}
    assert "image.name" in metadata.incomplete["a"][0]
    assert "containerimage.digest" in metadata.incomplete["b"][0]


def test_a_duplicate_build_counts_once_and_different_builds_add_up(tmp_path):
    first = write(tmp_path / "1.json", {"app": entry()})
    second = write(tmp_path / "2.json", {"app": entry(OTHER)})
    results = read_metadata([first, second, first]).results["app"]
    assert [str(result.reference.digest) for result in results] == [DIGEST, OTHER]


def test_the_first_name_is_used_without_its_tag(tmp_path):
    name = "registry.example/tmp/app/tmp:latest, registry.example/other"
    file = write(tmp_path / "m.json", {"app": entry(name=name)})
    (result,) = read_metadata([file]).results["app"]
    assert str(result.reference) == f"registry.example/tmp/app/tmp@{DIGEST}"


TIMES = {
    "with zone": ("2026-11-24T12:00:00+02:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
    "naive is UTC": ("2026-11-24T12:00:00", datetime(2026, 11, 24, 12, tzinfo=UTC)),
    "no time": ("yesterday", None),
}


@pytest.mark.parametrize(("text", "expected"), TIMES.values(), ids=TIMES)
def test_a_time_without_a_zone_is_utc(tmp_path, text, expected):
    descriptor = {
        "annotations": {"org.opencontainers.image.created": text},
        "platform": {"os": "linux", "architecture": "arm64"},
    }
    file = write(tmp_path / "m.json", {"app": entry(**{"containerimage.descriptor": descriptor})})
    (result,) = read_metadata([file]).results["app"]
    assert result.created == expected
    assert result.platform == Platform("linux", "arm64")


def test_a_name_with_wildcards_is_a_pattern_unless_the_file_exists(tmp_path):
    for name in ("app [1].json", "app 1.json"):
        (tmp_path / name).write_text("{}")
    assert [path.name for path in find_files(["app [1].json"], tmp_path)] == ["app [1].json"]
    assert [path.name for path in find_files(["app [0-9].json"], tmp_path)] == ["app 1.json"]
    assert [path.name for path in find_files(["app*.json"], tmp_path)] == ["app 1.json", "app [1].json"]
    assert unmatched(["app [1].json", "b*.json", "missing.json"], tmp_path) == ("b*.json",)


def test_a_long_list_of_problems_is_cut(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps({f"uid-{n}": None for n in range(2000)}))
    with pytest.raises(MetadataError) as caught:
        read_metadata([tmp_path / "m.json"])
    assert "--metadata-file" in caught.value.hint
    lines = str(caught.value).splitlines()
    assert len(lines) < 60
    assert "2000 problems" in lines[0]
    assert "got null" in lines[1]
    assert "and 1950 more" in lines[-1]


def test_a_lone_surrogate_in_a_uid_is_an_error_and_no_crash(tmp_path):
    (tmp_path / "m.json").write_text('{"x\\ud800": 5}')
    with pytest.raises(MetadataError, match="expected an object"):
        read_metadata([tmp_path / "m.json"])
