"""The targets that build metadata speaks of, by uid. Product APIs are asked only where no written target has the uid.

Source: pipeline.md 4.2 and 10. Development versions and rows of a matrix always count here, whatever a build selected.
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
from bakery.targets.expand import sort_key, written_targets
from bakery.targets.select import Selected, Selection, select
from bakery.targets.target import Target


def find_built(
    project: Project,
    uids: Iterable[str],
    catalog: Callable[[], VersionCatalog],
    *,
    dev_channel: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Selected:
    """The written targets, and those that product APIs must tell where a uid is none of them.

    catalog: makes whoever asks; called only when it is needed. An image whose versions cannot be found out is told and
    left out: its uids then match nothing. Raises InvalidProject as `written_targets` does.
    """
    written = written_targets(project, environ)
    unknown = set(uids) - {target.uid for target in written}
    asked = [image for image in project.images if _may_have(image, unknown)]
    if not asked:
        return Selected(written, ())
    targets = {(target.uid, target.references): target for target in written}
    problems: list[Problem] = []
    failed = 0
    answers = catalog()
    for image in asked:
        wanted = Selection(
            image_name=f"^{re.escape(image.name)}$",
            dev_versions="include",
            matrix_versions="include",
            dev_channel=dev_channel,
        )
        try:
            found = select(replace(project, images=(image,)), wanted, answers, environ=environ)
        except LookupFailed as error:
            text = f"the versions of {image.name} are not known: {one_line(error)}"
            problems.append(Problem(project.file, 0, 0, "", text, "", True, False, ""))
            failed += 1
            continue
        problems += found.problems
        failed += found.failed
        targets |= {(target.uid, target.references): target for target in found.targets}
    return Selected(_once(targets.values()), tuple(problems), failed)


def _may_have(image: Image, uids: Iterable[str]) -> bool:
    """Whether one of these uids may be that of a version of the image which is not written."""
    if not image.dev_sources and (image.matrix is None or image.matrix.written):
        return False
    beginning = make_uid(image.name, "", None, None, None) + "-"
    return any(uid.startswith(beginning) for uid in uids)


def _once(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Each uid once, the written target first; in target order."""
    first: dict[str, Target] = {}
    for target in targets:
        first.setdefault(target.uid, target)
    return tuple(sorted(first.values(), key=sort_key))
