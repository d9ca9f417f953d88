"""The page of one or several runs, as Markdown for $GITHUB_STEP_SUMMARY, a merge request or a file. Pure.

What needs attention is at the top: the result, then failures with reason and hint, then a table per image. What only
some readers need is folded: how to pull by digest, what each tag named before, waits and retries, time by stage.
GitHub drops a page of more than 1 MiB, so `report.fitting` leaves out what does not fit and says how much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from bakery.report.fitting import Part, fit
from bakery.report.markdown import code, escape, fenced, head, link, row, size
from bakery.report.merging import Merged, platform_count, tag_count
from bakery.report.page_title import counts_line, title
from bakery.report.page_work import registries_part, runs_part, stages_part
from bakery.report.registry_pages import page_of
from bakery.report.summary_format import DestinationRecord, ErrorRecord, TagRecord, TargetRecord
from bakery.report.units import duration
from bakery.text import plural

LIMIT_BYTES: Final = 1024 * 1024 - 16 * 1024  # GitHub's, less what other commands of a step may write
_ICONS: Final = {
    "published": "✅",
    "built": "✅",
    "repaired": "🔧",
    "unchanged": "➖",
    "failed": "❌",
    "refused": "⛔",
    "stopped": "⏹️",
}
_THERE: Final = ("published", "repaired", "unchanged")
# What became of a tag that this run moved, or may have moved.
_MOVED: Final = {
    "published": "", "moved": "not verified", "unsure": "possibly moved", "restored": "restored",
    "taken": "moved again by something else",
}  # fmt: skip
_MARKS: Final = {  # of a tag; any other is ❌
    "moved": "❔", "unsure": "❔", "restored": "↩️", "taken": "⚠️", "stopped": "⏹️", "skipped": "⏭️", "refused": "⛔",
}  # fmt: skip


def summary_page(merged: Merged, *, disclaimer: str = "", limit_bytes: int = LIMIT_BYTES) -> str:
    """Return the page, not longer than the limit. disclaimer: a sentence above everything."""
    images = [_image(name, list(targets)) for name, targets in groupby(merged.targets, lambda one: one.image_name)]
    top = [f"> ⚠️ **{escape(disclaimer)}**"] if disclaimer else []
    parts = [
        Part(0, "\n\n".join((*top, f"## {title(merged)}", counts_line(merged)))),
        _failures(merged.targets),
        *(part for image in images for part in image),
        _notes(merged),
        runs_part(merged),
        registries_part(merged),
        stages_part(merged),
    ]
    return fit([part for part in parts if part is not None], limit_bytes)


def _failures(targets: Sequence[TargetRecord]) -> Part | None:
    """Return each failure once, however many targets it has, with its hint."""
    found: dict[ErrorRecord, list[TargetRecord]] = {}
    for target in targets:
        for error in target.errors:
            found.setdefault(error, []).append(target)
    if not found:
        return None
    items = [_failure(error, failed) for error, failed in found.items()]
    return Part(1, "### Failures\n", tuple(items), "", "failure")


_NAMED_AT_MOST: Final = 5  # targets that a failure of many names


def _failure(error: ErrorRecord, targets: Sequence[TargetRecord]) -> str:
    names = ", ".join(f"**{_full_name(target)}**" for target in targets[:_NAMED_AT_MOST])
    if len(targets) > _NAMED_AT_MOST:
        names += f" and {plural(len(targets) - _NAMED_AT_MOST, 'other target')}"
    place = f" at {code(error.destination)}" if error.destination else ""
    named = f" {code(error.code)}" if error.code else ""
    line = f"- ❌{named} {names}: {escape(error.step) or 'failed'}{place}: {escape(error.message)}"
    return f"{line}  \n  💡 Hint: {escape(error.hint)}" if error.hint else line


def _image(name: str | None, targets: Sequence[TargetRecord]) -> list[Part]:
    """Return the table of an image, how to pull what it has, and what its tags named before."""
    heading = f"### {escape(name) if name else 'Targets'}\n\n"
    heading += head(("Target", "Platforms", "Size", "Tags", "State"), right={2})
    rows = tuple(_target_row(target) for target in targets)
    short = tuple(_target_row(target, linked=False) for target in targets)
    moved = [(place, tag) for target in targets for place in target.destinations for tag in place.tags]
    moved = [(place, tag) for place, tag in moved if tag.state in _MOVED]
    parts = [Part(2, heading, rows, "", "target", short)]
    pulls = [text for target in targets if (text := _pull(target))]
    if pulls:
        parts.append(Part(5, *_fold("Pull by digest", pulls), "command"))
    if moved:
        moves = [_move_row(place, tag) for place, tag in moved]
        opening, items, end = _fold(f"{plural(len(moved), 'tag')} moved", moves)
        parts.append(Part(4, f"{opening}{head(('Tag', 'Before', ''))}", items, end, "tag"))
    return parts


def _fold(name: str, items: Iterable[str]) -> tuple[str, tuple[str, ...], str]:
    return f"<details><summary>{name}</summary>\n\n", tuple(items), "\n</details>"


def _target_row(target: TargetRecord, *, linked: bool = True) -> str:
    state = target.state or ""
    seconds = f" {_whole(duration(target.elapsed_s))}" if target.elapsed_s else ""
    platforms = " ".join(code(platform) for platform in target.platforms) or str(platform_count(target) or "-")
    cells = (
        f"**{_name(target)}**",
        platforms,
        _whole(size(target.registry_size if target.registry_size is not None else target.local_size)),
        _tags(target, linked=linked),
        f"{_ICONS.get(state, '')} {escape(state) or '-'}{seconds}".strip(),
    )
    return row(cells)


def _whole(text: str) -> str:
    """Return a number with its unit so that no line breaks between them."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _tags(target: TargetRecord, *, linked: bool) -> str:
    """Return the tags of each repository, those that are there as links to the registry's page."""
    if not target.destinations:
        return " ".join(code(tag) for tag in target.tags) or str(tag_count(target) or "-")
    lines = []
    for place in target.destinations:
        repository = link(code(place.repository), page_of(place.repository) if linked else "")
        tags = [_tag(place, tag, linked=linked) for tag in place.tags]
        lines.append(f"{repository} {' '.join(tags)}".strip())
    return "<br>".join(lines)


