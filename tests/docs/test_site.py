"""The site: it builds without a warning, no internal link is dead, and the reference has all that the code has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from website.examples import EXAMPLES, INHERITED
from website.reference import pages
from website.variables import VARIABLES

from bakery.errors import ExitCode
from tests.install.trees import ROOT

pytestmark = [pytest.mark.slow]


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.anchors.add(str(found["id"]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in ("script", "img", "link") and found.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(str(found.get("src") or found.get("href") or ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def found(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text("utf-8")) for file in site.rglob("*.html") if file.name != "404.html"}


def test_no_internal_link_is_dead(found: dict[Path, Page]):
    dead = []
    for file, page in found.items():
        for link in page.links:
            path, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", path):
                continue
            target = (file.parent / unquote(path)).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (anchor and target in found and unquote(anchor) not in found[target].anchors):
                dead.append(f"{file}: {link}")
    assert len(found) > 40
    assert dead == []
    assert any(file.parent.name == "security" for file in found)


def test_a_page_loads_nothing_from_other_hosts(found: dict[Path, Page]):
    assert [one for page in found.values() for one in page.loaded if re.match(r"(https?:)?//", one)] == []


def test_the_reference_has_every_command_key_code_and_variable():
    reference = pages()
    for command in ("bakery publish", "bakery ci publish", "bakery registry serve", "bakery imagetools create"):
        assert f"\n## {command}\n" in reference["commands.md"]
    assert "Examples:" in reference["commands.md"]
    assert "| `labelNamespace` |" in reference["bakery-yaml.md"]
    assert all(f"\n| {code.value} |" in reference["exit-codes.md"] for code in ExitCode)
    assert "## TagMoved" in reference["events.md"]
    assert "journal" in reference["formats.md"]


def test_every_variable_of_the_code_is_in_the_reference():
    code = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    named = {name.rstrip("_") for name in re.findall(r"\bBAKERY_[A-Z_]+", code)}
    families = {name.removesuffix("_*") for name in VARIABLES if name.endswith("_*")}
    plain = {name for name in named if not any(name.startswith(family) for family in families)}
    assert plain == {name for name in VARIABLES if not name.endswith("_*")}


@pytest.mark.parametrize("part", EXAMPLES)
def test_an_example_of_the_keys_is_valid(part, tmp_path):
    import jsonschema

    from bakery.config.schema.json_schema import project_schema

    schema = project_schema()
    document = yaml.safe_load(EXAMPLES[part])
    document.setdefault("repository", {"url": "https://github.com/acme/images"})
    jsonschema.validate(document, schema)
    assert part == "The file" or part in schema["$defs"]


def parts():
    """Every part of bakery.yaml with its keys."""
    from bakery.config.schema.json_schema import project_schema

    schema = project_schema()
    return {name: part["properties"] for name, part in {"The file": schema, **schema["$defs"]}.items()}


def test_what_is_said_to_be_inherited_is_a_key():
    assert [key for part, key in INHERITED if key not in parts()[part]] == []


# Keys of one name that are about different things: the name of an image is not that of its versions.
DISTINCT = {"name", "subpath", "dependencyConstraints"}
INSIDE = {
    "ImagePart": ["VersionPart", "MatrixPart", "VariantPart", "ChannelPart", "StreamPart", "NewestPart"],
    "The file": ["ImagePart"],
}


def test_a_key_that_a_part_has_in_common_with_the_part_around_it_is_said_to_be_inherited():
    found = parts()
    common = {
        (inner, key)
        for outer, inside in INSIDE.items()
        for inner in inside
        for key in (found[inner].keys() & found[outer].keys()) - DISTINCT
    }
    assert len(common) > 10
    assert common - INHERITED.keys() == set()


def test_every_key_has_a_meaning_and_every_part_an_example():
    rows = [line for line in pages()["bakery-yaml.md"].splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(keys) for keys in parts().values())
    assert [row for row in rows if not all(cell.strip() for cell in row.replace("\\|", "").split("|")[1:-1])] == []
    assert parts().keys() == EXAMPLES.keys()


def test_where_values_come_from_is_what_the_loaded_project_has(tmp_path):
    from bakery.config.load import load_project

    (tmp_path / "bakery.yaml").write_text(INHERITING)
    (image,) = load_project(tmp_path).images
    (version,), (variant,), (dev,) = image.versions, image.variants, image.dev_sources
    assert version.repositories == dev.repositories == ("a.example/app", "b.example/app")
    assert version.build_target == "final"
    assert (variant.options["goss"].wait, variant.options["goss"].timeout) == (7, 30)
    assert [group.patterns for group in image.tag_patterns] == [("{{ Version }}",)]
    assert image.tag_policy == {"latest": "no-downgrade", "version": "immutable"}


INHERITING = """
repository: { url: "https://github.com/acme/images" }
registries: [{ host: a.example }]
tagPolicy: { latest: warn, version: immutable }
images:
  - name: app
    buildTarget: final
    extraRegistries: [{ host: b.example }]
    tagPatterns: [{ patterns: ["{{ Version }}"] }]
    tagPolicy: { latest: no-downgrade }
    options: [{ tool: goss, wait: 5, timeout: 30 }]
    variants: [{ name: Standard, options: [{ tool: goss, wait: 7 }] }]
    versions: [{ name: 1.2.3 }]
    devVersions: [{ sourceType: channel, product: connect, channel: daily }]
"""
