"""The functions that one blob passes on its way: `python -m bench.path`.

Copies an image with one layer from one registry to another with the native engine, in this process, and lists the
functions of src/bakery that the layer's requests and bytes pass, from `NativeEngine.stage` to the socket and
back. A function counts if it is on the call stack, across tasks and threads, whenever
  - the client writes to or reads from a socket or waits for one, or content is written to or read from the spool, or
  - an async generator yields a piece of the content, or a context around it.
Helpers that only compute (format a URL, parse a header) return before that and do not count. What a run does once per
host (connect, log in, learn how it responds to a mount) was done for an earlier image. Delegating methods count.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from weakref import WeakKeyDictionary

from tests.engines.workload import add_target, plan

from bakery.engines.native import NativeEngine
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.publish.outcome import State
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.retry import RetryPolicy

_SOURCE = str(Path(inspect.getfile(NativeEngine)).parents[1])
_SERVER = str(Path(inspect.getfile(EmbeddedRegistry)).parent)
_TOUCHES = frozenset({"send", "sendfile", "recv_into", "pwrite", "pread", "preadv"})
_WAITS = frozenset({"write", "wait"})  # of asyncio's transports and events
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})  # functions until Python 3.12
_START = "NativeEngine.stage"

Chain = tuple[CodeType, ...]


def _ours(code: CodeType) -> bool:
    in_source = code.co_filename.startswith(_SOURCE) and not code.co_filename.startswith(_SERVER)
    return in_source and code.co_name not in _COMPREHENSIONS


class Recorder:
    """Records the call stacks on which the content with this digest travels."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._before: WeakKeyDictionary[asyncio.Task[Any], tuple[Chain, bool]] = WeakKeyDictionary()
        self._in_thread = threading.local()
        self.passed: dict[CodeType, None] = {}

    def chain(self, frame: FrameType | None) -> tuple[Chain, bool]:
        """Return the functions of ours on this stack, callers first, and whether one of them holds the blob."""
        codes: list[CodeType] = []
        has_blob = False
        while frame is not None:
            if _ours(frame.f_code):
                codes.append(frame.f_code)
                has_blob = has_blob or self._has_blob(frame)
            frame = frame.f_back
        earlier, had_blob = self._earlier()
        return (*earlier, *reversed(codes)), has_blob or had_blob

    def _earlier(self) -> tuple[Chain, bool]:
        in_thread: tuple[Chain, bool] | None = getattr(self._in_thread, "chain", None)
        if in_thread is not None:
            return in_thread
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        return ((), False) if task is None else self._before.get(task, ((), False))

    def _has_blob(self, frame: FrameType) -> bool:
        return any(isinstance(value, Descriptor) and value.digest == self._digest for value in frame.f_locals.values())

    def record(self, frame: FrameType | None) -> None:
        codes, has_blob = self.chain(frame)
        names = [code.co_qualname for code in codes]
        if has_blob and _START in names:
            self.passed |= dict.fromkeys(codes[names.index(_START) :])

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        caller = frame.f_back
        if event == "c_call" and _ours(frame.f_code) and argument.__name__ in _TOUCHES:
            self.record(frame)
        elif event == "call" and caller is not None and _ours(caller.f_code):
            if "asyncio" in frame.f_code.co_filename and frame.f_code.co_name in _WAITS:
                self.record(caller)
        elif event == "return" and argument is not None and frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR:
            self.record(frame)

    def make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **others: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **others)
        self._before[task] = self.chain(sys._getframe())
        return task

    def threads(self) -> ThreadPoolExecutor:
        recorder = self

        class Threads(ThreadPoolExecutor):
            def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
                chain = recorder.chain(sys._getframe())

                def run() -> Any:
                    recorder._in_thread.chain = chain
                    sys.setprofile(recorder.profile)
                    try:
                        return work(*arguments, **named)
                    finally:
                        sys.setprofile(None)

                return super().submit(run)

        return Threads(2)


async def _copy() -> Recorder:
    content = bytes(1024 * 1024)
    recorder = Recorder(Digest.of(content))
    async with EmbeddedRegistry() as source, EmbeddedRegistry() as destination:
        first = add_target(source, (destination,), "first", shared=[bytes(2 * 1024 * 1024)])
        second = add_target(source, (destination,), "second", shared=[content])
        loop = asyncio.get_running_loop()
        loop.set_task_factory(recorder.make_task)  # type: ignore[arg-type]  # typeshed wants a Future's own type
        loop.set_default_executor(recorder.threads())
        client = Client(config=RegistryConfig(), policy=RetryPolicy())
        sys.setprofile(recorder.profile)
        try:
            outcome = await Pipeline(
                plan(first, second), NativeEngine(client), options=PipelineOptions(jobs=1)
            ).execute()
        finally:
            sys.setprofile(None)
            loop.set_task_factory(None)
        assert [target.state for target in outcome.targets] == [State.PUBLISHED] * 2, outcome.failures
    return recorder


def functions() -> list[str]:
    """Return `file: function` for each function passed, in the order in which they were first met."""
    passed = asyncio.run(_copy()).passed
    return [f"{Path(code.co_filename).relative_to(_SOURCE)}: {code.co_qualname}" for code in passed]


def main() -> None:
    found = functions()
    print("\n".join(found))
    print(f"{len(found)} functions")


if __name__ == "__main__":
    main()
