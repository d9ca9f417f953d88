"""Jinja2 in a sandbox, with our filters: for name patterns, unusual tag patterns, and templates.

Undefined names: static mistakes are found by `undefined_names`; what is left renders as nothing in patterns and is an
error in templates. Simple tag patterns never come here: `bakery.config.tags` renders them without Jinja2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bakery.config.filters import FILTERS

_LARGEST = 1_000_000  # characters or items that a multiplication may give; digits that a power may have


class _Lenient(Undefined):
    """An undefined value whose attributes are undefined too, not an error."""

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, which besides refuses a `*` or `**` that would fill the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if isinstance(side, str | list | tuple) else side for side in (left, right)]
        if all(isinstance(size, int) for size in sizes):
            low, high = sizes
            digits = abs(high) * abs(low).bit_length() if operator == "**" else abs(low) * abs(high)
            several = operator == "**" or any(isinstance(side, str | list | tuple) for side in (left, right))
            if several and digits > _LARGEST:
                raise TemplateError(f"`{operator}` would give more than {_LARGEST:,} characters")
        return super().call_binop(context, operator, left, right)


def _raise(message: object) -> str:
    raise TemplateError(str(message))


def environment(
    *, strict: bool, loader: BaseLoader | None = None, keep_end: bool = False
) -> ImmutableSandboxedEnvironment:
    """A sandbox with our filters and `raise`.

    strict: an undefined value is an error when it is printed. keep_end: a line end at the end of a template stays.
    """
    made = _Sandbox(
        undefined=StrictUndefined if strict else _Lenient,
        loader=loader,
        autoescape=False,  # Containerfiles and tags are no HTML
        keep_trailing_newline=keep_end,
    )
    made.filters.update(FILTERS)
    made.globals["raise"] = _raise
    return made


@lru_cache(maxsize=1)
def _patterns() -> ImmutableSandboxedEnvironment:
    return environment(strict=False)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Any:
    return _patterns().from_string(pattern)


def render_pattern(pattern: str, values: Mapping[str, Any]) -> str:
    """The text of a pattern. Raises jinja2.TemplateError, or whatever a filter raises."""
    return str(_compiled(pattern).render(values))


def syntax_fault(pattern: str) -> tuple[str, int]:
    """What is wrong with a pattern's syntax and in which of its lines, or ("", 0)."""
    try:
        _compiled(pattern)
    except TemplateSyntaxError as error:
        return str(error.message), error.lineno
    except TemplateError as error:
        return str(error), 1
    except RecursionError:  # the parser goes down once a bracket
        return "it is nested too deeply", 1
    return "", 0


@lru_cache(maxsize=4096)
def _parsed(pattern: str) -> nodes.Template:
    return _patterns().parse(pattern)


def needed_names(pattern: str) -> set[str]:
    """The names that a pattern prints whatever they hold: not those that a condition or `default` looks after."""
    return set(_needed(_parsed(pattern)))


def undefined_names(pattern: str, known: Mapping[str, set[str] | None]) -> list[tuple[str, int]]:
    """Names that the pattern needs and that nothing defines, with their lines.

    known: the names there are, each with the attributes that it has, or None where any will do.
    """
    faults: list[tuple[str, int]] = []
    tree = _parsed(pattern)
    given = known.keys() | _patterns().globals.keys()
    assigned = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    for name, node in _needed_nodes(tree):
        if name not in given and name not in assigned:
            faults.append((name, node.lineno))
    for access in _needed_accesses(tree):
        if not isinstance(access.node, nodes.Name):
            continue
        attributes = known.get(access.node.name)
        key = access.attr if isinstance(access, nodes.Getattr) else getattr(access.arg, "value", None)
        if attributes is not None and isinstance(key, str) and key not in attributes and not hasattr(dict, key):
            faults.append((f"{access.node.name}.{key}", access.lineno))
    return faults


def _needed(node: nodes.Node) -> list[str]:
    return [name for name, _ in _needed_nodes(node)]


def _needed_nodes(node: nodes.Node) -> list[tuple[str, nodes.Name]]:
    names = [found for found in _unguarded(node) if isinstance(found, nodes.Name)]
    return [(found.name, found) for found in names if found.ctx == "load"]


def _needed_accesses(node: nodes.Node) -> list[nodes.Getattr | nodes.Getitem]:
    return [found for found in _unguarded(node) if isinstance(found, nodes.Getattr | nodes.Getitem)]


def _unguarded(node: nodes.Node) -> Iterator[nodes.Node]:
    """All that no condition guards: `a if a`, `a or b`, `a is defined`, `a | default(…)` look after what they name."""
    if isinstance(node, nodes.CondExpr | nodes.Or | nodes.And | nodes.Test):
        return
    if isinstance(node, nodes.Filter) and node.name in ("default", "d"):
        return
    yield node
    for child in node.iter_child_nodes():
        yield from _unguarded(child)
