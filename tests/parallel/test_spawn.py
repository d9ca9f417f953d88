"""Starting, ending and reaping real processes. Every wait is for a line, a pipe or an end, never for time."""

import asyncio
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from bakery.parallel import spawn as module
from bakery.parallel.blocking import run_command
from bakery.parallel.failure import CommandTimedOut, NotStarted, OutputTooLarge
from bakery.parallel.spawn import spawn


def python(code):
    return [sys.executable, "-c", code]


class Readiness:
    """A pipe held by a child and its children: a byte means ready, the end of the pipe means that all have ended."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "ready"
        os.mkfifo(self.path)
        self._pipe: io.FileIO | None = None

    async def ready(self):
        if self._pipe is None:  # opening waits for a writer
            self._pipe = await asyncio.to_thread(io.FileIO, self.path)
        assert await asyncio.to_thread(self._pipe.read, 1)

    async def all_gone(self):
        """Wait until no process holds the pipe."""
        if self._pipe is None:
            await self.ready()
        assert self._pipe is not None
        await asyncio.to_thread(self._pipe.readall)

    def close(self):
        if self._pipe is not None:
            self._pipe.close()


@pytest.fixture
def readiness(tmp_path):
    pipe = Readiness(tmp_path)
    yield pipe
    pipe.close()


async def test_output_code_and_duration_of_a_command():
    done = await spawn(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert done.exception is None
    assert not done.ok
    assert done.duration > 0
    assert module.running() == 0


async def test_environment_and_directory_are_applied_and_stdin_is_empty(tmp_path):
    code = "import os, sys; print(dict(os.environ).get('KEY'), os.getcwd(), repr(sys.stdin.read()))"
    done = await spawn(python(code), env={"KEY": "value"}, cwd=tmp_path)
    assert done.stdout.decode().split() == ["value", str(tmp_path), "''"]


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_stdin_is_written_whole_then_closed(size):
    done = await spawn(["cat"], stdin=b"x" * size)
    assert done.ok
    assert done.stdout == b"x" * size
    assert module.running() == 0


async def test_a_command_that_does_not_read_its_stdin_is_not_a_failure():
    done = await spawn(["sh", "-c", "exec <&-; echo read nothing"], stdin=b"x" * 1_000_000)
    assert done.ok
    assert done.stdout == b"read nothing\n"


async def test_a_timeout_applies_while_stdin_is_still_being_written():
    done = await spawn(["sleep", "600"], stdin=b"x" * 1_000_000, timeout_s=0.1)
    assert done.timed_out
    assert module.running() == 0


async def test_spare_group_leaves_running_what_the_command_started(tmp_path):
    script = "sleep 600 <&- >&- 2>&- & echo $!"
    done = await spawn(["sh", "-c", script], spare_group=True)
    assert done.ok
    os.kill(int(done.stdout), signal.SIGKILL)  # raises if it has ended


def test_run_cleanup_returns_output_and_failures():
    assert module.run_cleanup(["sh", "-c", "echo $KEY; exit 3"], env={"KEY": "value"}, limit_s=10).stdout == b"value\n"
    assert isinstance(module.run_cleanup(["/no/such/program"], limit_s=10).exception, NotStarted)
    late = module.run_cleanup(["sleep", "600"], limit_s=0.1)
    assert late.timed_out
    assert isinstance(late.exception, CommandTimedOut)


def test_run_command_is_spawn_without_an_event_loop(tmp_path):
    done = run_command(["sh", "-c", "cat; pwd; exit 3"], cwd=tmp_path, stdin=b"in\n")
    assert (done.returncode, done.stdout) == (3, f"in\n{tmp_path}\n".encode())
    assert run_command(["sleep", "600"], timeout_s=0.1).timed_out
    assert isinstance(run_command(["/no/such/program"]).exception, NotStarted)


async def test_a_child_leads_its_own_session():
    done = await spawn(python("import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))"))
    assert done.stdout == b"True\n"


@pytest.mark.parametrize(
    ("cmd", "cwd", "says"),
    [
        (["/no/such/program"], None, "No such file or directory"),
        (["/"], None, "Permission denied"),
        (["true"], "/no/such/folder", "/no/such/folder"),
        (["true", "a\0b"], None, "null byte"),
    ],
)
async def test_a_failure_to_start_is_a_result(cmd, cwd, says):
    done = await spawn(cmd, cwd=cwd)
    assert done.returncode is None
    assert isinstance(done.exception, NotStarted)
    assert says in str(done.exception)
    assert module.running() == 0


async def test_a_timeout_ends_the_command_and_keeps_its_output():
    code = "import time; print('said', flush=True); time.sleep(600)"
    done = await spawn(python(code), timeout_s=0.3)
    assert done.timed_out
    assert isinstance(done.exception, CommandTimedOut)
    assert done.exception.transient
    assert done.stdout == b"said\n"
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("limit", [None, 0, -1])
async def test_no_limit(limit):
    assert (await spawn(["true"], timeout_s=limit)).ok


async def test_output_after_sigterm_is_kept():
    # A shell, because it starts fast: the trap must be set before the limit.
    done = await spawn(["sh", "-c", "trap 'echo cleaned up; exit 0' TERM; echo ready; sleep 600 & wait"], timeout_s=1)
    assert done.stdout == b"ready\ncleaned up\n"
    assert done.returncode == 0
    assert not done.ok


async def test_cancelling_ends_the_whole_group_even_if_it_ignores_sigterm(readiness):
    # The leader obeys SIGTERM; its child ignores it, holds the pipe, and outlives the leader.
    code = (
        "import signal, subprocess, sys, time\n"
        f"pipe = open({str(readiness.path)!r}, 'w')\n"
        "ignoring = 'import signal, time; signal.signal(15, signal.SIG_IGN);'\n"
        "ignoring += 'print(end=\"r\", flush=True); time.sleep(600)'\n"
        "subprocess.run([sys.executable, '-c', ignoring], stdout=pipe)"
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(spawn(python(code), grace_s=0.2))
        await readiness.ready()
        running.cancel()
    assert running.cancelled()
    await readiness.all_gone()
    assert module.running() == 0


async def test_processes_that_a_finished_command_leaves_in_its_group_are_ended(readiness, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    code = f"(echo r; exec sleep 600) > {readiness.path} 2> {os.devnull} & read line < {go}"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(spawn(["sh", "-c", code]))
        await readiness.ready()
        await asyncio.to_thread(go.write_text, "now\n")
    assert running.result().ok
    await readiness.all_gone()


async def test_an_unreaped_zombie_is_not_waited_for(tmp_path):
    # A process that leaves the group keeps a zombie in it, like an init that reaps nothing in a container.
    code = (
        "import os, signal, sys\n"
        "reading, writing = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    child = os.fork()\n"
        "    if child == 0: os._exit(0)\n"
        "    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n"
        "    os.setsid()\n"
        "    [os.close(fd) for fd in (0, 1, 2)]\n"
        "    os.write(writing, b'x')\n"
        "    signal.pause()\n"
        "os.read(reading, 1)\n"
    )
    code = code.replace("os.setsid()", f"os.setsid(); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))")
    done = await spawn(python(code), grace_s=30)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert done.ok
    assert done.duration < 20


async def test_a_second_cancellation_leaves_no_child_behind(readiness, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    trap = f"trap 'echo >&3; read line < {go}; exit 0' TERM"
    script = f"exec 3> {readiness.path}; {trap}; echo >&3; while :; do sleep 1; done"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(spawn(["sh", "-c", script], grace_s=60))
        await readiness.ready()
        running.cancel()
        await readiness.ready()  # it has got SIGTERM: the cancellation is in progress
        running.cancel()
        await asyncio.to_thread(go.write_text, "now\n")
    assert running.cancelled()
    await readiness.all_gone()
    assert module.running() == 0


async def test_output_beyond_the_cap_is_an_error_and_never_cut_silently():
    done = await spawn(python("while True: print('x' * 1000)"), cap_bytes=50_000)
    assert isinstance(done.exception, OutputTooLarge)
    assert not done.ok
    assert len(done.stdout) == 50_000
    assert "xxx" in str(done.exception)


async def test_output_of_exactly_the_cap_is_complete():
    done = await spawn(python("print('x' * 49_999)"), cap_bytes=50_000)
    assert done.ok
    assert len(done.stdout) == 50_000


async def test_large_output_on_both_streams_neither_blocks_nor_is_lost():
    code = "import sys\nfor n in range(200): sys.stdout.write('o' * 10000); sys.stderr.write('e' * 10000)"
    done = await spawn(python(code))
    assert (len(done.stdout), len(done.stderr)) == (2_000_000, 2_000_000)


async def test_an_exception_of_the_callback_leaves_no_child_behind():
    def broken():
        raise LookupError

    with pytest.raises(LookupError):
        await spawn(["sleep", "600"], on_start=broken)
    assert module.running() == 0


async def test_without_pidfd_a_thread_waits_instead(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    done = await spawn(["sh", "-c", "exit 7"])
    assert done.returncode == 7
    assert module.running() == 0


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_descriptor_is_left_open():
    before = descriptors()
    for _ in range(20):
        await spawn(["true"])
    await spawn(["sleep", "600"], timeout_s=0.01)
    assert descriptors() <= before
