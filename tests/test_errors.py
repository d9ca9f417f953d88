"""The drawing at the top of errors.py is the tree of classes below it; errors that rooms derive hang from that tree."""

import importlib
import pkgutil
import re
from typing import Any

import bakery
from bakery import errors
from bakery.errors import BakeryError, ExecutorInterrupted, ExitCode

LINE = re.compile(r"    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<text>.*)")


def drawn() -> list[tuple[int, str, set[int]]]:
    """Return depth, name and exit codes of each class in the drawing, from top to bottom."""
    lines = [LINE.fullmatch(f"{line} ") for line in (errors.__doc__ or "").splitlines()]
    return [
        (len(found["branch"]) // 4, found["name"], {int(code) for code in re.findall(r"\b\d+\b", found["text"])})
        for found in lines
        if found
    ]


def subclasses(parent: type[BakeryError], depth: int = 0) -> list[tuple[int, type[BakeryError]]]:
    """Return a class and what derives from it, depth first, in the order of declaration."""
    children = [child for one in parent.__subclasses__() for child in subclasses(one, depth + 1)]
    return [(depth, parent), *children]


def imported_errors() -> list[type[BakeryError]]:
    """Return every error class of every module of Bakery."""
    for module in pkgutil.walk_packages(bakery.__path__, "bakery."):
        if module.name != "bakery.__main__":  # runs the program
            importlib.import_module(module.name)
    found = [kind for _, kind in subclasses(BakeryError)]
    return [kind for kind in found if kind.__module__.startswith("bakery.")]


def test_the_drawing_shows_every_class_once_and_in_its_place():
    declared = [(depth, kind) for depth, kind in subclasses(BakeryError) if kind.__module__ == errors.__name__]
    assert [(depth, name) for depth, name, _ in drawn()] == [
        *((depth, kind.__name__) for depth, kind in declared),
        (0, ExecutorInterrupted.__name__),
    ]


def test_the_drawing_shows_every_exit_code_that_differs_from_the_parents():
    for _, name, codes in drawn():
        kind = getattr(errors, name)
        if kind is ExecutorInterrupted:
            assert codes == {ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.QUIT, ExitCode.TERMINATED}
        elif kind is BakeryError or kind.exit_code != kind.__base__.exit_code:
            assert codes == {kind.exit_code}
        else:
            assert not codes


def test_no_two_errors_have_one_name():
    names = [kind.__name__ for kind in imported_errors()]
    assert sorted(names) == sorted(set(names))


def test_an_error_of_a_room_is_explained_and_exits_as_its_parent_in_the_drawing():
    tree: dict[str, Any] = {name: getattr(errors, name) for _, name, _ in drawn()}
    for kind in imported_errors():
        if kind.__module__ != errors.__name__:
            parent = next(tree[one.__name__] for one in kind.__mro__[1:] if one in tree.values())
            assert kind.__doc__, kind
            assert kind.exit_code == parent.exit_code, kind
