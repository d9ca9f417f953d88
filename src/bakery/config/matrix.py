"""The rows of a matrix: one version per combination, and which of them are latest. Pure. Source: config.md 9."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from msgspec import Struct

from bakery.config.filters import strip_patch, trim
from bakery.config.project import Dependency, Matrix, Version
from bakery.config.yaml.problem import Finding, Keys

if TYPE_CHECKING:
    from packaging.version import Version as Pep440

MOST_ROWS = 20_000  # more is a mistake in the axes, not a project

_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class Rows(Struct, frozen=True):
    """The rows in the order of the axes, last one fastest, and what is to be told about them."""

    versions: tuple[Version, ...]
    findings: tuple[Finding, ...]


class _Axis(Struct, frozen=True):
    """A dependency or a value with what it can be. `fixed`: a plain value, which is no axis."""

    name: str
    items: tuple[str, ...]
    dependency: bool
    fixed: bool = False


def rows(matrix: Matrix, resolved: Mapping[str, Sequence[str]]) -> Rows:
    """Every combination. resolved: the versions that the constraints gave, newest first, by dependency."""
    axes = [_Axis(one.name, one.versions, True) for one in matrix.dependencies]
    axes += [_Axis(one.dependency, tuple(resolved[one.dependency]), True) for one in matrix.constraints]
    for key, value in matrix.values.items():
        axes.append(_Axis(key, (value,) if isinstance(value, str) else value, False, isinstance(value, str)))
    many = prod(len(axis.items) for axis in axes)
    if many > MOST_ROWS:
        return Rows((), (Finding(matrix.place, f"the matrix has {many:,} rows; {MOST_ROWS:,} are allowed"),))
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
    """The build arguments of a row: each dependency's version, then each value under its key in upper case."""
    args = {f"{one.name.upper()}_VERSION": one.versions[0] for one in version.dependencies if one.versions}
    return args | {key.upper(): value for key, value in version.values.items()}


def _name(matrix: Matrix, dependencies: Sequence[Dependency], values: Mapping[str, str]) -> tuple[str, str]:
    """The name of a row, or what is wrong with its pattern."""
    if matrix.name_pattern is None:
        parts = [f"{one.name}{one.versions[0]}" for one in dependencies]
        parts += [f"{key}{values[key]}" for key in sorted(values)]
        rendered = "-".join(parts)
    else:
        from bakery.config import jinja  # Jinja2 waits until a pattern needs it

        context = {"Dependencies": {one.name: one.versions[0] for one in dependencies}, "Values": dict(values)}
        try:
            rendered = jinja.render_pattern(matrix.name_pattern, context)
        except Exception as error:  # noqa: BLE001  # filters of a pattern may raise anything; the pattern is to blame
            reason = str(error) or type(error).__name__
            return "", f"the pattern {matrix.name_pattern!r} cannot be rendered: {reason}"
    name = trim(rendered)
    return name, "" if name else f"the pattern {matrix.name_pattern!r} gives a row without a name"


def _parsed(text: str) -> Pep440 | None:
    from packaging.version import InvalidVersion  # most projects have no matrix
    from packaging.version import Version as Pep440

    try:
        return Pep440(text)
    except InvalidVersion:
        return None


def _latest(axes: Sequence[_Axis], place: Keys, findings: list[Finding]) -> tuple[str, ...] | None:
    """The items of the latest row, or None where there is none."""
    if all(axis.fixed for axis in axes):
        return None
    newest: list[str] = []
    for axis in axes:
        if axis.fixed:
            newest.append(axis.items[0])
            continue
        versions = [(_parsed(item), item) for item in axis.items]
        strange = next((item for parsed, item in versions if parsed is None), None)
        if strange is not None:
            findings.append(
                Finding(_axis_place(axis, place), f"{strange!r} in the axis {axis.name!r} is no version: "
                        "no row is latest", warning=True)
            )  # fmt: skip
            return None
        if not versions:
            return None
        newest.append(max(versions, key=lambda pair: pair[0])[1])  # type: ignore[arg-type, return-value]  # none is None
    return tuple(newest)


def _latest_patches(
    axes: Sequence[_Axis], chosen: Sequence[tuple[str, ...]], place: Keys, findings: list[Finding]
) -> set[tuple[str, ...]]:
    """In each group of rows that differ in patch numbers only, the highest."""
    dependencies = sorted((axis.name, index) for index, axis in enumerate(axes) if axis.dependency)
    values = sorted((axis.name, index) for index, axis in enumerate(axes) if not axis.dependency)
    parsed: dict[str, Pep440] = {}
    for axis in axes:
        for item in axis.items if axis.dependency else ():
            version = _parsed(item)
            if version is None:
                findings.append(
                    Finding(_axis_place(axis, place), f"{item!r} in the axis {axis.name!r} is no version: "
                            "no row is the latest patch", warning=True)
                )  # fmt: skip
                return set()
            parsed[item] = version
    best: dict[tuple[str, ...], tuple[object, tuple[str, ...]]] = {}
    for items in chosen:
        group = tuple(strip_patch(item) for item in items)
        rank = (
            [parsed[items[index]] for _, index in dependencies],
            [list(_dotted_numbers(items[index])) for _, index in values],
        )
        if group not in best or rank > best[group][0]:  # type: ignore[operator]  # all ranks have one shape
            best[group] = (rank, items)
    return {items for _, items in best.values()}


def _dotted_numbers(text: str) -> Iterator[tuple[int, ...]]:
    for found in _DOTTED.findall(text):
        yield tuple(int(part) for part in found.split("."))


def _axis_place(axis: _Axis, place: Keys) -> Keys:
    return place if axis.dependency else (*place, "values", axis.name)
