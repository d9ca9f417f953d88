"""Signals: the first SIGINT, SIGTERM, SIGHUP or SIGQUIT cancels the running work, a second ends the process at once.
Others that would end the process count as SIGTERM.

Starts no process and schedules no job. A module that owns something that must not outlive the process (children,
temporary directories) registers a function with `at_hard_stop`, for when there is no time to unwind. asyncio and socket
are imported only when work runs, so that `bakery --help` has the handlers without the cost.
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
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bakery.errors import ExecutorInterrupted

if TYPE_CHECKING:
    import asyncio
    import socket

T = TypeVar("T")

GRACE_S = 3.0  # between SIGTERM and SIGKILL for a child
TOTAL_S = 4.5  # from the first signal to the end of the process, even if something hangs; 5 s are documented


# By default they end a process without a word, and its children run on. Here each counts as SIGTERM.
_LIKE_SIGTERM: Final = ("SIGALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGXCPU")


def _handled() -> list[signal.Signals]:
    """Return the signals that end the work: SIGINT, SIGTERM, and others that are not ignored or handled already.

    nohup ignores SIGHUP, a profiler handles SIGPROF.
    """
    others = (signal.SIGHUP, signal.SIGQUIT, *(getattr(signal, name) for name in _LIKE_SIGTERM))
    return [signal.SIGINT, signal.SIGTERM, *(one for one in others if signal.getsignal(one) is signal.SIG_DFL)]


class _Root:
    """The running work, the signal that came, and the functions for a hard stop. One per process."""

    def __init__(self) -> None:
        self.signum: int | None = None  # the first signal
        self.installed = False
        self._entered = 0  # how many run_interruptible() are open, in any thread
        self._tasks: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._at_hard_stop: dict[object, Callable[[], None]] = {}
        self._undivided = threading.RLock()
        self._undivided_depth = 0
        self._stop_wanted = False
        self._watchdog: threading.Timer | None = None

    def on_signal(self, signum: int, _frame: object) -> None:
        if self.signum is not None:
            self.stop_at_once()
            return
        self.signum = signal.SIGTERM if signal.Signals(signum).name in _LIKE_SIGTERM else signum
        self._watch(TOTAL_S)
        if not self._entered:
            raise ExecutorInterrupted(self.signum)
        for task, loop in list(self._tasks.items()):
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(task.cancel)

    def _watch(self, seconds: float) -> None:
        """End the process after so many seconds, unless it has ended by then."""
        self._watchdog = threading.Timer(seconds, self.stop_at_once)
        self._watchdog.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread can be started: a second signal still ends the process
            self._watchdog.start()

    def postpone_end(self, seconds: float) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watch(seconds)

    def stop_at_once(self) -> None:
        """Call the registered functions and end the process, without unwinding."""
        if threading.current_thread() is threading.main_thread():
            if self._undivided_depth:  # a child is being started: undivided() calls this again
                self._stop_wanted = True
                return
        else:
            # The main thread may hang inside; starting a process takes less than half a second.
            self._undivided.acquire(timeout=0.4)
        for function in list(self._at_hard_stop.values()):
            with contextlib.suppress(Exception):
                function()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the main thread may be in the middle of flushing
                stream.flush()
        os._exit(128 + (self.signum or signal.SIGINT))

    @contextlib.contextmanager
    def handlers(self, *, to_the_end: bool = False) -> Iterator[None]:
        if self.installed or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.on_signal) for number in _handled()}
        self.installed = True
        try:
            yield
        finally:
            if self.signum is not None and to_the_end:
                # Only the interpreter's exit is left: a late second signal must not change the exit code, and the
                # watchdog stays in case that exit hangs.
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
        if self.signum is not None:  # it came before the task was listed
            task.cancel()
        try:
            return await main
        finally:
            del self._tasks[task]

    def register(self, function: Callable[[], None]) -> Callable[[], None]:
        key = object()
        self._at_hard_stop[key] = function
        return lambda: self._at_hard_stop.pop(key, None) and None

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
    """Handle the signals that end a process: raise ExecutorInterrupted, or cancel what run_interruptible() runs inside.

    A second signal, or TOTAL_S after the first, ends the process at once. Does nothing if nested, or outside the main
    thread (only the main thread gets signals). to_the_end: the process exits after the block, so after a signal all
    further ones are ignored.
    """
    return _root.handlers(to_the_end=to_the_end)


def run_interruptible(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine like asyncio.run, cancel it on a signal, and return its result.

    Raises ExecutorInterrupted after a signal. Its `value` is what the coroutine returned nevertheless: a coroutine may
    catch CancelledError, report what was done, and return or raise again.
    Works in any thread without a running loop: the handlers of the main thread cancel the work in all threads.
    """
    import asyncio

    from bakery.limits import Threads

    with _root.handlers():
        if signalled():  # nothing starts after a signal
            main.close()
            raise ExecutorInterrupted(_root.signum or signal.SIGINT)
        value: T | None = None
        error: BaseException | None = None
        with _root.entered():
            try:
                with _waking() as wake, asyncio.Runner() as runner:
                    runner.get_loop().set_default_executor(Threads(thread_name_prefix="asyncio"))
                    if wake is not None:
                        runner.get_loop().add_reader(wake, wake.recv, 4096)
                    value = runner.run(_root.run(main))
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - raised below, or as the cause
                error = raised
        if signalled():
            cause = None if isinstance(error, asyncio.CancelledError) else error
            raise ExecutorInterrupted(_root.signum or signal.SIGINT, value) from cause
        if error is not None:
            raise error
        return value  # type: ignore[return-value] # without an error it is what main returned


@contextlib.contextmanager
def _waking() -> Iterator[socket.socket | None]:
    """Yield a socket that becomes readable when a signal comes; None outside the main thread.

    Without it, a signal that comes just before the loop goes to sleep is handled only when the loop wakes for another
    reason, which may be never.
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


def postpone_end(seconds: float) -> None:
    """Give interrupted work so many seconds from now, instead of TOTAL_S from the signal. A second signal ends it."""
    _root.postpone_end(seconds)


def signalled() -> bool:
    """Return whether a signal has come. Nothing new may start after it."""
    return _root.signum is not None


def at_hard_stop(function: Callable[[], None]) -> Callable[[], None]:
    """Register a function to call if the process must end without unwinding. Returns a function that unregisters it.

    It runs in a signal handler or in a separate thread, while other threads may hold any lock: it must take none.
    """
    return _root.register(function)


def undivided() -> contextlib.AbstractContextManager[None]:
    """Delay a hard stop until the end of the block, such as starting a child and listing it. Keep it short."""
    return _root.undivided()


@contextlib.contextmanager
def scratch_directory(prefix: str) -> Iterator[Path]:
    """Yield a temporary directory, and remove it afterwards, even if signals end the process."""
    import shutil
    import tempfile

    with undivided():
        path = Path(tempfile.mkdtemp(prefix=prefix))
        unregister = at_hard_stop(lambda: shutil.rmtree(path, ignore_errors=True))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        unregister()
