"""The one way to start a process: tracked, bounded in time and output, and never left behind.

Every child leads its own session and process group, reads an empty stdin, and is reaped whatever happens. It is ended
by SIGTERM to the group, GRACE_S later SIGKILL to the group, also when the leader has gone and others in the group
have not. What left the group for a session of its own (a daemon) is not ours to find. Knows no retry.
Source: pipeline.md 2.3, "ours".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from bakery.errors import BakeryError
from bakery.parallel.root import GRACE_S, at_hard_stop, undivided

OUTPUT_CAP_BYTES = 64 << 20  # a stream; no tool that we run has so much to say
_TAIL_BYTES = 16 << 10
_CHUNK_BYTES = 256 << 10
_LINGER_S = 1.0  # what helpers of a finished command get to write their last words (bash's `>(tee log)`)
_LAST_WAIT_S = 1.0  # after SIGKILL: the kernel's time, not the child's


class NotStarted(BakeryError):
    """The program is missing, or may not be run."""


class CommandTimedOut(BakeryError):
    """The command took longer than it was given, and was ended."""

    transient = True


class OutputTooLarge(BakeryError):
    """The command wrote more than we keep, and was ended: a part of the output would be read as the whole."""


class Exit(Struct, frozen=True):
    """How a process ended. returncode is None if it never started. exception: why it did not end by itself, if so."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
    duration: float  # seconds
    timed_out: bool = False
    exception: BakeryError | None = None

    @property
    def ok(self) -> bool:
        return self.exception is None and self.returncode == 0


def command_line(cmd: Sequence[str]) -> str:
    """The command as a line that a shell takes, on one line."""
    return shlex.join(map(str, cmd)).replace("\n", "\\n")


async def spawn(
    cmd: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    timeout_s: float | None = None,
    on_start: Callable[[], None] | None = None,
    cap_bytes: int = OUTPUT_CAP_BYTES,
    grace_s: float = GRACE_S,
) -> Exit:
    """Run a command to its end. env None inherits ours; timeout_s None or not positive means no limit.

    Never raises for what the command does: a failure to start, a timeout and too much output are in the result.
    Cancelled, it ends the child (up to grace_s) before it raises. on_start is called once the child runs.
    """
    started = time.monotonic()

    def since() -> float:
        return time.monotonic() - started

    try:
        child = _Child(cmd, env, cwd, cap_bytes)
    except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
        return Exit(None, b"", b"", since(), exception=_not_started(cmd, cwd, error))
    timed_out = False
    try:
        if on_start is not None:
            on_start()
        async with asyncio.timeout(timeout_s if timeout_s and timeout_s > 0 else None):
            await child.end_or_overflow()
    except TimeoutError:
        timed_out = True
    finally:
        await child.clear_up(grace_s)
    exception: BakeryError | None = None
    if child.overflowed:
        exception = OutputTooLarge(
            "running", about=command_line(cmd), why=f"it wrote more than {cap_bytes} bytes; the last: {child.tail()}"
        )
    elif timed_out:
        exception = CommandTimedOut(
            "running",
            about=command_line(cmd),
            why=f"not finished after {timeout_s:g} s; its last words: {child.tail() or 'none'}",
        )
    return Exit(child.returncode, child.stdout.whole(), child.stderr.whole(), since(), timed_out, exception)


def _not_started(cmd: Sequence[str], cwd: Path | str | None, error: Exception) -> NotStarted:
    program = cmd[0]
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename and str(error.filename) != program else ""
        answer = f"{error.strerror or error}{where}"
    else:
        answer = str(error)
    hint = f"is {program} installed and in PATH"
    if cwd is not None and not Path(cwd).is_dir():
        hint = f"is {cwd} a directory"
    failure = NotStarted("starting", about=program, why=answer, hint=f"{hint}?")
    failure.__cause__ = error
    return failure


