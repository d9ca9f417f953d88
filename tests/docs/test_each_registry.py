"""docs/each-registry.md: every publish that it shows works against the embedded registry that behaves so."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from bakery.rehearsal import serving
from tests.engines.workload import add_image, layer
from tests.install.trees import BIN, ROOT

PAGE = ROOT / "docs" / "each-registry.md"
PROFILES = {
    "GHCR": "ghcr",
    "Docker Hub": "hub",
    "Amazon ECR": "ecr",
    "Google Artifact Registry": "gar",
    "Azure Container Registry": "",
    "GitLab": "distribution",
    "Harbor": "harbor",
}


def sections() -> dict[str, list[str]]:
    """The commands of each section."""
    parts = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: re.search(r"```sh\n(.*?)```", part, re.DOTALL)[1].splitlines() for part in parts}  # type: ignore[index] # every section has one


def test_every_registry_of_the_page_has_a_behaviour_to_run_against():
    assert list(sections()) == list(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_a_login_is_a_line_that_the_shell_reads(name):
    *login, _ = sections()[name]
    subprocess.run(["bash", "-n"], input="\n".join(login), text=True, check=True, timeout=60)
    assert any("login" in line for line in login)


@pytest.mark.parametrize("name", PROFILES)
async def test_the_publish_of_a_section_works_there(name, tmp_path: Path):
    command = sections()[name][-1]
    (reference,) = re.findall(r"--tag (\S+)", command)
    host, path, tags = re.fullmatch(r"([^/]+)/(.+):(.+)", reference).groups()  # type: ignore[union-attr] # of the page
    registry = serving.create_registry(serving.ServeOptions(faults=PROFILES[name]))
    async with registry:
        (tmp_path / "metadata").mkdir()
        for architecture in ("amd64", "arm64"):
            image = add_image(registry, "team/tmp", f"linux/{architecture}", layers=[layer(architecture)], salt=name)
            built = {"image.name": f"{registry.address}/team/tmp", "containerimage.digest": str(image.digest)}
            (tmp_path / f"metadata/{architecture}.json").write_text(json.dumps(built))
        program, *words = shlex.split(command.replace(host, registry.address))
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        process = await asyncio.create_subprocess_exec(
            BIN / program, *words, cwd=tmp_path, env=environment, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert set(registry.tags(path)) == set(tags.split(","))
