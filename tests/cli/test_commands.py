"""Every command: the types of its options match those of its function, and help describes each option."""

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_type_hints

import click
import pytest
from msgspec import Struct

from bakery.app.init import Answers
from bakery.app.origins import OriginRequest
from bakery.app.rehearse import RehearseRequest
from bakery.app.soci import ConvertOptions
from bakery.build.options import BuildOptions
from bakery.cli import main
from tests.cli.running import inner_commands


def below(words, command):
    """The commands that start with these words, each with its words."""
    if not isinstance(command, click.Group):
        return [pytest.param(command, id=words)]
    return [found for name, inner in inner_commands(command).items() for found in below(f"{words} {name}", inner)]


COMMANDS = [found for entry in main.COMMANDS for found in below(entry.name, entry.load())]
# imported when a command runs
STRUCTS = {one.__name__: one for one in (Answers, BuildOptions, ConvertOptions, OriginRequest, RehearseRequest)}
ACCESS = ("ca_file", "client_cert", "client_key", "plain_http", "trusted_realm", "build_tool_identifier")
PLAIN = {"integer": int, "integer range": int, "float": float, "float range": float, "boolean": bool}


def given(parameter: click.Parameter) -> Any:
    """The type that click passes for a parameter."""
    one: Any = PLAIN.get(parameter.type.name, str)
    if isinstance(parameter.type, click.Choice):
        one = Literal[tuple(parameter.type.choices)]
    elif isinstance(parameter.type, click.Path):
        one = parameter.type.type or str
    if parameter.multiple or parameter.nargs == -1:
        return tuple[one, ...]
    may_lack = not parameter.required and parameter.to_info_dict()["default"] is None
    either = one is not bool or bool(getattr(parameter, "secondary_opts", ()))  # a plain flag that lacks is false
    return one | None if may_lack and either else one


def fields(taken: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a function with their types; a struct is replaced by its fields, recursively."""
    found: dict[str, Any] = {}
    for name, kind in taken.items():
        found |= fields(get_type_hints(kind)) if isinstance(kind, type(Struct)) else {name: kind}
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_the_types_that_their_command_takes(command):
    function = inspect.unwrap(command.callback)
    if any(one.kind is one.VAR_KEYWORD for one in inspect.signature(function).parameters.values()):
        return  # an old name, which passes on what it gets
    taken = get_type_hints(function, localns=STRUCTS)
    del taken["return"]
    structs = [name for name, kind in taken.items() if isinstance(kind, type(Struct))]
    known = fields(taken)
    options = {one.name: given(one) for one in command.params if one.expose_value}
    if ACCESS[0] in options:  # these become its environment
        assert [options.pop(name) for name in ACCESS]
    assert {name: known[name] for name in options} == options
    assert structs or known.keys() == options.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_and_argument_has_help(command):
    assert [one.name for one in command.params if not one.help and not getattr(one, "hidden", False)] == []
