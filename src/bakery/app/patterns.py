"""Renders costly patterns of bakery.yaml in a process of its own, limited in time and memory.

The process is started by the first such pattern; most projects have none. It does nothing but render, and ends when its
input is closed, so at the latest with this process.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

LIMIT_S: Final = 2.0  # of one pattern
LIMIT_BYTES: Final = 64 * 1024 * 1024  # beyond what the process has before its first pattern
_WAIT_S: Final = 2.0  # beyond the limit, for a process that its alarm does not end
_START_S: Final = 10.0
TOO_LONG: Final = "the result is longer than 4 KiB"
_CODE: Final = "import sys; sys.path[:] = {path!r}; from bakery.app.patterns import serve; serve({limit_s!r})"


class PatternProcess:
    """The process. Once a pattern has exceeded a limit, all further ones are refused: they would take as long."""

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._refused = ""
        self._lock = threading.Lock()

    def render(self, pattern: str, values: Mapping[str, Any]) -> str:
        """Return the rendered pattern. Raises ValueError with the reason."""
        with self._lock:
            if self._refused:
                raise ValueError(f"not rendered, because another pattern {self._refused}")
            answer = self._ask({"pattern": pattern, "values": values})
        if "error" in answer:
            raise ValueError(answer["error"])
        return str(answer["text"])

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        process = self._process
        if process is None:
            process = self._process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = _line(process.stdout, self._limit_s + _WAIT_S)
        except OSError:
            line = b""
        if line:
            answer: Mapping[str, Any] = json.loads(line)
            self._refused = answer.get("limit", "")
            return answer
        self._refused = f"took more than {self._limit_s:g} s"
        self.close()
        return {"error": f"it takes more than {self._limit_s:g} s"}

    def _start(self) -> subprocess.Popen[bytes]:
        # Not parallel.spawn: it is no command with an end, and it dies with our end of its input.
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE.format(path=sys.path, limit_s=self._limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        atexit.register(self.close)
        assert process.stdout is not None
        _line(process.stdout, _START_S)  # it has imported what it needs
        return process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _line(stream: IO[bytes], limit_s: float) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(limit_s) else b""


def serve(limit_s: float) -> None:
    """Render the patterns on stdin until its end, one JSON document on a line. The main function of the process."""
    import contextlib
    import resource
    import signal

    from bakery.config.bounds import MAX_TEXT
    from bakery.config.jinja import render_here

    render_here("{% for one in [1] %}{{ one }}{% endfor %}", {})  # whatever is imported late counts as ours
    with contextlib.suppress(OSError):  # only Linux says how much address space is used, and limits it
        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, used + LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(1, "w", buffering=1)
    answers.write("{}\n")
    for line in os.fdopen(0):
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, limit_s)  # SIGALRM ends the process
        answer: dict[str, str] = {}
        try:
            text = render_here(request["pattern"], request["values"])
            answer = {"text": text} if len(text.encode(errors="replace")) <= MAX_TEXT else {"error": TOO_LONG}
        except MemoryError:
            what = f"more than {LIMIT_BYTES >> 20} MiB"
            answer = {"error": f"it takes {what}", "limit": f"took {what}"}
        except Exception as error:  # noqa: BLE001  # a filter may raise anything
            answer = {"error": (str(error) or type(error).__name__)[:500]}
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer) + "\n")
