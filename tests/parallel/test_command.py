"""Tasks, jobs, their runner and retries, through the synchronous and the asynchronous API."""

import asyncio
import functools
import logging
import sys
import threading

import pytest

from bakery.events import Event, StepFinished, StepRetried, StepStarted
from bakery.parallel import RetryPolicy, ShellJob, ShellTask, run, run_jobs
from bakery.parallel.command import CommandRunner, Surroundings, run_shell_jobs
from bakery.parallel.transient import looks_transient
from tests.clock import JumpingClock


def flaky(tmp_path, failures, stderr="503: Service Unavailable", code=1):
    """Return a command that fails this many times, then prints `done`."""
    counter = tmp_path / "count"
    script = (
        f"n=$(cat {counter} 2>/dev/null || echo 0); n=$((n+1)); echo $n > {counter}; "
        f'if [ $n -le {failures} ]; then echo "{stderr}" >&2; exit {code}; fi; echo done'
    )
    return ["sh", "-c", script]


def calls(tmp_path):
    return int((tmp_path / "count").read_text())


PATIENT = RetryPolicy(jitter=False, retry_on=looks_transient)


def test_results_are_in_the_order_of_the_tasks_and_say_how_each_ended():
    tasks = [
        ShellTask("slow", ["sh", "-c", "sleep 0.2; echo slow"], payload=1),
        ShellTask("quick", ["echo", "quick"], label="Quick"),
        ShellTask("failing", ["sh", "-c", "exit 4"]),
        ShellTask("missing", ["/no/such/program"]),
        ShellTask("late", ["sleep", "600"], timeout=0.1),
    ]
    order = []
    results = run(tasks, lambda result: order.append((result.task.key, threading.current_thread())), jobs=5)
    assert [result.task for result in results] == tasks
    assert [result.ok for result in results] == [True, True, False, False, False]
    assert [result.stdout for result in results[:2]] == [b"slow\n", b"quick\n"]
    assert results[2].returncode == 4
    assert results[2].exception is None
    assert results[3].returncode is None
    assert results[3].exception is not None
    assert results[4].timed_out
    assert {thread for _, thread in order} == {threading.current_thread()}
    keys = [key for key, _ in order]
    assert sorted(keys) == sorted(task.key for task in tasks)
    assert keys.index("quick") < keys.index("slow")
    assert tasks[1].display_label == "Quick"
    assert tasks[0].display_label == "slow"


def test_no_tasks_and_no_jobs_give_no_results():
    assert run([]) == []
    assert run_jobs([]) == []


def test_duplicate_keys_are_rejected():
    with pytest.raises(ValueError, match="'a'"):
        run([ShellTask("a", ["true"]), ShellTask("a", ["true"])])


def test_fail_fast_starts_no_task_after_a_failure():
    tasks = [ShellTask("a", ["false"]), ShellTask("b", ["true"])]
    assert [result.task.key for result in run(tasks, jobs=1, fail_fast=True)] == ["a"]


def test_a_job_runs_commands_in_order_and_returns_any_value():
    def plain(runner):
        first = runner.run(["echo", "one"])
        second = runner.run(["sh", "-c", f"echo {first.stdout.decode().strip()} two"])
        return second.stdout

    async def asynchronous(runner):
        return (await runner.run(["echo", "three"])).stdout

    def broken(runner):
        raise LookupError("no")

    jobs = [ShellJob("plain", plain, payload=7), ShellJob("async", asynchronous), ShellJob("broken", broken)]
    results = run_jobs(jobs, jobs=2)
    assert [result.value for result in results] == [b"one two\n", b"three\n", None]
    assert isinstance(results[2].exception, LookupError)
    assert [result.ok for result in results] == [True, True, False]
    assert results[0].job is jobs[0]


async def echo(runner, text="hello"):
    return (await runner.run(["echo", text])).stdout


class AsyncCallable:
    async def __call__(self, runner):
        return await echo(runner)


class Awaitable:
    def __init__(self, runner):
        self._runner = runner

    def __await__(self):
        return echo(self._runner).__await__()


async def patient(runner):
    await runner.sleep(0)
    return await echo(runner)


AWAITABLE_RESULTS = {
    "coroutine function": echo,
    "partial of one": functools.partial(echo, text="hello"),
    "bound method": AsyncCallable().__call__,
    "object with async __call__": AsyncCallable(),
    "partial of such an object": functools.partial(AsyncCallable()),
    "lambda that returns a coroutine": lambda runner: echo(runner),
    "class with __await__": Awaitable,
    "coroutine that sleeps": lambda runner: patient(runner),
}


@pytest.mark.parametrize("call", AWAITABLE_RESULTS.values(), ids=AWAITABLE_RESULTS)
def test_an_awaitable_result_of_a_job_is_awaited(call):
    results = run_jobs([ShellJob("a", call)])
    assert (results[0].value, results[0].exception) == (b"hello\n", None)


