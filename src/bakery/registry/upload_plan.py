"""How a blob is uploaded, decided step by step. Knows no network and no clock: yields steps, receives their results.

POST, then one streaming PUT. After a doubtful result, the digest is looked for before it is judged; then a new POST:
sessions do not survive a broken connection on distribution, and their `Range` is stale on ECR (registry.md 2.1 to 2.3).
Only after a doubtful chunk is a session asked where it is: if that is before or after this chunk, the upload goes on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from msgspec import Struct

from bakery.errors import BakeryError, RegistryError
from bakery.oci.descriptor import Descriptor
from bakery.registry.answers import Meaning, Purpose, error_for, meaning_of
from bakery.registry.failure import LoginEnded
from bakery.registry.http.failure import BodyCut, NotConnected
from bakery.registry.http.message import HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.ranges import received_bytes
from bakery.registry.step import Backoff, LookUp

GHCR_CHUNK_BYTES: Final = 4 * 1024 * 1024  # GHCR refuses larger chunks with 416
_LEAST_CHUNK_BYTES: Final = 64 * 1024
_ABSURD_CHUNK_BYTES: Final = 10**11  # a registry that requests this much does not mean it
MAX_CHUNK_BYTES: Final = 64 * 1024 * 1024  # a chunk is held in memory, whatever size a registry requires
_MAX_SESSIONS_LOST: Final = 10  # replicas without a shared secret lose every second one
_MAX_DOUBTS: Final = 2  # a digest or a login that is refused more often is refused permanently
_UNTAKEN: Final = (Meaning.THROTTLED, Meaning.NOT_TAKEN)
OPEN: Final = "open upload for"
PUSH: Final = "push blob"


class Open(Struct, frozen=True):
    """POST: open an upload session."""


class Whole(Struct, frozen=True):
    """PUT the whole blob, streaming."""

    session: Url


class Chunk(Struct, frozen=True):
    """PATCH bytes `first` to `last`, both included."""

    session: Url
    first: int
    last: int


class Ask(Struct, frozen=True):
    """GET the session: how much it has received."""

    session: Url


class Finish(Struct, frozen=True):
    """PUT without a body: commit the chunks."""

    session: Url


Request = Open | Whole | Chunk | Ask | Finish
Step = Request | LookUp | Backoff


class Manners(Struct):
    """What a host requires: learned from one blob, applied to the next."""

    chunk_bytes: int | None = None  # None: one PUT takes the whole blob
    least_chunk_bytes: int = 0  # what OCI-Chunk-Min-Length stated
    mounts_are_proven: bool | None = None  # does a mount of a digest that nothing has fail? None: not tried
    etags_are_digests: bool | None = None  # is the ETag of a manifest its digest? then it can be a condition of a write
    heads_are_wrong: bool = False  # does a HEAD deny manifests that a GET finds? Then only GET is used
    mount_tells: bool | None = None  # does a mount from its own repository show if a blob exists? None: not tried


class Sent(Struct, frozen=True):
    """The result of a request: the response and the newest URL of the session, or the failure."""

    response: HttpResponse | None = None
    session: Url | None = None
    error: BakeryError | None = None
    uncommitted: bool = False  # it was not the step that commits
    waited: bool = False  # there was a pause after it


def upload(
    blob: Descriptor, manners: Manners, session: Url | None = None, *, about: str = ""
) -> Generator[Step, Sent | bool, None]:
    """Return once the blob was acknowledged or found. `session`: one that a mount attempt left open.

    The result of Open, Whole, Chunk, Ask and Finish is a Sent, of LookUp a bool, of Backoff anything.
    """
    about, doubts, lost = about or str(blob.digest), 0, 0
    while True:
        if session is None:
            opened = yield Open()
            assert isinstance(opened, Sent)
            # 201 means that the registry has the blob already, or is its way to open a session: only a look proves it.
            if opened.response is not None and opened.response.status == 201 and (yield LookUp(settle=False)) is True:
                return
            session = _session_of(opened, manners)
            if session is None:
                error = _open_error(opened, about)
                if not error.transient:
                    raise error
                yield Backoff(error)
                continue
        chunk_bytes = manners.chunk_bytes  # another blob may learn meanwhile that the host requires chunks
        sent = yield from (_whole(session) if chunk_bytes is None else _chunks(session, blob, manners, about))
        session, response = None, sent.response
        if response is not None and response.status in (201, 204):
            return
        if response is not None and response.status < 400:
            # A web server responds 200 to everything: only a look proves that the blob is there. With 202, the
            # registry says that it is not finished: then the blob may appear after some seconds.
            if (yield LookUp(settle=response.status == 202)) is True:
                return
            why = f"the registry responded {response.status}, but the blob is not there"
            raise RegistryError(f"cannot {PUSH}", about=about, status=response.status, why=why)
        meaning = None if response is None else meaning_of(response, Purpose.SEND_BLOB)
        if response is not None and _requires_smaller(response, meaning, chunk_bytes, manners):
            continue
        is_doubtful = isinstance(sent.error, LoginEnded) or (response is not None and _refuses_digest(response))
        doubts, lost = doubts + is_doubtful, lost + (meaning is Meaning.SESSION_LOST)
        error = _error(sent, PUSH, about, Purpose.SEND_BLOB)
        may_pass = error.transient or is_doubtful or meaning is Meaning.SESSION_LOST
        if doubts > _MAX_DOUBTS or lost > _MAX_SESSIONS_LOST or not may_pass:
            raise _lasting(error)
        untaken = sent.uncommitted or isinstance(error, BodyCut | NotConnected) or meaning in _UNTAKEN
        # After a 500 there is a response, so one look is enough; without any, the registry may still be at work.
        settle = not is_doubtful and (response is None or response.status != 500)
        if not untaken and (yield LookUp(settle, error)) is True:
            return
        if not sent.waited:
            yield Backoff(error)


def _whole(session: Url) -> Generator[Step, Sent | bool, Sent]:
    sent = yield Whole(session)
    assert isinstance(sent, Sent)
    return sent


def _chunks(session: Url, blob: Descriptor, manners: Manners, about: str) -> Generator[Step, Sent | bool, Sent]:
    """Send all chunks and the commit. The ranges in responses to chunks are not read: the digest at the end decides."""
    size, step = blob.size, max(manners.chunk_bytes or GHCR_CHUNK_BYTES, manners.least_chunk_bytes)
    for first in range(0, size, step):
        sent = yield from _chunk(Chunk(session, first, min(first + step, size) - 1), about)
        if sent.response is None or sent.response.status >= 300:
            return Sent(sent.response, None, sent.error, uncommitted=True, waited=sent.waited)
        session = sent.session or session
    finished = yield Finish(session)
    assert isinstance(finished, Sent)
    return finished


def _chunk(chunk: Chunk, about: str) -> Generator[Step, Sent | bool, Sent]:
    """Send a chunk until the session has it, or its result is final. A blob of many must not begin again each time.

    One that was not taken is sent again. If that is in doubt, the session decides; a part of a chunk is not continued.
    """
    while True:
        sent = yield chunk
        assert isinstance(sent, Sent)
        meaning = None if sent.response is None else meaning_of(sent.response, Purpose.SEND_BLOB)
        is_untaken = meaning in _UNTAKEN or isinstance(sent.error, NotConnected)
        if sent.response is not None and not is_untaken and meaning is not Meaning.AMBIGUOUS:
            return sent
        yield Backoff(_error(sent, PUSH, about, Purpose.SEND_BLOB))
        if is_untaken:
            continue
        asked = yield Ask(chunk.session)
        assert isinstance(asked, Sent)
        received = _received(asked.response)
        if received == chunk.last + 1:
            return asked
        if received != chunk.first:
            return Sent(sent.response, None, sent.error, waited=True)
        chunk = Chunk(asked.session or chunk.session, chunk.first, chunk.last)


def _received(response: HttpResponse | None) -> int | None:
    """Return how many bytes a session has received, None if its response does not state it."""
    return None if response is None or response.status >= 300 else received_bytes(response.header("Range"))


def _session_of(opened: Sent, manners: Manners) -> Url | None:
    """Return the session that was opened, after noting its chunk size; None for any other response."""
    response = opened.response
    if response is None or response.status not in (201, 202):
        return None
    note_chunk_size(response, manners)
    return opened.session


def note_chunk_size(response: HttpResponse, manners: Manners) -> None:
    """Note the least chunk size that the response to a POST states."""
    least = response.number("OCI-Chunk-Min-Length")
    if least is not None and least < _ABSURD_CHUNK_BYTES:
        manners.least_chunk_bytes = min(least, MAX_CHUNK_BYTES)


def _requires_smaller(
    response: HttpResponse, meaning: Meaning | None, used_bytes: int | None, manners: Manners
) -> bool:
    """Return whether the size of the body was refused, rather than the blob, and note the size to try next.

    used_bytes: the size of the chunks, None for a single PUT. Proxies have limits of their own: nginx's is 1 MiB.
    """
    if used_bytes is None:
        if meaning is not Meaning.UNSUPPORTED and response.status not in (411, 413, 416):
            return False
        manners.chunk_bytes = manners.chunk_bytes or GHCR_CHUNK_BYTES
        return True
    smaller_bytes = used_bytes // 4
    if response.status != 413 or smaller_bytes < max(_LEAST_CHUNK_BYTES, manners.least_chunk_bytes):
        return False
    manners.chunk_bytes = min(manners.chunk_bytes or smaller_bytes, smaller_bytes)
    return True


def _refuses_digest(response: HttpResponse) -> bool:
    """Return whether the digest was refused: the body may have been truncated on its way, so it is worth a retry."""
    return b"DIGEST_INVALID" in response.body or b"SIZE_INVALID" in response.body


def _lasting(error: BakeryError) -> BakeryError:
    """Return the error for what does not pass: of a login that is refused with every new token, the refusal."""
    refusal = error.__cause__
    return refusal if isinstance(error, LoginEnded) and isinstance(refusal, BakeryError) else error


def _error(sent: Sent, action: str, about: str, purpose: Purpose) -> BakeryError:
    if sent.error is not None:
        return sent.error
    if sent.response is None:
        raise ValueError("the result of a request is a response or an error")
    return error_for(sent.response, action, about, purpose=purpose)


def _open_error(opened: Sent, about: str) -> BakeryError:
    """Return the error of a POST that opened no session."""
    response = opened.response
    if response is not None and response.status < 400:
        why = f"the registry responded {response.status} without a session"
        return RegistryError(f"cannot {OPEN}", about=about, status=response.status, why=why)
    return _error(opened, OPEN, about, Purpose.OPEN_UPLOAD)
