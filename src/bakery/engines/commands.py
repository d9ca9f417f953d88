"""Running oras and soci: a bounded number of commands at once, retried within the time budget, failures classified."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from msgspec.structs import replace

from bakery.engines.argv import Command
from bakery.errors import AuthError, BudgetSpent, NotFound, RegistryError, Unavailable
from bakery.events import Emit, Event, StepRetried
from bakery.parallel.command import CommandResult, CommandRunner, Surroundings
from bakery.parallel.jobs import current_job
from bakery.parallel.program import ProgramMissing
from bakery.parallel.spawn import command_line
from bakery.parallel.transient import looks_transient, says_not_found, says_refused
from bakery.retry import Clock, RetryPolicy

_log = logging.getLogger(__name__)

COMMAND_TIMEOUT_S: Final = 900.0
COMMANDS_AT_ONCE: Final = 16  # each mostly waits for a registry
OLDEST: Final = {"oras": (1, 3), "soci": (0, 11)}


class ProgramTooOld(ProgramMissing):
    """A program was found but lacks features that this engine needs."""

    error_code = "program/too-old"


class CommandFailed(RegistryError):
    """oras or soci failed for a reason that waiting does not resolve."""

    error_code = "program/failed"


class Commands:
    """The commands of one run. deadline: when its time budget ends, on the clock; None if it has none."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        policy: RetryPolicy,
        clock: Clock,
        emit: Emit,
        deadline: float | None,
    ) -> None:
        self._environment, self._policy, self._clock, self._deadline = environment, policy, clock, deadline

        def emit_retries(event: Event) -> None:
            if isinstance(event, StepRetried):  # the pipeline reports where steps start and end
                emit(event)

        self._surroundings = Surroundings(emit_retries, clock)
        self._slots = asyncio.Semaphore(COMMANDS_AT_ONCE)

    def extend(self, seconds: float) -> None:
        """Make sure that the time budget does not end within so many seconds."""
        if self._deadline is not None:
            self._deadline = max(self._deadline, self._clock.now() + seconds)

    async def query(self, command: Command, action: str, about: object) -> CommandResult | None:
        """Run a command; return None if it reports that the content does not exist, which is not retried."""
        result = await self.attempt(command, may_be_missing=True)
        return None if not result.ok and says_not_found(result) else self.checked(result, action, about)

    async def run(self, command: Command, action: str, about: object) -> CommandResult:
        """Run a command on content that must exist: "not found" means that the registry lags."""
        return self.checked(await self.attempt(command), action, about)

    async def attempt(self, command: Command, *, may_be_missing: bool = False, retry: bool = True) -> CommandResult:
        """Run a command and return how it ended. may_be_missing: "not found" is a result, not lag."""
        timeout_s = COMMAND_TIMEOUT_S
        if self._deadline is not None:
            timeout_s = min(timeout_s, self._deadline - self._clock.now())
            if timeout_s <= 0:
                why, hint = "the time budget is exceeded", "raise --time-budget"
                raise BudgetSpent("cannot run", about=command_line(command), why=why, hint=hint)

        def is_worth_a_retry(result: CommandResult) -> bool:
            return retry and looks_transient(result) and not (may_be_missing and says_not_found(result))

        slot, policy = _Slot(self._slots), replace(self._policy, retry_on=is_worth_a_retry)
        runner = CommandRunner(current_job.get() or "bakery", slot=slot, retry=policy, surroundings=self._surroundings)
        async with slot:
            _log.debug("run %s", command_line(command))
            label = " ".join(word for word in command[1:4] if not word.startswith("-") and "/" not in word)
            return await runner.run(command, env=self._environment, timeout=timeout_s, step_label=label)

    def checked(self, result: CommandResult, action: str, about: object, *, is_local: bool = False) -> CommandResult:
        """Return the result of a command that succeeded. Raises the error for one that failed.

        is_local: it asks no registry, whatever the words of its error are.
        """
        if result.ok:
            return result
        if result.exception is not None:
            raise result.exception
        output = " | ".join(line.strip() for line in result.first_lines())
        what = f"cannot {action}"
        why = f"{command_line(result.cmd)}: exit code {result.returncode}: {output or 'no output'}"
        if is_local:
            raise CommandFailed(what, about=about, why=why)
        if says_refused(result):
            hint = "log in to this registry with 'docker login' as a user with this permission"
            raise AuthError(what, about=about, why=why, hint=hint)
        if says_not_found(result):
            raise NotFound(what, about=about, status=404, why=why)
        if looks_transient(result):
            raise Unavailable(what, about=about, why=why, hint="run the same command again later")
        raise CommandFailed(what, about=about, why=why)

    async def check_version(self, name: str, command: Command) -> None:
        """Raise ProgramTooOld if this command reports too old a version."""
        result = self.checked(await self.attempt(command, retry=False), "determine the version of", command[0])
        found = re.search(rb"v?(\d+)\.(\d+)", result.stdout + result.stderr)
        if found is None:
            _log.debug("%s reports no version", command[0])  # one built from source, as soci often is
        elif (int(found[1]), int(found[2])) < OLDEST[name]:
            raise ProgramTooOld(
                "cannot use",
                about=command[0],
                why=f"version {found[0].decode()} is too old, {'.'.join(map(str, OLDEST[name]))} or later is required",
                hint=f"install a newer {name}, or set {name.upper()}_PATH to one",
            )


class _Slot:
    """A place of a semaphore that is released while a command waits for its next attempt."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()

    async def __aexit__(self, *exception: object) -> None:
        self._semaphore.release()

    @asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        self._semaphore.release()
        try:
            yield
        finally:
            await self._semaphore.acquire()
