"""The `bakery` program: the table of its commands, and what becomes of an error.

A command's module is imported when that command is asked for, and not before: `bakery --help` and `bakery version`
must be quick (start-up is budgeted).
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import click

from bakery.cli import completion, options
from bakery.cli.group import WIDTH, Group
from bakery.errors import BakeryError, ExecutorInterrupted, ExitCode, message
from bakery.parallel.root import interruptible


class Entry(NamedTuple):
    """A name on the command line, where its command is, and its line in the help. `hidden`: an alias or old name."""

    name: str
    place: str  # module:attribute
    help: str
    hidden: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


COMMANDS: tuple[Entry, ...] = (
    Entry("get", "bakery.cli.get:group", "Print what a project says: tags, targets, a version, the configuration."),
    Entry("check", "bakery.cli.check:command", "Load the project, report every problem in it, print counts."),
    Entry("build", "bakery.cli.build:command", "Build images; --plan prints the bake file."),
    Entry("b", "bakery.cli.build:command", "Short for `build`.", hidden=True),
    Entry("bake", "bakery.cli.build:command", "Old spelling of `build`.", hidden=True),
    Entry("ci", "bakery.cli.ci:group", "What a CI run calls: matrix, publish, merge, summary."),
    Entry(
        "imagetools",
        "bakery.cli.imagetools:group",
        "The steps of publishing one by one: merge, soci-convert, publish; soci-inspect, soci-verify.",
    ),
    Entry("oras", "bakery.cli.oras:group", "Old spelling of `imagetools merge`."),
    Entry("soci", "bakery.cli.soci:group", "SOCI conversion: convert, inspect, verify."),
    Entry("rehearse", "bakery.cli.rehearse:command", "Publish a project to registries that run inside the command."),
    Entry("registry", "bakery.cli.registry:group", "Serve the embedded registry for tests of your own."),
    Entry("dgoss", "bakery.cli.dgoss:group", "Test images with goss, in containers."),
    Entry("run", "bakery.cli.run:group", "Old spelling of `dgoss run`."),
    Entry("r", "bakery.cli.run:group", "Short for `run`.", hidden=True),
    Entry("version", "bakery.cli.version:command", "Print the version."),
)
_BY_NAME = {entry.name: entry for entry in COMMANDS}

_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # some 10 MB


class Program(Group):
    """The commands of the table, each imported when it is asked for, and behind them those that plugins add."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = _BY_NAME.get(cmd_name)
        return entry.load() if entry is not None else _plugin_commands().get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _ in self.listing(ctx)]

    def listing(self, ctx: click.Context) -> list[tuple[str, str]]:  # noqa: ARG002 - nothing of ours is imported
        ours = [(entry.name, entry.help) for entry in COMMANDS if not entry.hidden]
        added = [(name, one) for name, one in _plugin_commands().items() if name not in _BY_NAME]
        return ours + [(name, one.help or "") for name, one in added if not one.hidden]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # click looks for the nearest name among what is imported
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None


@cache
def _plugin_commands() -> Mapping[str, click.Command]:
    from bakery.plugin_api import other_plugins

    plugins = other_plugins()
    if not plugins:
        return {}
    from bakery.cli import third_party

    return third_party.commands(plugins)


@click.group(
    "bakery",
    cls=Program,
    context_settings={"help_option_names": ["--help"], "max_content_width": WIDTH, "show_default": True},
)
@options.log_format
@completion.installing
@completion.showing
def app() -> None:
    """Publishes multi-platform container images that CI has built and pushed by digest."""


def guarded(action: Callable[[], Any]) -> int:
    """Run and give the exit code. Every error becomes one message on stderr; a traceback only under --debug."""
    try:
        with interruptible(to_the_end=True):
            action()
    except ExecutorInterrupted as error:
        print(f"interrupted: {signal.Signals(error.signum).name}", file=sys.stderr)
        return error.exit_code
    except BakeryError as error:
        if options.debug_wanted():
            raise
        print(message(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:  # the last border: what is no BakeryError is our bug, told as such
        if options.debug_wanted():
            raise
        print(message(error), file=sys.stderr)
        return ExitCode.FAILED
    return ExitCode.DONE


def run() -> None:
    """The entry point of the `bakery` executable."""
    for name in ("stdout", "stderr"):  # None where the caller closed it: what is said there is said to nobody
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # for as long as we live
    # Starting makes a hundred thousand objects that live to the end, and a run makes few cycles: Python's own 700 has
    # the collector look at them two hundred times, which was a sixth of a short publish.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        sys.exit(guarded(lambda: app(prog_name="bakery")))
    finally:
        gc.freeze()  # else the interpreter goes through all that is left four times before it ends
