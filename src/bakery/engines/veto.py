"""The command of --before-commit: it reads what is staged, and decides whether any tag of the run moves."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bakery.errors import BakeryError, UsageError, reason
from bakery.oci.platform import Platform
from bakery.parallel.spawn import spawn
from bakery.publish.sets import Staged
from bakery.text import clean, json_text

FORMAT: Final = 1
_OPTION: Final = "--before-commit"


class Vetoed(BakeryError):
    """The command of --before-commit does not want any tag to move."""

    error_code = "publish/vetoed"


def parse_command(text: str) -> tuple[str, ...]:
    """Return the words of a command line. No shell runs it. Raises UsageError if it cannot be parsed."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"invalid value for {_OPTION}", about=repr(text), why=str(error)) from error
    if not words:
        raise UsageError(f"invalid value for {_OPTION}", about=repr(text), why="expected a command")
    return words


def staged_json(deliveries: Sequence[Staged]) -> dict[str, Any]:
    """Return what the command reads: every target at every destination, failures included."""
    return {"format": FORMAT, "deliveries": [_delivery_json(one) for one in deliveries]}


def _delivery_json(one: Staged) -> dict[str, Any]:
    target, image = one.target, one.image
    tags = next((place.tags for place in target.destinations if place.repository == one.repository), ())
    return {
        "target": target.uid,
        "image": target.image,
        "version": target.version,
        "repository": str(one.repository),
        "tags": list(tags),
        "digest": str(image.digest) if image is not None else None,
        "platforms": {
            str(platform): str(child.descriptor.digest)
            for child in (image.children if image is not None else ())
            if child.is_image and isinstance(platform := child.descriptor.platform, Platform)
        },
        "staged": one.error is None,
        "error": None if one.error is None else reason(one.error),
    }


class Veto:
    """Runs the command once per run. left_s: the seconds that are left of the time budget. show: takes its output."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        left_s: Callable[[], float],
        show: Callable[[str], None],
    ) -> None:
        self._command, self._environment, self._folder = tuple(command), environment, folder
        self._left_s, self._show = left_s, show

    async def ask(self, deliveries: Sequence[Staged]) -> None:
        """Return if tags may move. Raises Vetoed if the command exits with anything but 0, or cannot be run."""
        last = [""]

        def on_line(line: str) -> None:
            last[0] = line or last[0]
            self._show(clean(line))

        done = await spawn(
            self._command,
            env=self._environment,
            cwd=self._folder,
            stdin=json_text(staged_json(deliveries)).encode() + b"\n",
            timeout_s=max(1.0, self._left_s()),
            on_line=on_line,
        )
        if done.ok:
            return
        why = done.exception.why if done.exception is not None else f"it exited with {done.returncode}"
        if done.exception is None and last[0]:
            why = f"{why}: {clean(last[0])[:300]}"
        raise Vetoed("no tag moves because of", about=f"{_OPTION} {shlex.join(self._command)}", why=why)
