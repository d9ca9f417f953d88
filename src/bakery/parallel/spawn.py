"""The one way to start a process: tracked, limited in time and output, and never left behind.

`spawn` runs a command in the event loop: a command of a job, a credential helper. `blocking.run_command` does the same
for code without an event loop, such as a query to git. Both end the command when a signal cancels the work.
`run_cleanup` is for what must run even then.

Every child leads its own session and process group and is always reaped. To end it, SIGTERM goes to the group, and
SIGKILL after GRACE_S, even if only other members of the group are left. A process that left the group for its own
session (a daemon) is not tracked. Retries are in `command`. Source: pipeline.md 2.3, "ours".
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
from bakery.files import is_folder
from bakery.parallel.failure import CommandTimedOut, NotStarted, OutputTooLarge
from bakery.parallel.output import Kept, Lines, Output
from bakery.parallel.root import GRACE_S, at_hard_stop, undivided

OUTPUT_CAP_BYTES = 64 << 20  # per stream; no tool that we run writes this much
_CHUNK_BYTES = 256 << 10
_LINGER_S = 1.0  # for the last output of a finished command's helpers, such as bash's `>(tee log)`
_LAST_WAIT_S = 1.0  # after SIGKILL: the kernel's time, not the child's


class Exit(Struct, frozen=True):
    """How a process ended. returncode: None if it never started. exception: set if it did not end by itself."""

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
    """Return the command, quoted for a shell, on one line."""
    return shlex.join(map(str, cmd)).replace("\n", "\\n")


async def spawn(
    cmd: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: bytes = b"",
    timeout_s: float | None = None,
    on_start: Callable[[], None] | None = None,
    on_line: Callable[[str], None] | None = None,
    cap_bytes: int = OUTPUT_CAP_BYTES,
    grace_s: float = GRACE_S,
    spare_group: bool = False,
) -> Exit:
    """Run a command to its end. env: None inherits ours. timeout_s: None or not positive means no limit.

    Never raises for what the command does: failure to start, timeout and too much output are in the result. The command
    need not read all of stdin. If cancelled, ends the child (within grace_s), then raises. on_start is called once the
    child runs. on_line: called with each line of stdout and stderr as it comes; then the result has only the last ones,
    and no cap applies. spare_group: processes that the command started may outlive it.
    """
    started = time.monotonic()
    try:
        outputs = [Kept(cap_bytes) if on_line is None else Lines(on_line) for _ in range(2)]
        child = _Child(cmd, env, cwd, stdin, *outputs, spare_group=spare_group)
    except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
        return Exit(None, b"", b"", time.monotonic() - started, exception=_not_started(cmd, cwd, error))
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
        why = f"it wrote more than {cap_bytes} bytes; last output: {child.tail()}"
        exception = OutputTooLarge("cannot run", about=command_line(cmd), why=why)
    elif timed_out:
        why = f"timed out after {timeout_s:g} s; last output: {child.tail() or 'none'}"
        exception = CommandTimedOut("cannot run", about=command_line(cmd), why=why)
    duration = time.monotonic() - started
    return Exit(child.returncode, child.stdout.whole(), child.stderr.whole(), duration, timed_out, exception)


def run_cleanup(cmd: Sequence[str], *, env: Mapping[str, str] | None = None, limit_s: float) -> Exit:
    """Run a short command without an event loop, and even after a signal: the way to clean up as the process ends.

    Not tracked, so limit_s must be short. Safe in a function registered with `at_hard_stop`.
    """
    started = time.monotonic()
    error: BakeryError
    try:
        done = subprocess.run(
            list(cmd),
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        error = CommandTimedOut("cannot run", about=command_line(cmd), why=f"timed out after {limit_s:g} s")
        return Exit(None, b"", b"", time.monotonic() - started, timed_out=True, exception=error)
    except (OSError, ValueError) as failure:
        return Exit(None, b"", b"", time.monotonic() - started, exception=_not_started(cmd, None, failure))
    return Exit(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def _not_started(cmd: Sequence[str], cwd: Path | str | None, error: Exception) -> NotStarted:
    program = cmd[0]
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename and str(error.filename) != program else ""
        why = f"{error.strerror or error}{where}"
    else:
        why = str(error)
    hint = f"install {program}, or add its directory to PATH"
    if cwd is not None and not is_folder(Path(cwd)):
        hint = f"check that {cwd} is a directory"
    failure = NotStarted("cannot start", about=program, why=why, hint=hint)
    failure.__cause__ = error
    return failure


class _Child:
    """A running process, its group and its pipes, in the event loop that started it."""

    def __init__(
        self,
        cmd: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: Path | str | None,
        stdin: bytes,
        stdout: Output,
        stderr: Output,
        *,
        spare_group: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.stdout, self.stderr = stdout, stderr
        self._unsent, self._spare_group = stdin, spare_group
        self._pipes: dict[int, tuple[IO[bytes], Output]] = {}  # of its output
        self._left: asyncio.Future[None] = self._loop.create_future()  # the leader has been reaped
        self._silent: asyncio.Future[None] = self._loop.create_future()  # both output pipes are closed
        self._overflow: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = -1
        with undivided():  # so that no signal comes between starting the child and listing it
            self._process = subprocess.Popen(
                list(cmd),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
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
            self._pipes[pipe.fileno()] = (pipe, output)
            self._loop.add_reader(pipe.fileno(), self._read, pipe.fileno(), output)
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
            self._loop.add_writer(self._process.stdin.fileno(), self._write, self._process.stdin)
        self._watch_leader()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def overflowed(self) -> bool:
        return self.stdout.over or self.stderr.over

    def tail(self) -> str:
        """Return the last lines of stderr, or of stdout if stderr is empty, joined into one line."""
        text = (self.stderr.tail() or self.stdout.tail()).decode(errors="replace")
        return " | ".join(line.strip() for line in text.splitlines()[-5:] if line.strip())[-1000:]

    def _watch_leader(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # macOS, or Linux before 5.3
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._reap)

    def _wait_in_thread(self) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for the child any more
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        if self._process.poll() is None:
            return
        self._close_pidfd()
        if not self._left.done():
            self._left.set_result(None)

    def _read(self, descriptor: int, output: Output) -> None:
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close_output(descriptor)
            return
        output.feed(chunk)
        if output.over and not self._overflow.done():
            self._overflow.set_result(None)

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            self._unsent = self._unsent[os.write(pipe.fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # the command closed its stdin
            self._unsent = b""
        if not self._unsent:
            self._close_stdin()

    def _close_output(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        pipe, output = self._pipes.pop(descriptor)
        pipe.close()
        output.end()
        if not self._pipes and not self._silent.done():
            self._silent.set_result(None)

    def _close_stdin(self) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            self._loop.remove_writer(pipe.fileno())
            pipe.close()

    def _close_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def end_or_overflow(self) -> None:
        """Wait for the leader's end, then up to _LINGER_S for the end of its output; return at once on overflow."""
        await asyncio.wait({self._left, self._overflow}, return_when=asyncio.FIRST_COMPLETED)
        if not self._silent.done() and not self._overflow.done():
            await asyncio.wait({self._silent, self._overflow}, timeout=_LINGER_S, return_when=asyncio.FIRST_COMPLETED)

    async def clear_up(self, grace_s: float) -> None:
        """End every process left in the group, read the last output, and forget the child.

        A cancellation in the meantime is raised only afterwards, since leaving earlier would leave a process behind.
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
        if not self._silent.done():  # the last bytes may still be in the pipe, or a process outside the group holds it
            try:
                await asyncio.wait({self._silent}, timeout=_LAST_WAIT_S if self.returncode is not None else 0)
            except asyncio.CancelledError as error:
                cancelled = error
        self._close_stdin()
        for descriptor in list(self._pipes):
            self._close_output(descriptor)
        if self.returncode is not None:
            self._close_pidfd()
            _children.discard(self)
        if cancelled is not None:
            raise cancelled

    async def _change(self, limit_s: float) -> None:
        """Wait for the leader's end. After it, poll: no event reports the end of a group."""
        if not self._left.done():
            await asyncio.wait({self._left}, timeout=limit_s)
        else:
            await asyncio.sleep(min(limit_s, 0.02))

    def _alive(self) -> bool:
        if self.returncode is None:
            return True
        if self._spare_group:
            return False
        # The group's number cannot belong to another group by now: it stays taken while the group has a member, and
        # the first check comes in the step that reaped the leader or a few milliseconds later.
        return _signal_group(self._process.pid, 0) and not _only_zombies(self._process.pid)

    def _signal(self, number: int) -> None:
        if not _signal_group(self._process.pid, number) and self.returncode is None:
            with contextlib.suppress(OSError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL to the group. Can be called from any thread and does not wait."""
        self._signal(signal.SIGKILL)


def _signal_group(leader: int, number: int) -> bool:
    try:
        os.killpg(leader, number)
    except OSError:  # it has ended, or belongs to another user
        return False
    return True


def _only_zombies(group: int) -> bool:
    """Return whether every process left in a group is a zombie. Many containers have an init that reaps nothing.

    False if /proc has nothing about the group.
    """
    found = False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it ended in the meantime
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
    """Return the number of running children."""
    return len(_children)
