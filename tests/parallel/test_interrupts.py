"""The rows of pipeline.md 2.5, "ours", with real children of a real run, gated by readiness.

Every child and its descendants hold the write end of one pipe of the test, which ends when all of them have ended.
"""

import io
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

OBEDIENT = "echo >&3; exec sleep 600"
STUBBORN = "trap '' TERM INT; echo >&3; while :; do sleep 600; done"

HEAD = """
import asyncio, os, sys
from bakery.cli.main import guarded
from bakery.parallel import *
from bakery.parallel.root import scratch_directory, run_interruptible
from bakery.parallel.transient import looks_transient
from bakery.events import StepRetried
os.dup2(int(sys.argv[1]), 3)

def shell(text):
    # Descriptor 3 is the test's pipe, which children do not inherit by default.
    return ["sh", "-c", "exec 3>/proc/%d/fd/3; " % os.getpid() + text]

def say(text):
    print(text, flush=True)
"""


class Run:
    """A process that runs commands as bakery does, and the pipe that its descendants hold."""

    def __init__(self, code, tmp_path):
        reading, writing = os.pipe()
        self.lives = io.FileIO(reading)
        os.set_inheritable(writing, True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEAD + textwrap.dedent(code), str(writing)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[writing],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            start_new_session=True,
        )
        os.close(writing)

    def children_ready(self, count):
        got = 0
        while got < count:
            chunk = self.lives.read(count - got)
            assert chunk, "a child ended before it was ready"
            got += len(chunk)

    def line(self):
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Wait for the end of every descendant; return exit code, rest of stdout, stderr and seconds."""
        started = time.monotonic()
        out, err = self.process.communicate(timeout=30)
        self.lives.read()
        return self.process.returncode, out, err, time.monotonic() - started


@pytest.fixture
def start(tmp_path):
    runs = []

    def begin(code):
        runs.append(Run(code, tmp_path))
        return runs[-1]

    yield begin
    for each in runs:
        each.lives.close()
        with each.process:
            each.process.kill()


AT_ONCE_S = 2.9  # less than the grace of 3 s, and long enough for a busy machine

BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
EVERY = pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
    ids=["INT", "TERM", "HUP", "QUIT"],
)
TASKS = """
tasks = [ShellTask(str(n), shell({child!r})) for n in range(3)] + [ShellTask("queued", ["echo", "never"])]
sys.exit(guarded(lambda: run(tasks, lambda result: say(result.task.key), jobs=3)))
"""


@EVERY
def test_children_that_obey_end_at_once_and_queued_tasks_never_start(start, number, code):
    run = start(TASKS.format(child=OBEDIENT))
    run.children_ready(3)
    run.signal(number)
    returned, out, err, took = run.end()
    assert (returned, out) == (code, "")
    assert err == f"interrupted: {number.name}\n"
    assert took < AT_ONCE_S


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_another_signal_that_would_end_the_process_counts_as_sigterm_and_leaves_no_child(start, number):
    run = start(TASKS.format(child=OBEDIENT))
    run.children_ready(3)
    run.signal(number)
    returned, out, err, took = run.end()
    assert (returned, out, err) == (143, "", "interrupted: SIGTERM\n")
    assert took < AT_ONCE_S


@pytest.mark.slow
@BOTH
def test_children_that_ignore_the_signal_share_a_grace_of_three_seconds_and_all_end_within_five(start, number, code):
    run = start(TASKS.format(child=STUBBORN))
    run.children_ready(3)
    run.signal(number)
    returned, _, _, took = run.end()
    assert returned == code
    assert 2.9 < took < 5


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_kills_stubborn_children_and_exits_at_once(start, second):
    run = start(
        f"""
        tasks = [ShellTask(str(n), shell({STUBBORN!r})) for n in range(3)]
        # The watcher ends on the first SIGTERM, which tells the test that the grace has begun.
        tasks.append(ShellTask("watcher", shell("trap 'echo >&3; exit 0' TERM; echo >&3; sleep 600 & wait")))
        sys.exit(guarded(lambda: run(tasks, jobs=4)))
        """
    )
    run.children_ready(4)
    run.signal(signal.SIGINT)
    run.children_ready(1)
    run.signal(second)
    returned, _, _, took = run.end()
    assert returned == 130
    assert took < AT_ONCE_S


@BOTH
def test_a_wait_between_attempts_ends_at_once(start, number, code):
    run = start(
        """
        policy = RetryPolicy(base_delay=600, max_delay=600, jitter=False, retry_on=looks_transient)
        def work(runner):
            try:
                runner.run(shell("echo 503: Service Unavailable >&2; exit 1"), retry=policy)
            except ExecutorInterrupted:
                say("interrupted")
                raise
        def waiting(event):
            if isinstance(event, StepRetried):
                say("waiting")
        sys.exit(guarded(lambda: run_jobs([ShellJob("a", work)], emit=waiting)))
        """
    )
    assert run.line() == "waiting"
    run.signal(number)
    returned, _, _, took = run.end()
    assert returned == code
    assert took < AT_ONCE_S


@BOTH
def test_a_long_wait_of_the_run_itself_ends_at_once_and_its_scratch_directory_is_removed(start, number, code, tmp_path):
    run = start(
        f"""
        async def main():
            with scratch_directory("bakery-") as folder:
                (folder / "layer").write_bytes(b"x")
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(600))
                    group.create_task(CommandRunner("a").run(shell({OBEDIENT!r}), cwd=folder))
        sys.exit(guarded(lambda: run_interruptible(main())))
        """
    )
    run.children_ready(1)
    assert len(list(tmp_path.iterdir())) == 1
    run.signal(number)
    returned, _, _, took = run.end()
    assert returned == code
    assert took < AT_ONCE_S
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_a_cancelled_run_can_report_what_was_done(start, number, code):
    run = start(
        f"""
        async def main():
            try:
                await CommandRunner("a").run(shell({OBEDIENT!r}))
            except asyncio.CancelledError:
                say("published: one")
                raise
        sys.exit(guarded(lambda: run_interruptible(main())))
        """
    )
    run.children_ready(1)
    run.signal(number)
    assert run.end()[:2] == (code, "published: one\n")


@BOTH
def test_blocking_jobs_end_with_their_commands(start, number, code):
    run = start(
        f"""
        def work(runner):
            while True:
                try:
                    runner.run(shell({OBEDIENT!r}))
                except Exception:
                    pass
        sys.exit(guarded(lambda: run_jobs([ShellJob(str(n), work) for n in range(4)], jobs=2)))
        """
    )
    run.children_ready(2)
    run.signal(number)
    returned, _, _, took = run.end()
    assert returned == code
    assert took < AT_ONCE_S


@BOTH
def test_a_command_run_without_a_loop_ends_with_the_signal_and_cleanup_still_runs(start, number, code):
    run = start(
        f"""
        from bakery.parallel.blocking import run_command
        from bakery.parallel.spawn import run_cleanup
        def main():
            try:
                run_command(shell({OBEDIENT!r}))
            finally:
                say(run_cleanup(["echo", "cleaned up"], limit_s=10).stdout.decode().strip())
        sys.exit(guarded(main))
        """
    )
    run.children_ready(1)
    run.signal(number)
    returned, out, _, took = run.end()
    assert (returned, out) == (code, "cleaned up\n")
    assert took < AT_ONCE_S


@BOTH
def test_a_command_in_another_thread_ends_with_the_signal(start, number, code):
    run = start(
        f"""
        import threading
        from bakery.parallel.blocking import run_command
        async def main():
            await asyncio.to_thread(run_command, shell({OBEDIENT!r}))
        sys.exit(guarded(lambda: run_interruptible(main())))
        """
    )
    run.children_ready(1)
    run.signal(number)
    returned, _, _, took = run.end()
    assert returned == code
    assert took < AT_ONCE_S


STUCK = """
import threading
def work(runner):
    runner.run(["true"])
    say("stuck")
    threading.Event().wait()
