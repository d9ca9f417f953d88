"""docs/start.md: a script of its commands ends with a published image, in less than a minute and fifteen lines."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.install.trees import ROOT, copy_tree

PAGE = ROOT / "docs" / "start.md"
CLONE = "git clone https://github.com/OWNER/bakery && cd bakery"


def lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return "".join(blocks).splitlines()


def test_a_reader_types_at_most_fifteen_lines():
    assert lines()[0] == CLONE
    assert len(lines()) <= 15


@pytest.mark.slow
def test_the_page_runs_from_the_clone_to_the_published_image_in_a_minute(tmp_path: Path):
    copy_tree(tmp_path / "bakery")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = "\n".join(["set -e -m", "cd bakery", *lines()[1:]]).replace("5000", port)
    # The registry accepts connections a moment after its line: a reader types more slowly than a script.
    wait = f"for i in $(seq 100); do (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done"
    script = script.replace(f"serve --port {port} &", f"serve --port {port} &\n{wait}")
    kept = {name: one for name, one in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "BAKERY_"))}
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**kept, "HOME": str(tmp_path)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    took_s = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 published" in done.stderr
    assert "1 unchanged" in done.stderr
    assert "linux/arm64" in done.stdout
    assert "Rehearsal completed" in done.stderr
    assert took_s < 60
