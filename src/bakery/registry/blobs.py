"""The blobs of one repository: look, read with resumption, upload, mount. upload_plan, ranges and answers decide.

A blob exists if its PUT or mount was acknowledged or a HEAD found it. Size and digest are checked before the last
bytes of a blob are handed on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from bakery.errors import AuthError, BakeryError, ConnectionFailed, DigestMismatch, NotFound, RegistryError
from bakery.extent import Extent, Keep, OpenBody, part_of, rest
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import Repository
from bakery.polling import poll_delays
from bakery.registry import upload_plan as plan
from bakery.registry.answers import NO_HEAD, TRANSIENT, Meaning, Purpose, meaning_of
from bakery.registry.gate import Lane
from bakery.registry.http.message import HttpBody, HttpResponse
from bakery.registry.http.transport import OpenResponse
from bakery.registry.http.url import Url
from bakery.registry.intake import Intake
from bakery.registry.links import session_in
from bakery.registry.mounts import Mounts
from bakery.registry.operation import Operation
from bakery.registry.reasons import MAX_ERROR_BYTES
from bakery.registry.retries import ClientState, Retries
from bakery.registry.step import Backoff, LookUp
from bakery.registry.verify import check_start, is_blob, names_blob
from bakery.tasks import in_thread

_log = logging.getLogger(__name__)

_SMALL_BYTES: Final = 256 * 1024  # larger blobs use the lane for bodies
_SLOW_BYTES_PER_S: Final = 10_000_000  # assumed speed of a body that its token must outlast
_WORTH_BYTES: Final = 1024 * 1024  # progress after which a broken download starts to count failures again
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_LOOK: Final = "look for blob"
_READ: Final = "read blob"
READ_BLOB: Final = f"cannot {_READ}"  # the first words of the errors of a download
_TRIES_OF_500: Final = 3  # of a HEAD, before the blob is uploaded


def _lane(size: int) -> Lane:
    return Lane.SMALL if size <= _SMALL_BYTES else Lane.BODY


class Blobs:
    """The blobs of one repository, as transfer's Store. A client has one such object per repository."""

    def __init__(self, state: ClientState, repository: Repository) -> None:
        self.repository = repository
        self._state, self._endpoint = state, state.endpoint(repository)
        self._mounts = Mounts(state, repository, self._look)
        self._pushed: Descriptor | None = None  # a blob that this run certainly pushed here

    @property
    def realm(self) -> str:
        """The registry: its repositories can mount blobs from each other."""
        return self.repository.registry

    async def has(self, blob: Descriptor, *, else_write: bool = False) -> bool:
        """Return whether the registry has this blob now.

        else_write: the blob will be uploaded if it is absent. On hosts that are known to support it, one POST then
        looks for the blob and opens the upload.
        """
        # If this run wrote it and it is looked for again, it is in doubt: then only a HEAD counts.
        is_ours = self._state.acknowledged_at(self.repository, blob.digest) is not None
        if else_write and not is_ours and await self._mounts.tells(self._pushed):
            if await self._mounts.mount(blob, self.repository, _LOOK):
                self._endpoint.meter.reused(blob.size)
                return True
            if blob.digest in self._mounts.sessions:
                return False
        retries = Retries(self._state, self._head(blob))

        async def look() -> bool:
            try:
                return await self._look(blob)
            except RegistryError as error:
                if error.status == 500 and self._is_target and retries.failures + 1 >= _TRIES_OF_500:
                    return False  # a registry that is down responds 502 or 503, this one fails at a HEAD
                raise

        is_there = await retries.attempt(look)
        if is_there:
            self._endpoint.meter.reused(blob.size)
        return is_there

    @property
    def _is_target(self) -> bool:
        return self._state.writes_to(self.repository)

    def _head(self, blob: Descriptor) -> Operation:
        return self._operation("HEAD", f"blobs/{blob.digest}", _LOOK, blob)

    async def _look(self, blob: Descriptor) -> bool:
        operation = self._head(blob)
        response = await self._endpoint.send(operation)
        if response.status == 403:
            # A HEAD has no body that states the reason; GHCR's 403 may be a rate limit.
            operation = self._operation("GET", f"blobs/{blob.digest}", _LOOK, blob)
            async with self._endpoint.open(operation) as opened:
                response = HttpResponse(opened.status, opened.headers)
                if opened.status >= 400:
                    response = await opened.read(MAX_ERROR_BYTES, strict=False)
        if response.status == 200:
            return is_blob(response, blob)
        # If it is unknown whether the blob exists, it is uploaded: some registries support no HEAD, or allow to push
        # and not to read. If the permission is really missing, the upload reports it.
        meaning = meaning_of(response, Purpose.READ)
        if meaning is Meaning.ABSENT or (meaning not in TRANSIENT and (self._is_target or response.status in NO_HEAD)):
            return False
        raise await self._endpoint.refusal(response, operation)

    async def read(self, blob: Descriptor, *, must_exist: bool = True) -> AsyncGenerator[bytes, None]:
        """Yield the content in chunks, as `fetch` does. A caller that stops early must close the generator."""
        held: list[bytes] = []

        def keep(piece: memoryview, _position: int) -> None:
            held.append(bytes(piece))

        async with aclosing(self.fetch(blob, keep, must_exist=must_exist)) as progress:
            async for _ in progress:
                for chunk in held:
                    yield chunk
                held.clear()

    async def fetch(self, blob: Descriptor, keep: Keep, *, must_exist: bool = True) -> AsyncGenerator[int, None]:
        """Download a blob: pass its pieces to `keep`, in threads, and yield how many bytes are kept: 0 first.

        Continues where it stopped after a broken connection; if the server refuses that, the content is sent again from
        its start. The last step is yielded only after size and digest were checked. must_exist: a 404 is lag and is
        waited for. Raises DigestMismatch, and whatever `keep` raises.
        A caller that stops early must close the generator: it holds a slot of the host.
        """
        intake, size, about = Intake(blob, keep), blob.size, self._about(blob)
        if blob.data is not None:
            yield 0
            keep(memoryview(blob.check(blob.data, about=about)), 0)
            yield size
            return
        operation = self._operation("GET", f"blobs/{blob.digest}", _READ, blob, lane=_lane(size))
        retries, lags, since_pause, resumes = Retries(self._state, operation), poll_delays(), 0, True
        while True:
            headers = {"Range": f"bytes={intake.size}-"} if intake.size and resumes else {}
            # What arrived is being uploaded somewhere: that upload holds a slot and waits for the rest.
            operation = replace(operation, headers=headers, urgent=intake.size > 0)
            try:
                async with aclosing(self._receive(operation, intake)) as progress:
                    async for kept in progress:
                        yield kept
                break
            except NotFound as error:
                if not must_exist:
                    raise
                await retries.wait_for_lag(next(lags), error)
            except BakeryError as error:
                if 0 < size <= intake.size:
                    break  # only the end of the response is missing
                if headers and not error.transient and not isinstance(error, DigestMismatch):
                    resumes = False  # the digest covers the seam
                    retries.report(error)
                    continue
                if not error.transient:
                    raise
                if intake.size - since_pause >= _WORTH_BYTES:
                    retries.made_progress()
                since_pause = intake.size
                await retries.pause(error)
        intake.check(about)
        yield size

    async def _receive(self, operation: Operation, intake: Intake) -> AsyncGenerator[int, None]:
        """Take the rest of a blob from one response; yield how many bytes are kept so far, less than all of them."""
        blob, size, about = intake.blob, intake.blob.size, operation.about
        async with self._endpoint.open(operation) as response:
            if response.status >= 400:
                refused = await response.read(MAX_ERROR_BYTES, strict=False)
                raise await self._endpoint.refusal(refused, operation)
            yield intake.size
            if response.encoding and response.headers.get("Content-Length") != str(size):
                intake.take(memoryview(await _decoded(response, intake)))
                return
            intake.skip = check_start(response.status, response.headers, intake.size, blob, about)
            while await response.move(intake.take) and intake.size <= size:
                if intake.size < size:
                    yield intake.size
            if intake.size < size:
                why = f"the content ended after {intake.size} of {size} bytes"
                raise ConnectionFailed(operation.failed, about=about, why=why)

    async def mount(self, blob: Descriptor, source: Blobs) -> bool:
        """Mount the blob from another repository of this registry. False if that did not succeed, for any reason."""
        is_mounted = await self._mounts.mount(blob, source.repository)
        if is_mounted:
            self._endpoint.meter.mounted(blob.size)
        return is_mounted

    async def write(self, blob: Descriptor, body: OpenBody) -> None:
        """Upload a blob. Return once it is acknowledged or found."""
        self._state.will_write(self.repository)
        retries = Retries(self._state, self._operation("PUT", "blobs/uploads/", plan.PUSH, blob))
        chunks: _Chunks | None = None
        flow = plan.upload(
            blob, self._endpoint.manners, self._mounts.sessions.pop(blob.digest, None), about=self._about(blob)
        )
        step = next(flow)
        try:
            while True:
                result: plan.Sent | bool = False
                if isinstance(step, LookUp):
                    retries.report(step.because)
                    result = await self._settle(blob, settle=step.settle)
                elif isinstance(step, Backoff):
                    await retries.pause(step.because)
                else:
                    part: bytes | HttpBody = b""
                    if isinstance(step, plan.Whole):
                        # Wait until the download has begun: an upload holds no slot while its download waits for one.
                        pieces = body()
                        await anext(pieces, None)
                        if isinstance(pieces, AsyncGenerator):
                            await pieces.aclose()
                        part = HttpBody(body, blob.size)
                    elif isinstance(step, plan.Chunk):
                        chunks = _Chunks(body) if chunks is None or step.first == 0 else chunks
                        part = await chunks.take(step.first, step.last - step.first + 1)
                    operation = self._upload_operation(step, blob, part)
                    try:
                        response = await self._endpoint.send(operation)
                        result = plan.Sent(response, self._session(step, response, blob))
                    except BakeryError as error:
                        if not error.transient and not isinstance(step, plan.Ask):
                            raise
                        result = plan.Sent(error=error)
                try:
                    step = flow.send(result)
                except (AuthError, NotFound) as error:  # of this registry; those of the body's source have their hint
                    error.hint = await self._endpoint.hint_for(error, self.repository)
                    raise
        except StopIteration:
            self._state.acknowledge(self.repository, blob.digest)
            self._pushed = self._pushed or blob
        finally:
            flow.close()

    def _session(self, step: plan.Request, response: HttpResponse, blob: Descriptor) -> Url | None:
        """Return the session that follows, if one does: what a commit names does not matter."""
        if isinstance(step, plan.Whole | plan.Finish) or (response.status == 201 and names_blob(response, blob)):
            return None
        return session_in(response, self.repository, self._endpoint.origin)

    def _upload_operation(self, step: plan.Request, blob: Descriptor, part: bytes | HttpBody) -> Operation:
        size = part.size if isinstance(part, HttpBody) else len(part)
        if isinstance(step, plan.Open):
            return self._operation("POST", "blobs/uploads/", plan.OPEN, blob, purpose=Purpose.OPEN_UPLOAD, body=b"")
        if isinstance(step, plan.Ask):
            return self._operation("GET", step.session, plan.PUSH, blob, purpose=Purpose.SEND_BLOB)
        headers, method, url = _OCTETS if size else {}, "PUT", step.session.with_query(f"digest={blob.digest}")
        if isinstance(step, plan.Chunk):
            headers = headers | {"Content-Range": f"{step.first}-{step.last}"}
            method, url = "PATCH", step.session
        return self._operation(
            method,
            url,
            plan.PUSH,
            blob,
            purpose=Purpose.SEND_BLOB,
            headers=headers,
            body=part,
            lane=_lane(size),
            lasting_s=size / _SLOW_BYTES_PER_S,
        )

    async def _settle(self, blob: Descriptor, *, settle: bool) -> bool:
        """Return whether the blob is there: look once, or for as long as this host has lagged."""

        async def look() -> bool | None:
            return await self._look(blob) or None

        retries = Retries(self._state, self._head(blob))
        return await retries.poll(look, within_s=self._endpoint.longest_lag_s if settle else 0.0) is True

    def _about(self, blob: Descriptor) -> str:
        return f"{self.repository}@{blob.digest}"

    def _operation(self, method: str, target: str | Url, action: str, blob: Descriptor, **others: object) -> Operation:
        return self._state.operation(method, self.repository, target, action, self._about(blob), **others)  # type: ignore[arg-type]  # by name


