"""Every command and option that a message of Bakery names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from bakery.cli import main
from tests.cli.running import inner_commands

SOURCES = Path(main.__file__).parents[1]
PLACEHOLDER = "…"  # in place of a value in an f-string
NAMED = re.compile(r"""[`'"](bakery [^`'"]*|--[a-z][^`'"]*)[`'"]""")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# Options of other programs, by the program that a message names with them.
FOREIGN = {
    "buildx": {"--metadata-file", "--use"},
}


class Text(NamedTuple):
    """A string of the source code. hint: an argument `hint=…` of a call, or a part of it."""

    place: str
    text: str
    hint: bool


def literal(node: ast.expr) -> str | None:
    """The text of a string or an f-string, with a placeholder for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            PLACEHOLDER if isinstance(one, ast.FormattedValue) else literal(one) or "" for one in node.values
        )
    return None


def texts() -> Iterator[Text]:
    for file in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inside = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }  # a part of an f-string is read with its whole
        hints = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.keyword) and node.arg == "hint"
            for part in ast.walk(node.value)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and id(node) not in documentation | inside:
                text = literal(node)
                if text:
                    yield Text(f"{file.relative_to(SOURCES)}:{node.lineno}", text, id(node) in hints)


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for inner, one in inner_commands(command).items():
        yield from commands(f"{name} {inner}", one)


COMMANDS = {
    "bakery": main.app,
    **{path: one for entry in main.COMMANDS for path, one in commands(f"bakery {entry.name}", entry.load())},
}


def options(command: click.Command) -> set[str]:
    return {"--help", *(name for one in command.params for name in (*one.opts, *one.secondary_opts))}


EVERY_OPTION = set().union(*map(options, COMMANDS.values()))
TEXTS = list(texts())
NAMING = [
    pytest.param(text, id=text.place)
    for text in TEXTS
    if NAMED.search(text.text) or (text.hint and OPTION.search(text.text))
]


def wrong(text: str) -> list[str]:
    """The commands and options in a message that do not exist."""
    found = [one for one in map(unknown, re.findall(r"bakery [a-z][^`'\"]*", text)) if one]
    foreign = set().union(*(names for program, names in FOREIGN.items() if program in text))
    return found + [name for name in OPTION.findall(text) if name not in EVERY_OPTION | foreign]


def unknown(line: str) -> str:
    """What a command line names that does not exist, or ""."""
    words = line.split()
    path, rest = words[0], words[1:]
    while rest and f"{path} {rest[0]}" in COMMANDS:
        path, rest = f"{path} {rest[0]}", rest[1:]
    if path == "bakery" or (
        isinstance(COMMANDS[path], click.Group) and rest and not rest[0].startswith(("-", PLACEHOLDER))
    ):
        return "" if PLACEHOLDER in line.split()[1] else line
    missing = [word for word in OPTION.findall(" ".join(rest)) if word not in options(COMMANDS[path])]
    return f"{path} {' '.join(missing)}" if missing else ""


@pytest.mark.parametrize("text", NAMING)
def test_a_message_names_only_commands_and_options_that_exist(text):
    assert wrong(text.text) == [], text.text


def test_the_check_finds_what_does_not_exist_and_accepts_what_does():
    assert len(NAMING) > 20
    assert wrong("run 'bakery create widget'") == ["bakery create widget"]
    assert wrong("run `bakery ci publish --dry-rum`") == ["bakery ci publish --dry-rum", "--dry-rum"]
    assert wrong("pass --metadata-files") == ["--metadata-files"]
    assert wrong("run 'bakery ci matrix --shards N', then `bakery ci publish --shard 1/N`") == []


def test_no_hint_is_empty_a_question_or_ends_with_a_full_stop():
    bad = [text for text in TEXTS if text.hint and text.text.strip().endswith(("?", "."))]
    assert bad == []
