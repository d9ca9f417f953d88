"""Which patterns are cheap whatever the values are, so that they are rendered in this process. Pure.

Only constructs whose result is about as long as the pattern and the values are cheap: no loops, no padding, no formats,
no arithmetic. Of regular expressions, those that cannot backtrack without end. All others are rendered apart, with
limits of time and memory (`jinja.render_pattern`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jinja2 import nodes

MAX_PATTERN: Final = 2_000  # characters
MAX_TEXT: Final = 4_096  # bytes of a rendered pattern
_JOINS: Final = 2  # each may double a text that it splits into characters
_PLAIN_FILTERS: Final = frozenset(
    {"stripMetadata", "stripPatch", "condense", "tagSafe", "quote", "split", "lower", "upper", "trim", "default", "d",
     "string", "int", "length", "count", "first", "last", "title", "capitalize"}
)  # fmt: skip
_METHODS: Final = frozenset(
    {"split", "rsplit", "partition", "rpartition", "startswith", "endswith", "lower", "upper", "strip", "lstrip",
     "rstrip", "removeprefix", "removesuffix", "isdigit", "find", "count", "title", "capitalize", "get"}
)  # fmt: skip
_NODES: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.CondExpr, nodes.If, nodes.Test, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.Concat, nodes.Keyword,
)  # fmt: skip


def is_bounded(tree: nodes.Template) -> bool:
    """Return whether rendering the pattern is cheap for every value that a project has."""
    joins = expressions = 0
    pending: list[nodes.Node] = [tree]
    while pending:
        node = pending.pop()
        pending += node.iter_child_nodes()
        if isinstance(node, _NODES):
            continue
        name, arguments = _called(node)
        if name in _CHECKED:
            constants = [text for text in arguments if text is not None]
            if len(constants) != len(arguments) or not _CHECKED[name](constants):
                return False
            joins += name.endswith("join")
            expressions += name == "|regexReplace"
        elif not name or name[1:] not in (_PLAIN_FILTERS if name[0] == "|" else _METHODS):
            return False
    return joins <= _JOINS and expressions <= 1


def _called(node: nodes.Node) -> tuple[str, list[str | None]]:
    """Return `|filter` or `.method` and its arguments, None for one that is not constant; "" for anything else."""
    if isinstance(node, nodes.Filter):
        name = f"|{node.name}"
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        name = f".{node.node.attr}"
    else:
        return "", []
    if node.dyn_args is not None or node.dyn_kwargs is not None or len(node.args) > 3:
        return "", []
    return name, [str(one.value) if isinstance(one, nodes.Const) else None for one in node.args]


def _is_simple(expression: str) -> bool:
    """Return whether a regular expression has no repetition within a repetition, no reference and no look-around."""
    try:
        from re import _parser  # type: ignore[attr-defined]  # private; checked here, and any surprise means "no"

        return _cost(_parser.parse(expression), repeated=False) <= 2
    except Exception:  # noqa: BLE001  # also an invalid expression: it fails where it is rendered
        return False


def _cost(parsed: Any, *, repeated: bool) -> int:
    """Return the number of open repetitions; far too many for what is not simple."""
    total = 0
    for code, argument in parsed:
        name = str(code)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            if repeated or (argument[1] > 100 and str(argument[1]) != "MAXREPEAT"):
                return 99
            total += 1 + _cost(argument[2], repeated=True)
        elif name == "SUBPATTERN":
            total += _cost(argument[3], repeated=repeated)
        elif name == "BRANCH" and not repeated:
            total += sum(_cost(branch, repeated=False) for branch in argument[1])
        elif name not in ("LITERAL", "NOT_LITERAL", "IN", "ANY", "AT", "CATEGORY", "RANGE"):
            return 99
    return total


def _joins_shortly(arguments: Sequence[str]) -> bool:
    return len(arguments) <= 1 and all(len(text) <= 1 for text in arguments)


def _shortens(arguments: Sequence[str]) -> bool:
    return len(arguments) == 2 and bool(arguments[0]) and len(arguments[1]) <= len(arguments[0])


def _replaces_simply(arguments: Sequence[str]) -> bool:
    return len(arguments) == 2 and _is_simple(arguments[0]) and len(arguments[1]) <= 100


_CHECKED: Final[Mapping[str, Callable[[Sequence[str]], bool]]] = {
    "|join": _joins_shortly,
    ".join": _joins_shortly,
    "|replace": _shortens,
    ".replace": _shortens,
    "|regexReplace": _replaces_simply,
}
