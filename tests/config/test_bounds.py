"""Patterns: cheap ones are rendered in this process, all others apart; no result is longer than a tag can use."""

import pytest
from jinja2 import TemplateError

from bakery.config import apart, jinja

VALUES = {"Version": "1.2.3", "Variant": "min"}
CHEAP = [
    "{{ Version }}-{{ Variant }}",
    "{{ Version | stripMetadata | upper }}",
    "{{ Version.split('.')[:2] | join('.') }}",
    "{{ Version.replace('.', '-') }}",
    "{{ Version | regexReplace('[.].*$', '') }}",
    "{{ Version | regexReplace('^(\\\\d+)[.](\\\\d+)', 'x') }}",
    "{% if Variant == 'min' %}{{ Version }}{% else %}x{% endif %}",
    "{{ Variant if Variant is defined else 'none' }}",
]
COSTLY = [
    "{{ Version | center(100000) }}",
    "{{ '%9d' | format(1) }}",
    "{{ '{:>9}'.format(1) }}",
    "{{ Version.ljust(9) }}",
    "{% for a in Version %}{{ a }}{% endfor %}",
    "{{ range(9) | list | join(',') }}",
    "{{ 'x' * 9 }}",
    "{% set x = Version ~ Version %}{{ x }}",
    "{% macro m() %}{% endmacro %}{{ m() }}",
    "{{ Version | replace('1', 'long') }}",
    "{{ Version | join('----') }}",
    "{{ Version | join('-') | join('-') | join('-') }}",
    "{{ Version | regexReplace('(a+)+$', 'b') }}",
    "{{ Version | regexReplace('(a|aa)+$', 'b') }}",
    "{{ Version | regexReplace('a*a*a*a*$', 'b') }}",
    "{{ Version | regexReplace('(?=x)', 'b') }}",
    "{{ Version | regexReplace(Variant, 'b') }}",
    "{{ lipsum(1) }}",
]


@pytest.fixture
def rendered_apart():
    rendered = []

    def render(pattern, values):
        rendered.append(pattern)
        return "apart"

    apart.use(render)
    yield rendered
    apart.use(None)


@pytest.mark.parametrize("pattern", CHEAP)
def test_what_ordinary_projects_write_needs_no_other_process(pattern, rendered_apart):
    assert jinja.syntax_fault(pattern) == ("", 0)
    assert jinja.render_pattern(pattern, VALUES) != "apart"
    assert rendered_apart == []


@pytest.mark.parametrize("pattern", COSTLY)
def test_what_can_take_any_time_or_memory_is_rendered_apart_and_not_even_compiled_here(
    pattern, rendered_apart, monkeypatch
):
    monkeypatch.setattr(jinja, "_compiled", None)
    assert jinja.syntax_fault(pattern) == ("", 0)
    assert jinja.render_pattern(pattern, VALUES) == "apart"
    assert rendered_apart == [pattern]


def test_an_unknown_filter_is_a_fault_of_a_costly_pattern_too():
    assert jinja.syntax_fault("{% for a in [1] %}\n{{ a | nope }}{% endfor %}") == ("No filter named 'nope'.", 2)


def test_a_result_that_is_too_long_is_an_error():
    with pytest.raises(TemplateError, match="longer than 4 KiB"):
        jinja.render_pattern("{{ Version }}", {"Version": "x" * 5000})
