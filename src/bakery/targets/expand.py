"""Expand a version of an image into its targets: one per variant and system. Pure but for the environment passed in.

`bakery.targets.select` decides which versions are expanded. Source: config.md 13 and 14.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from bakery.config.matrix import build_args, rows
from bakery.config.names import make_uid, uid_fault
from bakery.config.project import Image, Project, Secret, System, Variant, Version
from bakery.config.tags import TagPatterns, TagValues, UnusablePattern, pattern_place
from bakery.config.unfinished import unfinished
from bakery.config.yaml.problem import Finding, InvalidProject, Keys, Problem
from bakery.targets.labels import project_labels, target_labels, version_labels
from bakery.targets.target import Target
from bakery.text import plural

NO_SYSTEM_PLATFORMS = ("linux/amd64",)
Pair = tuple[Image, Version]


def defined_versions(image: Image) -> Iterator[Version]:
    """Yield the versions that bakery.yaml defines: the listed ones, and the rows of a matrix without constraints."""
    yield from image.versions
    if image.matrix is not None and image.matrix.is_pinned:
        yield from rows(image.matrix, {}).versions


def sort_key(target: Target) -> str:
    """Return the text that targets are sorted by, in plain character order (config.md 13)."""
    text = f"ImageTarget(image='{target.image}', version='{target.version}'"
    if target.variant is not None:
        text += f", variant='{target.variant}'"
    if target.os is not None:
        text += f", os='{target.os}'"
    return f"{text})"


class Claim(Struct, frozen=True):
    """A tag that several targets would push: the last one would win."""

    tag: str
    uids: tuple[str, ...]


def contested(targets: Iterable[Target]) -> tuple[Claim, ...]:
    """Return the tags that more than one target claims, sorted by tag."""
    owners: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for target in targets:
        uid = target.uid
        for tag in target.references:
            first = owners.setdefault(tag, uid)
            if first != uid:
                several.setdefault(tag, [first]).append(uid)
    return tuple(Claim(tag, tuple(dict.fromkeys(several[tag]))) for tag in sorted(several))


class Expander:
    """Creates the targets of a project's versions, and collects findings about them."""

    def __init__(self, project: Project, environ: Mapping[str, str] = os.environ) -> None:
        self.findings: dict[tuple[Keys, str], Finding] = {}
        self._project = project
        self._environ = environ
        self._namespace = project.repository.label_namespace
        self._shared = project_labels(project.repository, project.revision)
        self._patterns: dict[tuple[str, str | None], TagPatterns] = {}

    def _add(self, found: Finding) -> None:
        self.findings.setdefault((found.path, found.message), found)

    def targets(
        self,
        pair: Pair,
        variants: Sequence[Variant | None] | None = None,
        systems: Sequence[System | None] | None = None,
    ) -> list[Target]:
        """Return the targets of a version, in the order of its variants and sorted systems; by default all of them."""
        image, version = pair
        shared = self._shared | version_labels(image, version, self._namespace)
        args = build_args(version) if version.matrix else {}
        secrets = tuple(secret for secret in image.secrets if self._environ.get(secret.variable))
        return [
            self._target(image, version, variant, system, shared, args, secrets)
            for variant in ((image.variants or (None,)) if variants is None else variants)
            for system in ((version.systems or (None,)) if systems is None else systems)
        ]

    def _target(
        self,
        image: Image,
        version: Version,
        variant: Variant | None,
        system: System | None,
        shared: Mapping[str, str],
        args: Mapping[str, str],
        secrets: tuple[Secret, ...],
    ) -> Target:
        variant_name, system_name = variant.name if variant else None, system.name if system else None
        values = _tag_values(image, version, variant, system)
        tags = self._tags(image, variant, values)
        repositories = version.repositories or (image.name,)
        directory = _joined(image.subpath, version.subpath)
        endings = [one.extension for one in (system, variant) if one is not None]
        uid = make_uid(image.name, version.name, variant_name, system_name, values.channel)
        fault = uid_fault(uid)
        if fault:
            self._add(Finding(version.place, f"invalid version name {version.name!r}: {fault}"))
        return Target(
            uid=uid,
            image=image.name,
            version=version.name,
            variant=variant_name,
            os=system_name,
            platforms=system.platforms if system else NO_SYSTEM_PLATFORMS,
            references=_references(repositories, tags),
            repositories=repositories,
            tags=tags,
            containerfile=".".join([f"{directory}/Containerfile", *filter(None, endings)]),
            image_path=_joined(image.subpath),
            version_path=directory,
            latest=version.latest,
            primary_os=values.primary_system,
            primary_variant=values.primary_variant,
            development=version.development,
            matrix=version.matrix,
            channel=version.channel if version.development else None,
            channel_head=version.channel_head,
            labels=dict(shared) | target_labels(version, variant_name, system_name, self._namespace),
            build_args=args,
            build_target=version.build_target,
            secrets=secrets,
            options=variant.options if variant else image.options,
            system=system,
            variant_tag_name=variant.tag_name if variant else None,
            tag_policy=image.tag_policy,
        )

    def _tags(self, image: Image, variant: Variant | None, values: TagValues) -> tuple[str, ...]:
        key = (image.name, variant.name if variant else None)
        patterns = self._patterns.get(key)
        if patterns is None:
            patterns = TagPatterns((*image.tag_patterns, *(variant.tag_patterns if variant else ())))
            self._patterns[key] = patterns
        document = self._project.document.value
        try:
            tags, empty = patterns.tags(values)
        except UnusablePattern as error:
            place = pattern_place(document, image.place, error.pattern)
            text = f"cannot use the tag pattern {error.pattern!r} for version {values.version!r}: {error.reason}"
            self._add(Finding(place, text))
            return ()
        for pattern in empty:
            place = pattern_place(document, image.place, pattern)
            text = f"the tag pattern {pattern!r} renders to nothing for version {values.version!r} and is skipped"
            self._add(Finding(place, text, warning=True))
        return tags


