"""Checking what is published, against the summary of a run, a project, or as references name it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from bakery.defaults import TIME_BUDGET_S
from bakery.errors import InvalidContent, NothingSelected, RecordError, UsageError
from bakery.events import Emit, ignore
from bakery.files import is_folder, is_there

if TYPE_CHECKING:
    from bakery.publish.audited import Audit, Expected

_MAX_BYTES: Final = 64 * 1024 * 1024
_HINT: Final = "pass the JSON summary of a publish (--summary-file), a folder, or a reference"


class VerifyRequest(Struct, frozen=True):
    """What to check. what: JSON summaries, folders of projects, and references; image_name selects in a project.

    needs_signature: what is not signed is wrong. time_budget: seconds.
    """

    what: tuple[str, ...]
    image_name: str = ""
    allow_empty: bool = False  # image_name may match nothing
    needs_signature: bool = False
    time_budget: float = TIME_BUDGET_S
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def verify(request: VerifyRequest, *, emit: Emit = ignore) -> Audit:
    """Return what was found at every reference. Registries are only read.

    Raises UsageError, RecordError and errors of projects, and NothingSelected if there is nothing to check.
    """
    from bakery.app.engine import make_client
    from bakery.engines.reader import RegistryReader
    from bakery.parallel.root import run_interruptible
    from bakery.publish.audit import audit
    from bakery.retry import SystemClock

    expected = [one for text in request.what for one in _expected(text, request, emit)]
    if not expected:
        raise NothingSelected("nothing to verify", why="no tag was published, or the project has none")
    clock = SystemClock()

    async def checking() -> Audit:
        hosts = len({one.reference.repository.registry for one in expected})
        deadline = clock.now() + request.time_budget
        async with make_client(request.environment, clock=clock, emit=emit, deadline=deadline, hosts=hosts) as client:
            return await audit(expected, RegistryReader(client), needs_signature=request.needs_signature)

    return run_interruptible(checking())


def _expected(text: str, request: VerifyRequest, emit: Emit) -> Sequence[Expected]:
    from bakery.plans.expectations import expected_of_references, expected_of_targets

    path = Path(text)
    if not text:  # of an empty variable: Path("") is the current folder
        raise UsageError("cannot verify ''", why="it is empty", hint="leave it out to check the current folder")
    if is_folder(path):
        from bakery.app.planning import project_targets

        return expected_of_targets(
            project_targets(path, request.image_name, allow_empty=request.allow_empty, emit=emit)
        )
    if is_there(path):
        return _of_file(path)
    try:
        return expected_of_references([text])
    except InvalidContent as error:
        if _names_file(text):
            raise RecordError("cannot read", about=text, why="it does not exist", hint="check the path") from error
        why = "it is neither a file or folder that exists nor a reference with a tag or digest"
        raise UsageError("cannot verify", about=repr(text), why=why) from error


def _of_file(path: Path) -> Sequence[Expected]:
    from bakery.app.records import read_record, record_of
    from bakery.oci.canonical import parse_object
    from bakery.plans.expectations import expected_of_summary

    raw = read_record(path, limit_bytes=_MAX_BYTES, hint=_HINT)
    with record_of(path, hint=_HINT):
        return expected_of_summary(parse_object(raw, about=path, limit_bytes=_MAX_BYTES), about=path)


def _names_file(text: str) -> bool:
    """Return whether text that is not a reference can only be meant as a path: it names no registry, tag or digest."""
    registry, slash, _ = text.partition("/")
    is_registry = slash and ("." in registry.strip(".") or registry == "localhost")
    return text.endswith((".json", ".jsonl")) or not (is_registry or ":" in text or "@" in text)
