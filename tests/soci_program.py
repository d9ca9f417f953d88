"""The program `soci` as tests use it: the real one where it is found, and a stand-in with its command line."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from tests.peers.programs import find

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=["real", "stand-in"])
def soci(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment with the real soci, where one is found, and with the stand-in."""
    if request.param == "real":
        named = os.environ.get("SOCI_PATH")
        found = Path(named) if named else find("soci")
        if found is None:
            pytest.skip("no soci here: SOCI_PATH, .peers/bin and PATH have none")
        return {"SOCI_PATH": str(found)}
    script = tmp_path / "soci"
    standin = ROOT / "tests" / "contract" / "standin" / "soci.py"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT / "src"}" exec "{sys.executable}" "{standin}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"SOCI_PATH": str(script)}
