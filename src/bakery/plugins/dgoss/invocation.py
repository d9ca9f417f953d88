"""The dgoss command of a target: arguments, mounts and variables. Pure, except that it checks for test directories.

Source: pipeline.md 8, with what it calls "ours": the token is passed by name and never appears as an argument.
"""

from __future__ import annotations

import platform as machine
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bakery.errors import ConfigurationError
from bakery.files import is_folder
from bakery.oci.platform import Platform
from bakery.parallel.command import ShellTask

if TYPE_CHECKING:
    from bakery.config.schema.options import GossOptions
    from bakery.targets.metadata import BuildResult
    from bakery.targets.target import Target

LABEL = "bakery.dgoss"  # on every container, to find those whose dgoss was killed
_MOUNTS = "/tmp"  # noqa: S108 - in the container: users' goss files name these three directories
_ESCAPED = re.compile(r"""(["'$`!*?&#()|<>;\[\]{}\s])""")


class Programs(Struct, frozen=True):
    """The programs to run. goss: None if not found; dgoss then searches PATH itself."""

    dgoss: str
    goss: str | None


def host_platform() -> str:
    """Return the platform of containers on this machine: always Linux, even on a Mac."""
    return str(Platform("linux", machine.machine()).normalised())


def full_platform(text: str) -> str:
    """Return the platform with its system: `arm64` means `linux/arm64`."""
    return text if text.startswith("linux/") else f"linux/{text}"


def escaped(value: str) -> str:
    """Return the value with a backslash before each character that is special to a shell (pipeline.md 8)."""
    return _ESCAPED.sub(r"\\\1", value)


def test_directory(target: Target, context: Path) -> Path:
    """Return the directory of the target's goss files: the version's `test/`, or the image's.

    Raises ConfigurationError if there is neither.
    """
    directories = [context / target.version_path / "test", context / target.image_path / "test"]
    for directory in directories:
        if is_folder(directory):
            return directory.absolute()
    raise ConfigurationError(
        "cannot find goss tests of",
        about=target.uid,
        why=f"neither {directories[0]} nor {directories[1]} exists",
        hint="add a directory test/ with a goss.yaml, or exclude the image with --image-name",
    )


def newest_reference(results: Sequence[BuildResult], platform: str) -> str | None:
    """Return the newest build of this platform, by digest. A build without a platform may contain any."""
    wanted = Platform.parse(platform).normalised()
    fitting = [result for result in results if result.platform and result.platform.normalised() == wanted]
    fitting = fitting or [result for result in results if result.platform is None]
    if not fitting:
        return None
    # A build without a date counts as older than any with one. Without any date, the last one read is used.
    dated = [(result.created, result) for result in fitting if result.created is not None]
    newest = max(dated, key=lambda pair: pair[0])[1] if dated else fitting[-1]
    return str(newest.reference)


def container_variables(target: Target, platform: str) -> dict[str, str]:
    """Return the variables that tests can read, in the order of pipeline.md 8."""
    variables = {
        "IMAGE_VERSION": target.version,
        "IMAGE_VERSION_MOUNT": f"{_MOUNTS}/version",
        "IMAGE_MOUNT": f"{_MOUNTS}/image",
        "PROJECT_MOUNT": f"{_MOUNTS}/project",
    }
    if target.variant:
        variables["IMAGE_VARIANT"] = target.variant
    if target.os:
        variables["IMAGE_OS"] = target.os
    if target.system is not None:
        build = target.system.build
        variables["IMAGE_OS_NAME"] = build.name
        if build.codename:
            variables["IMAGE_OS_CODENAME"] = build.codename
        variables["IMAGE_OS_FAMILY"] = build.family
        variables["IMAGE_OS_VERSION"] = build.version
    variables["IMAGE_OS_PLATFORM"] = platform
    for name, value in target.build_args.items():
        variables[f"BUILD_ARG_{name.upper()}"] = value
    return variables


def dgoss_task(
    target: Target,
    options: GossOptions,
    *,
    context: Path,
    image: str,
    platform: str,
    programs: Programs,
    environment: Mapping[str, str],
    run_id: str,
    scratch: Path,
) -> ShellTask:
    """Return the command that tests this image. Raises ConfigurationError if the target has no tests."""
    words = [programs.dgoss, "run", "--platform", platform]
    for path, name in ((target.version_path, "version"), (target.image_path, "image"), ("", "project")):
        words += ["-v", f"{(context / path).absolute()}:{_MOUNTS}/{name}"]
    for name, value in container_variables(target, platform).items():
        words += ["-e", f"{name}={escaped(value)}"]
    process = dict(environment)
    token = environment.get("GITHUB_TOKEN", "")
    if token and environment.get("GITHUB_ACTIONS") == "true":
        # By name: docker takes the value from the environment of dgoss, so that no process list shows it.
        words += ["-e", "GH_TOKEN"]
        process["GH_TOKEN"] = token
    words += ["--label", f"{LABEL}={run_id}", "--init"]
    words += (options.runtime_options or "").split()
    words += [image, *shlex.split(options.command)]
    process["GOSS_FILES_PATH"] = str(test_directory(target, context))
    process["GOSS_OPTS"] = "--format json --no-color"
    process["DGOSS_TEMP_DIR"] = str(scratch)  # we remove it if dgoss is killed before it does
    if programs.goss is not None:
        process["GOSS_PATH"] = programs.goss
    if options.wait > 0:
        process["GOSS_SLEEP"] = str(options.wait)
    return ShellTask(
        target.uid, words, process, context, label=target.uid, payload=target, timeout=float(options.timeout)
    )
