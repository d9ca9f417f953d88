"""`bakery build`: the plan of a build. Nothing is printed: events go to `emit`, failures are in the outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bakery.app.selecting import Filters
from bakery.build.options import BuildOptions
from bakery.errors import NothingSelected
from bakery.events import Emit, Noted, ignore

if TYPE_CHECKING:
    from bakery.build.plan import BuildPlan


class BuildRequest(Struct, frozen=True):
    """What to build and how. strict: unknown keys and tags that two targets claim are errors."""

    context: Path
    filters: Filters = Filters()
    options: BuildOptions = BuildOptions()
    strict: bool = False


def plan_build(request: BuildRequest, *, emit: Emit = ignore) -> BuildPlan:
    """Return what is to be built. Raises NothingSelected if no target passes the filters."""
    from bakery.app.reading import targets
    from bakery.build.plan import plan_builds
    from bakery.targets.labels import created

    filters = request.filters
    selected = targets(request.context, filters, strict=request.strict, emit=emit)
    plan = plan_builds(
        request.context.absolute(), selected, request.options, platforms=filters.image_platform, created=created()
    )
    for uid in plan.left_out:
        emit(Noted(uid, "not built: it has none of the platforms that --image-platform selects"))
    if not plan.builds and not filters.allow_empty:
        raise NothingSelected(
            "cannot find a target to build",
            why=f"no target passes {filters.described()}",
            hint="run `bakery get targets` to list the targets",
        )
    return plan


def bake_plan(request: BuildRequest, *, emit: Emit = ignore) -> dict[str, Any]:
    """Return the bake file for `docker buildx bake`. Raises NothingSelected if no target passes the filters."""
    from bakery.build.plan import bake_file

    return bake_file(plan_build(request, emit=emit))
