"""The mutations of a module: what can be changed in its functions, one thing at a time. Pure: source in, code out.

A mutation moves a boundary, negates a condition or drops a part of it, leaves out an effect, or loses an order.
Numbers are left alone, and so is what only messages and logs depend on.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TEXTS = ("why", "about", "hint", "what", "action", "doing")  # keyword arguments that only messages show
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutation:
    """One change. function: the outermost function around it. lines: the first and last line of its statement."""

    module: str
    function: str
    function_line: int
    lines: tuple[int, int]
    change: str
    number: int

    @property
    def key(self) -> str:
        return f"{self.function}: {self.change}"


def mutations(module: str, source: str) -> list[Mutation]:
    """Return every mutation of a module, in the order of the source."""
    found: list[Mutation] = []
    seen: Counter[str] = Counter()
    for number, (name, function, statement, _, change) in enumerate(_changes(ast.parse(source))):
        seen[f"{name}: {change}"] += 1
        same = seen[f"{name}: {change}"]
        first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
        text = change if same == 1 else f"{change} ({same})"
        found.append(Mutation(module, name, first, _lines(statement), text, number))
    return found


def mutated_code(mutation: Mutation, source: str, filename: str) -> CodeType:
    """Compile the module with this mutation; return the code of the function that it changes."""
    tree = ast.parse(source)
    for number, (_, _, _, apply, _) in enumerate(_changes(tree)):
        if number == mutation.number:
            apply()
            break
    pending: list[CodeType] = [compile(ast.fix_missing_locations(tree), filename, "exec")]
    while pending:
        code = pending.pop()
        if code.co_qualname == mutation.function and code.co_firstlineno == mutation.function_line:
            return code
        pending.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    raise LookupError(mutation.function)


class _Replace:
    """Put `new` where `old` is, in a field of `parent`."""

    def __init__(self, parent: ast.AST, field: str, index: int | None, new: ast.AST) -> None:
        self.parent, self.field, self.index, self.new = parent, field, index, new

    def __call__(self) -> None:
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new


_Change = tuple[str, _Function, ast.stmt, _Replace, str]


def _changes(tree: ast.Module) -> Iterator[_Change]:
    for name, function in _functions(tree, ""):
        for statement, parent, field, index, node in _nodes(function):
            for new in _variants(node, function):
                change = f"{_text(node)} -> {_text(new)}"
                yield name, function, statement, _Replace(parent, field, index, ast.copy_location(new, node)), change


def _functions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, _Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If):
            yield from _functions(node, prefix)


_Place = tuple[ast.stmt, ast.AST, str, int | None, ast.AST]


def _nodes(function: _Function) -> Iterator[_Place]:
    """Yield every node of the body with its statement and its place in its parent."""
    for index, statement in enumerate(function.body):
        yield from _below(statement, function, "body", index, statement)


def _below(statement: ast.stmt, parent: ast.AST, field: str, index: int | None, node: ast.AST) -> Iterator[_Place]:
    if isinstance(node, ast.stmt):
        statement = node
    if _is_only_text(node):
        return
    yield statement, parent, field, index, node
    if isinstance(node, ast.Raise):
        return  # the text of an error
    for name, value in ast.iter_fields(node):
        if name in ("decorator_list", "args", "returns", "annotation") and isinstance(node, _Function | ast.AnnAssign):
            continue
        if isinstance(value, ast.AST):
            yield from _below(statement, node, name, None, value)
        elif isinstance(value, list):
            for position, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield from _below(statement, node, name, position, child)


def _is_only_text(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="_log")))):
            return True
        case ast.keyword(arg=str() as name):
            return name in _TEXTS
    return False


def _variants(node: ast.AST, function: _Function) -> Iterator[ast.AST]:
    """Yield what could stand in the place of this node."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            yield _with(node, ops=[_COMPARISONS[type(operator)]()])
        case ast.Compare(ops=[first, second]) if {type(first), type(second)} <= _COMPARISONS.keys():
            yield _with(node, ops=[_COMPARISONS[type(first)](), second])
            yield _with(node, ops=[first, _COMPARISONS[type(second)]()])
        case ast.BoolOp(values=values) if not any(_is_default(value) for value in values):
            for index in range(len(values)):
                left = values[:index] + values[index + 1 :]
                yield left[0] if len(left) == 1 else _with(node, values=left)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _ARITHMETIC:
            if not any(_is_sequence(side) for side in (left, right)):
                yield _with(node, op=_ARITHMETIC[type(operator)]())
        case ast.AugAssign(op=operator) if type(operator) in (ast.Add, ast.Sub):
            yield ast.Pass()
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not isinstance(
            test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant
        ):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Name(id=name, ctx=ast.Load()) if name in _FUNCTIONS:
            yield ast.Name(_FUNCTIONS[name], ast.Load())
        case ast.Call(keywords=keywords) if any(one.arg in ("key", "reverse") for one in keywords):
            yield _with(node, keywords=[one for one in keywords if one.arg not in ("key", "reverse")])
        case ast.Return(value=ast.Tuple(elts=[*rest, _])) if rest:
            yield _with(node, value=ast.Tuple([*rest, copy.deepcopy(rest[0])], ast.Load()))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) if function.name != "__init__":
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _is_default(node: ast.expr) -> bool:
    """Whether it is what `x or default` ends in."""
    return isinstance(node, ast.Constant | ast.Dict | ast.List | ast.Tuple | ast.JoinedStr)


def _is_sequence(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_sequence(node.left) or _is_sequence(node.right)
    text_or_list = ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp
    return isinstance(node, text_or_list) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """Return the lines of a statement; of a compound one, those of its head."""
    body = getattr(statement, "body", None)
    last = statement.end_lineno or statement.lineno
    return statement.lineno, max(statement.lineno, body[0].lineno - 1) if body else last


def _text(node: ast.AST) -> str:
    head = _with(node, body=[ast.Pass()], orelse=[]) if isinstance(node, ast.If | ast.While) else node
    text = " ".join(ast.unparse(head).split()).removesuffix(" pass")
    return text if len(text) <= 90 else f"{text[:60]} … {text[-27:]}"
