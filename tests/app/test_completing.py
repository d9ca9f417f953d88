"""What a shell is offered: names of the project, keys of metadata files, codes, profiles; or nothing."""

import json

import pytest

from bakery.app.completing import error_codes, fault_profiles, metadata_keys, project_names
from tests import projects

ATLAS = projects.HERE / "atlas-app"


@pytest.mark.parametrize(
    ("kind", "image", "names"),
    [
        ("image", "", ["atlas-server", "atlas-init"]),
        ("image", "init", ["atlas-server", "atlas-init"]),
        ("version", "init", ["2026.06.1+88.rel3"]),
        ("variant", "", ["Standard", "Minimal"]),
        ("os", "init", ["Ubuntu 24.04"]),
        ("platform", "", ["linux/amd64", "linux/arm64"]),
    ],
)
def test_names_of_a_project_are_offered_in_the_order_of_the_file(kind, image, names):
    assert project_names(kind, ATLAS, image) == names


def test_a_project_that_cannot_be_read_offers_nothing(tmp_path):
    assert project_names("image", tmp_path) == []
    (tmp_path / "bakery.yaml").write_text("images: {")
    assert project_names("image", tmp_path) == []
    assert project_names("version", ATLAS, "(") == []


def test_the_targets_of_metadata_files_are_offered(tmp_path):
    entry = {"image.name": "ghcr.io/acme/app", "containerimage.digest": f"sha256:{'0' * 64}"}
    (tmp_path / "a.json").write_text(json.dumps({"app-1-0-0": entry, "app-2-0-0": entry}))
    (tmp_path / "bad.json").write_text("{")
    assert metadata_keys([tmp_path / "a.json", tmp_path / "none.json"]) == ["app-1-0-0", "app-2-0-0"]
    assert metadata_keys([tmp_path / "bad.json"]) == []


def test_codes_and_profiles_are_offered():
    assert "registry/quota" in error_codes()
    assert {"ghcr", "hostile"} <= set(fault_profiles())
