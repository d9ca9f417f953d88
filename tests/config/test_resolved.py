"""`get config` shows the configuration as written or resolved, and where each value comes from."""

import json

import pytest

from bakery.config.load import load_project
from bakery.config.resolved import as_written, plain, resolved, yaml_text
from bakery.config.yaml.document import Document
from tests import projects
from tests.cli.running import bakery
from tests.config import parsing

PROJECT = """\
repository: {url: example.org}
registries:
  - host: ghcr.io
images:
  - name: app
    buildTarget: final
    options:
      - {tool: goss, wait: 5, command: img}
    variants:
      - name: Std
        options: [{tool: goss, wait: 0}]
    versions:
      - name: 1.0.0
        extraRegistries: [{host: quay.io, namespace: x}]
        os: [{name: Debian 12}, {name: Alma 9, primary: true}]
"""


def origins(path):
    value = plain(resolved(parsing.project(PROJECT)), origins=True)
    for part in path:
        value = value[part]
    return value


ORIGINS = {
    "a written value": (("images", 0, "name"), "app", "bakery.yaml:5"),
    "a default": (("images", 0, "subpath"), "app", "default"),
    "an inherited value": (("images", 0, "versions", 0, "buildTarget"), "final", "bakery.yaml:6"),
    "an option of the image": (("images", 0, "variants", 0, "options", "goss", "command"), "img", "bakery.yaml:8"),
    "an option of the variant": (("images", 0, "variants", 0, "options", "goss", "wait"), 0, "bakery.yaml:11"),
    "a global registry": (("images", 0, "versions", 0, "destinations", 0), "ghcr.io/app", "bakery.yaml:3"),
    "a version's registry": (("images", 0, "versions", 0, "destinations", 1), "quay.io/x/app", "bakery.yaml:14"),
    "a system that was sorted": (("images", 0, "versions", 0, "os", 0, "primary"), True, "bakery.yaml:15"),
    "a default of a system": (("images", 0, "versions", 0, "os", 1, "extension"), "debian12", "default"),
    "a default pattern": (
        ("images", 0, "tagPatterns", 0, "patterns", 0),
        "{{ Version }}-{{ OS }}-{{ Variant }}",
        "default",
    ),
}


@pytest.mark.parametrize(("path", "value", "origin"), ORIGINS.values(), ids=ORIGINS)
def test_a_value_is_shown_with_its_origin(path, value, origin):
    assert origins(path) == {"value": value, "origin": origin}


@pytest.mark.parametrize("name", projects.NAMES)
def test_the_printed_yaml_parses_to_the_same_values(name):
    project = load_project(projects.HERE / name)
    for tree in (resolved(project), as_written(project)):
        for with_origins in (False, True):
            assert Document(yaml_text(tree, origins=with_origins), "x").value == plain(tree)
    assert plain(as_written(project)) == project.document.value


def test_the_command_prints_all_or_some_images_as_yaml_or_json():
    project = projects.HERE / "lab-matrix"
    whole = bakery("get", "config", "--resolved", "--output", "json", "--context", project)
    assert [image["name"] for image in json.loads(whole.out)["images"]] == ["notebook", "gobuilder", "themes", "plain"]
    some = bakery("get", "config", "--resolved", "--origin", "--context", project, "--image-name", "them")
    assert "name: themes  # " in some.out
    assert "notebook" not in some.out
    assert bakery("get", "config", "--context", project, "--image-name", "nothing-like-it").code == 1


def test_the_schema_is_printed():
    ran = bakery("get", "schema")
    assert json.loads(ran.out)["title"] == "bakery.yaml"
