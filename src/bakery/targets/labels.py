"""The labels of an image. Pure but for the environment passed in. Source: config.md 14, "Labels"."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from bakery.config.project import Image, ProjectRepository, Version

_OCI = "org.opencontainers.image"
CREATED = f"{_OCI}.created"


def project_labels(repository: ProjectRepository, revision: str | None) -> dict[str, str]:
    """Return the labels that all images of a project share. What the project does not name has no label."""
    own = repository.label_namespace
    labels = {f"{_OCI}.source": repository.url}
    if repository.vendor:
        labels[f"{_OCI}.vendor"] = repository.vendor
    if repository.maintainer is not None:
        labels[f"{own}.maintainer"] = str(repository.maintainer)
    if repository.authors:
        labels[f"{_OCI}.authors"] = ", ".join(map(str, repository.authors))
    if revision:
        labels[f"{_OCI}.revision"] = labels[f"{own}.revision"] = revision
    return labels


def version_labels(image: Image, version: Version, own: str) -> dict[str, str]:
    """Return the labels that all targets of a version share. own: the prefix of labels that are not of OCI."""
    labels = {
        f"{_OCI}.title": image.display_name,
        f"{own}.name": image.display_name,
        f"{_OCI}.version": version.name,
        f"{own}.version": version.name,
    }
    if image.description is not None:
        labels[f"{_OCI}.description"] = labels[f"{own}.description"] = image.description
    if image.documentation_url is not None:
        labels[f"{_OCI}.documentation"] = labels[f"{own}.documentation"] = image.documentation_url
    return labels


def target_labels(version: Version, variant: str | None, system: str | None, own: str) -> dict[str, str]:
    """Return the labels of one target only. own: as for `version_labels`."""
    labels: dict[str, str] = {}
    if variant is not None:
        labels[f"{own}.variant"] = variant
    if system is not None:
        labels[f"{own}.os"] = system
    if variant != "Minimal":
        for dependency in version.dependencies:
            labels[f"{own}.tools.{dependency.name}"] = ", ".join(dependency.versions)
    return labels


def created(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the creation time set by SOURCE_DATE_EPOCH, in UTC, or None."""
    epoch = environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch.isascii() or not epoch.isdigit() or len(epoch) > 11:
        return None
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None
