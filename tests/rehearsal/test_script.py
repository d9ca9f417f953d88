"""Fault rules as JSON: the example in the docs works, and unknown names are errors that list the known ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bakery.errors import UsageError
from bakery.rehearsal import script
from bakery.rehearsal.faults import PHRASES, Lag, Refuse, When
from bakery.rehearsal.profiles import GHCR, PROFILES
from bakery.rehearsal.serving import ServeOptions, create_registry
from tests.rehearsal.content import REPO, Http

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


def test_the_example_in_the_docs_means_what_they_say(tmp_path):
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "rules.json"
    file.write_text(example)
    read = script.read(file)
    assert (read.traits, read.rules[3:]) == (GHCR.traits, GHCR.rules)
    drop, lag, limited = read.rules[:3]
    assert (drop.effect, drop.name, drop.point, drop.times) == (
        PHRASES["drop the connection"],
        "drop the connection",
        When.COMMIT,
        1,
    )
    assert (lag.effect, lag.name, lag.repository) == (Lag(4.0), "lag", "acme/*")
    assert limited.effect == Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "2"),))
    assert (limited.name, limited.probability) == ("limited", 0.01)


@pytest.mark.parametrize("name", [*PROFILES, *script.EFFECTS, *PHRASES])
def test_the_docs_name_every_profile_effect_and_phrase(name):
    assert f"`{name}`" in PAGE


async def test_rules_from_a_file_are_met_and_counted(session, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [{"then": "answer 503", "method": "GET", "route": "tags", "times": 2}]}))
    async with create_registry(ServeOptions(faults=str(file))) as running:
        http = Http(session, running)
        statuses = [(await http("GET", f"/v2/{REPO}/tags/list")).status for _ in range(3)]
        assert statuses == [503, 503, 404]
        assert running.faults_met == {"answer 503": 2}


WRONG = {
    "an unknown member": ({"rulez": []}, "expected one of: like, rules"),
    "an unknown profile": ({"like": "nexus"}, "ghcr, hub"),
    "not a list": ({"rules": {}}, "must be a list"),
    "no effect": ({"rules": [{"method": "GET"}]}, "rules[0]"),
    "an unknown phrase": ({"rules": [{"then": "explode"}]}, "drop the connection"),
    "an unknown effect": ({"rules": [{"then": {"effect": "explode"}}]}, "wrong digest"),
    "a missing member": ({"rules": [{"then": {"effect": "lag"}}]}, "'lag' requires seconds"),
    "a member of another effect": ({"rules": [{"then": {"effect": "lag", "seconds": 1, "share": 1}}]}, "'share'"),
    "a string for a number": ({"rules": [{"then": "answer 503", "times": "2"}]}, "times cannot be '2'"),
    "a negative number": ({"rules": [{"then": "answer 503", "probability": -1}]}, "probability"),
    "a boolean for a count": ({"rules": [{"then": "answer 503", "skip": True}]}, "skip"),
    "an unknown route": ({"rules": [{"then": "answer 503", "route": "layers"}]}, "manifest"),
    "an unknown point": ({"rules": [{"then": "answer 503", "after": "lunch"}]}, "arrival, commit"),
}


@pytest.mark.parametrize(("document", "why"), WRONG.values(), ids=WRONG)
def test_an_unknown_name_or_value_is_an_error_that_says_what_is_allowed(document, why):
    with pytest.raises(UsageError) as caught:
        script.parse(document, about="rules.json")
    assert why in str(caught.value)


@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_an_error_names_the_file_that_cannot_be_read(tmp_path, content):
    file = tmp_path / "rules.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"rules\.json"):
        script.read(file)
