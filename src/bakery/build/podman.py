"""A build of one target by podman: into its own storage, then pushed tag by tag. Source: commands.md 1.6, point 6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from bakery.build import argv
from bakery.build.builder import Builder
from bakery.build.plan import BuildPlan, PlannedBuild
from bakery.parallel.spawn import Exit


async def build(
    builder: Builder, plan: BuildPlan, one: PlannedBuild, file: Path, run: Callable[[Sequence[str]], Awaitable[Exit]]
) -> tuple[dict[str, Any] | None, Exit]:
    """Build, push if the plan says so, and return the metadata that buildx would write, and how the last command ended.

    file: where podman writes a digest. run: runs a command.
    """
    done = await run(argv.podman_build(builder.command, plan, one))
    if not done.ok or not plan.options.push:
        return None, done
    tags = plan.tags(one)
    for tag in tags:
        done = await run(argv.podman_push(builder.command, tag, file))
        if not done.ok:
            return None, done
    return {"containerimage.digest": _read(file), "image.name": ",".join(tags)}, done


def _read(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else ""
