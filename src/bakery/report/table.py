"""An outcome, a plan and plain rows as aligned text. Pure; never wraps: a reference must stay copyable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakery.errors import one_line
from bakery.publish.outcome import Outcome, State, TargetOutcome
from bakery.publish.plan import Plan

MARKS = {
    State.PUBLISHED: "+",
    State.UNCHANGED: "=",
    State.MOVED: "~",
    State.UNSURE: "?",
    State.FAILED: "!",
    State.STOPPED: "-",
}


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, every column as wide as its widest cell; the first row is the heading."""
    if not rows:
        return ""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join((lines[0], "  ".join("-" * width for width in widths), *lines[1:])) + "\n"


def outcome_table(outcome: Outcome) -> str:
    """One row a target and destination: what was published, where, under which tags."""
    rows = [("STATE", "TARGET", "PLATFORMS", "DIGEST", "DESTINATION", "TAGS")]
    for target in outcome.targets:
        digest = str(target.digest or "-")
        platforms = ",".join(item.platform for item in target.platforms) or "-"
        if not target.destinations:
            rows.append((str(target.state), target.uid, platforms, digest, "-", "-"))
        for place in target.destinations:
            tags = " ".join(f"{MARKS[tag.state]}{tag.tag}" for tag in place.tags) or "-"
            rows.append((str(place.state), target.uid, platforms, digest, str(place.repository), tags))
    legend = "tags: + moved  = already there  ~ moved, not read back  ? asked, no answer  ! failed  - not reached\n"
    return columns(rows) + legend


def cast_table(
    stood_for: Mapping[str, str], requests: Mapping[str, int], faults_met: Mapping[str, Mapping[str, int]]
) -> str:
    """Which embedded registry played which registry, what it was asked, and which faults it showed."""
    rows = [("REGISTRY", "PLAYED BY", "REQUESTS", "FAULTS MET")]
    for name, address in stood_for.items():
        faults = ", ".join(f"{fault} x{count}" for fault, count in sorted(faults_met[name].items())) or "none"
        rows.append((name, address, str(requests[name]), faults))
    return columns(rows)


def outcome_lines(outcome: Outcome, *, doing: str = "Publish") -> str:
    """What a reader must know at the end: each failure with its step, what is skipped, and the closing line."""
    lines = [f"warning: {text}" for text in outcome.warnings]
    lines += [f"skipped: {item.uid}: {item.reason}" for item in outcome.skipped]
    for target in outcome.targets:
        lines += _failure_lines(target) + _half_moved(target)
    if outcome.interrupted:
        lines += _standing(outcome)
        lines.append(f"❌ {doing} interrupted; run the same command again to finish")
    elif outcome.failures:
        lines.append(f"❌ {doing} failed ({len(outcome.failures)} target/operation failure(s))")
    else:
        lines.append(f"✅ {doing} completed")
    return "\n".join(lines) + "\n"


def _failure_lines(target: TargetOutcome) -> list[str]:
    lines = []
    if target.failure is not None:
        lines.append(f"error: {target.uid}: [{target.failure.step}] {one_line(target.failure.error)}")
    for place in target.destinations:
        if place.failure is not None:
            what = f"[{place.failure.step}] {place.repository}"
            lines += [f"error: {target.uid}: {what}: {one_line(place.failure.error)}"]
    return lines


def _standing(outcome: Outcome) -> list[str]:
    """What an interrupted run leaves: the targets that are through."""
    whole = (State.PUBLISHED, State.UNCHANGED)
    return [f"published: {target.uid}" for target in outcome.targets if target.state in whole]


def _half_moved(target: TargetOutcome) -> list[str]:
    """The tags that a target moved although it did not come through: what a mixed release consists of."""
    if target.state not in (State.FAILED, State.STOPPED):
        return []
    words = {State.MOVED: "moved", State.PUBLISHED: "moved", State.UNSURE: "perhaps moved"}
    return [
        f"{words[tag.state]}: {target.uid}: {place.repository}:{tag.tag} (was {tag.previous or 'new'})"
        for place in target.destinations
        if place.state in (State.FAILED, State.STOPPED)
        for tag in place.tags
        if tag.state in words
    ]


def plan_table(plan: Plan) -> str:
    """What a run would do: one row a target and destination."""
    rows = [("TARGET", "SOURCES", "SOCI", "DESTINATION", "TAGS")]
    for target in plan.targets:
        for destination in target.destinations:
            soci = "yes" if target.soci else "no"
            tags = " ".join(destination.tags)
            rows.append((target.uid, str(len(target.builds)), soci, str(destination.repository), tags))
    text = columns(rows)
    for target in plan.targets:
        for build in target.builds:
            platform = build.platform or "platform from the registry"
            text += f"{target.uid}: {platform}: {build.reference}\n"
    text += "".join(f"refused: {item.target.uid}: {one_line(item.error)}\n" for item in plan.refused)
    return text + "".join(f"skipped: {item.uid}: {item.reason}\n" for item in plan.skipped)
