"""The versions and targets that the filters of a command select from a project. Source: config.md 13, 15.

Versions that must be looked up come from a `VersionCatalog`; without one they are left out, with a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from bakery.config.matrix import rows
from bakery.config.project import Image, Matrix, Project, System, Variant, Version
from bakery.config.yaml.problem import Finding, Problem
from bakery.errors import UsageError
from bakery.targets.catalog import VersionCatalog
from bakery.targets.expand import (
    Expander,
    Pair,
    claim_findings,
    contested,
    defined_versions,
    refuse,
    same_uids,
    sort_key,
)
from bakery.targets.names import Unmatched, unmatched
from bakery.targets.target import Target
from bakery.targets.version_match import matches

Mode = Literal["exclude", "include", "only"]


class Selection(Struct, frozen=True):
    """The filters of a command. Empty text and None select everything. Raises UsageError for a bad expression."""

    image_name: str = ""
    image_version: str = ""
    image_variant: str = ""
    image_os: str = ""
    image_platforms: tuple[str, ...] = ()
    latest: bool = False
    dev_versions: Mode = "exclude"
    dev_channel: str | None = None
    matrix_versions: Mode = "exclude"

    def __post_init__(self) -> None:
        for option, texts in (
            ("--image-name", (self.image_name,)),
            ("--image-variant", (self.image_variant,)),
            ("--image-os", (self.image_os,)),
            ("--image-platform", self.image_platforms),
        ):
            for text in texts:
                try:
                    re.compile(text)
                except re.error as error:
                    raise UsageError(
                        f"invalid {option}", about=repr(text), why=f"not a regular expression: {error}",
                        hint="escape . [ ( * + ? with a backslash to match the character itself",
                    ) from error  # fmt: skip

    def described(self) -> str:
        """Return the filters as on a command line, for messages."""
        given = [
            f"{option} {value}"
            for option, value in (
                ("--image-name", self.image_name),
                ("--image-version", self.image_version),
                ("--image-variant", self.image_variant),
                ("--image-os", self.image_os),
                *(("--image-platform", text) for text in self.image_platforms),
                ("--dev-channel", self.dev_channel),
            )
            if value
        ]
        given += ["--latest"] if self.latest else []
        given += [f"--dev-versions {self.dev_versions}", f"--matrix-versions {self.matrix_versions}"]
        return " ".join(given)


class SelectedVersions(Struct, frozen=True):
    """The versions that pass the filters, in file order, and the problems found."""

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    failed: int = 0  # lookups of development versions that failed
    unmatched: Unmatched | None = None  # a filter that matches nothing in the project


class SelectedTargets(Struct, frozen=True):
    """The targets that pass the filters, in target order, and the problems found."""

    targets: tuple[Target, ...]
    problems: tuple[Problem, ...]
    failed: int = 0  # lookups of development versions that failed
    unmatched: Unmatched | None = None  # a filter that matches nothing in the project


class _VersionFilter:
    """The filters on images and versions, applied in one pass that collects findings."""

    def __init__(self, project: Project, selection: Selection, catalog: VersionCatalog | None) -> None:
        self.project, self.selection, self.catalog = project, selection, catalog
        self.findings: list[Finding] = []
        self.failed = 0

    def warn(self, found: Finding | str) -> None:
        self.findings.append(Finding((), found, warning=True, at=(0, 0)) if isinstance(found, str) else found)

    def pairs(self) -> list[Pair]:
        selection = self.selection
        if selection.dev_channel and selection.dev_versions == "exclude":
            self.warn("--dev-channel has no effect while development versions are excluded")
        if selection.latest and selection.dev_versions != "exclude":
            self.warn("--latest excludes development versions, which are never latest")
        images = [image for image in self.project.images if re.search(selection.image_name, image.name)]
        images = [image for image in images if self._is_included(image)]
        if self.catalog is not None:
            dev = images if selection.dev_versions != "exclude" and not selection.latest else []
            matrices = [image.matrix for image in images if image.matrix and self._rows_wanted(image)]
            pending = [matrix for matrix in matrices if not matrix.is_pinned]
            self.catalog.prepare(dev, matrices=pending, channel=selection.dev_channel)
        return [(image, version) for image in images for version in self._versions(image)]

    def _is_included(self, image: Image) -> bool:
        mode = self.selection.matrix_versions
        if image.matrix is None and mode == "only":
            if self.selection.image_name:
                text = f"{image.name} is left out: it has no matrix (--matrix-versions only)"
                self.warn(Finding(image.place, text, warning=True))
            return False
        if image.matrix is not None and mode == "exclude":
            if self.selection.image_name:
                text = f"{image.name} is left out: it has a matrix (--matrix-versions exclude)"
                self.warn(Finding(image.place, text, warning=True))
            return False
        return True

    def _rows_wanted(self, image: Image) -> bool:
        return image.matrix is not None and self.selection.dev_versions != "only"

    def _versions(self, image: Image) -> Iterable[Version]:
        selection = self.selection
        versions: list[Version] = list(image.versions)
        if image.matrix is not None and self._rows_wanted(image):
            versions = self._rows(image.matrix)
        if selection.dev_versions != "exclude" and image.dev_sources and not selection.latest:
            versions += self._dev_versions(image)
        for version in versions:
            if self._exclusion(version) is None:
                yield version
        if selection.image_version:
            self._warn_excluded(image, versions)

    def _warn_excluded(self, image: Image, versions: Sequence[Version]) -> None:
        """Warn if a version matches --image-version and another filter drops it."""
        for version in versions:
            reason = self._exclusion(version)
            if reason is not None and matches(self.selection.image_version, version.name):
                self.warn(Finding(version.place, f"{image.name} {version.name} is left out: {reason}", warning=True))

    def _exclusion(self, version: Version) -> str | None:
        """Return why a version is left out, or None. `--image-version` is last, so that other reasons are reported."""
        selection = self.selection
        if version.development:
            if selection.dev_versions == "exclude":
                return "it is a development version (--dev-versions exclude)"
            if selection.dev_channel and version.channel != selection.dev_channel:
                return f"its channel is {version.channel or 'not set'} (--dev-channel {selection.dev_channel})"
        elif selection.dev_versions == "only":
            return "it is not a development version (--dev-versions only)"
        if selection.latest and (not version.latest or version.development):
            return "it is not latest (--latest)"
        if selection.image_version and not matches(selection.image_version, version.name):
            return f"its name does not match (--image-version {selection.image_version})"
        return None

    def _rows(self, matrix: Matrix) -> list[Version]:
        resolved: Mapping[str, tuple[str, ...]] = {}
        if not matrix.is_pinned:
            if self.catalog is None:
                text = "the matrix is left out: its rows are only known to product APIs"
                self.warn(Finding(matrix.place, text, warning=True))
                return []
            resolved = self.catalog.constrained(matrix)
        made = rows(matrix, resolved)
        self.findings += made.findings
        refuse(self.project, made.findings)
        return list(made.versions)

    def _dev_versions(self, image: Image) -> list[Version]:
        if self.catalog is None:
            text = f"the development versions of {image.name} are left out: they are only known to product APIs"
            self.warn(Finding(image.place, text, warning=True))
            return []
        versions, findings = self.catalog.dev_versions(image, self.selection.dev_channel)
        self.findings += findings
        self.failed += len(findings)
        return versions


def select_versions(project: Project, selection: Selection, catalog: VersionCatalog | None = None) -> SelectedVersions:
    """Return the versions that pass the filters on images and versions, in file order."""
    versions = _VersionFilter(project, selection, catalog)
    pairs = tuple(versions.pairs())
    missed = unmatched(project, selection, pairs)
    return SelectedVersions(pairs, _located(project, versions.findings), versions.failed, missed)


def select(
    project: Project,
    selection: Selection,
    catalog: VersionCatalog | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    strict: bool = False,
) -> SelectedTargets:
    """Return the targets that pass all filters, in target order.

    A tag that a selected target and any other target claim is reported. Raises InvalidProject for an invalid name, a
    duplicate uid, and with `strict` for a tag that two targets claim.
    """
    versions = _VersionFilter(project, selection, catalog)
    pairs = versions.pairs()
    expander = Expander(project, environ)
    target_filter = _TargetFilter(selection, versions.warn)
    targets = [target for pair in pairs for target in target_filter.targets(expander, pair)]
    refuse(project, [*expander.findings.values(), *same_uids(project, targets)])
    targets.sort(key=sort_key)
    everything = [*targets, *_unselected(project, selection, targets, () if target_filter.filtered else pairs)]
    claims = claim_findings(project, contested(everything), everything)
    if strict:
        refuse(project, [replace(claim, warning=False) for claim in claims])
    found = [*versions.findings, *expander.findings.values(), *claims]
    missed = unmatched(project, selection, pairs)
    return SelectedTargets(tuple(targets), _located(project, found), versions.failed, missed)


def _unselected(
    project: Project, selection: Selection, targets: Iterable[Target], whole: Iterable[Pair]
) -> Iterable[Target]:
    """Return the defined targets that the filters leave out. whole: versions that are selected with all their targets.

    Their problems are not reported: `bakery check` does that.
    """
    if selection == Selection() and not any(image.matrix for image in project.images):
        return ()
    done = {(image.name, version.name) for image, version in whole}
    expander = Expander(project, {})
    selected = {target.uid for target in targets}
    return [
        target
        for image in project.images
        for version in defined_versions(image)
        if (image.name, version.name) not in done
        for target in expander.targets((image, version))
        if target.uid not in selected
    ]


class _TargetFilter:
    """The filters on variant, system and platform. A version without variants or systems is kept, with a warning."""

    def __init__(self, selection: Selection, warn: Callable[[Finding | str], None]) -> None:
        self._selection, self._warn = selection, warn
        self.filtered = bool(selection.image_variant or selection.image_os or selection.image_platforms)

    def targets(self, expander: Expander, pair: Pair) -> list[Target]:
        if not self.filtered:
            return expander.targets(pair)
        image, version = pair
        wanted = self._selection
        variants: Sequence[Variant | None] = image.variants or (None,)
        if wanted.image_variant and image.variants:
            variants = [one for one in image.variants if re.search(wanted.image_variant, one.name)]
        elif wanted.image_variant:
            self._kept(pair, "variants", "--image-variant")
        systems: Sequence[System | None] = version.systems or (None,)
        if version.systems:
            systems = [
                one
                for one in version.systems
                if re.search(wanted.image_os, one.name)
                and (
                    not wanted.image_platforms
                    or any(re.search(text, platform) for text in wanted.image_platforms for platform in one.platforms)
                )
            ]
        elif wanted.image_os:
            self._kept(pair, "systems", "--image-os")
        elif wanted.image_platforms:
            self._kept(pair, "systems", "--image-platform")
        return expander.targets(pair, variants, systems)

    def _kept(self, pair: Pair, lacking: str, option: str) -> None:
        image, version = pair
        text = f"{image.name} {version.name} is kept: it has no {lacking}, so {option} does not apply"
        self._warn(Finding(version.place, text, warning=True))


def _located(project: Project, findings: Iterable[Finding]) -> tuple[Problem, ...]:
    return tuple(project.document.problem(found) for found in dict.fromkeys(findings))
