"""The process that renders costly patterns: its limits, and that it ends."""

import pytest

from bakery.app.patterns import PatternProcess


@pytest.fixture
def process():
    made = PatternProcess(limit_s=1.0)
    yield made
    made.close()


def test_one_process_renders_every_costly_pattern(process):
    assert process.render("{% for a in x %}{{ a }}-{% endfor %}", {"x": ["1", "2"]}) == "1-2-"
    first = process._process
    assert process.render("{{ x | center(9) }}", {"x": "y"}) == "    y    "
    assert process._process is first


def test_an_error_of_a_pattern_is_its_own(process):
    with pytest.raises(ValueError, match="division"):
        process.render("{{ 1 // 0 }}", {})
    with pytest.raises(ValueError, match="longer than 4 KiB"):
        process.render("{{ x | center(5000) }}", {"x": "y"})
    assert process.render("{{ 1 + 1 }}", {}) == "2"


BOMBS = {
    "padding": ("{{ x | center(1000000000) }}", "64 MiB"),
    "a format": ("{{ '%1000000000d' | format(1) }}", "64 MiB"),
    "a regular expression": ("{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' | regexReplace('(a+)+$', 'b') }}", "1 s"),
    "loops": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "1 s"),
}


@pytest.mark.parametrize(("pattern", "limit"), BOMBS.values(), ids=BOMBS)
def test_a_pattern_that_exceeds_a_limit_ends_and_so_do_all_after_it(process, pattern, limit):
    with pytest.raises(ValueError, match=f"takes more than {limit}"):
        process.render(pattern, {"x": "y"})
    with pytest.raises(ValueError, match=f"another pattern took more than {limit}"):
        process.render("{{ 1 + 1 }}", {})
