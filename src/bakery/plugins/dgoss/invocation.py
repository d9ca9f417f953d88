"""The dgoss command of a target: words, mounts and variables. Pure but for a look at which directories exist.

Source: pipeline.md 8. Differs from the original where that says "ours": the token travels by name, never as a word.
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
from bakery.oci.platform import Platform
from bakery.parallel.command import ShellTask

if TYPE_CHECKING:
    from bakery.config.schema.options import GossOptions
    from bakery.targets.metadata import BuildResult
    from bakery.targets.target import Target

LABEL = "bakery.dgoss"  # on every container of ours, so that one whose dgoss was killed can be found
_MOUNTS = "/tmp"  # noqa: S108 - inside the container: goss files of users name these three folders
_ESCAPED = re.compile(r"""(["'$`!*?&#()|<>;\[\]{}\s])""")


class Programs(Struct, frozen=True):
    """dgoss, and goss where it was found: dgoss looks in PATH itself."""

    dgoss: str
    goss: str | None


def host_platform() -> str:
    """The platform that containers here run on: always Linux, also on a Mac."""
    return str(Platform("linux", machine.machine()).normalised())


def full_platform(text: str) -> str:
    """The platform with its system: `arm64` means `linux/arm64`."""
    return text if text.startswith("linux/") else f"linux/{text}"


def escaped(value: str) -> str:
    """The value with a backslash before each character that a shell would act on (pipeline.md 8)."""
    return _ESCAPED.sub(r"\\\1", value)


def test_folder(target: Target, context: Path) -> Path:
    """Where the goss files of a target lie: the version's `test/`, else the image's. Raises ConfigurationError."""
    folders = [context / target.version_path / "test", context / target.image_path / "test"]
    for folder in folders:
        if folder.is_dir():
            return folder.absolute()
    raise ConfigurationError(
        "looking for goss tests",
        about=target.uid,
        why=f"neither {folders[0]} nor {folders[1]} is there",
        hint="add a folder test/ with a goss.yaml, or filter the image out",
    )


def newest_reference(results: Sequence[BuildResult], platform: str) -> str | None:
    """The newest build of this platform, by digest. A build that names no platform may hold every one."""
    wanted = Platform.parse(platform).normalised()
    fitting = [result for result in results if result.platform and result.platform.normalised() == wanted]
    fitting = fitting or [result for result in results if result.platform is None]
    if not fitting:
        return None
    # A build without a date is older than any that has one; of equals the one that was read last.
    dated = [(result.created, result) for result in fitting if result.created is not None]
    newest = max(dated, key=lambda pair: pair[0])[1] if dated else fitting[-1]
    return str(newest.reference)


def container_variables(target: Target, platform: str) -> dict[str, str]:
    """What the tests see of the target, in the order of pipeline.md 8."""
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
    """The command that tests this image. Raises ConfigurationError where the target has no tests."""
    words = [programs.dgoss, "run", "--platform", platform]
    for path, name in ((target.version_path, "version"), (target.image_path, "image"), ("", "project")):
        words += ["-v", f"{(context / path).absolute()}:{_MOUNTS}/{name}"]
    for name, value in container_variables(target, platform).items():
        words += ["-e", f"{name}={escaped(value)}"]
    process = dict(environment)
    token = environment.get("GITHUB_TOKEN", "")
    if token and environment.get("GITHUB_ACTIONS") == "true":
        # By name: docker takes the value from dgoss's environment, and no process list shows it.
        words += ["-e", "GH_TOKEN"]
        process["GH_TOKEN"] = token
    words += ["--label", f"{LABEL}={run_id}", "--init"]
    words += (options.runtime_options or "").split()
    words += [image, *shlex.split(options.command)]
    process["GOSS_FILES_PATH"] = str(test_folder(target, context))
    process["GOSS_OPTS"] = "--format json --no-color"
    process["DGOSS_TEMP_DIR"] = str(scratch)  # removed by us should dgoss be killed before its own clearing up
    if programs.goss is not None:
        process["GOSS_PATH"] = programs.goss
    if options.wait > 0:
        process["GOSS_SLEEP"] = str(options.wait)
    return ShellTask(
        target.uid, words, process, context, label=target.uid, payload=target, timeout=float(options.timeout)
    )
