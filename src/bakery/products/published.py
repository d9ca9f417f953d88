"""The published versions of dependencies, and those that satisfy a constraint. Source: config.md 8 and 10."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from bakery.config.project import Constraint
from bakery.products.pages import Pages, unexpected
from bakery.targets.catalog import LookupFailed

PYTHON = "https://raw.githubusercontent.com/astral-sh/uv/refs/heads/main/crates/uv-python/download-metadata.json"
R = "https://cdn.posit.co/r/versions.json"
QUARTO = "https://quarto.org/docs/download/_download.json"
QUARTO_PRERELEASE = "https://quarto.org/docs/download/_prerelease.json"
QUARTO_OLDER = (
    "https://raw.githubusercontent.com/quarto-dev/quarto-web/refs/heads/main/docs/download/_download-older.yml"
)
POSITRON = "https://cdn.posit.co/positron/releases/pwb/x86_64/all-releases.json"
POSITRON_DAILY = "https://cdn.posit.co/positron/dailies/pwb/x86_64/releases.json"

_NOT_RELEASED = frozenset({"devel", "next"})


def urls(constraint: Constraint) -> tuple[str, ...]:
    """Return the URLs that list the versions for a constraint."""
    name = constraint.dependency
    if name == "python":
        return (PYTHON,)
    if name == "R":
        return (R,)
    if name == "positron":
        return (POSITRON, POSITRON_DAILY) if constraint.prerelease else (POSITRON,)
    found = (QUARTO, QUARTO_PRERELEASE) if constraint.prerelease else (QUARTO,)
    newest_only = constraint.latest and (constraint.count or 1) == 1 and constraint.min is None
    return found if newest_only else (*found, QUARTO_OLDER)


def resolve(constraint: Constraint, pages: Pages) -> tuple[str, ...]:
    """Return the versions that satisfy a constraint, newest first. Raises LookupFailed if none match."""
    published = [text for url in urls(constraint) for text in _read(url, pages)]
    chosen = choose(constraint, published)
    about = f"{constraint.dependency} ({_described(constraint)})"
    if not chosen:
        newest = choose(_any_newest(constraint), published)
        raise LookupFailed(
            "cannot find a version of", about=about, why=f"the newest published version is {(*newest, 'unknown')[0]}",
            hint="change the constraint",
        )  # fmt: skip
    if constraint.dependency == "quarto" and len(chosen) > 1:
        raise LookupFailed(
            "ambiguous constraint on", about=about, why=f"quarto must have a single version, not {', '.join(chosen)}",
            hint="add `count: 1`",
        )  # fmt: skip
    return chosen


def _any_newest(constraint: Constraint) -> Constraint:
    return Constraint(constraint.dependency, True, None, None, None, constraint.prerelease)


def _described(constraint: Constraint) -> str:
    return ", ".join(f"{key}: {str(value).lower()}" for key, value in constraint.bounds.items())


def choose(constraint: Constraint, published: Iterable[str]) -> tuple[str, ...]:
    """Return those of the versions that satisfy a constraint: the highest of each minor version, newest first. Pure."""
    versions: dict[Version, str] = {}
    for text in published:
        spelled = text.removeprefix("v")
        try:
            versions.setdefault(Version(spelled), spelled)
        except InvalidVersion:
            continue  # a name such as `devel`
    minors: dict[tuple[int, int], Version] = {}
    for version in sorted(versions, reverse=True):
        if _above(version, constraint.max) or _below(version, constraint.min):
            continue
        minors.setdefault((version.major, version.minor), version)
    ordered = [versions[version] for version in minors.values()]
    count = constraint.count
    if count is None and constraint.latest and constraint.min is None:
        count = 1
    return tuple(ordered[:count])


def _above(version: Version, limit: str | None) -> bool:
    """Return whether a version is above `max`, compared at its precision: `4` includes 4.9, `4.5` includes 4.5.9."""
    if limit is None:
        return False
    bound = _bound(limit)
    parts = len(bound.release)
    if parts > 2:
        return version > bound
    return (version.major, version.minor)[:parts] > bound.release


def _below(version: Version, limit: str | None) -> bool:
    return limit is not None and version < _bound(limit)


def _bound(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as error:
        raise LookupFailed("invalid bound", about=repr(text), why="expected a version") from error


def _read(url: str, pages: Pages) -> list[str]:
    if url == QUARTO_OLDER:
        from bakery.config.yaml.document import Document
        from bakery.config.yaml.problem import InvalidProject

        try:
            entries = Document(pages.text(url), url).value
        except InvalidProject as error:
            raise unexpected(url, str(error)) from error
        return _texts(url, (_member(url, entry, "title") for entry in _list(url, entries)))
    document = pages.json(url)
    if url == PYTHON:
        if not isinstance(document, Mapping):
            raise unexpected(url, "expected an object")
        return [_python(url, entry) for entry in document.values() if _is_release(entry)]
    if url == R:
        return [
            text for text in _texts(url, _list(url, _member(url, document, "r_versions"))) if text not in _NOT_RELEASED
        ]
    if url == POSITRON:
        releases = _list(url, _member(url, document, "releases"))
        return _texts(url, (_member(url, entry, "version") for entry in releases))
    return _texts(url, [_member(url, document, "version")])


def _is_release(entry: Any) -> bool:
    return (
        isinstance(entry, Mapping)
        and entry.get("name") == "cpython"
        and entry.get("os") == "linux"
        and not entry.get("prerelease")
    )


def _python(url: str, entry: Any) -> str:
    return ".".join(str(_member(url, entry, part)) for part in ("major", "minor", "patch"))


def _member(url: str, value: Any, key: str) -> Any:
    if not isinstance(value, Mapping) or key not in value:
        raise unexpected(url, f"`{key}` is missing")
    return value[key]


def _list(url: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise unexpected(url, "expected a list")
    return value


def _texts(url: str, values: Iterable[Any]) -> list[str]:
    found = list(values)
    if not all(isinstance(value, str) for value in found):
        raise unexpected(url, "expected versions as strings")
    return found
