"""What is checked before a build starts, so that a mistake does not cost a build. Source: commands.md 1.6, point 7."""

from __future__ import annotations

from bakery.build.plan import BuildPlan
from bakery.errors import ConfigurationError
from bakery.files import is_file
from bakery.text import clean, plural


def check_files(plan: BuildPlan) -> None:
    """Raise ConfigurationError with every Containerfile that is missing, and the targets that need it."""
    missing: dict[str, list[str]] = {}
    for build in plan.builds:
        file = build.target.containerfile
        if file in missing or not is_file(plan.context / file):
            missing.setdefault(file, []).append(build.uid)
    if missing:
        lines = [clean(f"{file} (for {', '.join(uids)})") for file, uids in missing.items()]
        raise ConfigurationError(
            f"cannot find {plural(len(missing), 'Containerfile')} in",
            about=plan.context,
            why=lines[0] if len(lines) == 1 else "\n  ".join(("", *lines)),
            hint="create the files, or leave these targets out with --image-name or --image-version",
            error_code="build/containerfile",
        )
