"""`bakery soci convert` for the targets of a project, and inspecting images in a registry."""

from __future__ import annotations

import json

import pytest

from bakery.errors import ExitCode
from bakery.soci import media
from tests.cli.test_publish import Stage, stage

__all__ = ["Stage", "stage"]  # the fixture


def enable(stage, image="app"):
    stage.project(image, soci=True)
    file = stage.folder / "bakery.yaml"
    text = file.read_text()
    assert "enabled: true" in text
    file.write_text(text.replace("enabled: true", "enabled: true\n        minLayerSize: 0\n        spanSize: 512", 1))


@pytest.mark.parametrize("command", ["soci convert", "imagetools soci-convert"])
async def test_builds_are_converted_and_pushed_by_digest_without_a_tag(stage, command):
    enable(stage)
    code, out, err = await stage.bakery(*command.split(), *stage.build("app"))
    assert code == ExitCode.DONE, err
    reference = out.strip()
    assert "SOCI converted app" in err
    assert "✅ SOCI conversion completed" in err
    repository, _, digest = reference.partition("@")
    assert repository == f"{stage.source.address}/tmp/app/tmp"
    index = json.loads(stage.source.manifest("tmp/app/tmp", digest)[1])
    soci = [entry for entry in index["manifests"] if entry.get("artifactType") == media.SOCI_INDEX]
    assert [entry["platform"]["architecture"] for entry in soci] == ["amd64", "arm64"]
    assert not stage.source.tags("tmp/app/tmp")
    assert stage.destination.count() == 0


async def test_a_converted_image_is_inspected_and_verified_in_its_registry(stage):
    enable(stage)
    _, out, _ = await stage.bakery("soci", "convert", *stage.build("app"))
    code, report, err = await stage.bakery("imagetools", "soci-inspect", "--json", out.strip())
    assert code == ExitCode.DONE, err
    layers = [layer for image in json.loads(report)["soci_indexes"] for layer in image["layers"]]
    assert [layer["ztoc"]["span_size"] for layer in layers] == [512, 512]
    code, report, err = await stage.bakery("imagetools", "soci-verify", out.strip())
    assert code == ExitCode.DONE, err
    assert report.count("right:") == 2


async def test_a_dry_run_knows_the_digest_if_it_converts(stage):
    enable(stage)
    files = stage.build("app")
    words = ("ci", "publish", "--dry-run", "--output", "json", *files)
    code, out, err = await stage.bakery(*words)
    (target,) = json.loads(out)["targets"]
    assert (code, target["digest"]) == (0, None), err
    assert "pass --convert" in target["notes"][-1]
    code, out, err = await stage.bakery(*words, "--convert")
    assert code == 0, err
    assert stage.published("app") == set()
    (target,) = json.loads(out)["targets"]
    assert {change["change"] for change in target["destinations"][0]["changes"]} == {"new"}
    code, _, err = await stage.bakery("ci", "publish", *files)
    assert code == 0, err
    assert str(stage.destination.tags("acme/app")["latest"]) == target["digest"]
    code, _, err = await stage.bakery(*words, "--convert", "--offline")
    assert (code, "cannot combine --convert and --offline" in err) == (2, True)
    code, _, err = await stage.bakery("ci", "publish", "--convert", *files)
    assert (code, "pass --dry-run" in err) == (2, True)


async def test_a_target_without_soci_is_skipped_with_a_reason(stage):
    stage.project("app")
    code, out, err = await stage.bakery("soci", "convert", *stage.build("app"))
    assert (code, out) == (ExitCode.DONE, ""), err
    assert "SOCI skipped for app-1-0-0-ubuntu-24-04: soci.enabled is false" in err
    assert "never awaited" not in err


async def test_a_dry_run_converts_nothing(stage):
    enable(stage)
    files = stage.build("app")
    stage.source.forget_requests()
    code, out, _ = await stage.bakery("soci", "convert", "--dry-run", *files)
    assert (code, out) == (ExitCode.DONE, "")
    assert stage.source.count() == 0


async def test_a_reference_needs_a_tag_or_digest_and_an_existing_image(stage):
    code, _, err = await stage.bakery("soci", "inspect", f"{stage.source.address}/tmp/app/tmp")
    assert (code, "a tag or a digest is missing" in err) == (ExitCode.USAGE, True)
    code, _, err = await stage.bakery("soci", "verify", f"{stage.source.address}/tmp/app/tmp:none")
    assert code == ExitCode.FAILED
    assert "tmp/app/tmp:none" in err
