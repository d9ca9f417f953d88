"""The first lines of a summary page: the result in a few words, and the counts behind it. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

from bakery.report.markdown import size
from bakery.report.merging import Merged
from bakery.report.units import duration
from bakery.text import plural

_ORDER: Final = ("failed", "refused", "stopped", "published", "repaired", "built", "unchanged")
_DONE: Final = ("published", "repaired", "built", "unchanged")
_MOVED: Final = ("published", "moved")  # of a tag


def title(merged: Merged) -> str:
    """Return the result of the runs in a few words."""
    states = Counter(target.state for target in merged.targets)
    count = plural(len(merged.targets), "target")
    rehearsed = bool(merged.runs) and all(run.kind == "rehearse" for run in merged.runs)
    if failed := states["failed"] + states["refused"]:
        text = f"❌ {failed:,} of {count} failed"
    elif any(run.interrupted for run in merged.runs) or states["stopped"]:
        text = f"⏹️ Interrupted: {sum(states[state] for state in _DONE):,} of {count} done"
    elif any(run.exit_code for run in merged.runs):
        text = f"❌ Failed: exit code {max(run.exit_code for run in merged.runs)}"
    elif not merged.targets:
        text = "Nothing to publish"
    elif set(states) <= {"unchanged"}:
        text = f"✅ Nothing changed: {count} up to date"
    elif states["built"]:
        text = f"✅ Built {count}"
    else:
        text = f"✅ Published {count}"
    return f"Rehearsal: {text}" if rehearsed else text


def counts_line(merged: Merged) -> str:
    """Return the counts: targets by state, tags, retries, bytes, time. What is zero or unknown is left out."""
    states = Counter(target.state for target in merged.targets)
    tags = [tag for target in merged.targets for place in target.destinations for tag in place.tags]
    registries = [registry for run in merged.runs for registry in run.registries]
    moved = sum(tag.state in _MOVED for tag in tags)
    saved = sum(run.requests_saved for run in merged.runs)
    retries = sum(registry.retries for registry in registries)
    sent = sum(registry.bytes_out for registry in registries)
    spared = sum(registry.reused_bytes + registry.mounted_bytes for registry in registries)
    elapsed = max((run.elapsed_s for run in merged.runs), default=0.0)
    words = [f"**{states[state]:,}** {state}" for state in _ORDER if states[state]]
    words += [plural(len(merged.skipped), "skipped", "skipped")] if merged.skipped else []
    words += [f"{plural(moved, 'tag')} moved"] if moved else []
    words += [f"{size(sent)} sent"] if sent else []
    words += [f"{size(spared)} already there"] if spared else []
    words += [f"{plural(saved, 'request')} saved"] if saved else []
    words += [plural(retries, "retry", "retries")] if retries else []
    words += [duration(elapsed)] if elapsed else []
    return " · ".join(words)
