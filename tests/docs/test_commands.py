"""Every command line of ours on a page names commands and options that exist."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.cli.test_hints import COMMANDS, options
from tests.install.trees import ROOT

PAGES = [ROOT / "README.md", ROOT / "SUPPORT.md", *sorted((ROOT / "docs").glob("*.md"))]


def lines(text: str) -> list[str]:
    """The command lines in blocks of shell and in tables, continued lines joined."""
    blocks = "\n".join(re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    shell = [line.removeprefix("$ ").strip() for line in blocks.splitlines()]
    cells = re.findall(r"`(bakery [^`]+)`", text)
    return [line for line in (*shell, *cells) if re.match(r"bakery [a-z-]", line)]


def unknown(line: str) -> list[str]:
    """What a command line names that does not exist."""
    words = shlex.split(re.split(r" [|>#&] ?| 2>", line)[0].replace("'", "").replace('"', ""))
    path, rest = words[0], words[1:]
    while rest and f"{path} {rest[0]}" in COMMANDS:
        path, rest = f"{path} {rest[0]}", rest[1:]
    if path == "bakery" and rest and not rest[0].startswith("-") and rest[0].islower():
        return [f"{path} {rest[0]}"]
    known = options(COMMANDS[path]) | {"-h", "-V"}
    return [f"{path} {word}" for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_exist(page):
    found = {wrong for line in lines(page.read_text("utf-8")) for wrong in unknown(line)}
    assert found - ({"bakery lines"} if page.name == "plugins.md" else set()) == set()  # of the plugin on that page


def test_the_check_finds_what_does_not_exist():
    assert unknown("bakery publsh --tag x") == ["bakery publsh"]
    assert unknown("bakery publish --tga x y > z --no") == ["bakery publish --tga"]
    assert unknown("bakery ci publish --summary 'metadata/*.json'") == []
