"""Markdown: foreign text shows as the text that it is, wherever it is put."""

import html
import re

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given
from hypothesis import strategies as st

from bakery.report.markdown import code, escape, fenced, head, link, row
from bakery.text import clean

TEXT = st.text(st.sampled_from("ab1 .-+=:/\\`*_{}[]()<>#|~@&!\"'\n\t\r$"), max_size=20) | st.text(max_size=20)


def rendered(markdown: str) -> str:
    """Markdown as HTML, by the parser that GitHub uses."""
    return str(cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE))


def shown(markdown: str) -> str:
    """The text that a page shows for Markdown without any element but paragraphs."""
    inner = re.fullmatch(r"(?:<p>(.*)</p>\n)?", rendered(markdown), re.DOTALL)
    assert inner, rendered(markdown)
    text = re.sub(r'<a href="mailto:[^"]*">([^<]*)</a>', r"\1", inner[1] or "")
    assert "<" not in text, text
    return html.unescape(text)


@given(TEXT)
def test_escaped_text_shows_as_itself(text):
    assert shown(escape(text)) == " ".join(clean(text).split())


@given(TEXT, TEXT)
def test_a_cell_holds_its_text_and_no_more(first, second):
    table = rendered(f"{head(('A', 'B'))}\n{row((escape(first) or '-', escape(second) or '-'))}\n")
    assert table.count("<td") == 2
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td)[ >])", table), table


@given(TEXT)
def test_code_in_a_cell_holds_its_text_and_no_more(text):
    table = rendered(f"{head(('A', 'B'))}\n{row((code(text) or '-', '-'))}\n")
    assert table.count("<td") == 2
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td|code)[ >])", table), table


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_no_line_ends_a_block_of_code(lines):
    block = re.fullmatch(r'<pre lang="shell"><code>([^<]*)</code></pre>\n', rendered(fenced(lines, "shell")))
    assert block
    assert block[1].count("\n") == len(lines)


@pytest.mark.parametrize("text", ["https://evil.example/x", "www.evil.example", "ftp://evil.example"])
def test_an_address_in_foreign_text_is_not_a_link(text):
    assert "<a " in rendered(text)
    assert "<a " not in rendered(escape(text))


def test_a_link_quotes_what_would_end_it():
    assert link("x", "https://hub.example/a)b c") == "[x](https://hub.example/a%29b%20c)"
    assert link("x", "") == "x"
