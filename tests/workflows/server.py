"""An Enterprise server of a test: a bare repository that has what the commands of docs/workflows.md push."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.install.trees import ROOT, VERSION, released, run

URL = "https://github.acme.example"
HOST = "containers.github.acme.example"
REPOSITORY = "acme/bakery"
BRANCH = f"v{VERSION}-enterprise"


@dataclass(frozen=True)
class Server:
    """What the server has. tree: the branch, as a runner has it. commit: of the release. said: stdout."""

    bare: Path
    clone: Path
    tree: Path
    commit: str
    said: str

    @property
    def actions(self) -> str:
        return f"{REPOSITORY}@{self.commit}"


def environment(clone: Path) -> str:
    """Return commands that make this environment the `.venv` of a clone, as `make install` would."""
    links = "".join(f"ln -s {Path(sys.prefix) / name} {clone}/.venv/{name}\n" for name in ("bin", "lib", "pyvenv.cfg"))
    return f"mkdir {clone}/.venv\n{links}touch {clone}/.venv/.installed\n"


def commands() -> list[str]:
    """Return the commands of the page, one per line."""
    section = (ROOT / "docs/workflows.md").read_text().partition("\n## Enterprise servers\n")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block).splitlines()


def make_server(folder: Path) -> Server:
    """Run the commands of the page: the release is in a repository here, and so is the server's."""
    upstream = released(folder / "upstream")
    bare, clone = folder / "server.git", folder / "bakery"
    run("git", "init", "--quiet", "--bare", bare, cwd=folder)
    lines = [
        line.replace("v1.0.0", f"v{VERSION}")
        .replace("https://github.com/OWNER/bakery", str(upstream))
        .replace(f"{upstream} &&", f"{upstream} {clone} &&")
        .replace(f"{URL}/{REPOSITORY}", str(bare))
        for line in commands()
    ]
    script = "\n".join([lines[0], environment(clone), *lines[1:]])
    names = {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    said = run("bash", "-euc", script, cwd=folder, **names)
    tree = folder / "tree"
    tree.mkdir()
    run("bash", "-euo", "pipefail", "-c", f"git archive {BRANCH} | tar -x -C {tree}", cwd=bare)
    commit = run("git", "rev-parse", f"v{VERSION}", cwd=upstream).strip()
    return Server(bare, clone, tree, commit, said)
