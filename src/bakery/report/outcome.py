"""Plans and outcomes as aligned text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from bakery.errors import code_of, hint_of, reason
from bakery.publish.outcome import DestinationOutcome, Failure, Outcome, SetFailed, State, TagOutcome, TargetOutcome
from bakery.publish.plan import Plan
from bakery.report.grouping import grouped
from bakery.report.table import aligned
from bakery.text import clean, plural

MARKS = {
    State.PUBLISHED: "+",
    State.UNCHANGED: "=",
    State.MOVED: "~",
    State.UNSURE: "?",
    State.SKIPPED: "/",
    State.REFUSED: "x",
    State.RESTORED: "<",
    State.TAKEN: ">",
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
    legend = "tags: + moved  = unchanged  ~ moved, not verified  ? possibly moved  ! failed  - not reached"
    states = {tag.state for target in outcome.targets for place in target.destinations for tag in place.tags}
    if {State.RESTORED, State.TAKEN} & states:
        legend += "  < restored  > moved by something else"
    if {State.SKIPPED, State.REFUSED} & states:
        legend += "  / skipped  x refused"
    notes = [f"note: {clean(target.uid)}: {clean(note)}\n" for target in outcome.targets for note in target.notes]
    return aligned(rows) + f"{legend}\n" + "".join(notes)


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
    """Return the end of a run's report: warnings, skipped targets, failures with their steps, and a closing line."""
    lines = [f"warning: {text}" for text in outcome.warnings]
    lines += [f"skipped: {item.uid}: {item.reason}" for item in outcome.skipped]
    for group in grouped(outcome):
        lines += group.lines()
    lines += _consequence_lines(outcome)
    for target in outcome.targets:
        lines += _moved_lines(target)
    if outcome.interrupted:
        lines += [f"published: {target.uid}" for target in outcome.targets if target.state in _PUBLISHED]
        lines.append(f"❌ {doing} interrupted; run the same command again to continue")
    elif outcome.failures:
        lines.append(f"❌ {doing} failed: {plural(len(outcome.failures), 'failure')}")
    else:
        lines.append(f"✅ {doing} completed")
    return "".join(f"{clean(line)}\n" for line in lines)


_PUBLISHED = (State.PUBLISHED, State.REPAIRED, State.UNCHANGED)


def failure_lines(uid: str, failure: Failure, place: str = "") -> list[str]:
    """Return a failure of a target: the error, and its hint on the next line."""
    return error_lines(f"{uid}: [{failure.step}] {place}", failure.error)


def error_lines(about: str, error: Exception) -> list[str]:
    """Return `error[<code>]: <about><what and why>`, and `hint: …` as a second line if there is one."""
    hint = hint_of(error)
    return [f"error[{code_of(error)}]: {about}{reason(error)}", *([f"hint: {hint}"] if hint else [])]


def _consequence_lines(outcome: Outcome) -> list[str]:
    """What a failure meant for the other destinations of its set: one line per set, not one per destination."""
    counts = Counter(str(failure.error) for failure in outcome.failures if failure.is_consequence)
    return [
        f"error[{SetFailed.error_code}]: {text} ({plural(count, 'other destination')})"
        for text, count in counts.items()
    ]


_MOVED = {
    State.MOVED: "moved",
    State.PUBLISHED: "moved",
    State.UNSURE: "possibly moved",
    State.RESTORED: "restored",
    State.TAKEN: "moved, and since then by something else",
}


def _moved_lines(target: TargetOutcome) -> list[str]:
    """The tags that a target moved although it failed, and the command that restores what could not be restored."""
    if target.state not in (State.FAILED, State.REFUSED, State.STOPPED):
        return []
    lines: list[str] = []
    for place in target.destinations:
        if place.state not in (State.FAILED, State.REFUSED, State.STOPPED):
            continue
        for tag in place.tags:
            if tag.state not in _MOVED:
                continue
            reference, was = f"{place.repository}:{tag.tag}", tag.previous or "new"
            lines.append(f"{_MOVED[tag.state]}: {target.uid}: {reference} (was {was})")
            if tag.problem:
                lines += [f"not restored: {reference}: {tag.problem}", f"to restore it: {_command(place, tag)}"]
    return lines


def _command(place: DestinationOutcome, tag: TagOutcome) -> str:
    """Return the command that puts a tag back."""
    if tag.previous is None:
        return f"delete the tag {tag.tag} of {place.repository} in the registry: it was new"
    return f"bakery imagetools tag {place.repository}@{tag.previous} {tag.tag}"