def _tag_values(image: Image, version: Version, variant: Variant | None, system: System | None) -> TagValues:
    return TagValues(
        version=version.name,
        system=system.tag_name if system else "",
        variant=variant.tag_name if variant else "",
        name=image.name,
        channel=(version.channel or "") if version.development else "",
        latest=version.latest,
        primary_system=system is None or system.primary,
        primary_variant=variant is None or variant.primary,
        latest_patch=version.latest_patch,
        channel_head=version.channel_head,
    )


@lru_cache(maxsize=16384)
def _joined(*parts: str) -> str:
    """Join and normalize a path: `a/./b//` → `a/b`."""
    return PurePosixPath(*parts).as_posix()


def _references(repositories: Sequence[str], tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted([f"{repository}:{tag}" for repository in repositories for tag in tags]))


def defined_targets(project: Project, environ: Mapping[str, str] = os.environ) -> tuple[Target, ...]:
    """Return every target that bakery.yaml defines, without lookups, in target order.

    Raises InvalidProject if a name or pattern makes an invalid uid or tag, or two targets have the same uid.
    """
    expander = Expander(project, environ)
    targets = [
        target
        for image in project.images
        for version in defined_versions(image)
        for target in expander.targets((image, version))
    ]
    refuse(project, [*expander.findings.values(), *same_uids(project, targets)])
    return tuple(sorted(targets, key=sort_key))


def same_uids(project: Project, targets: Iterable[Target]) -> list[Finding]:
    """Return an error for each uid that two targets share: metadata files could not distinguish them."""
    first: dict[str, Target] = {}
    findings: dict[str, Finding] = {}
    for target in targets:
        other = first.setdefault(target.uid, target)
        if other is not target:
            place = _place(project, target)
            text = f"two targets have the same uid {target.uid!r}: {sort_key(other)} and {sort_key(target)}"
            findings.setdefault(target.uid, Finding(place, text, "rename one of them"))
    return list(findings.values())


