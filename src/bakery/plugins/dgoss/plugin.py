"""The dgoss plugin: tests targets concurrently, writes their reports and shows the results (pipeline.md 8)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.config.schema.options import GossOptions
from bakery.errors import BakeryError, ExitCode, one_line
from bakery.events import Emit, ignore
from bakery.files import write_text
from bakery.parallel.blocking import run
from bakery.parallel.command import ShellResult, ShellTask
from bakery.parallel.program import ProgramMissing, find_program
from bakery.parallel.root import at_hard_stop, scratch_directory
from bakery.parallel.spawn import run_cleanup
from bakery.plugin_api import ToolCallResult
from bakery.plugins.dgoss.invocation import (
    LABEL,
    Programs,
    dgoss_task,
    full_platform,
    host_platform,
    newest_reference,
)
from bakery.plugins.dgoss.result import GossResult, GossStatus, goss_result
from bakery.plugins.dgoss.show import closing, junit, markdown, table
from bakery.report.printing import print_text

if TYPE_CHECKING:
    import typer

    from bakery.targets.metadata import BuildResult
    from bakery.targets.target import Target

_log = logging.getLogger(__name__)

RESULTS = Path("results") / "dgoss"
_REMOVE_LIMIT_S = 1.0  # for each of two docker commands, within the five seconds after a signal


class DgossPlugin:
    """Goss tests in containers."""

    name = "dgoss"
    description = "Test images with goss."
    tool_options_class = GossOptions

    def register_cli(self, app: typer.Typer) -> None:
        """Do nothing: built-in commands are in bakery's own table, which imports them on demand."""

    def execute(
        self,
        base_path: Path,
        targets: Sequence[Target],
        *,
        metadata: Mapping[str, Sequence[BuildResult]] | None = None,
        platform: str | None = None,
        jobs: int | None = None,
        clean: bool = True,
        emit: Emit = ignore,
        environment: Mapping[str, str] = os.environ,
        **_: Any,
    ) -> list[ToolCallResult]:
        """Test every target and write `results/dgoss/<image>/<uid>.json` and `.xml`. Returns results in input order.

        metadata: the builds of each uid; the newest one of the platform is tested. Without metadata, the first tag is.
        """
        programs = Programs(find_program("dgoss", base_path, environment), _goss(base_path, environment))
        wanted = full_platform(platform) if platform else host_platform()
        directory = base_path / RESULTS
        if clean and directory.exists():
            shutil.rmtree(directory)
        run_id = secrets.token_hex(8)
        tasks: list[ShellTask] = []
        results: dict[str, GossResult] = {}
        with scratch_directory("bakery-dgoss-") as scratch:
            for target in targets:
                try:
                    task = dgoss_task(
                        target,
                        target.option("goss"),
                        context=base_path,
                        image=_image(target, metadata, wanted),
                        platform=wanted,
                        programs=programs,
                        environment=environment,
                        run_id=run_id,
                        scratch=scratch,
                    )
                except BakeryError as error:
                    results[target.uid] = GossResult(target, GossStatus.ERROR, error=one_line(error))
                else:
                    tasks.append(task)
            with _removing_containers(run_id, environment) as ended:
                results |= {done.task.key: _result(done) for done in run(tasks, ended.append, jobs=jobs, emit=emit)}
        return [_call_result(results[target.uid], directory) for target in targets]

    def results(self, results: Sequence[ToolCallResult]) -> None:
        """Show table and failures on stderr, and a summary on GitHub. Raises SystemExit(1) if anything failed."""
        goss: list[GossResult] = [(result.artifacts or {})["goss"] for result in results]
        print_text(f"{table(goss)}\n{closing(goss)}")
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            write_text(Path(summary), markdown(goss), append=True)
        if not goss or any(result.status is not GossStatus.PASSED for result in goss):
            raise SystemExit(int(ExitCode.FAILED))


def _goss(context: Path, environment: Mapping[str, str]) -> str | None:
    try:
        return shutil.which(find_program("goss", context, environment), path=environment.get("PATH"))
    except ProgramMissing:
        return None  # dgoss searches too, and reports it if goss is missing


def _image(target: Target, metadata: Mapping[str, Sequence[BuildResult]] | None, platform: str) -> str:
    if metadata is not None:
        built = newest_reference(metadata.get(target.uid, ()), platform)
        if built is not None:
            return built
        _log.warning("%s: the metadata has no build for %s; testing its first tag", target.uid, platform)
    if not target.tags:
        raise BakeryError("cannot find an image to test for", about=target.uid, why="it has neither a build nor a tag")
    return target.tags[0]


def _result(done: ShellResult) -> GossResult:
    """Return the result of a command. Whatever its container printed fails its own target only."""
    try:
        return goss_result(done)
    except Exception as error:  # noqa: BLE001  # the border of a target
        _log.debug("the report of %s cannot be used", done.task.key, exc_info=error)
        return GossResult(done.task.payload, GossStatus.ERROR, error=one_line(error))


def _call_result(result: GossResult, directory: Path) -> ToolCallResult:
    """Write the files of a result, and return it as the plugin protocol has it."""
    files = directory / result.target.image / result.target.uid
    # Not with_suffix: a uid may end like a version, whose last number is not a suffix.
    report_file, junit_file = Path(f"{files}.json"), Path(f"{files}.xml")
    files.parent.mkdir(parents=True, exist_ok=True)
    if result.report is not None:
        report_file.write_text(json.dumps(result.report.raw, indent=2) + "\n", encoding="utf-8")
    junit_file.write_bytes(junit(result))
    return ToolCallResult(
        0 if result.status is GossStatus.PASSED else 1,
        "dgoss",
        result.target,
        result.stdout,
        result.stderr,
        {"goss": result, "report": report_file if result.report else None, "junit": junit_file},
    )


@contextlib.contextmanager
def _removing_containers(run_id: str, environment: Mapping[str, str]) -> Iterator[list[ShellResult]]:
    """Yield a list for the commands that ended, and remove the containers of those that could not do it themselves.

    dgoss removes its container in a trap, which never runs if it was killed because it ignored SIGTERM or because a
    second signal came.
    """
    runtime = environment.get("CONTAINER_RUNTIME") or "docker"
    ended: list[ShellResult] = []
    unregister = at_hard_stop(lambda: _remove_containers(runtime, run_id, environment))
    clean = False
    try:
        yield ended
        clean = all(result.returncode is None or result.returncode >= 0 for result in ended)
    finally:
        if not clean:
            _remove_containers(runtime, run_id, environment)
        unregister()


def _remove_containers(runtime: str, run_id: str, environment: Mapping[str, str]) -> None:
    listing = [runtime, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={run_id}"]
    done = run_cleanup(listing, env=environment, limit_s=_REMOVE_LIMIT_S)
    containers = done.stdout.decode(errors="replace").split()
    if containers:
        removal = [runtime, "rm", "--force", "--volumes", *containers]
        done = run_cleanup(removal, env=environment, limit_s=_REMOVE_LIMIT_S)
    if done.exception is not None:
        _log.debug("containers with the label %s=%s may be left: %s", LABEL, run_id, done.exception)
