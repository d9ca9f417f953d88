"""Modules and functions stay short enough to be read at once: 400 and 50 lines, or a comment says why they are longer.

The comment is `# long: <reason>`: in front of a module's first statement after the docstring, or of a function's first
statement.
"""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "bakery"
MODULE_LINES = 400
FUNCTION_LINES = 50
_REASON = re.compile(r"# long: \S+")


def too_long(text: str) -> list[str]:
    """Return what is longer than allowed without a reason: "module", or the name of a function."""
    lines = text.splitlines()
    tree = ast.parse(text)
    found = []
    if len(lines) > MODULE_LINES and not has_reason(lines[: first_statement(tree)]):
        found.append(f"module ({len(lines)} lines)")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            size = (node.end_lineno or start) - start + 1
            if size > FUNCTION_LINES and not has_reason(lines[start - 1 : node.body[0].lineno - 1]):
                found.append(f"{node.name} ({size} lines)")
    return found


def first_statement(tree: ast.Module) -> int:
    """Return the line of the first statement that is not the docstring."""
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return body[0].lineno if body else 0


def has_reason(lines: list[str]) -> bool:
    return any(_REASON.search(line) for line in lines)


def test_no_module_and_no_function_is_too_long_without_a_reason():
    files = sorted(SOURCE.rglob("*.py"))
    assert files
    assert [f"{file.relative_to(SOURCE)}: {name}" for file in files for name in too_long(file.read_text())] == []


BODY = "    pass\n" * FUNCTION_LINES
EXAMPLES = {
    "a short function": ("def f():\n    pass\n", []),
    "a function of 50 lines": ("def f():\n" + "    pass\n" * 49, []),
    "a function of 51 lines": ("def f():\n" + BODY, ["f (51 lines)"]),
    "decorators count": ("@d\n@d\ndef f():\n" + "    pass\n" * 48, ["f (51 lines)"]),
    "a reason": ("def f():  # long: one table\n" + BODY, []),
    "a reason above several parameters": ("def f(  # long: one table\n    a,\n):\n" + BODY, []),
    "a reason that is empty": ("def f():  # long:\n" + BODY, ["f (51 lines)"]),
    "a reason in front of the first statement": ("def f():\n    # long: one table\n" + "    pass\n" * 50, []),
    "a method": ("class C:\n    async def m(self):\n" + "        pass\n" * 50, ["m (51 lines)"]),
    "a module of 400 lines": ('"""M."""\n' + "x = 1\n" * 399, []),
    "a module of 401 lines": ('"""M."""\n' + "x = 1\n" * 400, ["module (401 lines)"]),
    "a module with a reason": ('"""M."""\n\n# long: a table\n' + "x = 1\n" * 400, []),
}


@pytest.mark.parametrize(("text", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_lengths_are_measured_as_documented(text, expected):
    assert too_long(text) == expected
