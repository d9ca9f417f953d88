"""How a blob is pushed, decided step by step. Knows no network and no clock: yields steps, takes what came of them.

POST, then one streaming PUT. After anything doubtful the digest is looked for before it is judged; then a fresh POST:
sessions do not survive a cut on distribution, and their `Range` is stale on ECR (registry.md 2.1 to 2.3).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from msgspec import Struct

from bakery.errors import BakeryError, RegistryError
from bakery.oci.descriptor import Descriptor
from bakery.registry.answers import Doing, Reply, Verdict, failure, verdict
from bakery.registry.faults import BodyCut, LoginEnded, NotConnected
from bakery.registry.origin import Url

GHCR_CHUNK_BYTES: Final = 4 * 1024 * 1024  # GHCR refuses larger ones with 416
MAX_CHUNK_BYTES: Final = 64 * 1024 * 1024  # a chunk is held in memory, whatever a registry asks for
_MAX_DOUBTS: Final = 2  # a digest or a login refused this often stays refused


class Open(Struct, frozen=True):
    """POST: ask for a session."""


class Whole(Struct, frozen=True):
    """PUT the whole blob, streaming."""

    session: Url


class Chunk(Struct, frozen=True):
    """PATCH bytes `first` to `last`, both included."""

    session: Url
    first: int
    last: int


class Finish(Struct, frozen=True):
    """PUT without a body: commit what the chunks brought."""

    session: Url


class Look(Struct, frozen=True):
    """HEAD the digest. settle: keep looking for as long as this host has lagged; else once."""

    settle: bool


class Pause(Struct, frozen=True):
    """Wait before the next attempt; `failures` have been. Whoever carries it out ends the upload when time is up."""

    failures: int
    because: BakeryError


Step = Open | Whole | Chunk | Finish | Look | Pause


class Manners(Struct):
    """What a host is known to want: learnt on the way, kept for the next blob."""

    chunk_bytes: int | None = None  # None: one PUT takes all
    mount_tells: bool | None = None  # whether a mount from its own repository says if a blob is there; None: not tried


class Sent(Struct, frozen=True):
    """What came of sending: a reply and the session's newest URL, or the failure."""

    reply: Reply | None = None
    session: Url | None = None
    error: BakeryError | None = None
    uncommitted: bool = False  # it was not the step that commits


def upload(descriptor: Descriptor, manners: Manners, session: Url | None = None) -> Generator[Step, Sent | bool, None]:
    """Return once the blob was acknowledged or found. `session` is one that a mount attempt left open.

    Open, Whole, Chunk and Finish are answered by Sent, Look by a bool, Pause by anything.
    """
    about, failures, doubts = str(descriptor.digest), 0, 0
    while True:
        if session is None:
            opened = yield Open()
            assert isinstance(opened, Sent)
            if opened.reply is not None and opened.reply.status == 201:
                return  # it had the blob all along
            session = _session_of(opened, manners)
            if session is None:
                failures += 1
                yield Pause(failures, _passing(opened, Doing.OPEN_UPLOAD, "opening an upload", about))
                continue
        sent = yield from (_whole(session) if manners.chunk_bytes is None else _chunks(session, descriptor, manners))
        session = None
        if sent.reply is not None and sent.reply.status in (201, 204):
            return
        if sent.reply is not None and sent.reply.status < 400:
            # A web server says 200 to everything: only a look proves that the blob is there.
            if (yield Look(settle=False)) is True:
                return
            raise RegistryError(
                "pushing a blob",
                about=about,
                status=sent.reply.status,
                why=f"{sent.reply.status}, but it is not there",
            )
        judged = None if sent.reply is None else verdict(sent.reply, Doing.SEND_BLOB)
        if sent.reply is not None and manners.chunk_bytes is None and _wants_chunks(sent.reply, judged):
            manners.chunk_bytes = GHCR_CHUNK_BYTES
            continue
        doubtful = isinstance(sent.error, LoginEnded) or (sent.reply is not None and _is_digest(sent.reply))
        if doubtful:
            doubts += 1
        error = _error(sent, Doing.SEND_BLOB, "pushing a blob", about)
        lost = judged is Verdict.SESSION_LOST
        if doubts > _MAX_DOUBTS or not (error.transient or lost or doubtful):
            raise error
        untaken = sent.uncommitted or isinstance(error, BodyCut | NotConnected)
        untaken = untaken or judged in (Verdict.THROTTLED, Verdict.NOT_TAKEN)
        if not untaken and (yield Look(settle=not doubtful)) is True:
            return
        failures += 1
        yield Pause(failures, error)


def _whole(session: Url) -> Generator[Step, Sent | bool, Sent]:
    sent = yield Whole(session)
    assert isinstance(sent, Sent)
    return sent


def _chunks(session: Url, descriptor: Descriptor, manners: Manners) -> Generator[Step, Sent | bool, Sent]:
    """All chunks and the commit. What a 2xx says about ranges is not read: the digest at the end is the judge."""
    size, step = descriptor.size, manners.chunk_bytes or GHCR_CHUNK_BYTES
    for first in range(0, size, step):
        sent = yield Chunk(session, first, min(first + step, size) - 1)
        assert isinstance(sent, Sent)
        if sent.reply is None or sent.reply.status >= 300:
            return Sent(sent.reply, None, sent.error, uncommitted=True)
        session = sent.session or session
    finished = yield Finish(session)
    assert isinstance(finished, Sent)
    return finished


def _session_of(opened: Sent, manners: Manners) -> Url | None:
    """The session that a 202 opened, its wish for the size of chunks noted; None for any other answer."""
    if opened.reply is None or opened.reply.status != 202:
        return None
    least = opened.reply.header("OCI-Chunk-Min-Length")
    if manners.chunk_bytes is not None and least.isdigit() and len(least) < 12:
        manners.chunk_bytes = min(max(manners.chunk_bytes, int(least)), MAX_CHUNK_BYTES)
    return opened.session


def _wants_chunks(reply: Reply, judged: Verdict | None) -> bool:
    """Whether one PUT with everything is what was refused, rather than the blob."""
    return judged is Verdict.UNSUPPORTED or reply.status in (411, 413, 416)


def _is_digest(reply: Reply) -> bool:
    """A digest refused may be a body that was cut on its way, so it deserves a second look."""
    return b"DIGEST_INVALID" in reply.body or b"SIZE_INVALID" in reply.body


def _error(sent: Sent, phase: Doing, doing: str, about: str) -> BakeryError:
    if sent.error is not None:
        return sent.error
    if sent.reply is None:
        raise ValueError("a step was answered by neither a reply nor an error")
    return failure(sent.reply, doing, about, phase=phase)


def _passing(sent: Sent, phase: Doing, doing: str, about: str) -> BakeryError:
    """The error of an opening, if it may pass; raises it otherwise."""
    if sent.reply is not None and sent.reply.status < 400:
        raise RegistryError(doing, about=about, status=sent.reply.status, why=f"{sent.reply.status}, not an upload")
    error = _error(sent, phase, doing, about)
    if not error.transient:
        raise error
    return error
