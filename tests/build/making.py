"""A project of three images, and a stand-in for buildx in PATH."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STANDIN = Path(__file__).with_name("standin") / "buildx.py"
NAMES = ("bread", "cake", "roll")
BREAD, CAKE, ROLL = UIDS = tuple(f"{name}-1-0-ubuntu-24-04" for name in NAMES)
CONTAINERFILE = "FROM scratch\nCOPY content /c\nRUN make\n"


def write_project(
    folder: Path, *, registry: str = "registry.example", platforms: str = "linux/amd64, linux/arm64"
) -> Path:
    """Write a bakery.yaml with three images of one version, each with a Containerfile."""
    folder.mkdir(parents=True, exist_ok=True)
    images = ""
    for name in NAMES:
        system = f'{{name: "Ubuntu 24.04", primary: true, platforms: [{platforms}]}}'
        images += f'  - name: {name}\n    versions: [{{name: "1.0", latest: true, os: [{system}]}}]\n'
        place = folder / name / "1.0"
        place.mkdir(parents=True)
        (place / "Containerfile.ubuntu2404").write_text(CONTAINERFILE)
    (folder / "bakery.yaml").write_text(
        "repository: {url: https://example.com/acme, vendor: Acme, maintainer: a@example.com}\n"
        f"registries: [{{host: {registry}, namespace: acme}}]\nimages:\n{images}"
    )
    return folder


@dataclass(frozen=True)
class Standin:
    """Where the stand-in is, and what it was asked."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """PATH and STANDIN: nothing else is inherited."""
        return {"PATH": str(self.folder / "bin"), "STANDIN": str(self.folder), "HOME": str(self.folder)}

    def calls(self, word: str = "") -> list[dict[str, Any]]:
        """Return the calls so far, of one command of buildx if `word` is given; not the first look at what it knows."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        every = [call for call in map(json.loads, lines) if "--print" not in call["words"]]
        return [call for call in every if word in ("", call["words"][0])]


def standin(folder: Path, *programs: str, **rules: Any) -> Standin:
    """Put a stand-in into a folder, under each of these names."""
    (folder / "bin").mkdir(parents=True)
    for program in programs or ("buildx",):
        script = folder / "bin" / program
        script.write_text(f"#!{sys.executable}\n{STANDIN.read_text()}")
        script.chmod(0o755)
    (folder / "rules.json").write_text(json.dumps(rules))
    (folder / "calls.jsonl").touch()
    return Standin(folder)
