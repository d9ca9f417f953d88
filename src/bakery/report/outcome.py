"""Plans and outcomes as aligned text. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bakery.errors import hint_of, reason
from bakery.publish.outcome import Failure, Outcome, State, TargetOutcome
from bakery.publish.plan import Plan
from bakery.report.table import aligned
from bakery.text import clean, plural

MARKS = {
    State.PUBLISHED: "+",
    State.UNCHANGED: "=",
    State.MOVED: "~",
    State.UNSURE: "?",
    State.FAILED: "!",
    State.STOPPED: "-",
}


def outcome_table(outcome: Outcome) -> str:
    """Return one row per target and destination: what was published, where, under which tags; then the notes."""
    rows = [("STATE", "TARGET", "PLATFORMS", "DIGEST", "DESTINATION", "TAGS")]
    for target in outcome.targets:
        digest = str(target.digest or "-")
        platforms = ",".join(item.platform for item in target.platforms) or "-"
        if not target.destinations:
            rows.append((str(target.state), target.uid, platforms, digest, "-", "-"))
        for place in target.destinations:
            tags = " ".join(f"{MARKS[tag.state]}{tag.tag}" for tag in place.tags) or "-"
            rows.append((str(place.state), target.uid, platforms, digest, str(place.repository), tags))
    legend = "tags: + moved  = unchanged  ~ moved, not verified  ? possibly moved  ! failed  - not reached\n"
    notes = [f"note: {clean(target.uid)}: {clean(note)}\n" for target in outcome.targets for note in target.notes]
    return aligned(rows) + legend + "".join(notes)


def stand_ins_table(
    stand_ins: Mapping[str, str], requests: Mapping[str, int], faults_met: Mapping[str, Mapping[str, int]]
) -> str:
    """Return one row per registry of a rehearsal: its stand-in, the requests it received, the faults it injected."""
    rows = [("REGISTRY", "STAND-IN", "REQUESTS", "FAULTS")]
    for name, address in stand_ins.items():
        faults = ", ".join(f"{fault} x{count}" for fault, count in sorted(faults_met[name].items())) or "none"
        rows.append((name, address, str(requests[name]), faults))
    return aligned(rows)


def plan_table(plan: Plan) -> str:
    """Return what a run would do: one row per target and destination, then the sources of each target."""
    rows = [("TARGET", "SOURCES", "SOCI", "DESTINATION", "TAGS")]
    for target in plan.targets:
        for destination in target.destinations:
            soci = "yes" if target.soci else "no"
            tags = " ".join(destination.tags)
            rows.append((target.uid, str(len(target.sources)), soci, str(destination.repository), tags))
    lines = [
        f"{target.uid}: {source.platform or 'platform unknown until the source is read'}: {source.reference}"
        for target in plan.targets
        for source in target.sources
    ]
    for item in plan.refused:
        lines += error_lines(f"{item.target.uid}: ", item.error)
    lines += [f"skipped: {item.uid}: {item.reason}" for item in plan.skipped]
    return aligned(rows) + "".join(f"{clean(line)}\n" for line in lines)


def outcome_lines(outcome: Outcome, *, doing: str = "Publish") -> str:
    """Return the end of a run's report: warnings, skipped targets, each failure with its step, and a closing line."""
    lines = [f"warning: {text}" for text in outcome.warnings]
    lines += [f"skipped: {item.uid}: {item.reason}" for item in outcome.skipped]
    for target in outcome.targets:
        if target.failure is not None:
            lines += failure_lines(target.uid, target.failure)
        for place in target.destinations:
            if place.failure is not None:
                lines += failure_lines(target.uid, place.failure, f"{place.repository}: ")
        lines += _moved_lines(target)
    if outcome.interrupted:
        lines += [f"published: {target.uid}" for target in outcome.targets if target.state in _PUBLISHED]
        lines.append(f"❌ {doing} interrupted; run the same command again to continue")
    elif outcome.failures:
        lines.append(f"❌ {doing} failed: {plural(len(outcome.failures), 'failure')}")
    else:
        lines.append(f"✅ {doing} completed")
    return "".join(f"{clean(line)}\n" for line in lines)


_PUBLISHED = (State.PUBLISHED, State.UNCHANGED)


def failure_lines(uid: str, failure: Failure, place: str = "") -> list[str]:
    """Return a failure of a target: the error, and its hint on the next line."""
    return error_lines(f"{uid}: [{failure.step}] {place}", failure.error)


def error_lines(about: str, error: Exception) -> list[str]:
    """Return `error: <about><what and why>`, and `hint: …` as a second line if there is one."""
    hint = hint_of(error)
    return [f"error: {about}{reason(error)}", *([f"hint: {hint}"] if hint else [])]


def _moved_lines(target: TargetOutcome) -> list[str]:
    """The tags that a target moved although it failed: the parts of a mixed release."""
    if target.state not in (State.FAILED, State.STOPPED):
        return []
    words = {State.MOVED: "moved", State.PUBLISHED: "moved", State.UNSURE: "possibly moved"}
    return [
        f"{words[tag.state]}: {target.uid}: {place.repository}:{tag.tag} (was {tag.previous or 'new'})"
        for place in target.destinations
        if place.state in (State.FAILED, State.STOPPED)
        for tag in place.tags
        if tag.state in words
    ]
