"""Projects from the few lines that a test is about; the other lines that a project needs are added."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from bakery.config.load import parse_project
from bakery.config.project import Project
from bakery.config.schema.options_registry import OptionsRegistry
from bakery.config.yaml.problem import InvalidProject, Problem

HEAD = "repository: {url: https://example.org/x}\n"


def project(text: str, *, strict: bool = False, options: OptionsRegistry | None = None) -> Project:
    """Return the project in a text. `repository` is added if it is missing."""
    body = dedent(text)
    if not body.startswith("{") and not any(
        line.startswith(("repository:", "# repository:")) for line in body.splitlines()
    ):
        body = HEAD + body
    return parse_project(body, Path("/nowhere"), "bakery.yaml", options=options, strict=strict)


def image(text: str, *, strict: bool = False) -> Project:
    """Return a project with one image that has these keys. Its name is `app` unless given."""
    body = dedent(text)
    if not any(line.startswith("name:") for line in body.splitlines()):
        body = f"name: app\n{body}"
    return project("images:\n  -\n" + indent(body, "    "), strict=strict)


def problems(build: object, text: str, *, strict: bool = False) -> tuple[Problem, ...]:
    """Return every error and warning about a text, whether or not it is valid."""
    try:
        return build(text, strict=strict).problems  # type: ignore[operator,no-any-return]  # one of the two above
    except InvalidProject as error:
        return error.problems


def errors(build: object, text: str, *, strict: bool = False) -> list[tuple[str, str]]:
    """Return path and message of every error."""
    return [(p.path, p.message) for p in problems(build, text, strict=strict) if not p.warning]


def warnings(build: object, text: str) -> list[tuple[str, str]]:
    """Return path and message with hint of every warning."""
    return [(p.path, f"{p.message}. {p.hint}") for p in problems(build, text) if p.warning]
