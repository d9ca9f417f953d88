"""`make` rejects a Python that is too old before it creates anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLD = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} -c 'import sys; sys.version_info = (3, 9, 18); exec(sys.argv[1])' "$2"
echo "an old Python was started with: $*" >&2
exit 9
"""


@pytest.fixture
def tree(tmp_path):
    """What `make install` reads, and a `python3` that reports 3.9.18 first in PATH."""
    for name in (
        "Makefile",
        "pyproject.toml",
        "hatch_build.py",
        *(lock.name for lock in ROOT.glob("requirements*.lock")),
    ):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(OLD)
    (tmp_path / "bin/python3").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("target", ["install", "test", "demo", "lint"])
def test_make_rejects_an_old_python_and_leaves_no_environment(tree, target):
    made = subprocess.run(
        ["make", target],
        cwd=tree,
        env={"PATH": f"{tree}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode != 0
    assert made.stderr.splitlines()[:2] == [
        "error: cannot create .venv: python3 is Python 3.9.18, Bakery needs 3.11 or later",
        "hint: run 'make install PYTHON=python3.11', or name a later Python by its path",
    ]
    assert not (tree / ".venv").exists()
