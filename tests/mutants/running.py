"""Run the mutations of a room inside one pytest session: each in a fork, with the tests that reach its lines.

The tests are collected once. A fork replaces the code of one function, runs its tests, and stops at the first failure.
Replacing the code in place reaches the function wherever it was imported or wrapped. POSIX only.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from tests.mutants.mutations import Mutation, mutated_code, mutations
from tests.mutants.rooms import Room

SOURCE = Path(__file__).parents[2] / "src" / "bakery"
KILLED, SURVIVED, NOT_RUN = "killed", "survived", "not run"
_PATIENCE = 3  # a test that takes this many times as long as usual, and as many seconds more, hangs: a failure too
_MEMORY_BYTES = 4 * 1024**3  # of a fork: a loop that never ends may collect without end
_FAILED = 1  # exit status of a fork in which a test failed


@dataclass(frozen=True)
class Result:
    """outcome: KILLED, SURVIVED, or NOT_RUN if no test reaches the mutated lines."""

    mutation: Mutation
    outcome: str


@dataclass(frozen=True)
class _Reached:
    """Which lines each test reached, by file, and how long it took."""

    lines: dict[str, dict[str, set[int]]]
    seconds: dict[str, float]


def run_room(room: Room, *, jobs: int, progress: Callable[[Result], None]) -> list[Result]:
    """Run every mutation of a room. Raises RuntimeError if its tests fail without any mutation."""
    session = _Session(room, jobs, progress)
    chosen = [  # the limits of time are those of the fork
        "-q",
        "-m",
        "not slow and not peer",
        "-p",
        "no:cacheprovider",
        "--timeout=0",
        "--hypothesis-profile=quick",
    ]
    pytest.main([*room.tests, *chosen], plugins=[session])
    if session.problem:
        raise RuntimeError(session.problem)
    return session.results


class _Session:
    """A pytest plugin that takes the place of the loop over the tests."""

    def __init__(self, room: Room, jobs: int, progress: Callable[[Result], None]) -> None:
        self._room, self._jobs, self._progress = room, jobs, progress
        self._items: dict[str, pytest.Item] = {}
        self._failed: list[str] = []
        self._stop_at_failure = False
        self.results: list[Result] = []
        self.problem = "no tests were collected"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        plugins = session.config.pluginmanager
        plugins.unregister(plugins.get_plugin("terminalreporter"))  # what a fork's tests say is of no interest
        self._items = {item.nodeid: item for item in session.items}
        reached, failed = self._in_fork(self._baseline)
        if failed or not self._items:
            self.problem = f"tests fail without a mutation: {', '.join(failed)}"
        else:
            self.problem = ""
            self._run_all(reached)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            if self._stop_at_failure:
                os._exit(_FAILED)
            self._failed.append(report.nodeid)

    def _run(self, names: Sequence[str], limits_s: Mapping[str, float] | None = None) -> None:
        items = [self._items[name] for name in names]
        for item, following in zip(items, [*items[1:], None], strict=True):
            if limits_s is not None:
                signal.setitimer(signal.ITIMER_REAL, limits_s[item.nodeid])  # SIGALRM ends the process, C code included
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)

    def _baseline(self) -> tuple[_Reached, list[str]]:
        """Run every test as it is, and note which lines it reaches."""
        files = {str(path) for path in _files(self._room)}
        reached = _Reached({}, {})
        for name in self._items:
            began = time.monotonic()
            with _Tracing(files) as lines:
                self._run([name])
            reached.lines[name], reached.seconds[name] = dict(lines.found), time.monotonic() - began
        return reached, self._failed

    def _in_fork(self, work: Callable[[], Any]) -> Any:
        """Run this in a fork, so that it leaves nothing behind in this process; return its result."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            _be_silent()
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(work(), pipe)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            content = pipe.read()
        os.waitpid(child, 0)
        return pickle.loads(content)

    def _run_all(self, reached: _Reached) -> None:
        running: dict[int, Mutation] = {}
        limits_s = {name: _PATIENCE * (1 + seconds) for name, seconds in reached.seconds.items()}
        for path in _files(self._room):
            source = path.read_text()
            for mutation in mutations(_module(path), source):
                names = self._tests_of(mutation, str(path), reached)
                code = mutated_code(mutation, source, str(path))
                if not names or not (functions := _functions_of(code)):
                    self._note(Result(mutation, NOT_RUN))
                    continue
                while len(running) >= self._jobs:
                    self._collect_one(running)
                running[self._start(code, functions, names, limits_s)] = mutation
        while running:
            self._collect_one(running)

    def _tests_of(self, mutation: Mutation, path: str, reached: _Reached) -> list[str]:
        lines = set(range(mutation.lines[0], mutation.lines[1] + 1))
        names = [name for name, files in reached.lines.items() if files.get(path, set()) & lines]
        return sorted(names, key=lambda name: reached.seconds[name])

    def _start(
        self, code: CodeType, functions: list[FunctionType], names: list[str], limits_s: Mapping[str, float]
    ) -> int:
        child = os.fork()
        if child:
            return child
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
        _be_silent()
        self._stop_at_failure = True
        try:
            for function in functions:
                function.__code__ = code
            self._run(names, limits_s)
        except BaseException:  # noqa: BLE001  # whatever it is, the mutation was noticed
            os._exit(_FAILED)
        os._exit(0)

    def _collect_one(self, running: dict[int, Mutation]) -> None:
        """Wait until one of these forks has ended."""
        child, status = os.wait()
        self._note(Result(running.pop(child), KILLED if status else SURVIVED))

    def _note(self, result: Result) -> None:
        self.results.append(result)
        self._progress(result)


class _Tracing:
    """Note the lines of these files that run, in any thread."""

    def __init__(self, files: set[str]) -> None:
        self._files = files
        self.found: defaultdict[str, set[int]] = defaultdict(set)

    def __enter__(self) -> _Tracing:
        threading.settrace(self._call)
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _call(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        self.found[frame.f_code.co_filename].add(frame.f_lineno)
        return self._line


def _functions_of(code: CodeType) -> list[FunctionType]:
    """Return the functions that the mutated code belongs to; none if it no longer fits its closure."""
    found = [
        one
        for one in gc.get_objects()
        if isinstance(one, FunctionType)
        and one.__code__.co_filename == code.co_filename
        and one.__code__.co_qualname == code.co_qualname
        and one.__code__.co_firstlineno == code.co_firstlineno
    ]
    return [one for one in found if one.__code__.co_freevars == code.co_freevars]


def _files(room: Room) -> Iterator[Path]:
    for pattern in room.modules:
        for path in sorted(SOURCE.glob(pattern)):
            importlib.import_module(_module(path))
            yield path


def _module(path: Path) -> str:
    return ".".join(("bakery", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


def _be_silent() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
