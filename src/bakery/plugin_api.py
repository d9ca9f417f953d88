"""The plugin protocol, and the discovery of plugins: entry points of the group `bakery.plugins`.

A plugin that cannot be loaded, or that does not follow the protocol, causes a warning and never fails a command.
docs/plugins.md shows a complete plugin. Source: pipeline.md 7.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from bakery.errors import ExecutorInterrupted
from bakery.text import clean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import typer

    from bakery.config.schema.options_registry import OptionsRegistry
    from bakery.targets.target import Target

_log = logging.getLogger(__name__)

GROUP = "bakery.plugins"
_OURS = ("bakery_images-", "bakery-")  # metadata of bakery; the second: installed before it was called bakery-images


class ToolCallResult(Struct, frozen=True):
    """The result of a tool for one target. artifacts: anything else that the plugin's `results` needs."""

    exit_code: int
    tool_name: str
    target: Target
    stdout: str
    stderr: str
    artifacts: Mapping[str, Any] | None = None


class Plugin(Protocol):
    """One tool. The class that the entry point names is called without arguments.

    A plugin with options in bakery.yaml also has a `tool_options_class`: a subclass of
    `bakery.config.schema.options.ToolOptions` (or a pydantic model) whose field `tool` is a literal.
    """

    name: str
    description: str

    def register_cli(self, app: typer.Typer) -> None:
        """Add commands to the Typer application."""
        ...

    def execute(self, base_path: Path, targets: Sequence[Target], **kwargs: Any) -> list[ToolCallResult]:
        """Run the tool on these targets of the project in base_path. Failures are in the results."""
        ...

    def results(self, results: Sequence[ToolCallResult]) -> None:
        """Show the results, and exit with a nonzero code if anything failed."""
        ...


_MEMBERS = ("name", "description", "register_cli", "execute", "results")


class Plugins:
    """Loaded plugins, by name."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._found: dict[str, Plugin] = {}
        for point in points:
            plugin = _load(point)
            if plugin is None:
                continue
            if plugin.name in self._found:
                _log.warning("ignoring plugin %s: another plugin is also called %s", _described(point), plugin.name)
                continue
            self._found[plugin.name] = plugin

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def register_options(self, registry: OptionsRegistry) -> None:
        """Register the options class of every plugin. Logs a warning if it replaces another one."""
        for plugin in self:
            try:
                options_class = getattr(plugin, "tool_options_class", None)
                if options_class is None:
                    continue
                replaced = registry.register(options_class, fallback=plugin.name)
            except BaseException as error:  # third-party class: the plugin is used without its options
                if is_interrupt(error):
                    raise
                _log.warning("ignoring the options of plugin %s: %s", plugin.name, _text_of(error))
                continue
            if replaced:
                _log.warning("the options of plugin %s replace other options of the same name", plugin.name)


@lru_cache(maxsize=1)
def third_party_plugins() -> Plugins:
    """Return the plugins that are not part of bakery, loaded once per process."""
    if not _third_party_possible():
        return Plugins(())
    return Plugins(point for point in _entry_points() if not point.value.startswith("bakery."))


def options_registry() -> OptionsRegistry:
    """Return the tool options that bakery.yaml may have here: the built-in ones and those of third-party plugins."""
    from bakery.config.schema.options_registry import OptionsRegistry

    registry = OptionsRegistry()
    third_party_plugins().register_options(registry)
    return registry


def _entry_points() -> Iterable[EntryPoint]:
    """Yield the plugins of every installed distribution. One whose records are garbled is left out, with a warning."""
    from importlib.metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        try:
            name = str(distribution.name)
            points = [] if name in seen else [point for point in distribution.entry_points if point.group == GROUP]
        except Exception as error:  # noqa: BLE001 - files that anything may have written
            place = clean(str(getattr(distribution, "_path", "an unknown place")))
            _log.warning("ignoring the plugins in %s: %s: %s", place, type(error).__name__, _text_of(error))
            continue
        seen.add(name)  # the first on the path counts, as for imports
        yield from points


def _third_party_possible() -> bool:
    """Return whether another distribution's metadata names plugins. True in any unusual case.

    importlib.metadata would know for certain, but takes a tenth of the start-up time of every command.
    """
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    try:
        return any(_names_plugins(folder or os.curdir) for folder in sys.path)
    except OSError:  # an archive, or a directory that may not be read
        return True


def _names_plugins(folder: str) -> bool:
    if folder.lower().endswith(".egg"):
        return True
    try:
        children = list(Path(folder).iterdir())
    except FileNotFoundError:
        return False
    for child in children:
        name = child.name.lower()
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith(_OURS):
            with suppress(FileNotFoundError, NotADirectoryError):
                if GROUP.encode() in (child / "entry_points.txt").read_bytes():
                    return True
    return False


def _load(point: EntryPoint) -> Plugin | None:
    try:
        plugin = point.load()()
        lacking = [member for member in _MEMBERS if not hasattr(plugin, member)]  # a property may raise anything
        if not lacking and not (isinstance(plugin.name, str) and plugin.name):
            lacking = ["a name that is a string"]
    except BaseException as error:  # third-party code, also sys.exit(): the command goes on without it
        if is_interrupt(error):
            raise
        _log.warning("ignoring plugin %s: %s: %s", _described(point), type(error).__name__, _text_of(error))
        return None
    if lacking:
        _log.warning("ignoring plugin %s: it does not define %s", _described(point), ", ".join(lacking))
        return None
    fitting: Plugin = plugin
    return fitting


def is_interrupt(error: BaseException) -> bool:
    """Return whether a signal raised this, and not third-party code."""
    if isinstance(error, KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, ExecutorInterrupted)


def _text_of(error: BaseException) -> str:
    try:
        return clean(str(error))
    except Exception:  # noqa: BLE001 - third-party code
        return "(no message)"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _described(point: EntryPoint) -> str:
    distribution = _distribution(point)
    return clean(f"{point.name} ({point.value}{f' in {distribution}' if distribution else ''})")
