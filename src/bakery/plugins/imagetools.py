"""The imagetools plugin: publishes targets, for callers that find plugins by name. All it does is call `bakery.app`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.errors import ExitCode, UsageError
from bakery.events import Emit, ignore
from bakery.plugin_api import ToolCallResult
from bakery.text import json_text

if TYPE_CHECKING:
    import typer

    from bakery.targets.metadata import Metadata
    from bakery.targets.target import Target


class ImagetoolsPlugin:
    """Publishes the targets of a project from build metadata."""

    name = "imagetools"
    description = "Assemble, convert, copy, tag and verify multi-platform images."

    def register_cli(self, app: typer.Typer) -> None:
        """Add nothing: `bakery.cli` has the commands of built-in plugins, and imports them only when they run."""

    def execute(
        self,
        base_path: Path,
        targets: Sequence[Target],
        *,
        metadata: Metadata | None = None,
        with_soci: bool = True,
        emit: Emit = ignore,
        **options: Any,
    ) -> list[ToolCallResult]:
        """Publish those of the targets that the metadata names, and return one result per target, in push order.

        options: fields of app.publishing.PublishOptions other than `context`. The artifacts of a result are the
        target's part of the JSON summary. Raises UsageError without metadata.
        """
        from bakery.app.publishing import PublishOptions, publish
        from bakery.plans.project import plan_project
        from bakery.publish.outcome import Outcome
        from bakery.report.outcome import failure_lines
        from bakery.report.summary import target_json

        if metadata is None:
            raise UsageError("cannot publish without build metadata", hint="pass metadata=read_metadata(…)")
        plan = plan_project(targets, metadata, with_soci=with_soci)
        outcome = publish(plan, PublishOptions(base_path, **options), emit=emit)
        by_uid = {target.uid: target for target in targets}
        return [
            ToolCallResult(
                int(Outcome((one,)).exit_code),
                self.name,
                by_uid[one.uid],
                stdout="",
                stderr="".join(f"{line}\n" for failure in one.failures for line in failure_lines(one.uid, failure)),
                artifacts=target_json(one),
            )
            for one in outcome.targets
        ]

    def results(self, results: Sequence[ToolCallResult]) -> None:
        """Print failures on stderr, and the targets as JSON on stdout. Raises SystemExit(1) if a target failed."""
        from bakery.report.printing import print_text

        print_text("".join(result.stderr for result in results))
        sys.stdout.write(json_text([result.artifacts for result in results], indent=2, ascii_only=True) + "\n")
        if any(result.exit_code for result in results):
            raise SystemExit(ExitCode.FAILED)
