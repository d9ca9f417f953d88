"""Runs credential helpers as tracked processes: the registry room needs it, the parallel room can do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakery.parallel.failure import NotStarted, OutputTooLarge
from bakery.parallel.spawn import spawn
from bakery.registry.credentials import HelperResult


async def run_helper(
    command: Sequence[str], *, stdin: bytes, environment: Mapping[str, str], timeout_s: float, cap_bytes: int
) -> HelperResult:
    """Run a credential helper. See `registry.credentials.RunHelper`.

    A helper that ended by itself may leave an agent running; one that is ended takes its processes with it.
    """
    done = await spawn(
        command,
        env=environment,
        stdin=stdin,
        timeout_s=timeout_s,
        cap_bytes=cap_bytes,
        grace_s=0.0,
        spare_group=True,
    )
    failure = ""  # never its output, which may contain secrets
    if isinstance(done.exception, NotStarted):
        failure = f"it cannot be started: {done.exception.why}"
    elif isinstance(done.exception, OutputTooLarge):
        failure = f"it wrote more than {cap_bytes} bytes"
    elif done.exception is not None:
        failure = f"timed out after {timeout_s:g} s"
    return HelperResult(done.returncode, done.stdout, done.stderr, failure)