def _tag(place: DestinationRecord, tag: TagRecord, *, linked: bool) -> str:
    if tag.state not in _THERE:
        return f"{_MARKS.get(tag.state, '❌')} {escape(tag.tag)}"
    url = page_of(place.repository, tag.tag) if linked else ""
    return link(escape(tag.tag), url) if url else code(tag.tag)


def _pull(target: TargetRecord) -> str:
    places = [place for place in target.destinations if place.state in _THERE]
    if not target.digest or not places:
        return ""
    first, *others = (place.repository for place in places)
    also = f", also in {', '.join(code(other) for other in others)}" if others else ""
    block = fenced([f"docker pull {first}@{target.digest}"], "shell")
    return f"**{_full_name(target)}**{also}:\n\n{block}\n"


def _move_row(place: DestinationRecord, tag: TagRecord) -> str:
    """Return what a tag named before, for moving it back by hand."""
    words = "; ".join(text for text in (_MOVED[tag.state], escape(tag.problem or "")) if text)
    return row((code(f"{place.repository}:{tag.tag}"), code(tag.previous) if tag.previous else "new", words))


def _notes(merged: Merged) -> Part | None:
    notes = [f"- {escape(text)}" for text in merged.warnings]
    notes += [f"- {_full_name(target)}: {escape(note)}" for target in merged.targets for note in target.notes]
    notes += [f"- {escape(item.uid)} is skipped: {escape(item.reason)}" for item in merged.skipped]
    return Part(3, "### Notes\n", tuple(notes), "", "note") if notes else None


def _name(target: TargetRecord) -> str:
    """Return what a target is called below its image: "1.0.0 Standard Ubuntu 24.04"."""
    words = [text for text in (target.version, target.variant, target.os) if text]
    return escape(" ".join(words) or target.uid or "-")


def _full_name(target: TargetRecord) -> str:
    return f"{escape(target.image_name)} {_name(target)}" if target.image_name else _name(target)
