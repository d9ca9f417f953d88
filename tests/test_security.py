"""SECURITY.md names a test for every known failure, and each exists; licences and the audit are what it says."""

from __future__ import annotations

import ast
import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
ROWS = {int(number): rest for number, rest in re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)}
AUDIT = (ROOT / ".github" / "workflows" / "audit.yml").read_text("utf-8")

# Licences that may be combined with ours (MIT) in what users install.
ALLOWED = re.compile(
    r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|MPL[- ]2\.0|Mozilla Public License 2\.0|ISC|Unlicense|zlib)\b",
    re.IGNORECASE,
)
DEVELOPMENT = "extra"


def test_every_row_has_a_test():
    assert sorted(ROWS) == list(range(1, 31))


@pytest.mark.parametrize("row", sorted(ROWS))
def test_the_tests_of_a_row_exist(row):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", ROWS[row])
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, (
            name
        )


def run_time_distributions() -> dict[str, metadata.Distribution]:
    """Return what `pip install bakery` installs here: its dependencies, and theirs."""
    found: dict[str, metadata.Distribution] = {}
    pending = list(metadata.requires("bakery-images") or [])
    while pending:
        requirement = pending.pop()
        name = re.match(r"[\w.-]+", requirement)
        if name is None or f"{DEVELOPMENT} ==" in requirement:
            continue
        try:
            distribution = metadata.distribution(name[0])
        except metadata.PackageNotFoundError:
            continue  # for another system
        if distribution.name not in found:
            found[distribution.name] = distribution
            pending += distribution.requires or []
    return found


def licence_of(distribution: metadata.Distribution) -> str:
    fields = distribution.metadata.json
    classifiers = fields.get("classifier", [])
    listed = [one for one in classifiers if one.startswith("License ::")] if isinstance(classifiers, list) else []
    texts = [str(fields.get(name, "")) for name in ("license_expression", "license")]
    return "; ".join([*listed, *(text[:100] for text in texts)])


def test_what_users_install_has_licences_that_can_be_combined_with_ours():
    found = run_time_distributions()
    assert len(found) >= 10
    licences = {name: licence_of(distribution) for name, distribution in found.items()}
    assert {name: text for name, text in licences.items() if not ALLOWED.search(text)} == {}
    assert {name: text for name, text in licences.items() if re.search(r"\bA?GPL|\bSSPL|Commons Clause", text)} == {}


def test_the_audit_runs_every_day_over_what_is_locked():
    assert re.search(r"^\s+- cron: ", AUDIT, re.MULTILINE)
    assert "requirements.lock" in AUDIT
