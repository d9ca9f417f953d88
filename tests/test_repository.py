"""Rules for the whole tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def tracked() -> list[Path]:
    # safe.directory: CI may run as root in a clone that belongs to another user.
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    files = [ROOT / name for name in listing.decode().split("\0") if name]
    return [file for file in files if file.is_file()]


def texts(*suffixes: str) -> list[tuple[Path, str]]:
    found = []
    for file in tracked():
        if not suffixes or file.suffix in suffixes:
            try:
                found.append((file, file.read_text("utf-8")))
            except UnicodeDecodeError:
                continue
    return found


def places(pattern: str, *suffixes: str, flags: int = 0) -> list[str]:
    """Return `file:line: match` for every match in the tree, except in this file."""
    expression = re.compile(pattern, flags)
    return [
        f"{file.relative_to(ROOT)}:{number}: {match[0]}"
        for file, text in texts(*suffixes)
        if file != Path(__file__)
        for number, line in enumerate(text.splitlines(), 1)
        if (match := expression.search(line))
    ]


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_no_file_names_a_package_host():
    assert places(r"pypi\.org|pythonhosted\.org|--(extra-)?index-url[ =]|proxy\.golang\.org") == []


def test_no_file_names_a_path_on_a_developers_machine():
    assert places(r"(?<![\w.{}/-])/(work|home/[a-z]+|Users)/") == []


LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")


def pins(lock: str) -> dict[str, str]:
    """Return the pinned requirements of a lock: name → the whole entry, with its hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    return {entry.partition("==")[0]: entry for entry in entries}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_in_a_lock_has_a_version_and_a_hash(lock):
    locked = pins(lock)
    assert len(locked) > 5
    assert [name for name, entry in locked.items() if not re.match(r"[\w-]+==\S+ (.|\n)*--hash=sha256:", entry)] == []


def test_what_runs_is_locked_apart_and_development_adds_to_it():
    runtime, build, development = map(pins, LOCKS)
    assert len(runtime) < 30
    versions = [  # without markers: development may need on Linux what runs only on Windows
        {name: re.sub(r" ;[^\\]*", " ", entry) for name, entry in lock.items()}
        for lock in (runtime | build, development)
    ]
    assert versions[0].items() <= versions[1].items()
    assert {"mypy", "pytest", "ruff", "uv"} <= development.keys() - runtime.keys()


def names(requirements: list[str | dict[str, str]]) -> list[str]:
    return [re.split(r"[<>=!~;\[ ]", one)[0] for one in requirements if isinstance(one, str)]


def test_every_dependency_is_locked_and_documented():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = (declared["project"]["dependencies"], *(declared["dependency-groups"][one] for one in ("build", "dev")))
    reasons = (ROOT / "docs/dependencies.md").read_text()
    for lock, requirements in zip(LOCKS, wanted, strict=True):
        locked = pins(lock)
        assert [name for name in names(requirements) if name.lower().replace(".", "-") not in locked] == [], lock
    everything = [name for requirements in wanted for name in names(requirements)]
    pattern = r"\| ([\w-]+, )*{}(, [\w-]+)* \|"
    assert [name for name in everything if not re.search(pattern.format(re.escape(name)), reasons)] == []


def test_every_extra_that_is_named_exists_and_its_packages_are_in_the_lock_of_development():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [file.read_text() for folder in ("src", "docs") for file in (ROOT / folder).rglob("*.[pm][yd]")]
    named = {extra for text in texts for extra in re.findall(rf"{project['name']}\[(\w+)\]", text)}
    assert named == set(extras)
    locked = pins(LOCKS[-1])
    assert [name for packages in extras.values() for name in names(packages) if name not in locked] == []


def test_no_name_is_exempt_from_vulture_that_is_used(tmp_path):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["vulture"]
    found = subprocess.run(  # outside of the tree: without its list of exempt names
        [sys.executable, "-m", "vulture", ROOT / "src", "--ignore-decorators", ",".join(config["ignore_decorators"])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    unused = set(re.findall(r"unused \w+ '(\w+)'", found.stdout))
    assert unused, found.stderr
    assert set(config["ignore_names"]) - unused == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/performance.md", ".ci/run"])
def test_every_make_command_named_in_a_document_exists(document):
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / document).read_text(), re.MULTILINE))
    assert named
    assert named <= makefile_targets()


