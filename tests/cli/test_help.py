"""Help: options by purpose, an example in every command that parses, exit codes, old names at the end."""

from __future__ import annotations

import shlex

import click
import pytest

from bakery.cli import help_sections, main
from bakery.cli.group import Command
from bakery.cli.help_sections import EXAMPLES, SECTIONS, examples, section_of
from tests.cli.running import bakery, inner_commands
from tests.cli.test_hints import COMMANDS

LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}
REDIRECTIONS = ("|", ">")


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_an_example_and_the_exit_codes_in_its_help(path):
    assert isinstance(LEAVES[path], Command)
    ran = bakery(*path.split()[1:], "--help")
    assert ran.code == 0
    assert examples(path)
    assert all(line in ran.out for line in examples(path))
    assert "Exit codes:" in ran.out
    assert "143" in ran.out


@pytest.mark.parametrize(
    ("path", "line"),
    [(path, line) for path, lines in EXAMPLES.items() for line in lines if line[0] != "#"],
    ids=lambda text: text,
)
def test_every_example_is_a_command_line_that_parses(path, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    words = words[: next((n for n, word in enumerate(words) if word in REDIRECTIONS), len(words))]
    assert words[0] == "bakery"
    assert words[1 : 1 + len(path.split())] == path.split()
    for folder in ("build", "digests", "examples/hello"):
        (tmp_path / folder).mkdir(parents=True)
    command: click.Command = main.app
    context = click.Context(command, info_name="bakery")
    rest = words[1:]
    while isinstance(command, click.Group):
        inner = command.get_command(context, rest[0])
        assert inner is not None, rest[0]
        command, rest = inner, rest[1:]
    assert command.make_context(path, rest, parent=context).params is not None


def test_the_examples_are_of_commands_that_exist():
    assert {f"bakery {path}".strip() for path in EXAMPLES} <= {"bakery", *COMMANDS}


GROUPS = [path for path, command in COMMANDS.items() if isinstance(command, click.Group)]


@pytest.mark.parametrize("path", GROUPS)
def test_every_group_has_an_example_in_its_help(path):
    ran = bakery(*path.split()[1:], "--help")
    assert examples(path)
    assert "\nExamples:\n" + "".join(f"  {line}\n" for line in examples(path)) in ran.out


def test_every_name_in_a_section_is_an_option_of_a_command_or_planned():
    known = {name for command in LEAVES.values() for one in command.params for name in one.opts}
    planned = {"--help", "--log-format", "--no-progress", "--timeline", "--trace"}
    assert {option for options in SECTIONS.values() for option in options} - known - planned == set()


def test_options_are_listed_by_purpose_and_debugging_is_last():
    out = bakery("ci", "publish", "--help").out
    places = [out.index(f"\n{section}:\n") for section in SECTIONS if f"\n{section}:\n" in out]
    assert len(places) >= 5
    assert places == sorted(places)
    assert out.index("\nNetwork:\n") < out.index("--ca-file") < out.index("\nDebugging:\n") < out.index("--debug")
    assert "\nOptions:\n" not in out


def test_an_option_that_no_section_names_is_listed_under_how():
    assert section_of(click.Option(["--new-thing"])) == help_sections.OTHERS


def test_old_names_are_in_a_group_of_their_own_at_the_end():
    for words, old in (((), ("oras", "run")), (("ci",), ("merge",))):
        lines = bakery(*words, "--help").out.splitlines()
        start = lines.index("Old names:")
        assert [line.split()[0] for line in lines[start + 1 :] if line.strip()] == list(old)
        before = [line.split()[0] for line in lines[: lines.index("Examples:")] if line.startswith("  ")]
        assert not set(old) & set(before)


def test_every_command_in_the_help_of_a_group_has_one_line():
    for name, command in inner_commands(main.app).items():
        if isinstance(command, click.Group):
            out = bakery(name, "--help").out
            assert all(f"  {inner} " in out for inner in inner_commands(command))
