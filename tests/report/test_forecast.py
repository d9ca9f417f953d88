"""The survey of a plan as text and Markdown: foreign text is harmless, tables are tables, long pages are cut."""

import re

import cmarkgfm

from bakery.errors import BakeryError, Unavailable
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.forecast import Change, DestinationForecast, Forecast, TagForecast, TargetForecast
from bakery.publish.plan import SkippedTarget
from bakery.report.forecast import forecast_lines, forecast_page

OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
EVIL = "x|y\n::error::\x1b[31m<img src=x>`"


def found(*tags, failure=None, notes=()):
    place = DestinationForecast(Repository.parse("ghcr.io/acme/app"), tuple(tags))
    return Forecast((TargetForecast("app-1", NEW, ("linux/amd64",), (), (place,), failure=failure, notes=notes),))


def rendered(page):
    return cmarkgfm.github_flavored_markdown_to_html(page)


def test_every_changing_tag_is_a_row_of_one_table_and_equal_ones_are_folded():
    tags = (
        TagForecast("1", Change.NEW, None, NEW),
        TagForecast("latest", Change.MOVES, OLD, NEW),
        TagForecast("1.0", Change.EQUAL, NEW, NEW),
    )
    changing, _, folded = forecast_page(found(*tags)).partition("<details><summary>1 tag unchanged</summary>")
    assert rendered(changing).count("<tr>") == 3
    assert rendered(folded).count("<tr>") == 2
    assert str(OLD)[:19] in changing


def test_foreign_text_breaks_neither_the_table_nor_the_terminal():
    tag = TagForecast("1", Change.REFUSED, OLD, NEW, EVIL)
    forecast = found(tag, failure=BakeryError(EVIL, about=EVIL, why=EVIL, hint=EVIL), notes=(EVIL,))
    forecast = Forecast(forecast.targets, skipped=(SkippedTarget(EVIL, EVIL),), warnings=(EVIL,))
    page, text = forecast_page(forecast), forecast_lines(forecast)
    html = rendered(page)
    assert "<img" not in html
    assert "\x1b" not in page + text
    assert len(re.findall(r"<td", html)) == 5
    assert all(not line.startswith("::") for line in (page + text).splitlines())


def test_a_page_for_a_comment_stays_below_githubs_limit_and_counts_the_rest():
    page = forecast_page(found(*(TagForecast(f"tag-{number}", Change.NEW, None, NEW) for number in range(2000))))
    assert len(page) < 65_536
    assert re.search(r"and [0-9,]+ more tags", page)


def test_the_closing_line_breaks_between_its_parts_on_a_terminal():
    forecast = found(TagForecast("1", Change.NEW, None, NEW))
    (line,) = [line for line in forecast_lines(forecast).splitlines() if line.startswith("Dry run")]
    narrow = forecast_lines(forecast, width=60).splitlines()
    start = next(number for number, text in enumerate(narrow) if text.startswith("Dry run"))
    assert all(len(text) <= 60 for text in narrow[start:])
    assert " ".join(text.strip() for text in narrow[start:]) == line


def dead(name):
    error = Unavailable(
        "cannot look for manifest", about=f"ghcr.io/acme/{name}@{NEW}", why="no connection", hint="wait"
    )
    place = DestinationForecast(Repository("ghcr.io", f"acme/{name}"), (), failure=error)
    return TargetForecast(name, NEW, (), (), (place,))


def test_the_same_failure_of_many_targets_is_one_line_at_the_end():
    forecast = Forecast((dead("a"), dead("b"), dead("c")))
    text = forecast_lines(forecast, fails=True)
    assert text.count("error[") == text.count("hint: ") == 1
    assert "]: a: ghcr.io/acme/a: cannot look for manifest" in text
    assert "(and 2 others: b: ghcr.io/acme/b, c: ghcr.io/acme/c)\nhint: wait\nDry run: " in text
    assert "error[" not in forecast_lines(forecast)
    (line,) = [line for line in forecast_page(forecast).splitlines() if line.startswith("- ")]
    assert "**a** at `ghcr.io/acme/a`" in line
    assert "(and 2 others: " in line


def test_whole_digests_are_shown_on_request():
    forecast = found(TagForecast("latest", Change.MOVES, OLD, NEW))
    assert str(OLD) not in forecast_lines(forecast)
    assert str(OLD) in forecast_lines(forecast, full=True)
