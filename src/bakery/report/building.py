"""What is said after a build: why targets failed, how many were built, what a check of Containerfiles found. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from bakery.build.outcome import BuildFailure, BuildOutcome, State, TargetBuild
from bakery.report.lines import annotation
from bakery.text import clean, plural, without_commands

_NAMES: Final = 3  # of targets that failed in the same way
_NO_DOCKER: Final = re.compile(r"docker API|Docker daemon")


class Finding(Struct, frozen=True):
    """Something wrong or doubtful. kind: error or warning. file: as a user would open it. line: 0 if unknown."""

    kind: str
    text: str
    file: str = ""
    line: int = 0
    title: str = ""
    code: str = ""


def finding_line(finding: Finding, *, github: bool) -> str:
    """Return a finding as one line: a command for GitHub, which shows it at that line of the file, or text."""
    text = " ".join(clean(finding.text).split())
    if github:
        return annotation(finding.kind, text, title=finding.title, file=finding.file, line=finding.line)
    place = finding.file + (f":{finding.line}" if finding.line else "")
    about = f"{finding.title}: " if finding.title else ""
    code = f"[{finding.code}]" if finding.code else ""
    return f"{finding.kind}{code}: {about}{text}{f' ({place})' if place else ''}"


def failure_lines(outcome: BuildOutcome, *, folder: str = "", github: bool = False) -> str:
    """Return the last output of every target that failed, each followed by the reason. folder: of the project.

    What several targets failed for in the same way is shown once.
    """
    failures: dict[BuildFailure, list[TargetBuild]] = {}
    for one in outcome.failed:
        if one.failure is not None:
            failures.setdefault(one.failure, []).append(one)
    lines = [line for failure, builds in failures.items() for line in _failure(failure, builds, folder, github=github)]
    if outcome.loaded and any(_NO_DOCKER.search(failure.reason) for failure in failures):
        lines.append("hint: pass --no-load if Docker is not running here, or --push to push the images")
    return "".join(f"{line}\n" for line in lines)


def _failure(failure: BuildFailure, builds: Sequence[TargetBuild], folder: str, *, github: bool) -> Iterator[str]:
    names = ", ".join(one.uid for one in builds[:_NAMES])
    if len(builds) > _NAMES:
        names += f" and {len(builds) - _NAMES:,} more"
    if any(line.removeprefix("ERROR: ") not in failure.reason for line in failure.tail):
        yield clean(f"{names}: last output{f' of {failure.step}' if failure.step else ''}")
        for line in failure.tail:
            shown = clean(line)
            yield f"  | {without_commands(shown) if github else shown}"
    file = in_folder(folder, failure.file)
    attempts = max(one.attempts for one in builds)
    again = f" (in {plural(attempts, 'attempt')})" if attempts > 1 else ""
    yield finding_line(
        Finding("error", f"{failure.reason}{again}", file, failure.line, names, failure.error_code), github=github
    )


def result_line(outcome: BuildOutcome) -> str:
    """Return how many targets were built, and which were not."""
    built = [one for one in outcome.targets if one.state is State.BUILT]
    total = plural(len(outcome.targets), "target")
    if len(built) == len(outcome.targets):
        return f"✅ built {total} in {outcome.seconds:.1f} s"
    parts = [f"❌ built {len(built)} of {total} in {outcome.seconds:.1f} s"]
    for state, words in ((State.FAILED, "failed"), (State.STOPPED, "not finished")):
        if uids := [one.uid for one in outcome.targets if one.state is state]:
            parts.append(f"{words}: {', '.join(uids)}")
    return "; ".join(parts)


def in_folder(folder: str, file: str) -> str:
    """Return the path of a file of the project as seen from where the command runs."""
    return f"{folder}/{file}" if file and folder not in ("", ".") else file


def finding_counts(files: int, findings: Sequence[Finding]) -> str:
    """Return one line of counts for a check of this many files."""
    errors = sum(one.kind == "error" for one in findings)
    return ", ".join(
        (plural(files, "Containerfile"), plural(errors, "error"), plural(len(findings) - errors, "warning"))
    )


def distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once: several targets may have the same Containerfile."""
    return list(dict.fromkeys(findings))
