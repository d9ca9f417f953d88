"""The program that builds: buildx, as a plugin of Docker or by itself, or podman. Found once per run.

Source: commands.md 1.6, point 6.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from bakery.build import argv
from bakery.build.plan import BuildPlan
from bakery.errors import BakeryError, UsageError
from bakery.parallel.program import ProgramMissing
from bakery.parallel.spawn import Exit, spawn
from bakery.tasks import together

_log = logging.getLogger(__name__)

VARIABLE: Final = "BAKERY_DOCKER"
_STAND_ALONE: Final = ("docker-buildx", "buildx")
_ANSWER_S: Final = 60.0
_BOOT_S: Final = 600.0  # a builder in a container is pulled first
_RUNNING: Final = re.compile(rb"^Status:\s*running$", re.MULTILINE)
_VERSION: Final = re.compile(r"\bv?(\d+\.\d+\S*)")


class Builder(Struct, frozen=True):
    """A program that builds. command: its first words, such as `docker buildx`. defer_error: it knows that mode."""

    kind: Literal["buildx", "podman"]
    command: tuple[str, ...]
    version: str = ""
    defer_error: bool = False

    @property
    def name(self) -> str:
        """The command, as a user would type it."""
        return " ".join((Path(self.command[0]).name, *self.command[1:]))


async def find_builder(plan: BuildPlan, environment: Mapping[str, str]) -> Builder:
    """Return the program to build with, once its builder runs. Raises BakeryError if none can be used."""
    reasons: list[str] = []
    for command in candidates(environment):
        if Path(command[0]).name.startswith("podman"):
            return await _podman(command, plan, environment)
        knows, inspected = await together(
            (
                spawn(argv.bake_print(command, plan), env=environment, stdin=argv.PROBE, timeout_s=_ANSWER_S),
                spawn(argv.inspect_builder(command, plan), env=environment, timeout_s=_ANSWER_S),
            )
        )
        version: Exit | None = None
        if not knows.ok or _log.isEnabledFor(logging.DEBUG):  # a question less in most builds
            version = await spawn([*command, "version"], env=environment, timeout_s=_ANSWER_S)
            if b"buildah" in version.stdout.lower():  # podman's command that is called docker
                return await _podman(command[:1], plan, environment)
            if not version.ok:
                reasons.append(f"{' '.join(command)}: {_reason(version)}")
                continue
        found = Builder("buildx", command, _version(version) if version else "", knows.ok)
        if inspected.ok and not _RUNNING.search(inspected.stdout):
            inspected = await spawn(argv.start_builder(command, plan), env=environment, timeout_s=_BOOT_S)
        _check_running(found, plan, inspected)
        return found
    raise ProgramMissing(
        "cannot find a program to build with",
        why="; ".join(reasons) or f"none of docker, {' and '.join(_STAND_ALONE)} is in PATH",
        hint=f"install Docker with buildx, or buildx by itself, or set {VARIABLE} to its path",
    )


def candidates(environment: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the commands to try, in order. What BAKERY_DOCKER names is the only one."""
    given = environment.get(VARIABLE, "")
    if given:
        return [_command(given)]
    path = environment.get("PATH")
    return [_command(name) for name in ("docker", *_STAND_ALONE) if shutil.which(name, path=path)]


def _command(program: str) -> tuple[str, ...]:
    name = Path(program).name
    return (program,) if "buildx" in name or name.startswith("podman") else (program, "buildx")


def _check_running(found: Builder, plan: BuildPlan, inspected: Exit) -> None:
    text = inspected.stdout.decode(errors="replace")
    fields = re.findall(r"^(Name|Driver|Endpoint|Status|Error|BuildKit version):\s*(.*)$", text, re.MULTILINE)
    values = dict(reversed(fields))  # the builder's own come first, then those of its nodes
    running = _RUNNING.search(inspected.stdout) is not None
    if not inspected.ok or ("Error" in values and not running):
        about = plan.options.builder or values.get("Name", "")
        raise BakeryError(
            "cannot reach the builder",
            about=about,
            why=values.get("Error") or _reason(inspected),
            hint=f"list builders with '{found.name} ls', and name one with --builder or BUILDX_BUILDER",
            error_code="build/builder",
        )
    if plan.options.by_digest and values.get("Driver") == "docker":
        raise BakeryError(
            "cannot push by digest with the builder",
            about=values.get("Name", ""),
            why="Docker's own builder does not push by digest",
            hint="create another one with 'docker buildx create --use', or name one with --builder or BUILDX_BUILDER",
            error_code="build/builder",
        )
    _log.debug(
        "%s %s, builder %s (%s), BuildKit %s, jobs: %s",
        found.name,
        found.version,
        values.get("Name", "?"),
        values.get("Driver", "?"),
        values.get("BuildKit version", "?"),
        "defer-error" if found.defer_error else "one command per target",
    )


async def _podman(command: Sequence[str], plan: BuildPlan, environment: Mapping[str, str]) -> Builder:
    """Return podman, if it can do what the plan requires. Raises UsageError otherwise."""
    options = plan.options
    refused = {
        "--strategy bake": options.strategy == "bake",
        "--temp-registry together with --push": options.by_digest,
        "--cache-registry": bool(options.cache_registry),
        "--builder": bool(options.builder),
        "--attest, --provenance and --sbom": bool(plan.attestations()),
        "several platforms of one target; pass --image-platform": any(len(one.platforms) > 1 for one in plan.builds),
    }
    for option, given in refused.items():
        if given:
            hint = f"install buildx, or set {VARIABLE} to it"
            if option == "--strategy bake":
                hint = f"pass --strategy build, or {hint}"
            raise UsageError("cannot build with podman", why=f"it does not support {option}", hint=hint)
    version = await spawn([*command, "--version"], env=environment, timeout_s=_ANSWER_S)
    if not version.ok:
        raise BakeryError("cannot run podman", why=_reason(version))
    _log.debug("podman %s", _version(version))
    return Builder("podman", tuple(command), _version(version))


def _version(done: Exit) -> str:
    text = done.stdout.decode(errors="replace")
    found = _VERSION.search(text)
    return found[1] if found else text.strip()


def _reason(done: Exit) -> str:
    if done.exception is not None:
        return done.exception.why or str(done.exception)
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Run '", "See '"))] or lines  # docker's advice comes last
    return said[-1].removeprefix("ERROR: ") if said else f"exit code {done.returncode}"
