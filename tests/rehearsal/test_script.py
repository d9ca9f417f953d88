"""Fault rules as JSON: what the page shows works, and what is not known is refused with what is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bakery.errors import UsageError
from bakery.rehearsal import script
from bakery.rehearsal.faults import PHRASES, Lag, Refuse, When
from bakery.rehearsal.profiles import GHCR, PROFILES
from bakery.rehearsal.serving import Asked, registry
from tests.rehearsal.content import REPO, Http

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


def test_the_example_of_the_page_is_what_it_says(tmp_path):
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
def test_the_page_names_every_profile_effect_and_phrase(name):
    assert f"`{name}`" in PAGE


async def test_rules_of_a_file_are_met_and_counted(session, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [{"then": "answer 503", "method": "GET", "route": "tags", "times": 2}]}))
    async with registry(Asked(faults=str(file))) as running:
        http = Http(session, running)
        answers = [(await http("GET", f"/v2/{REPO}/tags/list")).status for _ in range(3)]
        assert answers == [503, 503, 404]
        assert running.faults_met == {"answer 503": 2}


WRONG = {
    "an unknown member": ({"rulez": []}, "one of: like, rules"),
    "an unknown profile": ({"like": "nexus"}, "ghcr, hub"),
    "no list": ({"rules": {}}, "is a list"),
    "no effect": ({"rules": [{"method": "GET"}]}, "rules[0]"),
    "an unknown phrase": ({"rules": [{"then": "explode"}]}, "drop the connection"),
    "an unknown effect": ({"rules": [{"then": {"effect": "explode"}}]}, "wrong digest"),
    "a missing member": ({"rules": [{"then": {"effect": "lag"}}]}, "lag needs seconds"),
    "a member of another effect": ({"rules": [{"then": {"effect": "lag", "seconds": 1, "share": 1}}]}, "'share'"),
    "a text for a number": ({"rules": [{"then": "answer 503", "times": "2"}]}, "times cannot be '2'"),
    "a negative number": ({"rules": [{"then": "answer 503", "probability": -1}]}, "probability"),
    "a flag for a count": ({"rules": [{"then": "answer 503", "skip": True}]}, "skip"),
    "an unknown route": ({"rules": [{"then": "answer 503", "route": "layers"}]}, "manifest"),
    "an unknown point": ({"rules": [{"then": "answer 503", "after": "lunch"}]}, "arrival, commit"),
}


@pytest.mark.parametrize(("document", "told"), WRONG.values(), ids=WRONG)
def test_what_is_not_known_is_refused_with_what_is(document, told):
    with pytest.raises(UsageError) as caught:
        script.parse(document, about="rules.json")
    assert told in str(caught.value)


@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "rules.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"rules\.json"):
        script.read(file)
