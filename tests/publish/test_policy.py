"""When a tag may move: classes of tags, comparison of age, and the rules."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.oci.digest import Digest
from bakery.publish.policy import (
    Action,
    ImageFacts,
    Rule,
    TagClass,
    TagPolicy,
    is_older,
    judge,
    needs_facts,
    newest_version,
    tag_class,
)

A, B = Digest.of(b"a"), Digest.of(b"b")
EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def facts(version="", created=None, digest=A):
    return ImageFacts(digest, version, created)


@pytest.mark.parametrize(
    ("tag", "version", "expected"),
    [
        ("latest", "1.2.3", TagClass.LATEST),
        ("latest-min", "1.2.3", TagClass.LATEST),
        ("1", "1.2.3", TagClass.MAJOR),
        ("1.2", "1.2.3", TagClass.MINOR),
        ("1.2-min", "1.2.3", TagClass.MINOR),
        ("1.2.3", "1.2.3", TagClass.VERSION),
        ("v1.2.3", "1.2.3", TagClass.VERSION),
        ("v1", "v1.2.3", TagClass.MAJOR),
        ("1.2.3-ubuntu-24.04", "1.2.3", TagClass.VERSION),
        ("2026.03", "2026.03", TagClass.VERSION),
        ("2026", "2026.03", TagClass.MAJOR),
        ("2026.03.1", "2026.03.1+5", TagClass.VERSION),
        ("1.2", "", TagClass.MINOR),
        ("1", "", TagClass.MAJOR),
        ("1.2.3", "", TagClass.VERSION),
        ("3.11.2.1", "", TagClass.VERSION),
        ("edge", "1.2.3", TagClass.OTHER),
        ("7f3a9c1", "1.2.3", TagClass.OTHER),
        ("latestish", "", TagClass.OTHER),
    ],
)
def test_the_class_of_a_tag_follows_from_the_version_of_its_image(tag, version, expected):
    assert tag_class(tag, version) is expected


@pytest.mark.parametrize(
    ("new", "now", "older"),
    [
        (facts("1.9.0"), facts("2.0.0"), True),
        (facts("2.0.0"), facts("1.9.0"), False),
        (facts("1.10.0"), facts("1.9.0"), False),
        (facts("11.0"), facts("2.0"), False),
        (facts("1.0.0-rc1"), facts("1.0.0"), True),
        (facts("v1.9.0"), facts("2"), True),
        (facts("1.9.0", LATE), facts("2.0.0", EARLY), True),
        (facts("2.0.0", EARLY), facts("1.9.0", LATE), False),
        (facts("1.0.0", EARLY), facts("1.0.0", LATE), True),
        (facts("", EARLY), facts("", LATE), True),
        (facts("", EARLY), facts("1.0", LATE), True),
        (facts("noble", EARLY), facts("jammy", LATE), False),
        (facts("1.0.0"), facts(""), False),
        (facts(), facts(), False),
        (facts("1.0.0"), facts("1.0.0"), False),
        (facts("1.0.0", LATE), facts("1.0.0", LATE), False),
        (facts("noble", EARLY), facts("", LATE), True),
        (facts("", EARLY), facts("jammy", LATE), True),
        (facts("noble", EARLY), facts("noble", LATE), True),
        (facts("noble", EARLY), facts("noble"), False),
        (facts("noble"), facts("noble", LATE), False),
        (facts("v1"), facts("1.0"), False),
        (facts("v1", EARLY), facts("1.0", LATE), False),
        (facts("v1.9.0"), facts("v1.10.0"), True),
        (facts("21.0"), facts("3.0"), False),
        (facts("version", EARLY), facts("version", LATE), True),
        (facts("version", EARLY), facts("1.0.0", LATE), False),
    ],
)
def test_an_image_is_older_by_version_or_for_the_same_version_by_its_creation(new, now, older):
    assert is_older(new, now) is older


def test_by_default_a_floating_tag_goes_back_with_a_warning_that_names_both():
    rules = TagPolicy().rules_for("latest", "1.9.0")
    verdict = judge("latest", rules, facts("1.9.0", digest=B), facts("2.0.0"))
    assert verdict.action is Action.MOVE
    assert "1.9.0" in verdict.text
    assert "2.0.0" in verdict.text
    dated = judge("latest", rules, facts("1.9.0", EARLY, B), facts("2.0.0", LATE))
    assert "2.0.0, created 2026-02-01T00:00:00Z (" in dated.text
    assert judge("latest", rules, facts("2.1.0"), facts("2.0.0")).text == ""


def test_by_default_a_version_tag_is_not_judged():
    assert TagPolicy().rules_for("1.2.3", "1.2.3") == frozenset()


def test_no_downgrade_skips_the_tag_with_a_note():
    rules = TagPolicy(no_downgrade=True).rules_for("latest", "1.9.0")
    verdict = judge("latest", rules, facts("1.9.0"), facts("2.0.0"))
    assert verdict.action is Action.SKIP
    assert "2.0.0" in verdict.text
    assert judge("latest", rules, facts("2.0.1"), facts("2.0.0")).action is Action.MOVE


@pytest.mark.parametrize(
    ("new", "now", "action"),
    [
        (LATE, EARLY, Action.MOVE),
        (EARLY, LATE, Action.REFUSE),
        (LATE, LATE, Action.REFUSE),
        (None, EARLY, Action.REFUSE),
        (LATE, None, Action.REFUSE),
    ],
)
def test_if_newer_moves_a_tag_only_to_what_was_certainly_created_later(new, now, action):
    rules = TagPolicy(if_newer=True).rules_for("edge", "")
    verdict = judge("edge", rules, facts(created=new), facts(created=now))
    assert verdict.action is action
    assert bool(verdict.text) == (action is Action.REFUSE)


def test_an_immutable_tag_never_names_another_digest():
    policy = TagPolicy(immutable=("[0-9]*.[0-9]*.[0-9]*",))
    assert judge("1.2.3", policy.rules_for("1.2.3", ""), facts("1.2.3", LATE, B), facts()).action is Action.REFUSE
    assert Rule.IMMUTABLE not in policy.rules_for("1.2", "")
    assert Rule.IMMUTABLE in TagPolicy(version=Rule.IMMUTABLE).rules_for("1.2.3", "1.2.3")


def test_only_rules_that_compare_age_need_to_know_it():
    assert not needs_facts({Rule.IMMUTABLE})
    assert needs_facts({Rule.WARN})


@pytest.mark.parametrize(
    ("tags", "version"),
    [(("1", "1.2", "1.2.3", "latest"), "1.2.3"), (("latest", "edge"), ""), (("1.2.3", "1.2.10"), "1.2.10")],
)
def test_the_version_of_an_image_without_one_follows_from_its_tags(tags, version):
    assert newest_version(tags) == version


_TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)
_FACTS = st.builds(
    ImageFacts,
    st.sampled_from([A, B]),
    st.one_of(st.just(""), _TAGS),
    st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
)


@given(_TAGS, _TAGS, _FACTS, _FACTS, st.sets(st.sampled_from(Rule)))
def test_any_tag_and_version_is_judged_and_of_two_images_at_most_one_is_older(tag, version, one, two, rules):
    assert tag_class(tag, version) in TagClass
    assert not (is_older(one, two) and is_older(two, one))
    verdict = judge(tag, rules, one, two)
    assert verdict.text or verdict.action is Action.MOVE


@pytest.mark.parametrize("rules", [set(), {Rule.IF_NEWER}])
def test_only_rules_about_age_keep_an_older_image_away(rules):
    verdict = judge("latest", rules, facts("1.0", LATE), facts("2.0", EARLY))
    assert verdict.action is Action.MOVE
    assert verdict.text == ""


def test_a_refusal_says_if_the_age_is_not_known():
    known, unknown = facts(created=EARLY), facts()
    for new, now in ((known, unknown), (unknown, known)):
        assert "cannot determine" in judge("edge", {Rule.IF_NEWER}, new, now).text
    assert "is not newer" in judge("edge", {Rule.IF_NEWER}, known, facts(created=LATE)).text


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_the_command_line_only_adds_to_what_is_declared(declared, asked):
    policy = TagPolicy(no_downgrade=declared, if_newer=declared, immutable=("a",))
    found = policy.stricter(no_downgrade=asked, if_newer=asked, immutable=("b",))
    assert found == TagPolicy(no_downgrade=declared or asked, if_newer=declared or asked, immutable=("a", "b"))


@pytest.mark.parametrize(
    ("tag", "version", "expected"), [("2.1", "1.2.3", TagClass.VERSION), ("1.2.3.4", "1.2.3", TagClass.VERSION)]
)
def test_a_tag_of_another_version_is_a_version_tag(tag, version, expected):
    assert tag_class(tag, version) is expected