sys.exit(guarded(lambda: run_jobs([ShellJob("a", work)])))
"""


def test_a_blocking_job_that_hangs_does_not_delay_the_end(start):
    run = start(STUCK)
    assert run.line() == "stuck"
    run.signal(signal.SIGINT)
    returned, _, _, took = run.end()
    assert returned == 130
    assert took < AT_ONCE_S


@pytest.mark.slow
def test_a_signal_just_before_the_loop_goes_to_sleep_is_handled(start):
    # Nothing else ever wakes this loop. Without the wake-up socket, about one in 200 runs hung.
    for _ in range(100):
        run = start(STUCK)
        assert run.line() == "stuck"
        run.signal(signal.SIGINT)
        assert run.end()[0] == 130
        run.lives.close()


def test_descendants_that_ignore_sigterm_end_with_their_leader(start):
    run = start(
        f"""
        family = shell({STUBBORN!r})[2]
        # The leader obeys; its child and grandchild ignore SIGTERM.
        tasks = [ShellTask("a", shell("(sh -c %s) & trap 'exit 0' TERM; wait" % __import__("shlex").quote(family)))]
        sys.exit(guarded(lambda: run(tasks)))
        """
    )
    run.children_ready(1)
    run.signal(signal.SIGINT)
    returned, _, _, took = run.end()
    assert returned == 130
    assert took < 5


SOAK = f"""
import random
random.seed(int(os.environ["SOAK_SEED"]))
kinds = [{OBEDIENT!r}, {STUBBORN!r}, "echo >&3; sleep 0.0%d", "echo >&3; (sleep 600 &) ; exit 1", "sleep 0.01"]
def child():
    kind = random.choices(kinds, weights=[4, 1, 6, 3, 6])[0]
    return shell(kind % random.randrange(10) if "%d" in kind else kind)
def work(runner):
    for _ in range(3):
        runner.run(child(), retry=RetryPolicy(max_attempts=2, base_delay=0.05, retry_on=lambda result: True))
async def swift(runner):
    with scratch_directory("bakery-soak-"):
        for _ in range(3):
            await runner.run(child(), timeout=0.5)
jobs = [ShellJob(str(n), random.choice([work, swift])) for n in range(40)]
say("ready")
sys.exit(guarded(lambda: run_jobs(jobs, jobs=4)))
"""


@pytest.mark.slow
def test_two_hundred_runs_interrupted_at_random_leave_nothing_behind(start, tmp_path, monkeypatch):
    chance = random.Random(20)
    for number in range(200):
        monkeypatch.setenv("SOAK_SEED", str(number))
        run = start(SOAK)
        assert run.line() == "ready"
        first, second = chance.choice([(2, 130), (15, 143)]), chance.choice([None, 2, 15])
        time.sleep(chance.uniform(0, 0.4))  # the random moment is the point of this test
        run.signal(first[0])
        if second is not None:
            time.sleep(chance.uniform(0, 0.1))
            run.signal(second)
        returned, _, err, took = run.end()
        # Two signals that arrive before the first is handled are handled in the order of their numbers.
        assert returned in (first[1], first[1] if second is None else 128 + second), err
        assert took < 5
        assert [path for path in Path(tmp_path).iterdir() if path.name.startswith("bakery-soak-")] == []
        run.lives.close()
