"""Plans and outcomes as aligned text. Pure."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from bakery.errors import code_of, hint_of, reason
from bakery.publish.outcome import DestinationOutcome, Failure, Outcome, SetFailed, State, TagOutcome, TargetOutcome
from bakery.publish.plan import Plan
from bakery.report.grouping import FailureGroup, by_error, grouped, others
from bakery.report.lines import Line
from bakery.report.table import aligned
from bakery.text import clean, plural


def stand_ins_table(
    stand_ins: Mapping[str, str],
    requests: Mapping[str, int],
    faults_met: Mapping[str, Mapping[str, int]],
    *,
    width: int | None = None,
) -> str:
    """Return one row per registry of a rehearsal: its stand-in, the requests it received, the faults it injected.

    width: of the terminal; None: no terminal.
    """
    rows = [("REGISTRY", "STAND-IN", "REQUESTS", "FAULTS")]
    for name, address in stand_ins.items():
        faults = ", ".join(f"{fault} x{count}" for fault, count in sorted(faults_met[name].items())) or "none"
        rows.append((name, address, str(requests[name]), faults))
    return aligned(rows, width=width)


def plan_table(plan: Plan, *, width: int | None = None) -> str:
    """Return what a run would do: one row per target and destination, then the sources of each target.

    width: of the terminal; None: no terminal.
    """
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
    return aligned(rows, width=width) + "".join(f"{clean(line)}\n" for line in lines)


def failure_report(outcome: Outcome) -> list[Line]:
    """Return each failure with its step and hint; what it meant for others; and the tags that moved nevertheless."""
    lines = [_group_line(group) for group in grouped(outcome)]
    lines += [_consequence_line(text, count) for text, count in _consequences(outcome).items()]
    lines += [
        Line(logging.ERROR, clean(text), style="plain") for target in outcome.targets for text in _moved_lines(target)
    ]
    if outcome.interrupted:
        done = (target.uid for target in outcome.targets if target.state in _PUBLISHED)
        lines += [Line(logging.INFO, clean(f"published: {uid}"), style="plain") for uid in done]
    return lines


_PUBLISHED = (State.PUBLISHED, State.REPAIRED, State.UNCHANGED)


def _group_line(group: FailureGroup) -> Line:
    first, step = group.places[0], str(group.failure.step)
    count = len(group.uids)
    title = f"{first.uid if count == 1 else plural(count, 'target')} [{step}]"
    members = {"event": "failed", "step": step, "targets": list(group.uids), "destination": first.repository}
    return Line(
        logging.ERROR,
        clean(group.text),
        style="report",
        code=group.code,
        hint=hint_of(group.failure.error),
        title=clean(title),
        members=members,
    )


def _consequence_line(text: str, count: int) -> Line:
    text = clean(f"{text} ({plural(count, 'other destination')})")
    return Line(logging.ERROR, text, style="report", code=SetFailed.error_code)


def failure_lines(uid: str, failure: Failure, place: str = "") -> list[str]:
    """Return a failure of a target: the error, and its hint on the next line."""
    return error_lines(f"{uid}: [{failure.step}] {place}", failure.error)


def error_lines(about: str, error: Exception) -> list[str]:
    """Return `error[<code>]: <about><what and why>`, and `hint: …` as a second line if there is one."""
    hint = hint_of(error)
    return [f"error[{code_of(error)}]: {about}{reason(error)}", *([f"hint: {hint}"] if hint else [])]


def grouped_error_lines(found: Iterable[tuple[str, Exception]], noun: str = "other reference") -> list[str]:
    """Return errors, each once, with the number and names of the references or targets that have it, and its hint."""
    lines = []
    for error, references in by_error(found):
        first, *hint = error_lines(f"{references[0]}: ", error)
        lines += [f"{first}{others(references, noun)}", *hint]
    return lines


def _consequences(outcome: Outcome) -> Counter[str]:
    """What a failure meant for the other destinations of its set: one text per set, with how many it concerns."""
    return Counter(str(failure.error) for failure in outcome.failures if failure.is_consequence)


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
        return f"bakery clean repository {place.repository} --tag '^{re.escape(tag.tag)}$' --yes"  # it was new
    return f"bakery imagetools tag {place.repository}@{tag.previous} {tag.tag}"
