"""Render the template directory of an image to the files of a version. Source: config.md 17.

An undefined name is an error; all errors of a directory are reported together. Templates run in a sandbox: they belong
to the project, and a pull request may have changed them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from bakery.config import jinja
from bakery.config.project import Image, System, Variant, Version
from bakery.errors import ConfigurationError
from bakery.text import plural

ENDINGS = (".jinja2", ".j2", ".jinja")
_MACROS = Path(__file__).parent / "macros"
_CONTAINERFILE = "Containerfile"


class RenderedFile(Struct, frozen=True):
    """A file of a version: its path in the directory of the version, its content and its mode."""

    path: str
    content: bytes
    mode: int


class Rendered(Struct, frozen=True):
    """The files of a version, sorted by path, and notes about skipped templates."""

    files: tuple[RenderedFile, ...]
    notes: tuple[str, ...]


class TemplatesFailed(ConfigurationError):
    """Some templates cannot be rendered. faults: one line for each."""

    error_code = "project/template"

    def __init__(self, image: str, version: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "cannot render templates of", about=f"{image} {version}", why=plural(len(self.faults), "error")
        )

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *self.faults])


class _Job(Struct, frozen=True):
    """One output of one template. variant and system: those of a Containerfile."""

    template: str
    output: str
    variant: Variant | None = None
    system: System | None = None


def render_template_tree(context: Path, image: Image, version: Version, only: Sequence[str] = ()) -> Rendered:
    """Return the files of a version. only: regular expressions, of which one must match the start of a template's path.

    For a matrix, `version` is any of its rows: they differ only in build arguments.
    Raises TemplatesFailed with all errors, ConfigurationError if there is no template directory.
    """
    directory = context / image.subpath / "template"
    if not directory.is_dir():
        raise ConfigurationError(
            "cannot render templates of", about=f"{image.name} {version.name}",
            why=f"{image.subpath}/template is not a directory", hint="add a directory with the templates of the image",
        )  # fmt: skip
    environment = _environment(directory)
    shared = _shared(image, version)
    files: list[RenderedFile] = []
    notes: list[str] = []
    faults: list[str] = []
    for path in sorted(one for one in directory.rglob("*") if one.is_file()):
        name = path.relative_to(directory).as_posix()
        if name in _macro_names() or (only and not any(re.match(expression, name) for expression in only)):
            continue
        mode = path.stat().st_mode & 0o777
        if not name.endswith(ENDINGS):
            files.append(RenderedFile(name, path.read_bytes(), mode))
            continue
        for job in _jobs(name, image, version, notes):
            try:
                text = environment.get_template(job.template).render(_variables(shared, version, job))
            except Exception as error:  # noqa: BLE001  # a template may raise anything
                faults.append(_fault(job, image, version, error))
            else:
                files.append(RenderedFile(job.output, tidy(text).encode(), mode))
    if faults:
        raise TemplatesFailed(image.name, version.name, faults)
    return Rendered(tuple(files), tuple(notes))


def write_files(directory: Path, files: Sequence[RenderedFile]) -> None:
    """Write rendered files to a directory, with their modes. Existing files are overwritten, none are removed."""
    for file in files:
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)


def tidy(text: str) -> str:
    """Remove trailing blanks from every line, and end the text with one line end. An empty text stays empty."""
    cleaned = "\n".join(line.rstrip(" \t") for line in text.split("\n")).rstrip("\n")
    return f"{cleaned}\n" if cleaned else ""


def _environment(directory: Path) -> ImmutableSandboxedEnvironment:
    loader = ChoiceLoader([FileSystemLoader(directory), FileSystemLoader(_MACROS)])
    return jinja.environment(strict=True, loader=loader, keep_end=True)


@lru_cache(maxsize=1)
def _macro_names() -> frozenset[str]:
    """Return the names of our macro files. A file with such a name replaces ours and is not rendered itself."""
    return frozenset(path.name for path in _MACROS.iterdir())


def _jobs(name: str, image: Image, version: Version, notes: list[str]) -> Iterator[_Job]:
    ending = next(one for one in ENDINGS if name.endswith(one))
    output = name.removesuffix(ending)
    if not name.startswith(_CONTAINERFILE):
        yield _Job(name, output)
        return
    systems = {system.extension: system for system in version.systems}
    last = output.rpartition(".")[2] if "." in output else ""
    if last and systems and last not in systems and not version.matrix:
        notes.append(f"{name} is skipped: {image.name} {version.name} has no system {last!r}")
        return
    for variant in image.variants or (None,):
        yield _Job(name, f"{output}.{variant.extension}" if variant else output, variant, systems.get(last))


def _shared(image: Image, version: Version) -> dict[str, Any]:
    about: dict[str, Any] = {"Name": image.name, "DisplayName": image.display_name}
    path = {"Base": ".", "Image": image.subpath, "Version": f"{image.subpath}/{version.subpath}"}
    if version.matrix:
        return {"Image": about, "Path": path}
    about |= {"Version": version.name, "IsDevelopmentVersion": version.development}
    dependencies = {one.name: list(one.versions) for one in version.dependencies}
    return {"Image": about, "Path": path, "Dependencies": dependencies}


def _variables(shared: Mapping[str, Any], version: Version, job: _Job) -> dict[str, Any]:
    about = dict(shared["Image"])
    if job.variant is not None:
        about["Variant"] = job.variant.name
    if job.system is not None:
        build = job.system.build
        about["OS"] = {"Name": build.name, "Family": build.family, "Version": build.version, "Codename": build.codename}
        if job.system.download_url is not None and not version.matrix:
            about["DownloadURL"] = job.system.download_url
    values = {} if version.matrix else version.values
    return {**shared, "Image": about, **values}


def _fault(job: _Job, image: Image, version: Version, error: Exception) -> str:
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_in(job.template, error)
    where = f"{image.subpath}/template/{job.template}{f':{line}' if line else ''}"
    of = " ".join(filter(None, [image.name, version.name, job.variant.name if job.variant else ""]))
    text = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    return f"{where}: {text} ({of})"


def _line_in(template: str, error: Exception) -> int:
    """Return the line of the template that failed: Jinja2 rewrites tracebacks to contain it."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.replace("\\", "/").endswith(f"/template/{template}"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
