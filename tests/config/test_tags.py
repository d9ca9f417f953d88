"""Tag patterns: their filters, when they apply, how they are rendered, and that every tag is a valid OCI tag."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from bakery.config import filters, jinja
from bakery.config.project import PatternGroup
from bakery.config.tags import TagPatterns, TagValues, UnusablePattern, applies, default_patterns

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def subject(version="1.2.3", system="ubuntu-24.04", variant="std", name="app", channel="", **flags):
    given_flags = {
        "latest": True, "primary_system": True, "primary_variant": True, "latest_patch": True, "channel_head": True,
    } | flags  # fmt: skip
    return TagValues(version, system, variant, name, channel, **given_flags)


def tags(patterns, about, only=("all",)):
    return list(TagPatterns([PatternGroup(tuple(patterns), only)]).tags(about)[0])


FILTERS = {
    "stripMetadata": ("2026.05.0-dev+15", "R4.5.2"),
    "stripPatch": ("2026.05-dev+15-gabc", "R4.5-python3.13"),
    "condense": ("2026050dev+15gabc", "R452python3139"),
    "tagSafe": ("2026.05.0-dev-15-gabc", "R4.5.2-python3.13.9"),
}


@pytest.mark.parametrize(("name", "results"), FILTERS.items(), ids=FILTERS)
def test_a_filter_does_what_the_spec_shows(name, results):
    for text, result in zip(("2026.05.0-dev+15-gabc", "R4.5.2-python3.13.9"), results, strict=True):
        assert filters.FILTERS[name](text) == result
        assert jinja.render_pattern(f"{{{{ V | {name} }}}}", {"V": text}) == result


def test_the_other_filters_and_raise():
    assert jinja.render_pattern("{{ 'a.b' | regexReplace('[.]', '_') }}", {}) == "a_b"
    assert jinja.render_pattern("{{ 3 | quote }}", {}) == '"3"'
    assert jinja.render_pattern("{{ ('a,b' | split(','))[1] }}", {}) == "b"
    with pytest.raises(TemplateError, match="no way"):
        jinja.render_pattern("{{ raise('no way') }}", {})


def test_a_latest_version_gets_the_tags_in_the_spec():
    about = subject(version="2026.06.1+88.rel3", latest_patch=False)
    assert set(TagPatterns(default_patterns(matrix=False)).tags(about)[0]) == {
        "2026.06.1-88.rel3-ubuntu-24.04-std", "2026.06.1-ubuntu-24.04-std", "2026.06.1-88.rel3-std", "2026.06.1-std",
        "2026.06.1-88.rel3-ubuntu-24.04", "2026.06.1-ubuntu-24.04", "2026.06.1-88.rel3", "2026.06.1",
        "ubuntu-24.04-std", "ubuntu-24.04", "std", "latest",
    }  # fmt: skip


def test_a_target_that_is_not_primary_gets_only_full_tags():
    about = subject("2026.06.1+88.rel3", "debian-12", "min", primary_system=False, primary_variant=False)
    assert set(TagPatterns(default_patterns(matrix=False)).tags(about)[0]) == {
        "2026.06.1-88.rel3-debian-12-min", "2026.06.1-debian-12-min", "debian-12-min",
    }  # fmt: skip


def test_a_target_without_system_and_variant_gets_two_tags():
    about = subject("1.0.0", "", "")
    assert TagPatterns(default_patterns(matrix=False)).tags(about)[0] == ("1.0.0", "latest")


def test_a_daily_version_gets_tags_of_its_channel():
    about = subject("1.0.0", channel="daily", latest=False)
    found = set(TagPatterns(default_patterns(matrix=False)).tags(about)[0])
    assert {"daily", "daily-std", "daily-ubuntu-24.04", "daily-ubuntu-24.04-std"} <= found
    older = subject("1.0.0", channel="daily", latest=False, channel_head=False)
    assert not any(tag.startswith("daily") for tag in TagPatterns(default_patterns(matrix=False)).tags(older)[0])


def test_a_row_gets_its_minor_version_only_if_it_is_the_latest_patch():
    row = subject("R4.5.2-python3.13.9", "", "")
    assert set(TagPatterns(default_patterns(matrix=True)).tags(row)[0]) == {
        "R4.5.2-python3.13.9", "R4.5-python3.13", "latest",
    }  # fmt: skip
    other = subject("R4.5.1-python3.13.9", "", "", latest=False, latest_patch=False)
    assert TagPatterns(default_patterns(matrix=True)).tags(other)[0] == ("R4.5.1-python3.13.9",)


def test_a_matrix_has_no_pattern_for_channel_system_and_variant_together():
    row = subject("1", channel="daily", latest=False)
    assert "daily-ubuntu-24.04-std" not in TagPatterns(default_patterns(matrix=True)).tags(row)[0]


ONLY = {
    "no conditions": ((), {}, True),
    "all disables the others": (("all", "latest"), {"latest": False}, True),
    "but not channelLatest": (("all", "channelLatest"), {"channel_head": False}, False),
    "every one must hold": (("latest", "primaryOS"), {"primary_system": False}, False),
    "primaryVariant": (("primaryVariant",), {"primary_variant": False}, False),
    "latestPatch": (("latestPatch",), {"latest_patch": False}, False),
}


@pytest.mark.parametrize(("only", "flags", "holds"), ONLY.values(), ids=ONLY)
def test_conditions_of_patterns(only, flags, holds):
    assert applies(only, subject(**flags)) is holds


RENDERED = {
    "an empty value in any spelling": ("{{Version}}-{{OS}}", {"system": ""}, []),
    "an empty value with a filter": ("{{ Version }}-{{ Variant | upper }}", {"variant": ""}, []),
    "an empty value in an expression": ("{{ Version ~ '-' ~ OS }}", {"system": ""}, []),
    "an empty value guarded by a condition": ("{{ Version }}{{ '-' ~ OS if OS }}", {"system": ""}, ["1.2.3"]),
    "an empty value with a default": ("{{ Variant | default('plain', true) }}", {"variant": ""}, ["plain"]),
    "edges are trimmed": ("-{{ Version }}._-", {}, ["1.2.3"]),
    "invalid characters become hyphens": ("{{ Version }}", {"version": "1+2/3:4"}, ["1-2-3-4"]),
    "a leading hyphen is removed": ("{{ Version }}", {"version": "(5)"}, ["5-"]),
    "whitespace control": ("{{- Version -}}", {}, ["1.2.3"]),
    "two filters": ("{{ Version | stripMetadata | condense }}", {"version": "1.2-3"}, ["12"]),
    "index of a list": ("{{ (Version | split('.'))[1] }}", {}, ["2"]),
    "a missing index": ("{{ (Version | split('.'))[7] }}x", {}, ["x"]),
    "name and text": ("{{ Name }}-edge", {}, ["app-edge"]),
}


@pytest.mark.parametrize(("pattern", "values", "result"), RENDERED.values(), ids=RENDERED)
def test_a_pattern_renders_to_tags(pattern, values, result):
    assert tags([pattern], subject(**values)) == result


def test_an_empty_tag_is_dropped_and_reported():
    found, empty = TagPatterns([PatternGroup(("{{ Version | regexReplace('.', '') }}", "x"))]).tags(subject())
    assert found == ("x",)
    assert len(empty) == 1


def test_a_tag_that_is_too_long_is_an_error():
    assert tags(["{{ Version }}"], subject(version="1" * 128))
    with pytest.raises(UnusablePattern, match="129 characters"):
        tags(["{{ Version }}"], subject(version="1" * 129))


def test_a_pattern_that_raises_or_escapes_the_sandbox_is_an_error():
    with pytest.raises(UnusablePattern, match="cannot be rendered"):
        tags(["{{ 1 / 0 }}"], subject())
    with pytest.raises(UnusablePattern, match="more than"):
        tags(["{{ 'a' * 10000000000 }}"], subject())
    with pytest.raises(UnusablePattern, match="more than"):
        tags(["{{ 10 ** 10000000000 }}"], subject())
    assert tags(["{{ 2 ** 10 }}-{{ '=' * 3 }}x{{ 3 * 4 }}"], subject()) == ["1024----x12"]
    with pytest.raises(UnusablePattern, match="cannot be rendered"):
        tags(["{{ ''.__class__.__mro__[1].__subclasses__() }}"], subject())


_texts = st.text(alphabet="abcR.-_+~ /:0123456789é", max_size=30)


@given(version=_texts, system=_texts, variant=_texts, channel=st.sampled_from(["", "daily", "preview"]), data=st.data())
def test_every_tag_is_a_valid_oci_tag_and_both_renderers_agree(version, system, variant, channel, data):
    flags = {name: data.draw(st.booleans()) for name in ("latest", "primary_system", "primary_variant", "latest_patch")}
    about = subject(version, system, variant, channel=channel, **flags)
    for matrix in (False, True):
        groups = default_patterns(matrix=matrix)
        found = TagPatterns(groups).tags(about)[0]
        assert all(TAG.fullmatch(tag) for tag in found)
        # An expression that the simple renderer does not support makes Jinja2 render the same pattern.
        slow = [
            PatternGroup(
                tuple(one.replace("{{ ", "{{ '' ~ (").replace(" }}", ") }}") for one in group.patterns), group.only
            )
            for group in groups
        ]
        assert TagPatterns(slow).tags(about)[0] == found