def test_an_exception_of_an_awaitable_result_is_the_exception_of_the_job():
    async def broken(runner):
        raise LookupError

    results = run_jobs([ShellJob("a", lambda runner: broken(runner))])
    assert not results[0].ok
    assert isinstance(results[0].exception, LookupError)


def test_blocking_jobs_run_concurrently_outside_the_loop():
    barrier = threading.Barrier(3, timeout=10)

    def work(runner):
        barrier.wait()
        return runner.run(["echo", runner.key]).stdout

    results = run_jobs([ShellJob(key, work) for key in "abc"], jobs=3)
    assert [result.value for result in results] == [b"a\n", b"b\n", b"c\n"]


def test_a_failing_command_does_not_raise_in_the_job():
    results = run_jobs([ShellJob("a", lambda runner: runner.run(["false"]))])
    assert results[0].ok
    assert results[0].value is not None
    assert not results[0].value.ok


async def test_two_transient_failures_then_success_wait_two_and_four_seconds(tmp_path):
    clock, events = JumpingClock(), list[Event]()
    runner = CommandRunner("a", retry=PATIENT, surroundings=Surroundings(events.append, clock))
    result = await runner.run(flaky(tmp_path, 2), step_label="copy")
    assert result.ok
    assert result.stdout == b"done\n"
    assert result.attempts == 3
    assert clock.slept == [2, 4]
    assert [type(event) for event in events] == [StepStarted, StepRetried, StepRetried, StepFinished]
    assert events[1] == StepRetried("a", "copy", 1, 2, "exit code 1: 503: Service Unavailable")


async def test_after_the_last_attempt_the_last_failure_is_returned_and_logged_for_debugging(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    clock = JumpingClock()
    runner = CommandRunner("a", retry=PATIENT, surroundings=Surroundings(clock=clock))
    result = await runner.run(flaky(tmp_path, 9, code=5), step_label="copy")
    assert (result.returncode, result.attempts, calls(tmp_path)) == (5, 5, 5)
    assert clock.slept == [2, 4, 8, 16]
    assert "a: copy: gave up after 5 attempts" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}, "users read the events and the result"


async def test_a_permanent_failure_runs_once_and_logs_nothing(tmp_path, caplog):
    runner = CommandRunner("a", retry=PATIENT, surroundings=Surroundings(clock=JumpingClock()))
    result = await runner.run(flaky(tmp_path, 9, stderr="unauthorized: not found"))
    assert (result.attempts, calls(tmp_path)) == (1, 1)
    assert caplog.text == ""


async def test_without_a_policy_nothing_is_retried(tmp_path):
    assert (await CommandRunner("a").run(flaky(tmp_path, 1))).attempts == 1


async def test_a_command_uses_the_defaults_of_its_job_and_can_override_them(tmp_path):
    clock = JumpingClock()

    async def work(runner):
        first = await runner.run(flaky(tmp_path, 1))
        slow = await runner.run(["sleep", "600"], retry=RetryPolicy(max_attempts=1))
        unlimited = await runner.run(["sleep", "0.2"], timeout=0)
        return first.attempts, slow.timed_out, unlimited.ok

    job = ShellJob("a", work, retry=PATIENT, command_timeout=0.1)
    results = await run_shell_jobs([job], surroundings=Surroundings(clock=clock))
    assert results[0].value == (2, True, True)


async def test_waiting_between_attempts_holds_no_slot(tmp_path):
    order: list[str] = []
    second_has_run = asyncio.Event()

    class Clock(JumpingClock):
        async def sleep(self, seconds):
            # Returns only after the other job, which needs the only slot, has run.
            await second_has_run.wait()

    async def first(runner):
        await runner.run(flaky(tmp_path, 1), retry=PATIENT)
        order.append("first")

    async def second(runner):
        order.append("second")
        second_has_run.set()

    jobs = [ShellJob("first", first), ShellJob("second", second)]
    await run_shell_jobs(jobs, jobs=1, surroundings=Surroundings(clock=Clock()))
    assert order == ["second", "first"]


async def test_a_job_that_swallows_its_cancellation_cannot_start_another_command():
    started, started_after = asyncio.Event(), []

    async def stubborn(runner):
        try:
            started.set()
            await runner.sleep(600)
        except asyncio.CancelledError:
            started_after.append(await runner.run([sys.executable, "-c", "print('no')"]))

    async with asyncio.TaskGroup() as group:
        root = group.create_task(run_shell_jobs([ShellJob("a", stubborn)]))
        await started.wait()
        root.cancel()
    assert started_after == []


def test_a_cancelled_blocking_job_gets_an_exception_that_except_exception_does_not_catch():
    interrupted = threading.Event()

    def stubborn(runner):
        while True:
            try:
                runner.run(["sleep", "600"])
            except Exception:  # noqa: BLE001 - the test is that this does not catch it
                continue
            except BaseException:
                interrupted.set()
                raise

    def callback(result):
        raise LookupError("stop everything")

    with pytest.raises(LookupError):
        run_jobs([ShellJob("stubborn", stubborn), ShellJob("b", lambda runner: None)], callback, jobs=2)
    assert interrupted.wait(10)
