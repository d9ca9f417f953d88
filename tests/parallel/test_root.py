"""What a signal does, with real processes. Every wait is for a line that the child prints, never for time."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest


class Child:
    """A Python process that runs a snippet and prints lines."""

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
        """Wait for the end; return exit code, rest of stdout, stderr and seconds."""
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
        with each.process:  # also closes the pipes
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
def test_a_signal_cancels_the_root_which_can_report_what_was_done(child, number, code):
    process = child(
        """
        async def main():
            try:
                print("ready", flush=True)
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "done"
        """,
        EXIT,
    )
    process.wait_for("ready")
    process.process.send_signal(number)
    returned, out, err, _ = process.end()
    assert (returned, out, err) == (code, "value done\n", "")


@BOTH
def test_a_signal_outside_asynchronous_work_raises(child, number, code):
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


def test_a_second_signal_ends_a_root_that_refuses_to_end_and_still_cleans_up(child, tmp_path):
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
    assert took < 4  # before the watchdog
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_root_that_hangs_is_ended_within_five_seconds(child):
    process = child(
        """
        async def main():
            print("ready", flush=True)
            threading.Event().wait()  # the loop itself hangs
        """,
        EXIT,
    )
    process.wait_for("ready")
    process.process.send_signal(signal.SIGINT)
    returned, _, _, took = process.end()
    assert returned == 130
    assert took < 5


def test_a_signal_also_cancels_roots_in_other_threads(child):
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


def test_nothing_starts_after_a_signal(child):
    process = child(
        """
        async def main():
            print("ready", flush=True)
            await asyncio.Event().wait()
        async def second():
            print("started")
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


def test_without_a_signal_the_result_is_returned_and_the_handlers_are_restored(child):
    process = child(
        """
        async def main():
            return 7
        before = signal.getsignal(signal.SIGINT)  # ignored if a shell started pytest in the background
        print(run_interruptible(main()), signal.getsignal(signal.SIGINT) is before)
        """
    )
    assert process.end()[:3] == (0, "7 True\n", "")
