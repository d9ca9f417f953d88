"""docs/architecture.md describes the rooms and the walls as they are."""

from __future__ import annotations

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
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    (shown,) = re.findall(r"```\n(cli\n.*?)```", PAGE, re.DOTALL)
    assert shown.splitlines() == [layer.replace(" | ", " · ") for layer in layers]
