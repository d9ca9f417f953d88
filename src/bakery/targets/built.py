"""Find the targets of build metadata by uid. Product APIs are queried only for uids that bakery.yaml does not define.

Development versions and rows of a matrix are always included, whatever the build selected.
Source: pipeline.md 4.2 and 10.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from bakery.config.names import make_uid
from bakery.config.project import Image, Project
from bakery.config.yaml.problem import Problem
from bakery.errors import one_line
from bakery.targets.catalog import LookupFailed, VersionCatalog
from bakery.targets.expand import defined_targets, sort_key
from bakery.targets.select import SelectedTargets, Selection, select
from bakery.targets.target import Target


def find_built(
    project: Project,
    uids: Iterable[str],
    catalog: Callable[[], VersionCatalog],
    *,
    dev_channel: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> SelectedTargets:
    """Return the targets that bakery.yaml defines, and for other uids those whose versions are looked up.

    catalog: creates the catalog; called only if needed. An image whose versions cannot be looked up is reported and
    left out, so its uids match nothing. Raises InvalidProject as `defined_targets` does.
    """
    defined = defined_targets(project, environ)
    unknown = set(uids) - {target.uid for target in defined}
    looked_up = [image for image in project.images if _may_have(image, unknown)]
    if not looked_up:
        return SelectedTargets(defined, ())
    targets = {(target.uid, target.references): target for target in defined}
    problems: list[Problem] = []
    failed = 0
    versions = catalog()
    for image in looked_up:
        wanted = Selection(
            image_name=f"^{re.escape(image.name)}$",
            dev_versions="include",
            matrix_versions="include",
            dev_channel=dev_channel,
        )
        try:
            found = select(replace(project, images=(image,)), wanted, versions, environ=environ)
        except LookupFailed as error:
            text = f"cannot look up the versions of {image.name}: {one_line(error)}"
            problems.append(Problem(project.file, 0, 0, "", text, "", True, False, ""))
            failed += 1
            continue
        problems += found.problems
        failed += found.failed
        targets |= {(target.uid, target.references): target for target in found.targets}
    return SelectedTargets(_once(targets.values()), tuple(problems), failed)


def _may_have(image: Image, uids: Iterable[str]) -> bool:
    """Return whether one of these uids may belong to a version of the image that is looked up."""
    if not image.dev_sources and (image.matrix is None or image.matrix.is_pinned):
        return False
    beginning = make_uid(image.name, "", None, None, None) + "-"
    return any(uid.startswith(beginning) for uid in uids)


def _once(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Return the first target of each uid, in target order."""
    first: dict[str, Target] = {}
    for target in targets:
        first.setdefault(target.uid, target)
    return tuple(sorted(first.values(), key=sort_key))
