"""The examples of docs/coming-from.md run as they are printed, with registries of the test."""

import re
import shlex
from pathlib import Path

import pytest

from bakery.rehearsal.embedded import EmbeddedRegistry
from tests.engines.workload import add_image, layer
from tests.program import run_bakery

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"


def examples() -> dict[str, list[str]]:
    """Return the commands of each section, by its heading."""
    sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {one.partition("\n")[0]: re.findall(r"^\$ (bakery .*)$", one, re.MULTILINE) for one in sections}


@pytest.mark.parametrize("section", examples())
async def test_the_examples_of_a_section_work(section, tmp_path):
    commands = examples()[section]
    assert commands
    async with EmbeddedRegistry() as one, EmbeddedRegistry() as two:
        for name in ("amd64", "arm64"):
            image = add_image(one, "tmp", f"linux/{name}", layers=[layer(name)], salt=name)
            one.put_manifest("tmp", one.manifest("tmp", image.digest)[1], name)
        for command in commands:
            command = command.replace("registry.example", one.address).replace("other.example", two.address)
            done = await run_bakery(tmp_path, *shlex.split(command)[1:])
            assert done.code == 0, f"{command}\n{done.err}"
        assert any(one.tags(repository) for repository in one.repositories() if repository.startswith("acme/"))