class _Output:
    """What came from one stream: all of it up to the cap, and of what is more the last bytes."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap, self._size = cap_bytes, 0
        self._chunks: list[bytes] = []
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        if not self.over and self._size + len(chunk) <= self._cap:
            self._chunks.append(chunk)
        elif not self.over:
            kept = self._cap - self._size
            self._chunks.append(chunk[:kept])
            self._tail = (self._chunks[-1] + chunk[kept:])[-_TAIL_BYTES:]
        else:
            self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        self._size += len(chunk)

    @property
    def over(self) -> bool:
        return self._size > self._cap

    def whole(self) -> bytes:
        return b"".join(self._chunks)

    def tail(self) -> bytes:
        return self._tail if self.over else self.whole()[-_TAIL_BYTES:]


class _Child:
    """A running process, its group and its pipes, in the event loop that started it."""

    def __init__(
        self, cmd: Sequence[str], env: Mapping[str, str] | None, cwd: Path | str | None, cap_bytes: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.stdout, self.stderr = _Output(cap_bytes), _Output(cap_bytes)
        self._pipes: dict[int, IO[bytes]] = {}
        self._left: asyncio.Future[None] = self._loop.create_future()  # the leader has been reaped
        self._silent: asyncio.Future[None] = self._loop.create_future()  # both pipes are closed
        self._overflow: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = -1
        with undivided():  # started and listed, or not started: no signal can come between
            self._process = subprocess.Popen(
                list(cmd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
            _children.add(self)
        for pipe, output in ((self._process.stdout, self.stdout), (self._process.stderr, self.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._pipes[pipe.fileno()] = pipe
            self._loop.add_reader(pipe.fileno(), self._read, pipe.fileno(), output)
        self._watch_leader()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def overflowed(self) -> bool:
        return self.stdout.over or self.stderr.over

    def tail(self) -> str:
        """The last words, on one line: of stderr, or of stdout where that is silent."""
        said = (self.stderr.tail() or self.stdout.tail()).decode(errors="replace")
        return " | ".join(line.strip() for line in said.splitlines()[-5:] if line.strip())[-1000:]

    def _watch_leader(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # macOS, or a Linux older than 5.3
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._reap)

    def _wait_in_thread(self) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        if self._process.poll() is None:
            return
        self._close_pidfd()
        if not self._left.done():
            self._left.set_result(None)

    def _read(self, descriptor: int, output: _Output) -> None:
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close_pipe(descriptor)
            return
        output.feed(chunk)
        if output.over and not self._overflow.done():
            self._overflow.set_result(None)

    def _close_pipe(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._pipes.pop(descriptor).close()
        if not self._pipes and not self._silent.done():
            self._silent.set_result(None)

    def _close_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def end_or_overflow(self) -> None:
        """Return when the leader has ended and its output too, or was given its time; or when there is too much."""
        await asyncio.wait({self._left, self._overflow}, return_when=asyncio.FIRST_COMPLETED)
        if not self._silent.done() and not self._overflow.done():
            await asyncio.wait({self._silent, self._overflow}, timeout=_LINGER_S, return_when=asyncio.FIRST_COMPLETED)

    async def clear_up(self, grace_s: float) -> None:
        """End whatever of the group still lives, take what it last wrote, and forget the child.

        A cancellation meanwhile waits until this is done: to leave earlier would leave a process behind.
        """
        cancelled: asyncio.CancelledError | None = None
        for number, limit_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _LAST_WAIT_S)):
            if not self._alive():
                break
            self._signal(number)
            deadline = self._loop.time() + limit_s
            while self._alive() and (left_s := deadline - self._loop.time()) > 0:
                try:
                    await self._change(left_s)
                except asyncio.CancelledError as error:
                    cancelled = error
        if not self._silent.done():  # the last bytes may lie in the pipe, or somebody who left the group holds it
            try:
                await asyncio.wait({self._silent}, timeout=_LAST_WAIT_S if self.returncode is not None else 0)
            except asyncio.CancelledError as error:
                cancelled = error
        for descriptor in list(self._pipes):
            self._close_pipe(descriptor)
        if self.returncode is not None:
            self._close_pidfd()
            _children.discard(self)
        if cancelled is not None:
            raise cancelled

    async def _change(self, limit_s: float) -> None:
        """Wait for the leader's end; once it has gone, a moment: there is no event for the end of a group."""
        if not self._left.done():
            await asyncio.wait({self._left}, timeout=limit_s)
        else:
            await asyncio.sleep(min(limit_s, 0.02))

    def _alive(self) -> bool:
        if self.returncode is None:
            return True
        # The number cannot have been given to another: it is taken as long as the group has a member, and asked here
        # for the first time in the same step that reaped the leader or a few milliseconds after.
        return _signal_group(self._process.pid, 0) and not _only_zombies(self._process.pid)

    def _signal(self, number: int) -> None:
        if not _signal_group(self._process.pid, number) and self.returncode is None:
            with contextlib.suppress(OSError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, from any thread and without waiting."""
        self._signal(signal.SIGKILL)


def _signal_group(leader: int, number: int) -> bool:
    try:
        os.killpg(leader, number)
    except OSError:  # it has gone, or is another user's
        return False
    return True


def _only_zombies(group: int) -> bool:
    """Whether all that is left of a group has ended and waits for an init that reaps nothing, as in many containers.

    False where /proc cannot tell.
    """
    found = False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it ended while we looked
            continue
        if its_group == str(group):
            if state not in ("Z", "X"):
                return False
            found = True
    return found


_children: set[_Child] = set()


def _kill_all() -> None:
    for child in list(_children):
        child.kill()


at_hard_stop(_kill_all)


def running() -> int:
    """How many children we have at this moment."""
    return len(_children)
