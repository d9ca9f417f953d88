"""What `bakery dgoss run` tests: the selected targets, and their builds if metadata files name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from bakery.app.selecting import Filters, open_project, select_targets
from bakery.errors import NothingSelected
from bakery.events import Emit, ignore

if TYPE_CHECKING:
    from bakery.targets.metadata import BuildResult
    from bakery.targets.target import Target


class Subjects(Struct, frozen=True):
    """The targets to test, and by uid the builds that metadata files name; None without such files."""

    targets: tuple[Target, ...]
    builds: Mapping[str, Sequence[BuildResult]] | None = None


def find_subjects(
    context: Path,
    filters: Filters,
    *,
    platform: str = "",
    metadata_file: Sequence[str] = (),
    emit: Emit = ignore,
) -> Subjects:
    """Return the targets that pass the filters. platform: "os/arch"; only targets that have it, "" for all.

    metadata_file: build metadata files and patterns. Raises NothingSelected if no target or no file is found.
    """
    from bakery.targets.metadata import find_files, read_metadata

    if platform:
        filters = replace(filters, image_platform=(f"^{platform}",))
    targets = select_targets(open_project(context, emit=emit), filters, emit=emit).targets
    if not targets and not filters.allow_empty:
        raise NothingSelected("cannot find a target to test", why=f"no target passes {filters.described()}")
    if not metadata_file:
        return Subjects(targets)
    files = find_files(metadata_file, Path.cwd())
    if not files and not filters.allow_empty:
        raise NothingSelected("cannot find a build metadata file", why=f"no file matches {' '.join(metadata_file)}")
    return Subjects(targets, read_metadata(files).results)
