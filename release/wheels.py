"""The wheels that an image of Bakery is built from, one folder per architecture. The Containerfile copies them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_LIBCS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_31", "manylinux_2_34", "manylinux_2_36")


def download(wheel: Path, lock: Path, python: str, output: Path) -> None:
    """Write `output`/amd64 and `output`/arm64: the wheel and everything it needs, for glibc and this Python."""
    for architecture, machine in MACHINES.items():
        folder = output / architecture
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        platforms = [word for libc in _LIBCS for word in ("--platform", f"{libc}_{machine}")]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        command += ["--only-binary", ":all:", "--no-deps", "--python-version", python, *platforms]
        subprocess.run([*command, "--dest", str(folder), "--require-hashes", "-r", str(lock)], check=True)
        shutil.copy(wheel, folder)
