"""Jinja2 in a sandbox, with our filters: for name patterns, unusual tag patterns, and templates.

Undefined names in patterns are reported by `undefined_names` when a file is read; those that it cannot see render as
nothing. In templates they are errors. Simple tag patterns are rendered by `bakery.config.tags` without Jinja2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bakery.config import apart, bounds
from bakery.config.filters import FILTERS

_MAX_RESULT = 1_000_000  # characters or items of a product, digits of a power


class _Lenient(Undefined):
    """An undefined value whose attributes are undefined too, instead of an error."""

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, which also refuses a `*` or `**` whose result would fill the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if isinstance(side, str | list | tuple) else side for side in (left, right)]
        if all(isinstance(size, int) for size in sizes):
            low, high = sizes
            digits = abs(high) * abs(low).bit_length() if operator == "**" else abs(low) * abs(high)
            several = operator == "**" or any(isinstance(side, str | list | tuple) for side in (left, right))
            if several and digits > _MAX_RESULT:
                raise TemplateError(f"the result of `{operator}` would have more than {_MAX_RESULT:,} characters")
        return super().call_binop(context, operator, left, right)


def _raise(message: object) -> str:
    raise TemplateError(str(message))


def environment(
    *, strict: bool, loader: BaseLoader | None = None, keep_end: bool = False
) -> ImmutableSandboxedEnvironment:
    """Return a sandbox with our filters and the function `raise`.

    strict: rendering an undefined value is an error. keep_end: the line end at the end of a template is kept.
    """
    made = _Sandbox(
        undefined=StrictUndefined if strict else _Lenient,
        loader=loader,
        autoescape=False,  # Containerfiles and tags are not HTML
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
    """Return the rendered pattern. Raises jinja2.TemplateError, and anything that a filter raises."""
    render = apart.renderer()
    text = render_here(pattern, values) if render is None or _is_bounded(pattern) else render(pattern, values)
    if len(text.encode(errors="replace")) > bounds.MAX_TEXT:
        raise TemplateError(f"the result is longer than {bounds.MAX_TEXT >> 10} KiB")
    return text


def render_here(pattern: str, values: Mapping[str, Any]) -> str:
    """Return the rendered pattern, whatever it costs."""
    return str(_compiled(pattern).render(values))


@lru_cache(maxsize=4096)
def _is_bounded(pattern: str) -> bool:
    return len(pattern) <= bounds.MAX_PATTERN and bounds.is_bounded(_parsed(pattern))


def syntax_fault(pattern: str) -> tuple[str, int]:
    """Return the error in a pattern's syntax and its line in the pattern, or ("", 0)."""
    try:
        # Compiling evaluates constants, so that only a cheap pattern is compiled here.
        if _is_bounded(pattern):
            _compiled(pattern)
        else:
            _check_filters(_parsed(pattern))
    except TemplateSyntaxError as error:
        return str(error.message), error.lineno
    except TemplateError as error:
        return str(error), 1
    except RecursionError:  # the parser recurses for every bracket
        return "nested too deeply", 1
    return "", 0


def _check_filters(tree: nodes.Template) -> None:
    for kind, known in ((nodes.Filter, _patterns().filters), (nodes.Test, _patterns().tests)):
        for node in tree.find_all(kind):
            if node.name not in known:
                raise TemplateSyntaxError(f"No {kind.__name__.lower()} named {node.name!r}.", node.lineno)


@lru_cache(maxsize=4096)
def _parsed(pattern: str) -> nodes.Template:
    return _patterns().parse(pattern)


def needed_names(pattern: str) -> set[str]:
    """Return the names that a pattern always renders: not those guarded by a condition or `default`."""
    return {found.name for found in _needed_nodes(_parsed(pattern))}


def undefined_names(pattern: str, known: Mapping[str, set[str] | None]) -> list[tuple[str, int]]:
    """Return the undefined names that the pattern needs, with their lines.

    known: the defined names, each with its attributes, or None if it may have any.
    """
    tree = _parsed(pattern)
    defined = known.keys() | _patterns().globals.keys()
    defined |= {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    faults = [(node.name, node.lineno) for node in _needed_nodes(tree) if node.name not in defined]
    for access in _needed_accesses(tree):
        if not isinstance(access.node, nodes.Name):
            continue
        attributes = known.get(access.node.name)
        key = access.attr if isinstance(access, nodes.Getattr) else getattr(access.arg, "value", None)
        if attributes is not None and isinstance(key, str) and key not in attributes and not hasattr(dict, key):
            faults.append((f"{access.node.name}.{key}", access.lineno))
    return faults


def _needed_nodes(node: nodes.Node) -> list[nodes.Name]:
    return [found for found in _unguarded(node) if isinstance(found, nodes.Name) and found.ctx == "load"]


def _needed_accesses(node: nodes.Node) -> list[nodes.Getattr | nodes.Getitem]:
    return [found for found in _unguarded(node) if isinstance(found, nodes.Getattr | nodes.Getitem)]


def _unguarded(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yield the nodes that are not guarded, as in `a if a`, `a or b`, `a is defined` and `a | default(…)`."""
    if isinstance(node, nodes.CondExpr | nodes.Or | nodes.And | nodes.Test):
        return
    if isinstance(node, nodes.Filter) and node.name in ("default", "d"):
        return
    yield node
    for child in node.iter_child_nodes():
        yield from _unguarded(child)
