"""`bakery.app` is a library: it prints nothing, reads no stream and ends no process."""

import ast
from pathlib import Path

import pytest

import bakery.app

MODULES = sorted(Path(bakery.app.__file__).parent.glob("*.py"))
FORBIDDEN = {
    *("print", "input", "exit", "SystemExit", "print_text", "click", "typer"),
    *("sys.stdin", "sys.stdout", "sys.stderr", "sys.exit"),
}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_app_uses_no_stream_and_no_command_line(module):
    used = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(ast.unparse(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            used |= {name.name for name in node.names}
    assert used & FORBIDDEN == set()
