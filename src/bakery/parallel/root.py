"""The one root that a signal ends: SIGINT and SIGTERM cancel the running work, a second one kills at once.

Knows no process and no job. Who owns something that must not outlive us (children, temporary directories) registers
its last rite here, for the case that there is no time to unwind. What only running work needs (asyncio, sockets)
is imported when work is run, so that `bakery --help` can have the handlers without paying for it.
Source: pipeline.md 2.5, "ours".
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bakery.errors import ExecutorInterrupted

if TYPE_CHECKING:
    import asyncio
    import socket

T = TypeVar("T")

GRACE_S = 3.0  # what a child gets between SIGTERM and SIGKILL
TOTAL_S = 4.5  # from the first signal to our end, whatever still hangs; the promise is 5 s


class _Root:
    """What is running, what has been signalled, and what to do when there is no time left. One per process."""

    def __init__(self) -> None:
        self.signum: int | None = None  # the first signal
        self.installed = False
        self._entered = 0  # how many run_interruptible() are open, in any thread
        self._tasks: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._rites: dict[object, Callable[[], None]] = {}
        self._undivided = threading.RLock()
        self._undivided_depth = 0
        self._stop_wanted = False
        self._watchdog: threading.Timer | None = None

    def on_signal(self, signum: int, _frame: object) -> None:
        if self.signum is not None:
            self.stop_at_once()
            return
        self.signum = signum
        self._watchdog = threading.Timer(TOTAL_S, self.stop_at_once)
        self._watchdog.daemon = True
        self._watchdog.start()
        if not self._entered:
            raise ExecutorInterrupted(signum)
        for task, loop in list(self._tasks.items()):
            with contextlib.suppress(RuntimeError):  # that loop closed in this very moment
                loop.call_soon_threadsafe(task.cancel)

    def stop_at_once(self) -> None:
        """Do the last rites and end the process, without unwinding anything."""
        if threading.current_thread() is threading.main_thread():
            if self._undivided_depth:  # a child is half started: leave_undivided() comes back here
                self._stop_wanted = True
                return
        else:
            # The main thread may be stuck inside; half a second is more than starting a process takes.
            self._undivided.acquire(timeout=0.4)
        for rite in list(self._rites.values()):
            with contextlib.suppress(Exception):
                rite()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # flushing may be what the main thread is in the middle of
                stream.flush()
        os._exit(128 + (self.signum or signal.SIGINT))

    @contextlib.contextmanager
    def handlers(self, *, to_the_end: bool = False) -> Iterator[None]:
        if self.installed or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        self.installed = True
        try:
            yield
        finally:
            if self.signum is not None and to_the_end:
                # Only the interpreter's own exit is left: a late second signal must not give it another code, and
                # the watchdog stays, in case that exit hangs.
                before.update(dict.fromkeys(before, signal.SIG_IGN))
            else:
                if self._watchdog is not None:
                    self._watchdog.cancel()
                self.signum, self._watchdog = None, None
            for number, handler in before.items():
                signal.signal(number, handler)
            self.installed = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1

    async def run(self, main: Coroutine[Any, Any, T]) -> T:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = asyncio.get_running_loop()
        if self.signum is not None:  # it came before we were listed
            task.cancel()
        try:
            return await main
        finally:
            del self._tasks[task]

    def add_rite(self, rite: Callable[[], None]) -> Callable[[], None]:
        key = object()
        self._rites[key] = rite
        return lambda: self._rites.pop(key, None) and None

    @contextlib.contextmanager
    def undivided(self) -> Iterator[None]:
        with self._undivided:
            main = threading.current_thread() is threading.main_thread()
            self._undivided_depth += main
            try:
                yield
            finally:
                self._undivided_depth -= main
        if main and self._stop_wanted and not self._undivided_depth:
            self.stop_at_once()


_root = _Root()


def interruptible(*, to_the_end: bool = False) -> contextlib.AbstractContextManager[None]:
    """SIGINT and SIGTERM raise ExecutorInterrupted inside, or cancel what run_interruptible() runs there.

    A second signal, or TOTAL_S after the first, ends the process at once. Does nothing when it is already in force,
    nor outside the main thread (signals are the main thread's). to_the_end: the process exits after this, so once a
    signal came, no other one is heeded.
    """
    return _root.handlers(to_the_end=to_the_end)


def run_interruptible(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as asyncio.run does, as something that a signal cancels, and give what it returns.

    Raises ExecutorInterrupted when a signal came, with what the coroutine returned all the same as its `value`: a
    coroutine may catch CancelledError, tell what was done, and return or raise again.
    Can be called in any thread without a running loop: the main thread's handlers cancel what runs in the others too.
    """
    import asyncio

    with _root.handlers():
        if signalled():  # nothing begins after a signal
            main.close()
            raise ExecutorInterrupted(_root.signum or signal.SIGINT)
        value: T | None = None
        error: BaseException | None = None
        with _root.entered():
            try:
                with _waking() as wake, asyncio.Runner() as runner:
                    if wake is not None:
                        runner.get_loop().add_reader(wake, wake.recv, 4096)
                    value = runner.run(_root.run(main))
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - raised below, once more is known
                error = raised
        if signalled():
            cause = None if isinstance(error, asyncio.CancelledError) else error
            raise ExecutorInterrupted(_root.signum or signal.SIGINT, value) from cause
        if error is not None:
            raise error
        return value  # type: ignore[return-value] # without an error it is what main returned


@contextlib.contextmanager
def _waking() -> Iterator[socket.socket | None]:
    """A socket that becomes readable when a signal comes; None outside the main thread.

    Without it a signal that comes in the moment before the loop goes to sleep is heeded when the loop wakes for
    another reason, which may be never.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    import socket

    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(before)


def signalled() -> bool:
    """Whether a signal has come: then nothing new is to begin."""
    return _root.signum is not None


def at_hard_stop(rite: Callable[[], None]) -> Callable[[], None]:
    """Have `rite` called if the process must end without unwinding. Gives the function that takes this back.

    It runs in a signal handler or in a thread of its own, while other threads stand anywhere: it must take no lock.
    """
    return _root.add_rite(rite)


def undivided() -> contextlib.AbstractContextManager[None]:
    """A hard stop waits until the block is left: for "start it and note that it is ours". Keep it short."""
    return _root.undivided()


@contextlib.contextmanager
def scratch_directory(prefix: str) -> Iterator[Path]:
    """A temporary directory that is gone afterwards, also when the process is stopped by signals."""
    import shutil
    import tempfile

    with undivided():
        path = Path(tempfile.mkdtemp(prefix=prefix))
        take_back = at_hard_stop(lambda: shutil.rmtree(path, ignore_errors=True))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        take_back()
