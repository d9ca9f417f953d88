"""A run as data for its timeline: what is drawn, in few bytes. Pure. `report/timeline_page` has the page that draws it.

Text that occurs often is in `texts` once, and named by its number there; 0 is the empty text. Times are in seconds
since the start of the run, to the millisecond.
"""

from __future__ import annotations

from typing import Any, Final

from bakery.oci.annotation import format_time
from bakery.report.model import Host, Mark, Run, Target
from bakery.report.rates import rates
from bakery.report.work import started
from bakery.text import clean

MOST_MARKS: Final = 6000  # on the page; more are counted only, so that it stays small
_MOST_TEXT: Final = 400  # characters of a reason or an error


def timeline(run: Run) -> dict[str, Any]:
    """Return the data of a run's timeline as a JSON value."""
    texts = _Texts()
    shown = run.marks[:MOST_MARKS]
    by_target: dict[str, list[Mark]] = {}
    for mark in shown:
        if mark.target:
            by_target.setdefault(mark.target, []).append(mark)
    stages = [stage.name for stage in run.stages()]
    data = {
        "doing": clean(run.doing),
        "state": clean(run.state),
        "started": format_time(started(run)),
        "elapsed": _time(run.now),
        "stages": stages,
        "totals": {
            "requests": run.requests,
            "out": run.bytes_out,
            "in": run.bytes_in,
            "spared": run.bytes_spared,
            "retries": run.retries,
            "saved": run.saved,
        },
        "notes": [clean(note.message) for note in run.notes],
        "marksLeftOut": max(0, len(run.marks) - len(shown)),
        "hosts": [
            _host(host, [mark for mark in shown if mark.host == host.name], texts) for host in run.hosts.values()
        ],
        "targets": [
            _target(target, run, by_target.get(target.uid, []), stages, texts) for target in run.targets.values()
        ],
    }
    return data | {"texts": texts.all}


class _Texts:
    """Numbers texts. Use it while the data is made; `all` has them in the order of their numbers."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a text, which is cleaned and cut."""
        shown = clean(text)
        if len(shown) > _MOST_TEXT:
            shown = f"{shown[:_MOST_TEXT]}…"
        return self._numbers.setdefault(shown, len(self._numbers))

    @property
    def all(self) -> list[str]:
        """Every text, by its number."""
        return list(self._numbers)


def _target(target: Target, run: Run, marks: list[Mark], stages: list[str], texts: _Texts) -> dict[str, Any]:
    about = target.about
    steps = [
        [
            stages.index(step.name),
            texts.number(step.place),
            _time(step.began),
            _time(step.elapsed_s(run.now)),
            texts.number(step.error),
            step.retries,
        ]
        for step in target.steps
    ]
    return {
        "uid": clean(target.uid),
        "image": clean(about.image),
        "name": clean(" ".join(text for text in (about.version, about.variant) if text)),
        "os": clean(about.os),
        "platforms": texts.number(" ".join(about.platforms)),
        "state": clean(target.state),
        "began": _time(target.began or 0.0),
        "time": _time(target.elapsed_s(run.now)),
        "places": [texts.number(place.repository) for place in about.places],
        "steps": steps,
        "marks": [[*_mark(mark, texts), texts.number(mark.host), texts.number(mark.subject)] for mark in marks],
        "moves": [
            [texts.number(_repository(move.reference)), clean(_tag(move.reference)), texts.number(move.previous)]
            for move in target.moves
        ],
        "digest": texts.number(target.moves[-1].digest if target.moves else ""),
        "notes": [clean(note) for note in target.notes],
    }


def _host(host: Host, marks: list[Mark], texts: _Texts) -> dict[str, Any]:
    return {
        "name": clean(host.name),
        "requests": host.requests,
        "out": host.bytes_out,
        "in": host.bytes_in,
        "reused": host.reused_bytes,
        "mounted": host.mounted_bytes,
        "retries": host.retries,
        "waited": _time(host.waited_s),
        "rates": [
            [_time(one.start), _time(one.end), round(one.out_per_s), round(one.in_per_s), round(one.requests_per_s, 2)]
            for one in rates(host)
        ],
        "causes": [
            [texts.number(cause.reason), cause.count, _time(cause.waited_s)]
            for cause in sorted(host.causes.values(), key=lambda cause: -cause.waited_s)
        ],
        "marks": [_mark(mark, texts) for mark in marks],
    }


def _mark(mark: Mark, texts: _Texts) -> list[Any]:
    return [_time(mark.at), mark.kind, _time(mark.wait_s), texts.number(mark.reason)]


def _repository(reference: str) -> str:
    return reference.rpartition(":")[0]


def _tag(reference: str) -> str:
    return reference.rpartition(":")[2]


def _time(seconds: float) -> float:
    return round(seconds, 3)