def test_make_help_explains_every_target():
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r'@echo "make ([a-z]+)', makefile))
    assert makefile_targets() - explained == {"help"}
    assert explained == set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()) - {"help"}


@pytest.mark.parametrize("command", ["ci publish", "ci summary", "build"])
def test_every_option_used_in_the_readme_exists(command):
    readme = (ROOT / "README.md").read_text()
    given = {
        option for line in re.findall(rf"bakery {command} (.*)", readme) for option in re.findall(r"--[a-z-]+", line)
    }
    assert given
    program = Path(sys.executable).with_name("bakery")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
    shown = subprocess.run(
        [program, *command.split(), "--help"], env=environment, check=True, capture_output=True
    ).stdout
    assert given <= set(re.findall(r"--[a-z-]+", shown.decode()))


def test_no_link_between_documents_is_dead():
    dead = [
        f"{file.relative_to(ROOT)}: {link}"
        for file, text in texts(".md")
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in link and not (file.parent / link).exists()
    ]
    assert dead == []


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_link_to_a_heading_is_dead():
    dead = [
        f"{file.relative_to(ROOT)}: {link}#{anchor}"
        for file, text in texts(".md")
        for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text)
        if "://" not in link
        and (target := file.parent / link if link else file).suffix == ".md"
        and anchor not in anchors(target.read_text())
    ]
    assert dead == []


def test_every_decision_is_in_the_index_with_its_title():
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    titles = {page.name: page.read_text().splitlines()[0].partition(": ")[2] for page in pages}
    index = (ROOT / "docs/decisions/README.md").read_text()
    assert pages
    assert dict(re.findall(r"\]\((\d{4}-[\w-]+\.md)\) \| (.*) \|", index)) == titles
    assert len({name[:4] for name in titles}) == len(titles), "two decisions have the same number"


def test_yaml_blocks_in_the_readme_are_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        assert {"jobs", "merge"} & yaml.safe_load(block).keys()


def test_the_readme_publishes_what_was_built_when_a_build_fails():
    (block,) = re.findall(r"```yaml\n(name: images.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    jobs = yaml.safe_load(block)["jobs"]
    assert jobs["build"]["strategy"]["fail-fast"] is False
    (upload,) = [step for step in jobs["build"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["if"] == "${{ !cancelled() }}"
    assert upload["with"]["if-no-files-found"] == "error"
    assert jobs["publish"]["if"] == "${{ !cancelled() }}"
    (build,) = [step["run"] for step in jobs["build"]["steps"] if "bakery build" in step.get("run", "")]
    assert "--image-platform" in build
    assert "--set" not in build


def test_no_module_is_longer_than_600_lines():
    assert [f"{file.relative_to(ROOT)}" for file, text in texts(".py") if text.count("\n") > 600] == []


def test_no_module_has_a_meaningless_name():
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
    assert [f"{file.relative_to(ROOT)}" for file, _ in texts(".py") if file.stem in empty] == []


def test_the_code_has_no_open_ends():
    words = (
        "TO" + "DO",
        "FIX" + "ME",
        "X" * 3,
        "NotImplemented" + "Error",
    )  # in parts, so that this file does not match
    assert places(rf"\b({'|'.join(words)})\b", ".py", ".sh") == []


def test_every_suppressed_check_has_a_reason():
    assert places(r"#\s*type:\s*ignore(\[[^\]]*\])?\s*$|#\s*noqa(:\s*[A-Z0-9, ]+)?\s*$", ".py") == []


def test_every_folder_of_tests_is_a_package():
    folders = {file.parent for file, _ in texts(".py") if file.is_relative_to(ROOT / "tests")}
    assert [f"{folder.relative_to(ROOT)}" for folder in folders if not (folder / "__init__.py").exists()] == []


def test_shell_scripts_are_executable_and_parse():
    scripts = [file for file, text in texts() if re.match(r"#!.*\bbash\b", text)]
    assert ROOT / ".ci/run" in scripts
    for script in scripts:
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", script], check=True)