def claim_findings(project: Project, claims: Iterable[Claim], targets: Iterable[Target]) -> list[Finding]:
    """Return a warning for each group of targets that claim the same tags, with the first tag and their number."""
    by_uid = {target.uid: target for target in targets}
    groups: dict[tuple[str, ...], list[str]] = {}
    for claim in claims:
        groups.setdefault(claim.uids, []).append(claim.tag)
    findings = []
    for uids, tags in groups.items():
        more = f" and {len(tags) - 1} more" if len(tags) > 1 else ""
        text = f"{' and '.join(uids)} claim the same tag {tags[0]}{more}: the last one pushed would win"
        hint = "give them different tags, or remove one of them"
        findings.append(Finding(_place(project, by_uid[uids[-1]]), text, hint, warning=True, strict=True))
    return findings


def refuse(project: Project, findings: Iterable[Finding]) -> None:
    """Raise InvalidProject if one of the findings is an error."""
    found = list(findings)
    if any(not one.warning for one in found):
        problems = [project.document.problem(one) for one in found]
        raise InvalidProject(project.file, [*problems, *project.problems])


def _place(project: Project, target: Target) -> Keys:
    image = project.image(target.image)
    if image is None:
        return ()
    version = next((one for one in image.versions if one.name == target.version), None)
    if version is not None and not target.matrix and not target.development:
        return version.place
    return image.matrix.place if image.matrix and target.matrix else image.place


def secret_findings(
    project: Project, targets: Iterable[Target], environ: Mapping[str, str] = os.environ
) -> list[Finding]:
    """Return a warning for each build secret of these targets whose variable is not set."""
    names = {target.image for target in targets}
    return [
        Finding(
            (*image.place, "buildSecrets", index),
            f"the build secret {secret.id!r} is left out: {secret.variable} is not set",
            warning=True,
        )
        for image in project.images
        if image.name in names
        for index, secret in enumerate(image.secrets)
        if not environ.get(secret.variable)
    ]


class Expansion(Struct, frozen=True):
    """What a project expands to without lookups: one line of counts, and the problems found."""

    summary: str
    problems: tuple[Problem, ...]


def missing_containerfiles(project: Project, targets: Iterable[Target], exists: Callable[[str], bool]) -> list[Finding]:
    """Return a warning for each Containerfile that is missing. exists: whether a path in the context is a file."""
    first = {target.containerfile: target for target in reversed(tuple(targets))}
    return [
        Finding(_place(project, target), f"{file} does not exist", warning=True, strict=True)
        for file, target in sorted(first.items())
        if not exists(file)
    ]


def check_expansion(
    project: Project, exists: Callable[[str], bool] = lambda _: True, *, strict: bool = False
) -> Expansion:
    """Expand everything that bakery.yaml defines. exists: whether a path in the context is a file.

    Raises InvalidProject; with `strict` also for tags claimed twice and for missing Containerfiles.
    """
    expander = Expander(project)
    findings: list[Finding] = []
    targets: list[Target] = []
    version_count = pending = 0
    for image in project.images:
        versions = list(image.versions)
        if image.matrix is not None and image.matrix.is_pinned:
            made = rows(image.matrix, {})
            findings += made.findings
            versions += made.versions
        elif image.matrix is not None:
            pending += 1
        version_count += len(versions)
        targets += [target for version in versions for target in expander.targets((image, version))]
    doubtful = claim_findings(project, contested(targets), targets)
    doubtful += missing_containerfiles(project, targets, exists)
    findings += [*expander.findings.values(), *same_uids(project, targets)]
    findings += [replace(one, warning=False) for one in doubtful] if strict else doubtful
    findings += unfinished(project)
    refuse(project, findings)
    counts = (
        plural(len(project.images), "image"),
        plural(version_count, "version"),
        plural(len(targets), "target"),
        plural(sum(len(target.references) for target in targets), "tag"),
    )
    summary = f"{project.file}: {', '.join(counts)}"
    dev = sum(len(image.dev_sources) for image in project.images)
    lookups = [plural(pending, "matrix", "matrices")] if pending else []
    lookups += [plural(dev, "development version")] if dev else []
    if lookups:
        summary += f" (not counted: {' and '.join(lookups)}, which product APIs must be queried for)"
    return Expansion(summary, tuple(project.document.problem(found) for found in dict.fromkeys(findings)))
