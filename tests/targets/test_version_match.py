"""What `--image-version` matches: the rules of config.md 15, one example per row."""

import pytest

from bakery.targets.version_match import matches

ROWS = [
    ("2026.05", "2026.5.2", True),
    ("2026.05", "2026.05.1+7.pro1", True),
    ("2026.05", "2026.12.0", False),
    ("2026.05.1", "2026.05.1-rc1", True),
    ("2026.05.1-rc1", "2026.05.1-rc1", True),
    ("2026.05.1-rc1", "2026.05.1-rc2", False),
    ("2026.05.1-rc1", "2026.05.1", False),
    ("2026.05.1+7", "2026.05.1+7", True),
    ("2026.05.1+7", "2026.05.1+8", False),  # unlike the original tool
    ("2026.05.1+7", "2026.05.1", False),
    ("2026", "2026.05.0", True),
    ("202", "2026.05.0", False),
    ("2026.05.0.1", "2026.05.0", False),
    ("edge", "edge-1", True),
    ("edge", "edges", False),
    ("noble", "noble", True),
    ("R4.5.2-python3.13.9", "R4.5.2-python3.13.9-quarto1.8.26", True),
    ("R4.5.2", "R4.5.2-python3.13.9", True),
    ("R4.5", "R4.5.2-python3.13.9", True),  # unlike the original tool
    ("R4.5-python3.12", "R4.5.2-python3.13.9", False),
    ("R4.5.1", "R4.5.2-python3.13.9", False),
    ("R4", "R4.5.2-python3.13.9", True),
    ("R4.5.2-python3", "R4.5.2-python3.13.9", True),
    ("python3.13.9", "R4.5.2-python3.13.9", False),
    ("4.5", "R4.5.2-python3.13.9", False),
    ("R4.5", "4.5.2", False),
    ("v1.0.0", "1.0.0", False),
    ("1999", "2026.06.1", False),
]


@pytest.mark.parametrize(("wanted", "version", "taken"), ROWS, ids=[f"{row[0]} ~ {row[1]}" for row in ROWS])
def test_a_version_matches_or_not(wanted, version, taken):
    assert matches(wanted, version) is taken
