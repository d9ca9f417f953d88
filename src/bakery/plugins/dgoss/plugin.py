"""The dgoss plugin: runs the tests of every target side by side, keeps the reports, shows them (pipeline.md 8)."""

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
from bakery.plugins.dgoss.show import Shown, closing, junit, markdown, table
from bakery.plugins.dgoss.verdict import Judged, Verdict, judge
from bakery.report.lines import say

if TYPE_CHECKING:
    import typer

    from bakery.targets.metadata import BuildResult
    from bakery.targets.target import Target

_log = logging.getLogger(__name__)

RESULTS = Path("results") / "dgoss"
_REMOVE_LIMIT_S = 1.0  # for each of two docker commands, inside the five seconds that an interrupt may take


class DgossPlugin:
    """Goss tests in containers."""

    name = "dgoss"
    description = "Test images with goss."
    tool_options_class = GossOptions

    def register_cli(self, app: typer.Typer) -> None:
        """Adds nothing: the commands of built-in plugins are in bakery's own table, which imports them when asked."""

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
        """Test every target, and write `results/dgoss/<image>/<uid>.json` and `.xml`. Results in the order given.

        metadata: the builds of each uid, of which the newest of the platform is tested; without, the first tag.
        """
        programs = Programs(find_program("dgoss", base_path, environment), _goss(base_path, environment))
        wanted = full_platform(platform) if platform else host_platform()
        folder = base_path / RESULTS
        if clean and folder.exists():
            shutil.rmtree(folder)
        run_id = secrets.token_hex(8)
        tasks: list[ShellTask] = []
        refused: dict[str, Judged] = {}
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
                    refused[target.uid] = Judged(Verdict.ERROR, None, one_line(error))
                else:
                    tasks.append(task)
            with _no_container_left(run_id, environment) as ended:
                results = {result.task.key: result for result in run(tasks, ended.append, jobs=jobs, emit=emit)}
        return [_call_result(target, results.get(target.uid), refused, folder) for target in targets]

    def results(self, results: Sequence[ToolCallResult]) -> None:
        """Show table and failures on stderr, and the summary on GitHub. Raises SystemExit(1) if anything failed."""
        rows = [
            Shown(result.target, (result.artifacts or {})["judged"], result.stdout, result.stderr) for result in results
        ]
        say(f"{table(rows)}\n{closing(rows)}")
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown(rows))
        if any(row.judged.verdict is not Verdict.PASSED for row in rows) or not rows:
            raise SystemExit(int(ExitCode.FAILED))


def _goss(context: Path, environment: Mapping[str, str]) -> str | None:
    try:
        return shutil.which(find_program("goss", context, environment), path=environment.get("PATH"))
    except ProgramMissing:
        return None  # dgoss looks for itself, and says so where it finds none


def _image(target: Target, metadata: Mapping[str, Sequence[BuildResult]] | None, platform: str) -> str:
    if metadata is not None:
        built = newest_reference(metadata.get(target.uid, ()), platform)
        if built is not None:
            return built
        _log.warning("%s: the metadata has no build for %s; testing its first tag", target.uid, platform)
    if not target.references:
        raise BakeryError("looking for an image to test", about=target.uid, why="it has neither a build nor a tag")
    return target.references[0]


def _call_result(
    target: Target, result: ShellResult | None, refused: Mapping[str, Judged], folder: Path
) -> ToolCallResult:
    judged = refused[target.uid] if result is None else judge(result)
    stdout = result.stdout.decode(errors="replace") if result else ""
    stderr = result.stderr.decode(errors="replace") if result else ""
    files = folder / target.image / target.uid
    # Not with_suffix: a uid may end like a version, and its last number is no suffix.
    report_file, junit_file = Path(f"{files}.json"), Path(f"{files}.xml")
    files.parent.mkdir(parents=True, exist_ok=True)
    if judged.report is not None:
        report_file.write_text(json.dumps(judged.report.raw, indent=2) + "\n", encoding="utf-8")
    junit_file.write_bytes(junit(Shown(target, judged, stdout, stderr)))
    return ToolCallResult(
        0 if judged.verdict is Verdict.PASSED else 1,
        "dgoss",
        target,
        stdout,
        stderr,
        {"judged": judged, "report": report_file if judged.report else None, "junit": junit_file},
    )


@contextlib.contextmanager
def _no_container_left(run_id: str, environment: Mapping[str, str]) -> Iterator[list[ShellResult]]:
    """Remove the containers of dgoss commands that could not do so themselves. Yields the list of those that ended.

    dgoss removes its container in a trap. One that was killed, because it ignored SIGTERM or because a second signal
    came, never gets there.
    """
    runtime = environment.get("CONTAINER_RUNTIME") or "docker"
    ended: list[ShellResult] = []
    take_back = at_hard_stop(lambda: _remove_containers(runtime, run_id, environment))
    clean = False
    try:
        yield ended
        clean = all(result.returncode is None or result.returncode >= 0 for result in ended)
    finally:
        if not clean:
            _remove_containers(runtime, run_id, environment)
        take_back()


def _remove_containers(runtime: str, run_id: str, environment: Mapping[str, str]) -> None:
    listing = [runtime, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={run_id}"]
    done = run_cleanup(listing, env=environment, limit_s=_REMOVE_LIMIT_S)
    containers = done.stdout.decode(errors="replace").split()
    if containers:
        removal = [runtime, "rm", "--force", "--volumes", *containers]
        done = run_cleanup(removal, env=environment, limit_s=_REMOVE_LIMIT_S)
    if done.exception is not None:
        _log.debug("containers with the label %s=%s may be left: %s", LABEL, run_id, done.exception)
