"""Reads what buildx prints with `--progress plain`: which target a line is about, and how each target ended. Pure.

A line is `#7 [uid 2/3] RUN make`, the name of step 7, or `#7 0.12 text`, its output, or `#7 CACHED`, `#7 DONE 0.1s`,
`#7 ERROR: …`. With one target, names have no uid. BuildKit runs a step that two targets share once, under the name of
one of them. With several failures, buildx names the Containerfile and line of one only. Seen with buildx 0.38.2.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

TAIL_LINES: Final = 20
_STEP: Final = re.compile(r"#(\d+) (.*)")
_NAME: Final = re.compile(r"\[([^\]]*)\](?: (.*))?")
_OUTPUT: Final = re.compile(r"\d+\.\d+ ?")
_NUMBERED: Final = re.compile(r"(?:^| )\d+/\d+$")
_PLACE: Final = re.compile(r"(\S.*):(\d+)")
_EXCERPT: Final = re.compile(r"-{20}")
_RESULT: Final = re.compile(r"(\S+): (succeeded|failed|aborted|canceled)\b")
_FAILED: Final = re.compile(r"ERROR: (?:target ([\w-]+): )?(.*)")
_PREFIXES: Final = ("failed to build: ", "failed to solve: ")
_HARMLESS: Final = "importing cache manifest"  # its failure fails no build
_EXPORT: Final = "exporting to image"
_DIGEST: Final = re.compile(r"exporting manifest (?:list )?(sha256:[0-9a-f]{64})")
_LAST: Final = "resolving provenance for metadata file"  # buildx's last step of a target


def _nothing(_uid: str) -> None:
    pass


class Step:
    """One step of a build. name: as buildx shows it, without the uid: `[2/3] RUN make`. error: "" unless it failed."""

    def __init__(self, uid: str, name: str, *, numbered: bool) -> None:
        self.uid, self.name, self.numbered = uid, name, numbered
        self.cached = False
        self.error = ""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.digest = ""  # of what it exports: the list of manifests comes after the manifests
        self.pushes = False


class TargetProgress:
    """What is known of one target. place: Containerfile and line, as buildx names them. result: its word, or "".

    digest: of what was pushed, once it was; else "".
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.began = self.ended = 0.0
        self.reason = ""
        self.place: tuple[str, int] | None = None
        self.result = self.digest = ""

    @property
    def seconds(self) -> float:
        """How long it took so far, from its first line to its last."""
        return max(0.0, self.ended - self.began)

    @property
    def numbered(self) -> list[Step]:
        """The steps of its Containerfile that ran, or came from the cache, under its name."""
        return [step for step in self.steps if step.numbered]

    @property
    def failed_step(self) -> Step | None:
        """The step that failed, or None."""
        failed = [step for step in self.steps if step.error and _HARMLESS not in step.name]
        return next((step for step in failed if step.numbered), failed[0] if failed else None)


class Progress:
    """The output of one command that builds these targets, line by line."""

    def __init__(
        self,
        uids: Collection[str],
        *,
        on_start: Callable[[str], None] = _nothing,
        on_end: Callable[[str], None] = _nothing,
    ) -> None:
        """on_start: called with the uid when a target is first named. on_end: when its last step is done."""
        self.targets = {uid: TargetProgress() for uid in uids}
        self.reason = ""  # of a failure that is not about one target
        self._only = next(iter(uids)) if len(uids) == 1 else ""
        self._steps: dict[str, Step] = {}
        self._place: tuple[str, int] | None = None
        self._before = ""
        self._on_start, self._on_end = on_start, on_end

    def feed(self, line: str, now: float) -> None:
        """Take a line. now: seconds of the caller's clock."""
        found = _STEP.fullmatch(line)
        if found is None:
            self._closing(line)
            self._before = line
            return
        number, text = found.groups()
        step = self._steps.get(number)
        if step is None:
            step = self._steps[number] = self._named(text, now)
        if step.uid:
            self.targets[step.uid].ended = now
        if text != step.name and not text.startswith("["):
            self._about(step, text)

    def _named(self, text: str, now: float) -> Step:
        found = _NAME.fullmatch(text)
        inside = found[1] if found else ""
        first, _, rest = inside.partition(" ")
        uid = first if first in self.targets else self._only
        if first in self.targets:
            inside = rest
        name = " ".join(part for part in (inside and f"[{inside}]", found[2] if found else text) if part)
        step = Step(uid, name, numbered=bool(_NUMBERED.search(inside)))
        if uid:
            target = self.targets[uid]
            if not target.steps:
                target.began = now
                self._on_start(uid)
            target.steps.append(step)
            target.tail.append(name)
        return step

    def _about(self, step: Step, text: str) -> None:
        if result := _RESULT.match(text) if step.name == "[internal] target results" else None:
            if result[1] in self.targets:
                self.targets[result[1]].result = result[2]
            return
        if text == "CACHED":
            step.cached = True
        elif text.startswith("DONE "):
            self._done(step)
        elif text.startswith("ERROR: "):
            step.error = text.removeprefix("ERROR: ")
            if not step.uid:
                self.reason = step.error
        elif step.name == _EXPORT:
            step.pushes |= text.startswith("pushing manifest for ")
            found = _DIGEST.match(text)
            step.digest = found[1] if found else step.digest
        if text in ("CACHED", "...") or text.startswith("DONE "):
            return
        shown = _OUTPUT.sub("", text, count=1) if _OUTPUT.match(text) else text
        step.tail.append(shown)
        if step.uid:
            self.targets[step.uid].tail.append(shown)

    def _done(self, step: Step) -> None:
        if not step.uid:
            return
        target = self.targets[step.uid]
        if step.pushes:
            target.digest = step.digest
        if step.name == _LAST:
            self._on_end(step.uid)

    def _closing(self, line: str) -> None:
        """Take a line of what buildx prints after the steps: excerpts of Containerfiles, and the error."""
        if _EXCERPT.fullmatch(line) and (place := _PLACE.fullmatch(self._before)):
            self._place = (place[1], int(place[2]))
        elif found := _FAILED.fullmatch(line):
            uid, reason = found[1] or self._only, found[2]
            for prefix in _PREFIXES:
                reason = reason.removeprefix(prefix)
            if uid in self.targets:
                self.targets[uid].reason, self.targets[uid].place = reason, self._place
            else:
                self.reason = reason
            self._place = None


def line_of_step(containerfile: str, step: str) -> int:
    """Return the line (1-based) of the only instruction that is this step; 0 if none or several are.

    step: its name, such as `[2/3] RUN make`. Instructions are compared without comments and repeated blanks.
    """
    instruction = " ".join(step.partition("] ")[2].split())
    found: list[int] = []
    parts: list[str] = []
    first = 0
    for number, line in enumerate(containerfile.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not parts:
            first = number
        continued = text.endswith("\\")
        parts.append(text.removesuffix("\\").strip())
        if continued:
            continue
        if " ".join(" ".join(parts).split()) == instruction:
            found.append(first)
        parts = []
    return found[0] if len(found) == 1 else 0
