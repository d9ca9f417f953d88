"""docs/architecture.md and CONTRIBUTING.md describe the code as it is."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "bakery"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_page_describes_every_room():
    rooms = {path.stem for path in SOURCE.iterdir() if (path / "__init__.py").exists()} | {"plugin_api"}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == rooms


def test_the_page_shows_the_layers_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["name"] == "rooms, top to bottom"]
    (shown,) = re.findall(r"```\n(cli\n.*?)```", PAGE, re.DOTALL)
    assert shown.splitlines() == [layer.replace(" | ", " · ") for layer in layers]


def test_everything_that_the_contributing_guide_points_to_exists():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    questions = re.findall(r"^\| Where .*\? \| (.*) \|$", guide, re.MULTILINE)
    assert len(questions) == 11
    for answer in questions:
        names = re.findall(r"`(bakery\.[\w.]+)`", answer)
        assert names
        for name in names:
            assert exists(name), name


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or something in a module."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
