"""The `bakery` program: the table of its commands, and what becomes of an error.

A command's module is imported when that command is asked for, and not before: `bakery --help` and `bakery version`
must be quick (start-up is budgeted). A module offers `app` (a group) or `command` (one command).
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from msgspec import Struct

from bakery.cli import options
from bakery.errors import BakeryError, ExecutorInterrupted, ExitCode, one_line
from bakery.parallel.root import interruptible


class Entry(Struct, frozen=True):
    """A name on the command line, the module behind it, and its line in the help. `hidden`: an alias or old name."""

    name: str
    module: str
    help: str
    hidden: bool = False


COMMANDS: tuple[Entry, ...] = (
    Entry("get", "bakery.cli.get", "Print what a project says: tags, targets, a version, the configuration."),
    Entry("check", "bakery.cli.check", "Load the project, report every problem in it, print counts."),
    Entry("build", "bakery.cli.build", "Build images; --plan prints the bake file."),
    Entry("b", "bakery.cli.build", "Short for `build`.", hidden=True),
    Entry("bake", "bakery.cli.build", "Old spelling of `build`.", hidden=True),
    Entry("ci", "bakery.cli.ci", "What a CI run calls: matrix, publish, merge, summary."),
    Entry(
        "imagetools",
        "bakery.cli.imagetools",
        "The steps of publishing one by one: merge, soci-convert, publish; soci-inspect, soci-verify.",
    ),
    Entry("oras", "bakery.cli.oras", "Old spelling of `imagetools merge`."),
    Entry("soci", "bakery.cli.soci", "SOCI conversion: convert, inspect, verify."),
    Entry("rehearse", "bakery.cli.rehearse", "Publish a project to registries that run inside the command."),
    Entry("registry", "bakery.cli.registry", "Serve the embedded registry for tests of your own."),
    Entry("dgoss", "bakery.cli.dgoss", "Test images with goss, in containers."),
    Entry("run", "bakery.cli.run", "Old spelling of `dgoss run`."),
    Entry("r", "bakery.cli.run", "Short for `run`.", hidden=True),
    Entry("version", "bakery.cli.version", "Print the version."),
)

_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # some 10 MB
_CONTEXT_SETTINGS = {"help_option_names": ["--help"], "max_content_width": 110}


def build_app(word: str | None) -> typer.Typer:
    """The application, with the module of `word` imported; of every module where `word` is None (completion)."""
    app = typer.Typer(
        name="bakery",
        help="Publishes multi-platform container images that CI has built and pushed by digest.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT_SETTINGS,
    )
    app.callback()(_root)
    for entry in COMMANDS:
        if word is None or entry.name == word:
            module = importlib.import_module(entry.module)
            if hasattr(module, "app"):
                app.add_typer(module.app, name=entry.name, help=entry.help, hidden=entry.hidden, no_args_is_help=True)
            else:
                app.command(entry.name, help=module.command.__doc__, hidden=entry.hidden)(module.command)
        else:
            app.command(entry.name, help=entry.help, hidden=entry.hidden)(_not_imported)
    if word not in {entry.name for entry in COMMANDS}:  # help, completion, or a command that a plugin may have
        from bakery.plugin_api import other_plugins

        other_plugins().register_cli(app)
    return app


def _root(
    log_format: Annotated[
        str,
        typer.Option(
            "--log-format",
            metavar="text|json",
            envvar="BAKERY_LOG_FORMAT",
            callback=options.set_log_format,
            help="How log lines on stderr are written.",
        ),
    ] = "text",
) -> None:
    """Publishes multi-platform container images that CI has built and pushed by digest."""


def _not_imported() -> None:
    """Stands in the help for a command whose module was not needed."""
    raise AssertionError("only the command that was asked for is run")


def first_word(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option: the command that is meant, or "" where there is none."""
    words = iter(arguments)
    for word in words:
        if word == "--log-format":
            next(words, None)  # its value is no command
        elif not word.startswith("-"):
            return word
    return ""


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
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:  # the last border: what is no BakeryError is our bug, told as such
        if options.debug_wanted():
            raise
        print(f"error: {one_line(error)}. Next: run again with --debug and report what it prints", file=sys.stderr)
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
    completing = any(name.startswith("_BAKERY_COMPLETE") for name in os.environ)
    try:
        # Building it imports the command's module, which takes long enough for a signal to come.
        sys.exit(guarded(lambda: build_app(None if completing else first_word(sys.argv[1:]))(prog_name="bakery")))
    finally:
        gc.freeze()  # else the interpreter goes through all that is left four times before it ends
