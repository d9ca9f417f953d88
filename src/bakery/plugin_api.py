"""What a plugin is, and how plugins are found: entry points of the group `bakery.plugins`.

A plugin that cannot be loaded, or does not fit, is a warning and never the end of a command. docs/plugins.md shows a
whole one. Source: pipeline.md 7.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from bakery.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import typer

    from bakery.config.schema.options_registry import OptionsRegistry
    from bakery.targets.target import Target

_log = logging.getLogger(__name__)

GROUP = "bakery.plugins"


class ToolCallResult(Struct, frozen=True):
    """What a tool made of one target. artifacts: whatever the plugin's own `results` needs besides."""

    exit_code: int
    tool_name: str
    target: Target
    stdout: str
    stderr: str
    artifacts: Mapping[str, Any] | None = None


class Plugin(Protocol):
    """One tool. The class that the entry point names is called without arguments.

    A plugin whose options are written in bakery.yaml besides has a `tool_options_class`: a subclass of
    `bakery.config.schema.options.ToolOptions` (or a pydantic model) whose field `tool` is a literal.
    """

    name: str
    description: str

    def register_cli(self, app: typer.Typer) -> None:
        """Add commands to the Typer application."""
        ...

    def execute(self, base_path: Path, targets: Sequence[Target], **kwargs: Any) -> list[ToolCallResult]:
        """Run the tool on these targets of the project in base_path. What fails is in the results."""
        ...

    def results(self, results: Sequence[ToolCallResult]) -> None:
        """Show them, and exit with a code that is not 0 if anything failed."""
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
                _log.warning("two plugins are called %s; %s is left out", plugin.name, _told(point))
                continue
            self._found[plugin.name] = plugin

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def get(self, name: str) -> Plugin:
        """The plugin of this name. Raises UsageError, which lists those that there are."""
        plugin = self._found.get(name)
        if plugin is None:
            known = ", ".join(sorted(self._found)) or "none"
            raise UsageError(f"no plugin is called {name!r}", why=f"installed plugins: {known}")
        return plugin

    def register_options(self, registry: OptionsRegistry) -> None:
        """Tell the registry of every plugin's options class. One that takes another's place is a warning."""
        for plugin in self:
            options_class = getattr(plugin, "tool_options_class", None)
            if options_class is None:
                continue
            try:
                replaced = registry.register(options_class, fallback=plugin.name)
            except Exception as error:  # noqa: BLE001 - somebody else's class: a warning, and the plugin goes on without
                _log.warning("the options of plugin %s cannot be used: %s", plugin.name, error)
                continue
            if replaced:
                _log.warning("the options of plugin %s take the place of others of the same name", plugin.name)


@lru_cache(maxsize=1)
def load_plugins() -> Plugins:
    """Every plugin that is installed, loaded once per process."""
    return Plugins(_entry_points())


@lru_cache(maxsize=1)
def other_plugins() -> Plugins:
    """Those that bakery itself did not bring, loaded once: its own have their place in its table of commands."""
    if not _others_may_be_there():
        return Plugins(())
    return Plugins(point for point in _entry_points() if _distribution(point) != "bakery")


def options_registry() -> OptionsRegistry:
    """The tool options that bakery.yaml may have here: bakery's own, and those of the plugins of others."""
    from bakery.config.schema.options_registry import OptionsRegistry

    registry = OptionsRegistry()
    other_plugins().register_options(registry)
    return registry


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _others_may_be_there() -> bool:
    """Whether another distribution's record names plugins; what is unusual counts as yes.

    importlib.metadata knows for certain, but importing and asking it is a tenth of every start.
    """
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    try:
        return any(_names_plugins(folder or os.curdir) for folder in sys.path)
    except OSError:  # an archive, or what nobody may read
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
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("bakery-"):
            with suppress(FileNotFoundError, NotADirectoryError):
                if GROUP.encode() in (child / "entry_points.txt").read_bytes():
                    return True
    return False


def _load(point: EntryPoint) -> Plugin | None:
    try:
        plugin = point.load()()
    except Exception as error:  # noqa: BLE001 - somebody else's code: a warning, and the command goes on
        _log.warning("plugin %s cannot be loaded: %s: %s", _told(point), type(error).__name__, error)
        return None
    lacking = [member for member in _MEMBERS if not hasattr(plugin, member)]
    if lacking:
        _log.warning("plugin %s is none: it lacks %s", _told(point), ", ".join(lacking))
        return None
    fitting: Plugin = plugin
    return fitting


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _told(point: EntryPoint) -> str:
    where = _distribution(point)
    return f"{point.name} ({point.value}{f' of {where}' if where else ''})"
