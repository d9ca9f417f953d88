"""`bakery imagetools soci-…` on layouts: exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.program import PROGRAM
from tests.soci.golden_cases import CASES, GOLDEN, REAL_TOOL

INPUTS = GOLDEN / "inputs"


def bakery(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "imagetools", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **(env or {})}
    )


def test_a_layout_is_converted_with_the_given_options(tmp_path):
    case = CASES["prefetch-odd"]
    files = [part for path in case.data["options"]["prefetch_files"] for part in ("--prefetch-file", path)]
    done = bakery(
        "soci-convert", "--from-layout", case.layout, "--to-layout", tmp_path / "out", "--span-size", 65536,
        "--min-layer-size", 0, "--build-tool-identifier", REAL_TOOL, *files,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == case.data["expected"]["index"]["digest"]
    assert "'missing' is in no indexed layer" in done.stderr
    top = json.loads((tmp_path / "out/index.json").read_text())
    assert [set(entry) for entry in top["manifests"]] == [{"mediaType", "digest", "size"}]


def test_platforms_optimizations_and_the_identifier_variable_are_used(tmp_path):
    case = CASES["two-platform-arm64"]
    done = bakery(
        "soci-convert", "--from-layout", case.layout, "--to-layout", tmp_path / "out.tar", "--span-size", 65536,
        "--min-layer-size", 0, "--platform", "linux/arm64", env={"BAKERY_BUILD_TOOL_IDENTIFIER": REAL_TOOL},
    )  # fmt: skip
    assert done.stdout.strip() == case.data["expected"]["index"]["digest"]
    case = CASES["xattr"]
    done = bakery(
        "soci-convert", "--from-layout", case.layout, "--to-layout", tmp_path / "x", "--span-size", 65536,
        "--min-layer-size", 0, "--optimizations", "xattr", "--build-tool-identifier", REAL_TOOL,
    )  # fmt: skip
    assert done.stdout.strip() == case.data["expected"]["index"]["digest"]


def test_a_damaged_layer_exits_1_and_writes_nothing(tmp_path):
    done = bakery(
        "soci-convert", "--from-layout", INPUTS / "odd-cut-gzip", "--to-layout", tmp_path / "out", "--min-layer-size", 0
    )
    assert done.returncode == 1
    assert "cut off" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_index_exits_0_with_a_note(tmp_path):
    done = bakery("soci-convert", "--from-layout", INPUTS / "two-platform", "--to-layout", tmp_path / "out")
    assert done.returncode == 0
    assert "is left unchanged" in done.stderr
    before = json.loads((INPUTS / "two-platform/index.json").read_text())["manifests"][0]["digest"]
    assert done.stdout.strip() == before


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--span-size", "0"], 2),
        (["--min-layer-size", "-1"], 2),
        (["--optimizations", "speed"], 2),
        (["--limit", "entries"], 2),
        (["--limit", "colour=1"], 2),
        (["--platform", "linux/s390x"], 1),
        (["--limit", "entries=2"], 1),
    ],
)
def test_invalid_options_are_errors_and_write_nothing(tmp_path, options, code):
    done = bakery(
        "soci-convert", "--from-layout", INPUTS / "two-platform", "--to-layout", tmp_path / "out",
        *([] if "--min-layer-size" in options else ["--min-layer-size", "0"]), *options,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "hint:" in done.stderr or "expected" in done.stderr or "platforms:" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_index_is_printed_as_table_and_as_json_and_verified(tmp_path):
    out = tmp_path / "out"
    bakery("soci-convert", "--from-layout", INPUTS / "two-platform", "--to-layout", out, "--min-layer-size", 0)
    table = bakery("soci-inspect", out).stdout
    assert "linux/arm64/v8" in table
    assert "4194304" in table
    report = json.loads(bakery("soci-inspect", "--json", out).stdout)
    assert [layer["ztoc"]["files"] for layer in report["soci_indexes"][0]["layers"]] == [25, 10]
    verified = bakery("soci-verify", out)
    assert verified.returncode == 0
    assert verified.stdout.count("right:") == 4
    assert bakery("soci-verify", INPUTS / "two-platform").returncode == 1


def test_a_path_without_a_layout_is_an_error_that_names_it(tmp_path):
    for command in ("soci-inspect", "soci-verify"):
        done = bakery(command, tmp_path / "nothing")
        assert done.returncode == 3, "as for every file that a command works on"
        assert str(Path(tmp_path) / "nothing") in done.stderr
