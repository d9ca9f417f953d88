"""From a directory with bakery.yaml to a frozen `Project`, or to every problem in the file. Source: config.md 1 to 12.

Reads that one file and git's files; no network, no process but through `run_git`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bakery.config.git import RunGit, revision
from bakery.config.inheritance import ProjectBuilder
from bakery.config.project import Project
from bakery.config.references import check_references
from bakery.config.rules import Rules
from bakery.config.schema.declarations import ProjectPart
from bakery.config.schema.mismatch import expected_mapping, expected_word
from bakery.config.schema.options_registry import OptionsRegistry
from bakery.config.schema.reader import read
from bakery.config.tags import check_patterns
from bakery.config.traversal import images, mappings
from bakery.config.yaml.document import Document
from bakery.config.yaml.problem import Finding, InvalidProject, Keys, Problem, alternatives
from bakery.errors import ConfigurationError
from bakery.files import MISSING, NO_FILE, cannot_find, not_a_file, real_path

NAMES = ("bakery.yaml", "bakery.yml")
_MAX_BYTES = 64 * 1024 * 1024  # a thousand times the size of a large project


def project_in(context: Path) -> Path | None:
    """Return what has the name of a project file in a directory, whatever it is. Parents are not searched."""
    paths = (context / name for name in NAMES)
    return next((path for path in paths if cannot_find(path) != MISSING or path.is_symlink()), None)


def find_project(context: Path) -> Path:
    """Return the project file of a directory. Raises ConfigurationError if it is missing or cannot be read."""
    path = project_in(context)
    if path is None:
        raise ConfigurationError(
            f"cannot find {' or '.join(NAMES)} in", about=context.absolute(),
            hint="run in the directory of a project, or name it with --context",
        )  # fmt: skip
    if why := not_a_file(path):
        raise ConfigurationError("cannot read", about=path, why="it is a link to nowhere" if why == NO_FILE else why)
    _check_inside(path, context)
    return path


def _check_inside(path: Path, context: Path) -> None:
    """Raise ConfigurationError for a link out of the project: messages would quote lines of a file elsewhere."""
    if path.is_symlink() and not real_path(path).is_relative_to(real_path(context)):
        why = "it is a link to a file outside of the project"
        raise ConfigurationError("cannot read", about=path, why=why, hint="copy the file into the project")


def load_project(
    context: Path, *, options: OptionsRegistry | None = None, strict: bool = False, run_git: RunGit | None = None
) -> Project:
    """Read and check the project in a directory.

    options: the tools whose options are allowed; the built-in ones by default. strict: warnings that may hide a mistake
    (unknown keys) are errors. run_git: used if git's files do not name the revision. Raises InvalidProject with all
    problems, ConfigurationError without a file.
    """
    path = find_project(context)
    shown_path = str(path) if context != Path() else path.name
    project = parse_project(_text(path, shown_path), context, shown_path, options=options, strict=strict)
    return replace(project, revision=revision(context, run_git))


def parse_project(
    text: str, context: Path, file: str, *, options: OptionsRegistry | None = None, strict: bool = False
) -> Project:
    """Return the project that a text describes. file: its name in messages. Raises InvalidProject."""
    registry = options if options is not None else OptionsRegistry()
    with _no_garbage_collection():
        document = Document(text, file)
        raw = {} if document.value is None else document.value
        if not isinstance(raw, dict):
            raise InvalidProject(file, [document.problem(Finding((), *expected_mapping(raw)))])
        findings = [*document.findings, *Rules(registry).project(raw), *check_references(raw), *check_patterns(raw)]
        part, faults = read(raw, ProjectPart)
        entries, option_faults = _read_options(raw, registry)
        problems = _problems(document, [*findings, *faults, *option_faults], strict=strict)
        if part is None or any(not problem.warning for problem in problems):
            raise InvalidProject(file, problems)
        builder = ProjectBuilder(part, entries, registry)
        return Project(
            context, file, builder.repository(), builder.registries, tuple(builder.images()), problems, document
        )


def _text(path: Path, shown_path: str) -> str:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ConfigurationError(
                "cannot read", about=shown_path, why=f"it has {size:,} bytes, at most {_MAX_BYTES:,} are allowed"
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError("cannot read", about=shown_path, why=str(error.strerror or error)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "cannot read", about=shown_path, why=f"byte {error.start} is not valid UTF-8", hint="save the file as UTF-8"
        ) from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Reading creates many objects and no garbage; the collector would traverse all of them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _problems(document: Document, findings: Iterable[Finding], *, strict: bool) -> tuple[Problem, ...]:
    unique = dict.fromkeys(findings)
    if strict:
        unique = dict.fromkeys(replace(one, warning=False, strict=False) if one.strict else one for one in unique)
    problems = [document.problem(found) for found in unique]
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))


def _read_options(raw: dict[Any, Any], registry: OptionsRegistry) -> tuple[dict[Keys, dict[str, Any]], list[Finding]]:
    """Return the options by the path of the image or variant that has them, then by tool; and their faults."""
    read_entries: dict[Keys, dict[str, Any]] = {}
    findings: list[Finding] = []
    for path, holder in _option_holders(raw):
        for index, entry in mappings(holder, "options"):
            place = (*path, "options", index)
            tool = entry.get("tool")
            if "tool" not in entry:
                text = f"`tool` is missing: expected {alternatives(list(registry))}"
                findings.append(Finding((*place, "tool"), text))
            elif not isinstance(tool, str) or tool not in registry:
                findings.append(Finding((*place, "tool"), *expected_word(tool, list(registry))))
            else:
                options, faults = registry[tool].read(entry, place)
                findings += faults
                if options is not None:
                    read_entries.setdefault(path, {}).setdefault(tool, options)
    return read_entries, findings


def _option_holders(raw: dict[Any, Any]) -> Iterator[tuple[Keys, dict[Any, Any]]]:
    for path, image in images(raw):
        yield path, image
        for index, variant in mappings(image, "variants"):
            yield (*path, "variants", index), variant
