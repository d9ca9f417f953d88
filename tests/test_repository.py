"""Rules that hold for the tree as a whole, not for one module."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]


def tracked() -> list[Path]:
    # safe.directory: CI may run as root in a clone that belongs to somebody else.
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
    """`file:line: what` for every match in the tree, this file left out."""
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


def test_the_tree_names_no_package_host():
    assert places(r"pypi\.org|pythonhosted\.org|--(extra-)?index-url[ =]|proxy\.golang\.org") == []


def test_the_tree_names_no_path_of_a_developers_machine():
    assert places(r"(?<![\w.{}/-])/(work|home/[a-z]+|Users)/") == []


def test_every_requirement_in_the_lock_has_a_hash():
    lock = (ROOT / "requirements.lock").read_text()
    requirements = re.split(r"\n(?=\S)", lock.strip())
    assert len(requirements) > 20
    assert [one.split()[0] for one in requirements if "--hash=sha256:" not in one] == []
    assert [one.split()[0] for one in requirements if "==" not in one.split()[0]] == []


def test_every_dependency_is_in_the_lock_and_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = [re.split(r"[<>=!~;\[ ]", one)[0] for one in wanted]
    lock = "\n" + (ROOT / "requirements.lock").read_text()
    reasons = (ROOT / "docs/dependencies.md").read_text()
    assert [name for name in names if f"\n{name.lower().replace('.', '-')}==" not in lock] == []
    assert [name for name in names if not re.search(rf"\| ([\w-]+, )*{re.escape(name)}(, [\w-]+)* \|", reasons)] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/performance.md", ".ci/run"])
def test_every_make_command_that_a_document_names_exists(document):
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / document).read_text(), re.MULTILINE))
    assert named
    assert named <= makefile_targets()


def test_every_make_target_is_explained_by_make_help():
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r'@echo "make ([a-z]+)', makefile))
    assert makefile_targets() - explained == {"help"}
    assert explained == set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()) - {"help"}


@pytest.mark.parametrize("command", ["ci publish", "ci summary", "build"])
def test_every_option_that_the_readme_gives_a_command_exists(command):
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


def test_links_between_documents_lead_somewhere():
    dead = [
        f"{file.relative_to(ROOT)}: {link}"
        for file, text in texts(".md")
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in link and not (file.parent / link).exists()
    ]
    assert dead == []


def test_every_decision_stands_in_the_index():
    pages = {page.name for page in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    index = (ROOT / "docs/decisions/README.md").read_text()
    assert pages
    assert set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index)) == pages
    assert len({name[:4] for name in pages}) == len(pages), "two decisions with one number"


def test_yaml_blocks_of_the_readme_are_yaml():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        assert YAML(typ="safe").load(block)["jobs"]


def test_no_module_is_longer_than_600_lines():
    assert [f"{file.relative_to(ROOT)}" for file, text in texts(".py") if text.count("\n") > 600] == []


def test_no_module_is_called_by_a_name_that_says_nothing():
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
    assert [f"{file.relative_to(ROOT)}" for file, _ in texts(".py") if file.stem in empty] == []


def test_nothing_is_left_for_later_in_the_code():
    words = (
        "TO" + "DO",
        "FIX" + "ME",
        "X" * 3,
        "NotImplemented" + "Error",
    )  # in parts: a search finds none
    assert places(rf"\b({'|'.join(words)})\b", ".py", ".sh") == []


def test_what_is_switched_off_for_a_checker_says_why():
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
