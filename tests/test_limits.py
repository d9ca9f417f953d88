"""Limits of the process: concurrency adapts to them, and errors name them."""

import errno
import resource
import threading

import pytest

from bakery import limits
from bakery.app.rehearse import RehearseRequest, rehearse_request
from bakery.defaults import BODIES_PER_HOST, SMALL_REQUESTS_PER_HOST
from bakery.errors import BakeryError, message


def test_with_enough_files_every_host_gets_its_usual_share():
    share = limits.shares(4, files=4096)
    assert (share.small, share.bodies) == (SMALL_REQUESTS_PER_HOST, BODIES_PER_HOST)


@pytest.mark.parametrize("files", [3, 20, 64, 256, 1024])
@pytest.mark.parametrize("hosts", [0, 1, 4, 40])
def test_with_few_files_everything_still_gets_one_share(hosts, files):
    share = limits.shares(hosts, files=files)
    assert min(share.small, share.bodies, share.spools, share.commands) >= 1
    if files >= 64 and hosts <= 4:
        assert hosts * (4 * share.small + share.bodies) + share.spools < files


def test_the_soft_limit_of_files_is_raised_to_the_hard_one(monkeypatch):
    seen = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: seen.append(pair))
    assert limits.open_files() == 4096
    assert seen == [(4096, 4096)]


def test_work_runs_in_as_many_threads_as_can_be_started(monkeypatch):
    begin, begun = threading.Thread.start, list[object]()

    def start(thread):
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with limits.Threads(8) as pool:
        assert sorted(pool.map(lambda number: number, range(20))) == list(range(20))
    begun.append(None)
    with limits.Threads(8) as pool, pytest.raises(RuntimeError) as none:
        pool.submit(int)
    assert "pids limit" in message(none.value)


def test_too_many_open_files_name_the_limit_and_what_helps():
    assert message(OSError(errno.EMFILE, "Too many open files", "/tmp/x")) == (
        "error[system/limit]: the limit of open files is reached (ulimit -n)\n"
        "hint: raise that limit, for example with ulimit -n 1024, or run fewer jobs with --jobs"
    )


def test_a_rehearsal_that_may_not_open_enough_files_says_so_at_once(monkeypatch):
    """Its registries waited for a file that would never be free, and the run for its time budget."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (24, 24))
    with pytest.raises(BakeryError, match=r"it needs 32 open files, and this process may have 24 \(ulimit -n\)"):
        rehearse_request(RehearseRequest(tag=("ghcr.io/acme/app:1",)))
