"""Errors of click, and of the click inside Typer, as errors of ours: what is wrong, and how to find what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bakery.errors import BakeryError, ExitCode, UsageError

if TYPE_CHECKING:
    from typer.exceptions import TyperException


def usage_error(error: click.ClickException) -> UsageError:
    """Return an error of click as a UsageError."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "bakery"
    help_of = f"run '{path} --help'"
    for_usage = f"{help_of} for usage" if context else ""
    if isinstance(error, click.NoSuchOption):
        what = f"no such option {error.option_name}"
        hint = _nearest("use", error.possibilities) or f"{help_of} to list the options"
        return UsageError(what, hint=hint, error_code="usage/option")
    if isinstance(error, click.exceptions.NoSuchCommand):
        what = f"no such command {error.command_name!r}"
        names = [f"{path} {name}" for name in error.possibilities or ()]
        hint = _nearest("run", names) or f"{help_of} to list the commands"
        return UsageError(what, hint=hint, error_code="usage/command")
    if isinstance(error, click.MissingParameter):
        missing = f"missing {_kind(error.param)} {_named(error)}"
        return UsageError(missing, hint=for_usage, error_code="usage/missing")
    if isinstance(error, click.BadParameter):
        if error.param is None and error.param_hint is None:
            return UsageError(error.message)
        what, hint = f"invalid value for {_named(error)}", _nearest("use", _choices(error))
        return UsageError(what, why=error.message, hint=hint, error_code="usage/value")
    return UsageError(_sentence(error.format_message()), hint=for_usage)


def typer_error(error: TyperException) -> BakeryError:
    """Return an error of Typer as ours. Its classes for wrong usage are private; their exit code is 2."""
    context = getattr(error, "ctx", None)
    hint = f"run '{context.command_path} --help' for usage" if context else ""
    kind = UsageError if error.exit_code == ExitCode.USAGE else BakeryError
    return kind(_sentence(error.format_message()), hint=hint)


def _sentence(text: str) -> str:
    """The text without its capital letter and its full stop."""
    return f"{text[:1].lower()}{text[1:]}".rstrip(".")


def _nearest(verb: str, names: Sequence[str] | None) -> str:
    return f"{verb} {' or '.join(repr(name) for name in sorted(names))}" if names else ""


def _choices(error: click.BadParameter) -> Sequence[str]:
    """Return the allowed values that are like the one that was given, which the message of click quotes first."""
    if not isinstance(error.param, click.Option | click.Argument) or not isinstance(error.param.type, click.Choice):
        return ()
    given = error.message.partition("'")[2].partition("'")[0]
    from difflib import get_close_matches

    return get_close_matches(given.lower(), [str(one) for one in error.param.type.choices], n=1)


def _kind(parameter: click.Parameter | None) -> str:
    return "parameter" if parameter is None else parameter.param_type_name


def _named(error: click.BadParameter) -> str:
    parameter: Any = error.param
    if error.param_hint is not None:
        return error.param_hint if isinstance(error.param_hint, str) else " / ".join(error.param_hint)
    if isinstance(parameter, click.Option):
        name = max(parameter.opts, key=len)
        return (
            f"{name} ({parameter.envvar})" if error.ctx is not None and _from_variable(error.ctx, parameter) else name
        )
    return str(parameter.make_metavar(error.ctx))


def _from_variable(context: click.Context, option: click.Option) -> bool:
    from click.core import ParameterSource

    return context.get_parameter_source(str(option.name)) is ParameterSource.ENVIRONMENT
