"""The rows of a matrix: one version per combination, and which of them are latest. Pure. Source: config.md 9."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from msgspec import Struct

from bakery.config.filters import strip_patch, trim
from bakery.config.project import Dependency, Matrix, Version
from bakery.config.yaml.problem import Finding, Keys

if TYPE_CHECKING:
    from packaging.version import Version as Pep440

    _Rank = tuple[list[Pep440], list[list[tuple[int, ...]]]]

MAX_ROWS = 20_000  # more are probably a mistake in the axes

_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class Rows(Struct, frozen=True):
    """The rows in the order of the axes, the last axis varying fastest, and the findings about them."""

    versions: tuple[Version, ...]
    findings: tuple[Finding, ...]


class _Axis(Struct, frozen=True):
    """A dependency or a value with its items. fixed: a plain value, which is not an axis."""

    name: str
    items: tuple[str, ...]
    dependency: bool
    fixed: bool = False


def rows(matrix: Matrix, resolved: Mapping[str, Sequence[str]]) -> Rows:
    """Return every combination. resolved: the versions that satisfy the constraints, newest first, by dependency."""
    axes = [_Axis(one.name, one.versions, True) for one in matrix.dependencies]
    axes += [_Axis(one.dependency, tuple(resolved[one.dependency]), True) for one in matrix.constraints]
    for key, value in matrix.values.items():
        axes.append(_Axis(key, (value,) if isinstance(value, str) else value, False, isinstance(value, str)))
    count = prod(len(axis.items) for axis in axes)
    if count > MAX_ROWS:
        return Rows((), (Finding(matrix.place, f"the matrix has {count:,} rows, at most {MAX_ROWS:,} are allowed"),))
    findings: list[Finding] = []
    latest = _latest(axes, matrix.place, findings)
    chosen = list(product(*(axis.items for axis in axes)))
    patches = _latest_patches(axes, chosen, matrix.place, findings)
    versions = []
    for items in chosen:
        dependencies = tuple(
            Dependency(axis.name, (item,)) for axis, item in zip(axes, items, strict=True) if axis.dependency
        )
        values = {axis.name: item for axis, item in zip(axes, items, strict=True) if not axis.dependency}
        name, fault = _name(matrix, dependencies, values)
        if fault:
            findings.append(Finding((*matrix.place, "namePattern"), fault))
            break
        versions.append(
            Version(
                name=name,
                subpath=matrix.subpath,
                latest=items == latest,
                systems=matrix.systems,
                dependencies=dependencies,
                values=values,
                repositories=matrix.repositories,
                build_target=matrix.build_target,
                place=matrix.place,
                matrix=True,
                latest_patch=items in patches,
            )
        )
    return Rows(tuple(versions), tuple(findings))


def build_args(version: Version) -> dict[str, str]:
    """Return the build arguments of a row: the version of each dependency, then each value, with keys in upper case."""
    args = {f"{one.name.upper()}_VERSION": one.versions[0] for one in version.dependencies if one.versions}
    return args | {key.upper(): value for key, value in version.values.items()}


def _name(matrix: Matrix, dependencies: Sequence[Dependency], values: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of a row and "", or "" and what is wrong with the name pattern."""
    if matrix.name_pattern is None:
        parts = [f"{one.name}{one.versions[0]}" for one in dependencies]
        parts += [f"{key}{values[key]}" for key in sorted(values)]
        rendered = "-".join(parts)
    else:
        from bakery.config import jinja  # slow to import; few patterns need it

        context = {"Dependencies": {one.name: one.versions[0] for one in dependencies}, "Values": dict(values)}
        try:
            rendered = jinja.render_pattern(matrix.name_pattern, context)
        except Exception as error:  # noqa: BLE001  # a filter may raise anything
            reason = str(error) or type(error).__name__
            return "", f"cannot render the name pattern {matrix.name_pattern!r}: {reason}"
    name = trim(rendered)
    return name, "" if name else f"the name pattern {matrix.name_pattern!r} produces an empty name"


def _parsed(axes: Iterable[_Axis], place: Keys, outcome: str, findings: list[Finding]) -> dict[str, Pep440] | None:
    """Return the items of axes as versions, or None and a finding if one is not a version. outcome: for the finding."""
    from packaging.version import InvalidVersion  # slow to import; most projects have no matrix
    from packaging.version import Version as Pep440

    versions = {}
    for axis in axes:
        for item in axis.items:
            try:
                versions[item] = Pep440(item)
            except InvalidVersion:
                at = place if axis.dependency else (*place, "values", axis.name)
                text = f"{item!r} in the axis {axis.name!r} is not a version, so {outcome}"
                findings.append(Finding(at, text, warning=True))
                return None
    return versions


def _latest(axes: Sequence[_Axis], place: Keys, findings: list[Finding]) -> tuple[str, ...] | None:
    """Return the items of the latest row, or None without a latest row."""
    if all(axis.fixed for axis in axes):
        return None
    versions = _parsed([axis for axis in axes if not axis.fixed], place, "no row is latest", findings)
    if versions is None or not all(axis.items for axis in axes):
        return None
    return tuple(axis.items[0] if axis.fixed else max(axis.items, key=versions.__getitem__) for axis in axes)


def _latest_patches(
    axes: Sequence[_Axis], chosen: Sequence[tuple[str, ...]], place: Keys, findings: list[Finding]
) -> set[tuple[str, ...]]:
    """Return the highest row of each group of rows that differ only in patch numbers."""
    dependencies = sorted((axis.name, index) for index, axis in enumerate(axes) if axis.dependency)
    values = sorted((axis.name, index) for index, axis in enumerate(axes) if not axis.dependency)
    versions = _parsed([axis for axis in axes if axis.dependency], place, "no row is a latest patch", findings)
    if versions is None:
        return set()
    best: dict[tuple[str, ...], tuple[_Rank, tuple[str, ...]]] = {}
    for items in chosen:
        group = tuple(strip_patch(item) for item in items)
        rank = (
            [versions[items[index]] for _, index in dependencies],
            [list(_dotted_numbers(items[index])) for _, index in values],
        )
        if group not in best or rank > best[group][0]:
            best[group] = (rank, items)
    return {items for _, items in best.values()}


def _dotted_numbers(text: str) -> Iterator[tuple[int, ...]]:
    for found in _DOTTED.findall(text):
        yield tuple(int(part) for part in found.split("."))
