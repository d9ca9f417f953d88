"""Blobs over the wire: look, read with resumption, push, mount. Decisions are in upload_plan, ranges and answers.

A blob counts as there when its PUT or mount was acknowledged or a HEAD found it. What is read is checked by size and
digest before its last bytes are given out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from bakery.errors import AuthError, BakeryError, ConnectionFailed, DigestMismatch, NotFound, RegistryError
from bakery.extent import Keep, OpenBody
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.registry import upload_plan as plan
from bakery.registry.answers import MAX_ERROR_BYTES, Doing, Reply, Verdict, verdict
from bakery.registry.endpoint import Ask
from bakery.registry.faults import UnsafeTarget
from bakery.registry.gate import Lane
from bakery.registry.http.transport import Body, Incoming
from bakery.registry.operation import Operations
from bakery.registry.origin import Url
from bakery.registry.ranges import BadRange, check_resumed
from bakery.tasks import in_thread

_log = logging.getLogger(__name__)

_SMALL_BYTES: Final = 256 * 1024  # larger ones go through the lane for bodies
_SLOW_BYTES_PER_S: Final = 10_000_000  # how fast a body is taken to travel when a token must outlive it
_WORTH_BYTES: Final = 1024 * 1024  # progress after which a broken download counts as new
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_FIRST_WAIT_S: Final = 0.25


def _lane(size: int) -> Lane:
    return Lane.SMALL if size <= _SMALL_BYTES else Lane.BODY


class Blobs:
    """The blob operations of one run."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._sessions: dict[tuple[Repository, Digest], Url] = {}  # left open by mounts that were not to be
        self._manners: defaultdict[str, plan.Manners] = defaultdict(plan.Manners)
        self._trials: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._taken: dict[Repository, Descriptor] = {}  # one blob of each repository that was surely pushed there

    async def has(self, repository: Repository, descriptor: Descriptor, *, else_push: bool = False) -> bool:
        """Whether the registry has this blob now.

        else_push: it will be pushed if not. Where the host is known to answer so, one POST then looks for the blob and
        opens the upload.
        """
        operations, about = self._operations, f"{repository}@{descriptor.digest}"
        # What was acknowledged and is asked for again is in doubt: then only a look counts.
        if else_push and not operations.is_ours(repository, descriptor.digest) and await self._mount_tells(repository):
            if await self.mount(repository, descriptor, repository):
                return True
            if (repository, descriptor.digest) in self._sessions:
                return False

        async def look() -> bool:
            return await self._look(repository, descriptor)

        return await operations.attempt(repository, "looking for a blob", about, look)

    async def _look(self, repository: Repository, descriptor: Descriptor) -> bool:
        endpoint = self._operations.endpoint(repository)
        rest, doing = f"blobs/{descriptor.digest}", "looking for a blob"
        ask = self._ask("HEAD", repository, rest, doing, descriptor)
        reply = await endpoint.send(ask)
        if reply.status == 403:
            # A HEAD has no body to say why; GHCR's 403 may be a rate limit.
            ask = self._ask("GET", repository, rest, doing, descriptor)
            async with endpoint.open(ask) as got:
                failed = got.status >= 400
                reply = await got.read(ask.limit_bytes, strict=False) if failed else Reply(got.status, got.headers)
        if reply.status == 200:
            return _is_blob(reply, descriptor, ask)
        if verdict(reply, Doing.READ) is Verdict.ABSENT:
            return False
        raise await endpoint.refusal(reply, ask)

    def _ask(
        self, method: str, repository: Repository, rest: str, doing: str, descriptor: Descriptor, **others: object
    ) -> Ask:
        operations = self._operations
        return Ask(
            method,
            operations.endpoint(repository).url(repository, rest),
            repository,
            operations.scopes(repository),
            doing,
            f"{repository}@{descriptor.digest}",
            **others,  # type: ignore[arg-type]  # the fields of Ask, given by name
        )

    async def read(
        self, repository: Repository, descriptor: Descriptor, *, must_exist: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """As `fetch`, for whoever wants the bytes themselves. Whoever stops early must close the iterator."""
        held: list[bytes] = []

        def keep(piece: memoryview, _position: int) -> None:
            held.append(bytes(piece))

        async with aclosing(self.fetch(repository, descriptor, keep, must_exist=must_exist)) as coming:
            async for _ in coming:
                for chunk in held:
                    yield chunk
                held.clear()

    async def fetch(
        self, repository: Repository, descriptor: Descriptor, keep: Keep, *, must_exist: bool = False
    ) -> AsyncGenerator[int, None]:
        """Download a blob; gives how much of it is kept, as it grows. Whoever stops early must close the iterator.

        After a break it goes on where it stopped. must_exist: a 404 is lag. Raises DigestMismatch before the last step
        is given where the content is not what the descriptor names, and what `keep` raises, as it is.
        """
        operations, intake, size = self._operations, _Intake(descriptor, keep), descriptor.size
        endpoint = operations.endpoint(repository)
        doing, about = "reading a blob", f"{repository}@{descriptor.digest}"
        if descriptor.data is not None:
            keep(memoryview(descriptor.check(descriptor.data, about=about)), 0)
            yield size
            return
        rest, lane = f"blobs/{descriptor.digest}", _lane(size)
        failures = since_pause = 0
        lag_s = _FIRST_WAIT_S
        while True:
            headers = {"Range": f"bytes={intake.size}-"} if intake.size else {}
            ask = self._ask("GET", repository, rest, doing, descriptor, headers=headers, lane=lane)
            try:
                async with endpoint.open(ask) as incoming:
                    if incoming.status >= 400:
                        raise await endpoint.refusal(await incoming.read(MAX_ERROR_BYTES, strict=False), ask)
                    intake.skip = _check_start(incoming, intake.size, descriptor, about)
                    async with aclosing(incoming.pour(intake.take)) as moving:
                        async for _ in moving:
                            if intake.size > size:
                                break
                            if intake.size < size:
                                yield intake.size
                    if intake.size < size:
                        answer = f"it ended after {intake.size} of {size} bytes"
                        raise ConnectionFailed(doing, about=about, why=answer)
                    intake.check(about)
                    yield size
                    return
            except NotFound as error:
                if not must_exist or operations.left_s <= 0:
                    raise
                await operations.wait_for_lag(repository, doing, about, lag_s, error)
                lag_s = min(lag_s * 1.2, 5.0)
            except BakeryError as error:
                if not error.transient:
                    raise
                failures = 1 if intake.size - since_pause >= _WORTH_BYTES else failures + 1
                since_pause = intake.size
                await operations.pause(repository, doing, about, failures, error)

    async def mount(self, repository: Repository, descriptor: Descriptor, source: Repository) -> bool:
        """Ask the registry to take the blob over from another of its repositories. False where it will not.

        Only a 201 counts. A session that a refusal opens is kept for the push that follows. From the same repository
        it is a question: is the blob there? Not every host answers that one rightly.
        """
        operations, key = self._operations, (repository, descriptor.digest)
        operations.will_write(repository)
        endpoint, ask = operations.endpoint(repository), self._mounting(repository, descriptor, source)
        tried = False

        async def once() -> bool:
            nonlocal tried
            if tried and await self._look(repository, descriptor):
                return True  # the answer was lost, the mount was not
            tried = True
            reply = await endpoint.send(ask)
            if reply.status == 201:
                return _names(reply, descriptor) or await self._look(repository, descriptor)
            if reply.status == 202 and reply.header("Location"):
                self._sessions[key] = ask.url.resolve(reply.header("Location"))
            elif verdict(reply, Doing.OPEN_UPLOAD) in (Verdict.THROTTLED, Verdict.NOT_TAKEN, Verdict.AMBIGUOUS):
                raise await endpoint.refusal(reply, ask)
            return False

        try:
            mounted = await operations.attempt(repository, ask.doing, ask.about, once)
        except (RegistryError, UnsafeTarget) as error:
            # Harbor, Hub and GitLab refuse the login for a source that they do not show us: push it plainly then.
            _log.debug("not mounted: %s", error)
            return False
        if mounted:
            operations.acknowledge(repository, descriptor.digest)
        return mounted

    def _mounting(self, repository: Repository, descriptor: Descriptor, source: Repository) -> Ask:
        operations = self._operations
        return Ask(
            "POST",
            operations.endpoint(repository).url(
                repository, f"blobs/uploads/?mount={descriptor.digest}&from={source.path}"
            ),
            repository,
            operations.scopes(repository, mount_from=source),
            "looking for a blob" if source == repository else "mounting a blob",
            f"{repository}@{descriptor.digest}",
            phase=Doing.OPEN_UPLOAD,
            body=b"",
        )

    async def _mount_tells(self, repository: Repository) -> bool:
        """Whether this host says by a mount from the repository itself if a blob is there.

        distribution does. One that mounts nothing (ECR) opens a session for what is there as well, and would have
        it sent again. So a blob that was just pushed there is asked for, once a host; until then the answer is no.
        """
        manners, taken = self._manners[repository.registry], self._taken.get(repository)
        if manners.mount_tells is None and taken is not None:
            stray: Url | None = None
            async with self._trials[repository.registry]:
                if manners.mount_tells is None:
                    manners.mount_tells, stray = await self._try_mount(repository, taken)
            if stray is not None:
                await self._abandon(repository, taken, stray)
        return manners.mount_tells is True

    async def _try_mount(self, repository: Repository, taken: Descriptor) -> tuple[bool, Url | None]:
        """Whether the host says that a blob is there which is; and the session that it opened where it does not."""
        ask = self._mounting(repository, taken, repository)
        try:
            reply = await self._operations.endpoint(repository).send(ask)
            location = reply.header("Location") if reply.status == 202 else ""
            return reply.status == 201 and _names(reply, taken), ask.url.resolve(location) if location else None
        except BakeryError as error:  # tried once: HEAD stays in use, and nothing is lost
            _log.debug("not known to tell by a mount: %s", error)
            return False, None

    async def _abandon(self, repository: Repository, descriptor: Descriptor, session: Url) -> None:
        """End a session that nothing will be sent to. A courtesy: it would end by itself, so no answer matters.

        Some want the right to delete for it; a login with that right is not asked for. Another origin is not told.
        """
        operations, about = self._operations, f"{repository}@{descriptor.digest}"
        scopes, doing = operations.scopes(repository), "ending an upload"
        ask = Ask("DELETE", session, repository, scopes, doing, about, phase=Doing.DELETE, insists=False)
        endpoint = operations.endpoint(repository)
        if session.origin != endpoint.origin:
            return
        try:
            await endpoint.send(ask)
        except BakeryError as error:
            _log.debug("left open: %s", error)

    async def push(
        self, repository: Repository, descriptor: Descriptor, open_body: OpenBody, *, small: bytes | None = None
    ) -> None:
        """Upload a blob. `open_body` gives a fresh reader per attempt; `small` is the content where it is at hand."""
        operations, key = self._operations, (repository, descriptor.digest)
        operations.will_write(repository)
        manners = self._manners[repository.registry]
        body = Body(open_body, descriptor.size) if small is None else small
        slices: _Slices | None = None
        flow = plan.upload(descriptor, manners, self._sessions.pop(key, None))
        step = next(flow)
        try:
            while True:
                answer: plan.Sent | bool = False
                match step:
                    case plan.Open():
                        answer = await self._step("POST", repository, descriptor, None, b"")
                    case plan.Whole(session):
                        url = session.with_query(f"digest={descriptor.digest}")
                        answer = await self._step("PUT", repository, descriptor, url, body)
                    case plan.Chunk(session, first, last):
                        if slices is None or first == 0:
                            slices = _Slices(open_body)
                        part = await slices.take(last - first + 1)
                        answer = await self._step("PATCH", repository, descriptor, session, part, f"{first}-{last}")
                    case plan.Finish(session):
                        url = session.with_query(f"digest={descriptor.digest}")
                        answer = await self._step("PUT", repository, descriptor, url, b"")
                    case plan.Look(settle):
                        answer = await self._settle(repository, descriptor, settle=settle)
                    case plan.Pause(failures, because):
                        about = f"{repository}@{descriptor.digest}"
                        await operations.pause(repository, "pushing a blob", about, failures, because)
                step = flow.send(answer)
        except StopIteration:
            operations.acknowledge(repository, descriptor.digest)
            self._taken.setdefault(repository, descriptor)
        except AuthError as error:
            error.hint = await operations.endpoint(repository).hint(repository)
            raise
        finally:
            flow.close()

    async def _step(
        self,
        method: str,
        repository: Repository,
        descriptor: Descriptor,
        url: Url | None,
        body: bytes | Body,
        content_range: str = "",
    ) -> plan.Sent:
        endpoint = self._operations.endpoint(repository)
        size = body.size if isinstance(body, Body) else len(body)
        headers = _OCTETS | {"Content-Range": content_range} if content_range else _OCTETS if size else {}
        ask = Ask(
            method,
            url or endpoint.url(repository, "blobs/uploads/"),
            repository,
            self._operations.scopes(repository),
            "opening an upload" if url is None else "pushing a blob",
            f"{repository}@{descriptor.digest}",
            Doing.OPEN_UPLOAD if url is None else Doing.SEND_BLOB,
            headers,
            body,
            _lane(size),
            lasting_s=size / _SLOW_BYTES_PER_S,
        )
        try:
            reply = await endpoint.send(ask)
        except BakeryError as error:
            if not error.transient:
                raise
            return plan.Sent(error=error)
        location = reply.header("Location") if reply.status < 300 else ""
        return plan.Sent(reply, ask.url.resolve(location) if location else None)

    async def _settle(self, repository: Repository, descriptor: Descriptor, *, settle: bool) -> bool:
        """Whether the blob is there, looked for once or for as long as this host has lagged."""
        operations, about = self._operations, f"{repository}@{descriptor.digest}"

        async def look() -> bool | None:
            return await self._look(repository, descriptor) or None

        within_s = operations.endpoint(repository).longest_lag_s if settle else 0.0
        return await operations.poll(repository, "looking for a blob", about, look, within_s=within_s) is True


class _Intake:
    """What a download has brought so far: counted, hashed and kept, in whatever thread it came."""

    def __init__(self, descriptor: Descriptor, keep: Keep) -> None:
        self._descriptor, self._keep, self._hasher = descriptor, keep, descriptor.digest.hasher()
        self.size = 0
        self.skip = 0  # how many of the next bytes are here already

    def take(self, piece: memoryview) -> None:
        """The next bytes."""
        if self.skip:
            passed = min(self.skip, len(piece))
            self.skip, piece = self.skip - passed, piece[passed:]
        if self.size + len(piece) <= self._descriptor.size:  # what is too long is nobody's content
            self._hasher.update(piece)
            self._keep(piece, self.size)
        self.size += len(piece)

    def check(self, about: str) -> None:
        """Raise DigestMismatch where this is not the content that the descriptor names."""
        if self.size != self._descriptor.size or self._hasher.hexdigest() != self._descriptor.digest.hex:
            raise DigestMismatch(
                "reading a blob",
                about=about,
                why=f"expected {self._descriptor.size} bytes of {self._descriptor.digest}, "
                f"got {self.size} with {self._hasher.hexdigest()}",
                hint="the source or a proxy before it altered the content; build and push it again",
            )


class _Slices:
    """A body cut into parts of given sizes, each held in memory: what PATCH needs."""

    def __init__(self, open_body: OpenBody) -> None:
        self._pieces, self._held = open_body(), bytearray()

    async def take(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end of the body."""
        while len(self._held) < size:
            piece = await anext(self._pieces, b"")
            if not piece:
                break
            for part in (piece,) if isinstance(piece, bytes) else piece.pieces(_WORTH_BYTES):
                self._held += part if isinstance(part, bytes) else await in_thread(part.read)
        part = bytes(self._held[:size])
        del self._held[:size]
        return part


def _names(reply: Reply, descriptor: Descriptor) -> bool:
    """Whether a 201 says which blob it made: by header or Location. One that does not proves nothing."""
    text = str(descriptor.digest)
    location = reply.header("Location").replace("%3A", ":").replace("%3a", ":")
    return reply.header("Docker-Content-Digest") == text or location.partition("?")[0].endswith(text)


def _is_blob(reply: Reply, descriptor: Descriptor, ask: Ask) -> bool:
    """Whether a 200 is about this blob. A web page answers 200 to everything, and means nothing by it."""
    told, length = reply.header("Docker-Content-Digest"), reply.header("Content-Length")
    if told and told != str(descriptor.digest) and told.partition(":")[0] == descriptor.digest.algorithm:
        raise DigestMismatch(ask.doing, about=ask.about, why=f"the registry answers for {told[:80]!r}")
    if length.isdigit() and int(length) != descriptor.size:
        if told:
            raise DigestMismatch(
                ask.doing, about=ask.about, why=f"the registry has {length[:20]} bytes, expected {descriptor.size}"
            )
    elif told or (length.isdigit() and not reply.header("Content-Type").startswith("text/")):
        return True
    raise RegistryError(ask.doing, about=ask.about, status=200, why="200, but this is no registry's answer")


def _check_start(incoming: Incoming, offset: int, descriptor: Descriptor, about: str) -> int:
    """How many bytes of this answer are to be skipped. Raises where it is not the rest that was asked for."""
    length = incoming.headers.get("Content-Length", "")
    if incoming.status == 206 and offset:
        check_resumed(incoming.headers.getall("Content-Range"), offset=offset, size=descriptor.size)
        return 0
    if incoming.status != 200:
        raise BadRange("reading a blob", about=about, why=f"{incoming.status} where content was expected")
    if length and length != str(descriptor.size):
        raise DigestMismatch(
            "reading a blob", about=about, why=f"{length[:20]} bytes are offered, expected {descriptor.size}"
        )
    return offset  # the server does not know Range and sends it all again: the digest at the end covers the seam
