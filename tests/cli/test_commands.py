"""Every command of the program: what its options give is what its function takes."""

import inspect
from typing import Any, Literal, get_type_hints

import click
import pytest

from bakery.cli import main
from bakery.cli.filters import Filters


def below(words, command):
    """The commands that these words and more of them call, each with its words."""
    if not isinstance(command, click.Group):
        return [pytest.param(command, id=words)]
    return [found for name, inner in command.commands.items() for found in below(f"{words} {name}", inner)]


COMMANDS = [found for entry in main.COMMANDS for found in below(entry.name, entry.load())]
PLAIN = {"integer": int, "integer range": int, "float": float, "float range": float, "boolean": bool}


def given(parameter: click.Parameter) -> Any:
    """The type of what click hands over for a parameter."""
    one: Any = PLAIN.get(parameter.type.name, str)
    if isinstance(parameter.type, click.Choice):
        one = Literal[tuple(parameter.type.choices)]
    elif isinstance(parameter.type, click.Path):
        one = parameter.type.type or str
    if parameter.multiple or parameter.nargs == -1:
        return tuple[one, ...]
    may_lack = not parameter.required and parameter.to_info_dict()["default"] is None
    return one | None if may_lack and one is not bool else one


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_what_its_options_give(command):
    function = inspect.unwrap(command.callback)
    if any(one.kind is one.VAR_KEYWORD for one in inspect.signature(function).parameters.values()):
        return  # an old spelling, which hands on what it gets
    taken = get_type_hints(function)
    del taken["return"]
    if taken.pop("wanted", None):
        filters = get_type_hints(Filters)
        taken |= {one.name: filters[one.name] for one in command.params if one.name in filters}
    assert taken == {one.name: given(one) for one in command.params if one.expose_value}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_of_every_option_and_argument(command):
    assert [one.name for one in command.params if not one.help and not getattr(one, "hidden", False)] == []
