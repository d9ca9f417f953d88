"""The `bakery` program: its table of commands, and how errors become messages and exit codes.

The module of a command is imported when that command runs, not before: start-up time is budgeted.
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

from bakery.cli import completion, general, streams, version
from bakery.cli.group import WIDTH, Group
from bakery.cli.output import print_error, print_line
from bakery.errors import BakeryError, ExecutorInterrupted, ExitCode, UsageError
from bakery.parallel.root import interruptible


class CommandEntry(NamedTuple):
    """A command: its name, its module and attribute, and its line in the help. hidden: an alias or old name."""

    name: str
    place: str  # module:attribute
    help: str
    hidden: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


COMMANDS: tuple[CommandEntry, ...] = (
    CommandEntry("init", "bakery.cli.init:command", "Write a bakery.yaml, and a Containerfile if the folder has none."),
    CommandEntry("create", "bakery.cli.init:group", "Old name of `init`.", hidden=True),
    CommandEntry("c", "bakery.cli.init:group", "Short for `create`.", hidden=True),
    CommandEntry("new", "bakery.cli.init:group", "Other name of `create`.", hidden=True),
    CommandEntry("get", "bakery.cli.get:group", "Print tags, targets, a version or the configuration of a project."),
    CommandEntry(
        "check", "bakery.cli.check:command", "Report every problem in the project, and count what it defines."
    ),
    CommandEntry("build", "bakery.cli.build:command", "Build images; --plan prints the bake file."),
    CommandEntry("b", "bakery.cli.build:command", "Short for `build`.", hidden=True),
    CommandEntry("bake", "bakery.cli.build:command", "Old name of `build`.", hidden=True),
    CommandEntry(
        "publish", "bakery.cli.publish:command", "Publish what was built per platform, with or without a bakery.yaml."
    ),
    CommandEntry("ci", "bakery.cli.ci:group", "Commands for CI runs: matrix, publish, merge, summary, timeline."),
    CommandEntry(
        "imagetools",
        "bakery.cli.imagetools:group",
        "Create, copy, tag and inspect images; single steps of publishing a project.",
    ),
    CommandEntry("rollback", "bakery.cli.rollback:command", "Make tags name again what they named before a run."),
    CommandEntry(
        "verify", "bakery.cli.verify:command", "Check that what was published is there, whole and the same everywhere."
    ),
    CommandEntry("oras", "bakery.cli.oras:group", "Old name of `imagetools merge`."),
    CommandEntry("soci", "bakery.cli.soci:group", "Convert images to SOCI, inspect SOCI indexes, verify them."),
    CommandEntry("clean", "bakery.cli.clean:group", "Delete old builds, caches and images that nothing needs."),
    CommandEntry("rehearse", "bakery.cli.rehearse:command", "Publish to registries inside the command."),
    CommandEntry("registry", "bakery.cli.registry:group", "Serve the embedded registry, for your own tests."),
    CommandEntry("dgoss", "bakery.cli.dgoss:group", "Test images with goss, in containers."),
    CommandEntry("run", "bakery.cli.run:group", "Old name of `dgoss run`."),
    CommandEntry("r", "bakery.cli.run:group", "Short for `run`.", hidden=True),
    CommandEntry(
        "doctor", "bakery.cli.doctor:doctor_command", "Check registries, logins, TLS, clock, proxies, programs."
    ),
    CommandEntry("explain", "bakery.cli.explain:command", "Explain an error code: its meaning, causes and remedies."),
    CommandEntry("version", "bakery.cli.version:command", "Print the version."),
    CommandEntry("help", "bakery.cli.help:command", "Print the help of a command."),
)
_BY_NAME = {entry.name: entry for entry in COMMANDS}

_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # some 10 MB


class Program(Group):
    """The commands of the table, each imported when it is needed, followed by those of third-party plugins."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = _BY_NAME.get(cmd_name)
        return entry.load() if entry is not None else _plugin_commands().get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _ in self.listing(ctx)]

    def listing(self, ctx: click.Context) -> list[tuple[str, str]]:  # noqa: ARG002 - click's signature
        ours = [(entry.name, entry.help) for entry in COMMANDS if not entry.hidden]
        added = [(name, one) for name, one in _plugin_commands().items() if name not in _BY_NAME]
        return ours + [(name, one.help or "") for name, one in added if not one.hidden]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # click would only suggest imported commands
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None


@cache
def _plugin_commands() -> Mapping[str, click.Command]:
    from bakery.plugin_api import third_party_plugins

    plugins = third_party_plugins()
    if not plugins:
        return {}
    from bakery.cli import third_party

    return third_party.commands(plugins)


@click.group(
    "bakery",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH, "show_default": True},
)
@general.log_format
@completion.installing
@completion.showing
@version.showing
def app() -> None:
    """Publish multi-platform container images that CI has built and pushed by digest."""


def guarded(action: Callable[[], Any]) -> int:
    """Run `action` and return the exit code: its own, if it returns one. Every error is printed on stderr as a message.

    Tracebacks are shown only with --debug or BAKERY_DEBUG, before the message.
    """
    try:
        with interruptible(to_the_end=True):
            code = action()
    except ExecutorInterrupted as error:
        print_line(f"interrupted: {signal.Signals(error.signum).name}")
        return error.exit_code
    except click.exceptions.Abort:  # a KeyboardInterrupt that no signal caused: of a plugin's command
        print_line("interrupted")
        return ExitCode.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print_line(error.format_message())
        return error.exit_code
    except click.ClickException as error:
        from bakery.cli.usage import usage_error

        return _failed(usage_error(error))
    except BrokenPipeError:
        # The reader of our output has gone; without this, Python would fail again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001  # shown as a bug
        if isinstance(error, OSError) and not _has_working_directory():
            why = "the working directory does not exist any more"
            return _failed(BakeryError("cannot run", why=why, hint="change to a directory that exists"))
        if general.is_debugging():
            import traceback

            print_line("".join(traceback.format_exception(error)).rstrip("\n"))
        return _failed(error)
    return code if isinstance(code, int) else ExitCode.DONE


def _has_working_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  # Path.cwd() is the same, and imports more
    except OSError:
        return False
    return True


def _failed(error: Exception) -> int:
    print_error(error)
    return error.exit_code if isinstance(error, BakeryError) else ExitCode.FAILED


def run() -> None:
    """The entry point of the `bakery` executable."""
    streams.prepare()
    if sys.platform == "win32":
        why = "it needs POSIX: file locks, process groups, signals"
        sys.exit(_failed(UsageError("cannot run Bakery on Windows", why=why, hint="install and run it in WSL 2")))
    # Start-up creates 100,000 objects that live until exit, and a run creates few cycles. With Python's default of 700
    # the collector scans them 200 times, which took a sixth of a short publish.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        sys.exit(guarded(lambda: app(prog_name="bakery", standalone_mode=False)))
    finally:
        gc.freeze()  # without this, the interpreter scans everything four more times at exit
