"""Every picture in the docs is made by a script from a real run, and every script still works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from website.page_pictures import photograph

ROOT = Path(__file__).parents[2]
PICTURES = sorted(path.name for path in (ROOT / "docs/pictures").iterdir() if path.is_file())
SCRIPTS = ("website/pictures.py", "website/page_pictures.py")


def test_every_picture_is_written_by_a_script():
    named = {name for file in SCRIPTS for name in re.findall(r'/ "([\w-]+\.(?:png|svg))"', (ROOT / file).read_text())}
    assert sorted(named) == PICTURES


def test_every_picture_that_a_page_shows_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = [
        (page.parent / found) for page in pages for found in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    ]
    assert {path.name for path in shown} == set(PICTURES)
    assert [path for path in shown if not path.is_file()] == []


@pytest.mark.peer
def test_the_pictures_of_timeline_and_page_are_made_from_a_real_run(tmp_path):
    photograph(tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == [name for name in PICTURES if name.endswith(".png")]
    for name in made:
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 30_000, "nothing is on it"
