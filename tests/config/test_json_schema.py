"""The JSON Schema in docs/schemas is current, accepts every example, and refuses what editors should mark."""
# ruff: noqa: E501 - one document per row

import json
from pathlib import Path

import jsonschema
import pytest

from bakery.config.schema.json_schema import project_schema
from bakery.config.yaml.document import Document
from tests import projects

COMMITTED = Path(__file__).parents[2] / "docs" / "schemas" / "bakery.schema.json"
HEAD = "repository: {url: example.org}\n"


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(COMMITTED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_current():
    assert COMMITTED.read_text() == f"{json.dumps(project_schema(), indent=2)}\n", (
        "run: bakery get schema > docs/schemas/bakery.schema.json"
    )


@pytest.mark.parametrize("name", projects.NAMES)
def test_every_example_is_valid(validator, name):
    text = (projects.HERE / name / "bakery.yaml").read_text()
    assert [error.message for error in validator.iter_errors(Document(text, name).value)] == []


ACCEPTED = {
    "a boolean as a word": "images: [{name: a, versions: [{name: b, latest: Yes}]}]",
    "a person as a mapping": "repository: {url: x.org, authors: [{name: A, email: a@b.org}, 'B <b@c.org>']}",
    "versions with commas": "images: [{name: a, versions: [{name: b, dependencies: [{dependency: R, version: '4, 5'}]}]}]",
    "a number as a bound": (
        "images: [{name: a, dependencyConstraints: [{dependency: R, constraint: {max: 4.5, count: '2'}}]}]"),
    "soci in both spellings": "images: [{name: a, options: [{tool: soci, spanSize: 1, min_layer_size: 2}]}]",
    "an axis and a constant": "images: [{name: a, matrix: {values: {a: [b, c], d: e}}}]",
}  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_what_loading_accepts_is_valid(validator, text):
    body = text if text.startswith("repository") else HEAD + text
    assert [error.message for error in validator.iter_errors(Document(body, "x").value)] == []


REFUSED = {
    "an unknown key": "images: [{name: a, varients: []}]",
    "a number as a name": "images: [{name: a, versions: [{name: 1.9}]}]",
    "a platform without architecture": "images: [{name: a, versions: [{name: b, os: [{name: c, platforms: [linux]}]}]}]",
    "an unknown tool": "images: [{name: a, options: [{tool: gos}]}]",
    "a repository at the top level": "registries: [{host: a.org, repository: b}]",
    "an old source type": "images: [{name: a, devVersions: [{sourceType: env}]}]",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_loading_refuses_or_warns_about_is_invalid(validator, text):
    assert list(validator.iter_errors(Document(HEAD + text, "x").value))
