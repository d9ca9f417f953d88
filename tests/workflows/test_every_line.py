"""Every `run:` of every workflow, action and page, and every script of the GitLab template, is run by a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflows.runner import EXECUTED, ROOT
from tests.workflows.test_files import ACTIONS, PAGES, WORKFLOWS

pytestmark = [pytest.mark.slow]
HERE = Path(__file__).parent


def scripts(value: object) -> Iterator[str]:
    """Yield every script in a document of GitHub or GitLab."""
    if isinstance(value, list):
        for one in value:
            yield from scripts(one)
    if isinstance(value, dict):
        for name, one in value.items():
            if name == "run" and isinstance(one, str):
                yield one
            elif name in ("before_script", "script"):
                yield from one
            else:
                yield from scripts(one)


def documents() -> Iterator[tuple[Path, Any]]:
    """Yield every workflow, action and template, and every YAML block of a page."""
    for file in (*WORKFLOWS, *ACTIONS, ROOT / "examples/gitlab-ci.yml"):
        yield file, yaml.safe_load(file.read_text())
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            yield page, yaml.safe_load(block)


def wanted() -> set[str]:
    """Return every test of this folder that needs no third-party program: what is run, they run."""
    found = set()
    for file in HERE.glob("test_*.py"):
        if "pytestmark = [pytest.mark.slow, pytest.mark.peer]" not in file.read_text():
            parts = re.split(r"\n\n\n", file.read_text())
            found |= {
                f"{file.name}::{name}"
                for part in parts
                if "@pytest.mark.peer" not in part
                for name in re.findall(r"^(?:async )?def (test_\w+)", part, re.MULTILINE)
            }
    return found


def test_every_script_is_run_by_a_test(request: pytest.FixtureRequest):
    """conftest.py lets this test run last. It needs the others: what they ran is recorded."""
    session = {f"{item.path.name}::{getattr(item, 'originalname', '')}" for item in request.session.items}
    if missing := wanted() - session:
        pytest.skip(f"requires every test of this folder, such as {min(missing)}")
    never = [f"{file.relative_to(ROOT)}: {one}" for file, text in documents() for one in scripts(text)
             if one not in EXECUTED]  # fmt: skip
    assert never == []
