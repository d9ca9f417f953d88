"""What a run would do, for a terminal, and as Markdown for a pull request. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bakery.errors import code_of, hint_of, reason
from bakery.oci.digest import Digest
from bakery.publish.forecast import Change, DestinationForecast, Forecast, TagForecast, TargetForecast, as_planned
from bakery.publish.plan import Plan
from bakery.report.columns import wrapped
from bakery.report.grouping import by_error, others
from bakery.report.markdown import code, escape, head, row, size
from bakery.report.outcome import grouped_error_lines
from bakery.report.table import aligned
from bakery.report.units import duration
from bakery.text import clean, plural

MARKS: Final = {
    Change.NEW: "+",
    Change.MOVES: "~",
    Change.EQUAL: "=",
    Change.REFUSED: "!",
    Change.STAYS: "-",
    Change.UNKNOWN: "?",
}
_WORDS: Final = {
    Change.NEW: "new",
    Change.MOVES: "moves",
    Change.EQUAL: "unchanged",
    Change.REFUSED: "would be refused by policy",
    Change.STAYS: "stays",
    Change.UNKNOWN: "unknown",
}
_SHOWN_DIGITS: Final = 12
_MOST_ROWS: Final = 500  # tags on a page for a pull request; GitHub shows at most 65,536 characters of a comment


def forecast_lines(found: Forecast, *, full: bool = False, fails: bool = False, width: int | None = None) -> str:
    """Return what a run would do, target by target, what would fail, and a closing line. full: with whole digests.

    fails: what would fail the run is an error of this command too (--strict); otherwise it is a warning. width: of the
    terminal; None: no terminal.
    """
    lines: list[str] = []
    for target in found.targets:
        lines += _target_lines(target, full=full)
    lines += [f"warning: {text}" for text in found.warnings]
    lines += [f"skipped: {item.uid}: {item.reason}" for item in found.skipped]
    lines += _problem_lines(found, fails=fails)
    first, *rest = closing(found).split("; ")
    parts = [f"Dry run: {first}{';' if rest else ''}", *(f"{part};" for part in rest[:-1]), *rest[-1:]]
    lines += wrapped(parts, width)
    return "".join(f"{clean(line)}\n" for line in lines)


def closing(found: Forecast) -> str:
    """Return the counts and the cost of a run in one sentence."""
    cost = found.cost
    counts = [f"{found.count(change):,} {_WORDS[change]}" for change in Change if found.count(change)]
    tags = plural(sum(len(place.tags) for target in found.targets for place in target.destinations), "tag")
    parts = [f"{plural(len(found.targets), 'target')}, {tags}" + (f" ({', '.join(counts)})" if counts else "")]
    parts.append(f"{size(cost.send_bytes)} to send in {plural(cost.send_blobs, 'blob')}")
    if cost.mount_blobs:
        parts.append(f"{cost.mount_blobs:,} mounted")
    parts.append(f"about {plural(cost.requests, 'request')} and {duration(cost.seconds)}")
    return "; ".join(parts) + ("; the run would fail" if found.would_fail else "")


def plan_page(plan: Plan) -> str:
    """Return a plan as Markdown, without what registries have."""
    return forecast_page(as_planned(plan), title="What this publish would do")


def forecast_page(found: Forecast, *, title: str = "") -> str:
    """Return what a run would do as Markdown: failures first, then the tags that change, then the others, folded.

    title: in place of whether the run would succeed.
    """
    problems = [_problem(names, error) for error, names in by_error(_failures(found))]
    title = title or ("This publish would fail" if found.would_fail else "This publish would succeed")
    lines = [f"### {title}", "", f"{escape(closing(found))}.", ""]
    if problems:
        lines += [*problems, ""]
    rows = [(target, place, tag) for target in found.targets for place in target.destinations for tag in place.tags]
    changing = [one for one in rows if one[2].change is not Change.EQUAL]
    lines += _table(changing)
    if equal := [one for one in rows if one[2].change is Change.EQUAL]:
        lines += [
            f"<details><summary>{plural(len(equal), 'tag')} unchanged</summary>",
            "",
            *_table(equal),
            "</details>",
        ]
    notes = [f"- {escape(target.uid)}: {escape(note)}" for target in found.targets for note in target.notes]
    notes += [f"- skipped {escape(item.uid)}: {escape(item.reason)}" for item in found.skipped]
    notes += [f"- {escape(text)}" for text in found.warnings]
    lines += [*([""] if notes else []), *notes]
    return "\n".join(lines).rstrip("\n") + "\n"


_Row = tuple[TargetForecast, DestinationForecast, TagForecast]


def _table(rows: Sequence[_Row]) -> list[str]:
    if not rows:
        return []
    lines = [head(("Tag", "Change", "Now", "Then", "Platforms"))]
    for target, place, tag in rows[:_MOST_ROWS]:
        reference = code(f"{place.repository}:{tag.tag}")
        change = _WORDS[tag.change] + (f": {escape(tag.reason)}" if tag.reason else "")
        lines.append(row((reference, change, _cell(tag.now), _cell(tag.then), escape(", ".join(target.platforms)))))
    more = len(rows) - _MOST_ROWS
    return [*lines, "", *([f"and {plural(more, 'more tag')}", ""] if more > 0 else [])]


def _cell(digest: Digest | None) -> str:
    return code(_short(digest)) if digest is not None else "-"


def _problem(names: Sequence[str], error: Exception) -> str:
    hint = hint_of(error)
    uid, _, where = names[0].partition(": ")
    place = f" at {code(where)}" if where else ""
    text = f"- **{escape(uid)}**{place}: {escape(reason(error))} ({code(code_of(error))})"
    text += escape(others(names, "other"))
    return text + (f". {escape(hint[:1].upper() + hint[1:])}." if hint else "")


def _failures(found: Forecast) -> list[tuple[str, Exception]]:
    """Return what would fail: the target, and its repository if the failure is of one, with the error."""
    failures = [(one.uid, one.failure) for one in found.targets if one.failure is not None]
    failures += [
        (f"{one.uid}: {place.repository}", place.failure)
        for one in found.targets
        for place in one.destinations
        if place.failure is not None
    ]
    return failures + [(item.target.uid, item.error) for item in found.refused]


def _problem_lines(found: Forecast, *, fails: bool) -> list[str]:
    """Return what would fail, the same failure of several targets once."""
    lines = grouped_error_lines(_failures(found), "other")
    return lines if fails else [line.replace("error[", "warning[", 1) for line in lines]


def _target_lines(target: TargetForecast, *, full: bool) -> list[str]:
    digest = _shown(target.digest, full=full) if target.digest is not None else ""
    lines = ["  ".join(part for part in (target.uid, " ".join(target.platforms), digest) if part)]
    for place in target.destinations:
        lacking = f"  (lacks {plural(len(place.lacking), 'blob')})" if place.lacking else ""
        lines.append(f"  {place.repository}{lacking}")
        lines += [f"    {text}" for text in _tag_lines(place.tags, full=full)]
    if target.missing_platforms:
        lines.append(f"  missing: {' '.join(target.missing_platforms)}")
    return lines + [f"  note: {note}" for note in target.notes]


def _tag_lines(tags: Sequence[TagForecast], *, full: bool) -> list[str]:
    rows = [_tag_row(tag, full=full) for tag in tags]
    return aligned(rows, rule=False).splitlines()


def _tag_row(tag: TagForecast, *, full: bool) -> tuple[str, str, str]:
    now = ""
    if tag.now is not None and tag.change is not Change.EQUAL:
        now = f"now {_shown(tag.now, full=full)}"
    about = ": ".join(part for part in (now, tag.reason) if part)
    return f"{MARKS[tag.change]} {tag.tag}", _WORDS[tag.change], about


def _shown(digest: Digest, *, full: bool) -> str:
    return str(digest) if full else _short(digest)


def _short(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:_SHOWN_DIGITS]}"
