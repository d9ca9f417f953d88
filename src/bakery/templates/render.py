"""From an image's template directory to the files of a version. Reads templates, writes nothing. Source: config.md 17.

An undefined name is an error; every error of a tree is told, not just the first one. Templates run in a sandbox: they
come from the project, and a pull request may have changed them.
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

ENDINGS = (".jinja2", ".j2", ".jinja")
_MACROS = Path(__file__).parent / "macros"
_CONTAINERFILE = "Containerfile"


class RenderedFile(Struct, frozen=True):
    """A file of a version: its path under the version's directory, its bytes, and its mode."""

    path: str
    content: bytes
    mode: int


class Rendered(Struct, frozen=True):
    """The files of a version in the order of their paths, and notes on templates that were skipped."""

    files: tuple[RenderedFile, ...]
    notes: tuple[str, ...]


class TemplatesFailed(ConfigurationError):
    """Some templates cannot be rendered. `faults` has one line for each."""

    def __init__(self, image: str, version: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("rendering templates", about=f"{image} {version}", why=f"{len(self.faults)} failed")

    def __str__(self) -> str:
        return "\n".join([f"{self.what} of {self.about}: {self.why}", *self.faults])


class _Job(Struct, frozen=True):
    """One output of one template. system and variant: what the template may name, where it is a Containerfile."""

    template: str
    output: str
    variant: Variant | None = None
    system: System | None = None


def render_template_tree(context: Path, image: Image, version: Version, only: Sequence[str] = ()) -> Rendered:
    """The files of a version. only: expressions, of which a template's path must match one from its start.

    For a matrix, `version` is any of its rows: what tells rows apart comes through build arguments.
    Raises TemplatesFailed with every fault, ConfigurationError where there is no template directory.
    """
    directory = context / image.subpath / "template"
    if not directory.is_dir():
        raise ConfigurationError(
            "rendering templates", about=f"{image.name} {version.name}",
            why=f"{image.subpath}/template is no directory", hint="put the templates of the image there",
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
            except Exception as error:  # noqa: BLE001  # a template may raise anything; all of them are told together
                faults.append(_fault(job, image, version, error))
            else:
                files.append(RenderedFile(job.output, tidy(text).encode(), mode))
    if faults:
        raise TemplatesFailed(image.name, version.name, faults)
    return Rendered(tuple(files), tuple(notes))


def write_files(directory: Path, files: Sequence[RenderedFile]) -> None:
    """Put rendered files under a directory, with their modes. Files that stand there are overwritten, none removed."""
    for file in files:
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)


def tidy(text: str) -> str:
    """Lines without trailing blanks, and one line end at the end; an empty text stays empty."""
    cleaned = "\n".join(line.rstrip(" \t") for line in text.split("\n")).rstrip("\n")
    return f"{cleaned}\n" if cleaned else ""


def _environment(directory: Path) -> ImmutableSandboxedEnvironment:
    loader = ChoiceLoader([FileSystemLoader(directory), FileSystemLoader(_MACROS)])
    return jinja.environment(strict=True, loader=loader, keep_end=True)


@lru_cache(maxsize=1)
def _macro_names() -> frozenset[str]:
    """Names that a template directory may use to replace our macros: such a file is no template of an output."""
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
        notes.append(f"{image.name} {version.name} has no system {last!r}: {name} is skipped")
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
        about["OS"] = {
            "Name": build.name,
            "Family": build.family,
            "Version": build.version,
            "Codename": build.codename,
        }
        if job.system.download_url is not None and not version.matrix:
            about["DownloadURL"] = job.system.download_url
    values = {} if version.matrix else version.values
    return {**shared, "Image": about, **values}


def _fault(job: _Job, image: Image, version: Version, error: Exception) -> str:
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_in(job.template, error)
    where = f"{image.subpath}/template/{job.template}{f':{line}' if line else ''}"
    whom = " ".join(filter(None, [image.name, version.name, job.variant.name if job.variant else ""]))
    said = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    return f"{where}: {said} ({whom})"


def _line_in(template: str, error: Exception) -> int:
    """The line of the template that was being rendered; Jinja2 rewrites tracebacks so that they name it."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.replace("\\", "/").endswith(f"/template/{template}"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