async def _decoded(response: OpenResponse, intake: Intake) -> bytes:
    """Return a small blob, such as a config, that a server compressed unasked. Raises InvalidContent for a larger one.

    Some storage marks layers as compressed because they are: then the length is right, and the bytes are used as sent.
    """
    if intake.size or intake.blob.size > _SMALL_BYTES:
        response.refuse_encoding()
    return (await response.read(intake.blob.size + _SMALL_BYTES)).body


class _Chunks:
    """A body cut into parts of given sizes, one of them in memory at a time, as PATCH needs them."""

    def __init__(self, body: OpenBody) -> None:
        self._pieces = body()
        self._left: memoryview | Extent = memoryview(b"")
        self._first, self._part = -1, b""

    async def take(self, first: int, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end of the body, or those from `first` once more."""
        if first != self._first:
            self._first, self._part = first, await self._next(size)
        return self._part

    async def _next(self, size: int) -> bytes:
        part = bytearray()
        while len(part) < size:
            if not self._left:
                piece = await anext(self._pieces, b"")
                if not piece:
                    break
                self._left = memoryview(piece) if isinstance(piece, bytes) else piece
            now = part_of(self._left, 0, min(size - len(part), len(self._left)))
            part += await in_thread(now.read) if isinstance(now, Extent) else now
            self._left = rest(self._left, len(now))
        return bytes(part)
