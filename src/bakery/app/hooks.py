"""What a publish does between staging and the first tag: attach, copy referrers, sign, ask a command.

The options are checked before anything is published.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bakery.errors import UsageError
from bakery.events import Emit, StepOutput
from bakery.files import not_a_file
from bakery.text import hide

if TYPE_CHECKING:
    from bakery.app.publishing import PublishOptions
    from bakery.engines.artifacts import Artifacts, Attachment
    from bakery.engines.cosign import Cosign
    from bakery.engines.veto import Veto
    from bakery.publish.engine import Engine
    from bakery.publish.forecast import Foresee
    from bakery.publish.outcome import ArtifactOutcome
    from bakery.publish.plan import Plan
    from bakery.publish.sets import Hooks, Staged
    from bakery.retry import Clock

MAX_ATTACHMENT_BYTES: Final = 256 * 1024 * 1024
_KEY_ELSEWHERE: Final = re.compile(r"[a-z0-9]+://|pkcs11:|https?:")  # of cosign: a KMS, a variable, a token
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*")


def parse_attachments(texts: Iterable[str]) -> tuple[Attachment, ...]:
    """Read FILE:MEDIA-TYPE each. Raises UsageError for a file that cannot be read, and for anything else."""
    from bakery.engines.artifacts import Attachment
    from bakery.files import read_regular

    found = []
    for text in texts:
        name, _, media_type = text.rpartition(":")
        if not name or _MEDIA_TYPE.fullmatch(media_type) is None:
            why = "expected FILE:MEDIA-TYPE, such as sbom.json:application/spdx+json"
            raise UsageError("invalid value for --attach", about=repr(text), why=why)
        try:
            content = read_regular(Path(name), limit_bytes=MAX_ATTACHMENT_BYTES)
        except OSError as error:
            raise UsageError("invalid value for --attach", about=name, why=error.strerror or str(error)) from error
        found.append(Attachment(Path(name).name, media_type, content))
    return tuple(found)


def _check_programs(command: Sequence[str], options: PublishOptions) -> None:
    """Raise UsageError for a command that cannot be started, and a key that is a file and does not exist."""
    if command and shutil.which(command[0], path=options.environment.get("PATH", os.defpath)) is None:
        why = f"{command[0]} is not in PATH" if os.sep not in command[0] else "it cannot be started"
        raise UsageError("invalid value for --before-commit", about=repr(options.before_commit), why=why)
    key = options.sign_key or options.environment.get("COSIGN_KEY", "")
    is_file = _KEY_ELSEWHERE.match(key) is None
    if options.sign is not None and key and is_file and (why := not_a_file(Path(key))):
        raise UsageError("invalid value for --sign-key", about=repr(key), why=why)


class Preparations:
    """The hooks of one publish. Made before it, so that wrong options are found first; `ready` during it."""

    def __init__(self, plan: Plan, options: PublishOptions, emit: Emit) -> None:
        from bakery.engines.veto import parse_command

        self._plan, self._options, self._emit = plan, options, emit
        self._attachments = parse_attachments(options.attach)
        self._command = () if options.before_commit is None else parse_command(options.before_commit)
        if options.sign_option and options.sign is None:
            raise UsageError("missing option --sign", why="--sign-option is for signing")
        # The option reads COSIGN_KEY as well, and a workflow may set that for all its steps.
        if options.sign is None and options.sign_key not in {"", options.environment.get("COSIGN_KEY")}:
            raise UsageError("missing option --sign", why="--sign-key is for signing")
        _check_programs(self._command, options)
        self._artifacts: Artifacts | None = None
        self._cosign: Cosign | None = None
        self._veto: Veto | None = None

    def hooks(self) -> Hooks:
        """Return the hooks. They work inside `ready`."""
        from bakery.publish.sets import Hooks

        options = self._options
        after = self._after_staging if (self._attachments or options.referrers or options.sign) else None
        return Hooks(after, self._before_commit if self._command else None)

    @asynccontextmanager
    async def ready(self, engine: Engine, clock: Clock, deadline: float) -> AsyncIterator[None]:
        """Prepare what the hooks need, until the block ends. deadline: when the time budget ends, on the clock."""
        async with AsyncExitStack() as stack:
            if self._attachments or self._options.referrers:
                self._artifacts = await _made_artifacts(
                    self._plan, self._options, self._emit, engine, stack, clock, attachments=self._attachments
                )
            if self._options.sign is not None:
                self._cosign = stack.enter_context(self._made_cosign(clock, deadline))
            if self._command:
                self._veto = self._made_veto(clock, deadline)
            yield

    async def _after_staging(self, staged: Staged) -> Sequence[ArtifactOutcome]:
        added = [] if self._artifacts is None else await self._artifacts.add(staged)
        return [*added, *([] if self._cosign is None else await self._cosign.sign(staged))]

    async def _before_commit(self, deliveries: Sequence[Staged]) -> None:
        assert self._veto is not None
        await self._veto.ask(deliveries)

    def _made_cosign(self, clock: Clock, deadline: float) -> Cosign:
        from bakery.engines.commands import Commands
        from bakery.engines.cosign import Cosign, SignSettings
        from bakery.parallel.program import find_program
        from bakery.registry.config import RegistryConfig
        from bakery.registry.credentials import hide_stored
        from bakery.retry import RetryPolicy

        options = self._options
        config = RegistryConfig.from_environment(options.environment)
        hide_stored(config.credentials)  # cosign reads them itself
        hide(options.environment.get("COSIGN_PASSWORD", ""))
        policy = RetryPolicy.from_environment(options.environment)
        commands = Commands(options.environment, policy=policy, clock=clock, emit=self._emit, deadline=deadline)
        program = find_program("cosign", options.context, options.environment)
        key = options.sign_key or options.environment.get("COSIGN_KEY", "")
        return Cosign(SignSettings(program, key, options.sign_option), commands, config, self._emit)

    def _made_veto(self, clock: Clock, deadline: float) -> Veto:
        from bakery.engines.veto import Veto

        return Veto(
            self._command,
            self._options.environment,
            Path.cwd(),
            left_s=lambda: deadline - clock.now(),
            show=lambda line: self._emit(StepOutput("", "before-commit", line)),
        )


@asynccontextmanager
async def foreseeing(
    plan: Plan, options: PublishOptions, engine: Engine, clock: Clock, *, emit: Emit
) -> AsyncIterator[Foresee | None]:
    """Yield what says in a dry run what the hooks of the run would note, or None if they would note nothing."""
    async with AsyncExitStack() as stack:
        made = await _made_artifacts(plan, options, emit, engine, stack, clock) if options.referrers else None
        yield None if made is None else made.foresee


async def _made_artifacts(
    plan: Plan,
    options: PublishOptions,
    emit: Emit,
    engine: Engine,
    stack: AsyncExitStack,
    clock: Clock,
    *,
    attachments: Sequence[Attachment] = (),
) -> Artifacts:
    from bakery.app.engine import make_native
    from bakery.engines.artifacts import Artifacts
    from bakery.engines.native import NativeEngine

    native = engine if isinstance(engine, NativeEngine) else None
    if native is None:  # oras has no command that would do this
        native = await stack.enter_async_context(make_native(plan, options, emit, clock=clock))
    return Artifacts(native, attachments=attachments, copies=options.referrers, emit=emit)
