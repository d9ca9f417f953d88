"""What a signal does, with real processes: every wait is for a line that the child prints, never for time."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest


class Child:
    """A Python process running a snippet, told by its printed lines."""

    def __init__(self, code, then=""):
        head = "import asyncio, signal, sys, time, threading\nfrom bakery.parallel.root import *\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", head + textwrap.dedent(code) + then],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, line):
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == line

    def end(self):
        """Exit code, the rest of stdout, stderr, seconds since now."""
        started = time.monotonic()
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err, time.monotonic() - started


@pytest.fixture
def child():
    children = []

    def start(code, then=""):
        children.append(Child(code, then))
        return children[-1]

    yield start
    for each in children:
        with each.process:  # closes the pipes too
            each.process.kill()


EXIT = """
try:
    run_interruptible(main())
except ExecutorInterrupted as error:
    print("value", error.value, flush=True)
    sys.exit(error.exit_code)
"""
BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@BOTH
def test_a_signal_cancels_the_root_which_may_tell_what_was_done(child, number, code):
    process = child(
        """
        async def main():
            try:
                print("ready", flush=True)
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "told"
        """,
        EXIT,
    )
    process.wait_for("ready")
    process.process.send_signal(number)
    returned, out, err, _ = process.end()
    assert (returned, out, err) == (code, "value told\n", "")


@BOTH
def test_outside_of_asynchronous_work_a_signal_raises(child, number, code):
    process = child(
        """
        try:
            with interruptible():
                print("ready", flush=True)
                threading.Event().wait()
        except ExecutorInterrupted as error:
            sys.exit(error.exit_code)
        """
    )
    process.wait_for("ready")
    process.process.send_signal(number)
    assert process.end()[0] == code


def test_a_second_signal_ends_a_root_that_refuses_to_end_and_clears_up_all_the_same(child, tmp_path):
    process = child(
        f"""
        import tempfile
        tempfile.tempdir = {str(tmp_path)!r}
        async def main():
            with scratch_directory("bakery-test-"):
                while True:
                    try:
                        print("ready", flush=True)
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
        """,
        EXIT,
    )
    process.wait_for("ready")
    process.process.send_signal(signal.SIGTERM)
    process.wait_for("ready")
    process.process.send_signal(signal.SIGINT)
    returned, _, _, took = process.end()
    assert returned == 143
    assert took < 4  # sooner than the watchdog
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_root_that_hangs_is_ended_within_five_seconds(child):
    process = child(
        """
        async def main():
            print("ready", flush=True)
            threading.Event().wait()  # the loop itself is stuck
        """,
        EXIT,
    )
    process.wait_for("ready")
    process.process.send_signal(signal.SIGINT)
    returned, _, _, took = process.end()
    assert returned == 130
    assert took < 5


def test_a_signal_cancels_roots_of_other_threads_too(child):
    process = child(
        """
        async def other():
            print("ready", flush=True)
            await asyncio.Event().wait()
        def work():
            try:
                run_interruptible(other())
            except ExecutorInterrupted as error:
                print("thread", error.signum, flush=True)
        async def main():
            await asyncio.to_thread(work)
        """,
        EXIT,
    )
    process.wait_for("ready")
    process.process.send_signal(signal.SIGINT)
    assert process.end()[:2] == (130, "thread 2\nvalue None\n")


def test_nothing_begins_after_a_signal(child):
    process = child(
        """
        async def main():
            print("ready", flush=True)
            await asyncio.Event().wait()
        async def second():
            print("begun")
        with interruptible():
            try:
                run_interruptible(main())
            except ExecutorInterrupted:
                try:
                    run_interruptible(second())
                except ExecutorInterrupted as error:
                    print("refused", error.signum)
        """
    )
    process.wait_for("ready")
    process.process.send_signal(signal.SIGINT)
    assert process.end()[:2] == (0, "refused 2\n")


def test_without_a_signal_the_result_and_the_handlers_are_as_if_nothing_was(child):
    process = child(
        """
        async def main():
            return 7
        before = signal.getsignal(signal.SIGINT)  # ignored, where a shell started us in the background
        print(run_interruptible(main()), signal.getsignal(signal.SIGINT) is before)
        """
    )
    assert process.end()[:3] == (0, "7 True\n", "")
