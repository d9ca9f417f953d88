"""`EmbeddedRegistry`: a whole registry inside this process, on a loopback port, for tests and rehearsals.

    async with EmbeddedRegistry() as registry:
        push_to(registry.address)
        assert registry.tags("acme/app")["1.0"] == digest

It serves until the block is left. What a test wants to know or to break it asks here; clients see HTTP alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bakery.errors import BakeryError, NotFound
from bakery.oci import manifest as oci
from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.clock import Clock, SystemClock
from bakery.rehearsal.connection import ClientGone, Connection, Request, Respond
from bakery.rehearsal.faults import PHRASES, Armed, Effect, Faults, Rule, When
from bakery.rehearsal.http import Malformed
from bakery.rehearsal.log import Exchange, Log
from bakery.rehearsal.manifests import stored
from bakery.rehearsal.registry import Registry
from bakery.rehearsal.routes import Route
from bakery.rehearsal.service import Service
from bakery.rehearsal.shelf import FolderShelf, MemoryShelf
from bakery.rehearsal.storage import Repository, Storage
from bakery.rehearsal.tokens import Access, Guard, TokenRequest
from bakery.rehearsal.traits import SPEC, Traits

_log = logging.getLogger(__name__)
_HOST: Final = "127.0.0.1"


class EmbeddedRegistry:
    """A registry to use with `async with`. storage: a folder, or None for memory. port 0: any free one.

    Raises BakeryError where the folder or the port cannot be had. A bug in the registry is answered with 500 and
    raised when the block is left, so that a test does not pass over it.
    """

    def __init__(
        self,
        storage: Path | None = None,
        port: int = 0,
        *,
        traits: Traits = SPEC,
        access: Access | None = None,
        rules: Iterable[Rule] = (),
        seed: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._folder, self._port = storage, port
        self._traits, self._access, self._clock = traits, access, clock or SystemClock()
        self._faults = Faults(rules, seed)
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._bugs: list[Exception] = []
        self._service: Service | None = None

    # Its life.

    async def __aenter__(self) -> Self:
        shelf = FolderShelf(self._folder) if self._folder else MemoryShelf()
        storage = Storage(shelf, self._clock)
        guard = Guard(self._access, self._clock, storage.names) if self._access else None
        service = self._service = Service(
            Registry(storage, self._traits, self._clock), self._faults, guard, self._clock
        )
        try:
            self._port = await self._listen(service.respond, self._port)
            if self._access and self._access.second_port:
                service.token_address = f"{_HOST}:{await self._listen(service.respond_token, 0)}"
            if self._traits.redirects_blobs:
                service.away.address = f"{_HOST}:{await self._listen(service.respond_storage, 0)}"
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()
        if self._bugs and error is None:
            raise self._bugs[0]

    async def _listen(self, respond: Respond, port: int) -> int:
        async def guarded(request: Request) -> Answer:
            try:
                return await respond(request)
            except (ClientGone, Malformed):
                raise
            except Exception as bug:  # noqa: BLE001  # the border of a request: one bug must not take the server down
                _log.exception("a bug in the embedded registry")
                self._bugs.append(bug)
                return failure("UNKNOWN", message=f"a bug in the embedded registry: {type(bug).__name__}")

        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: Connection(guarded, self._clock, self._opened), _HOST, port, backlog=1024
            )
        except OSError as error:
            raise BakeryError(
                "listening", about=f"{_HOST}:{port}", why=error.strerror or str(error), hint="choose another --port"
            ) from error
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _opened(self, connection: Connection) -> None:
        # Not a TaskGroup: the block may be entered and left in different tasks (a fixture's two halves).
        task = asyncio.get_running_loop().create_task(connection.serve(), name="embedded registry connection")
        self._connections.add(task)
        task.add_done_callback(lambda done: self._over(connection, done))

    def _over(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if task.cancelled():  # it may not even have begun, and a client that does not read must not hold up the end
            connection.abort()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        while self._connections:  # one that was accepted just now comes in while we wait for the others
            for task in self._connections:
                task.cancel()
            await asyncio.wait(self._connections)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        if self._service is not None:
            self._service.registry.close()

    # Where it is.

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{_HOST}:{self._port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    # What it holds.

    @property
    def _running(self) -> Service:
        if self._service is None:
            raise ValueError("the registry is used before `async with`")
        return self._service

    @property
    def storage(self) -> Storage:
        """All it holds."""
        return self._running.registry.storage

    def repositories(self) -> list[str]:
        """The repositories that hold anything, sorted."""
        return self.storage.names()

    def tags(self, repository: str) -> dict[str, Digest]:
        """Tag to digest; empty where the repository is not there."""
        return {name: tag.digest for name, tag in self._held(repository).tags.items()}

    def manifests(self, repository: str) -> list[Digest]:
        """The manifests of a repository, in order of arrival."""
        return list(self._held(repository).manifests)

    def blobs(self, repository: str) -> list[Digest]:
        """The blobs of a repository, in order of arrival."""
        return list(self._held(repository).blobs)

    def _held(self, repository: str) -> Repository:
        return self.storage.repository(repository) or Repository()

    def manifest(self, repository: str, reference: str | Digest) -> tuple[str, bytes]:
        """Media type and bytes of a manifest, by tag or digest. Raises NotFound."""
        digest = reference if isinstance(reference, Digest) else self._digest(repository, reference)
        found = self.storage.manifest(repository, digest) if digest else None
        if found is None:
            raise NotFound("reading a manifest", about=f"{self.address}/{repository} {reference}", status=404)
        stored, content = found
        try:
            return stored.media_type, bytes(content.read(0, stored.size))
        finally:
            content.close()

    def _digest(self, repository: str, reference: str) -> Digest | None:
        if ":" in reference:
            return Digest.parse(reference)
        tag = self.storage.tag(repository, reference)
        return tag.digest if tag else None

    def blob(self, repository: str, digest: str | Digest) -> bytes:
        """The bytes of a blob. Raises NotFound."""
        content = self.storage.blob(repository, _digest(digest))
        if content is None:
            raise NotFound("reading a blob", about=f"{self.address}/{repository}@{digest}", status=404)
        try:
            return bytes(content.read(0, content.size or 0))
        finally:
            content.close()

    def put_blob(self, repository: str, content: bytes) -> Digest:
        """Hold this blob, as if it were pushed now: a lag counts from here."""
        incoming, digest = self.storage.incoming(), Digest.of(content)
        incoming.write(content)
        self.storage.keep_blob(repository, digest, incoming)
        return digest

    def put_manifest(self, repository: str, raw: bytes, *tags: str, media_type: str = "") -> Digest:
        """Hold this manifest under these tags. What it names need not be there. Raises InvalidContent."""
        view, digest = oci.parse(raw, media_type=media_type), Digest.of(raw)
        self.storage.keep_manifest(repository, digest, raw, stored(view, digest, raw, self._clock.now()), tags)
        return digest

    def delete_blob(self, repository: str, digest: str | Digest) -> bool:
        """Remove a blob. Gives whether it was there."""
        return self.storage.drop_blob(repository, _digest(digest))

    def delete_manifest(self, repository: str, digest: str | Digest) -> bool:
        """Remove a manifest and its tags. Gives whether it was there."""
        return self.storage.drop_manifest(repository, _digest(digest))

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Remove a tag. Gives whether it was there."""
        return self.storage.drop_tag(repository, tag)

    def create_repository(self, repository: str) -> None:
        """Let it be there, where the traits say that pushing does not make it."""
        self._running.registry.created.add(repository)

    # What was asked of it.

    @property
    def log(self) -> Log:
        """The requests."""
        return self._running.log

    @property
    def requests(self) -> list[Exchange]:
        """The last 100,000 requests, oldest first."""
        return list(self.log.entries)

    def count(self, method: str = "", route: Route | str = "", repository: str = "", status: int | None = None) -> int:
        """How many requests of this kind came; what is not given may be anything. Routes: see routes.Route."""
        return self.log.count(method, route, repository, status)

    def bodies_received(self, digest: str | Digest) -> int:
        """How many times this blob's bytes were uploaded whole."""
        return self._running.registry.bodies[_digest(digest)]

    def forget_requests(self) -> None:
        """Start counting anew: requests, bodies, token requests, faults met."""
        service = self._running
        service.log.forget()
        service.registry.bodies.clear()
        service.faults.met.clear()
        if service.guard is not None:
            service.guard.requests.clear()

    @property
    def token_requests(self) -> list[TokenRequest]:
        """What the token endpoint was asked."""
        guard = self._running.guard
        return list(guard.requests) if guard else []

    def expire_tokens(self) -> None:
        """Let every token that was given end now."""
        guard = self._running.guard
        if guard is not None:
            guard.expire_all()

    # What goes wrong.

    def fault(
        self,
        method: str = "*",
        path: str = "",
        *,
        then: str | Effect,
        after: str = "arrival",
        name: str = "",
        route: Route | None = None,
        repository: str = "*",
        probability: float = 1.0,
        times: int | None = None,
        skip: int = 0,
    ) -> Armed:
        """Let something go wrong for such requests; gives the rule at work, whose `met` counts.

        then: an Effect, or one of faults.PHRASES. after: "arrival", or "commit" when the registry has done its part.
        An effect that only makes sense on one side (a cut body, say) sets in there whatever `after` says.
        """
        effect = PHRASES[then] if isinstance(then, str) else then
        rule = Rule(
            effect=effect,
            name=name or (then if isinstance(then, str) else type(then).__name__),
            when=When(after),
            method=method,
            path=path,
            route=route,
            repository=repository,
            probability=probability,
            times=times,
            skip=skip,
        )
        return self._faults.add(rule)

    def clear_faults(self) -> None:
        """From now on nothing goes wrong; the count of what was met stays."""
        self._faults.clear()

    @property
    def faults_met(self) -> Mapping[str, int]:
        """By the fault's name, how often a client saw it."""
        return dict(self._faults.met)


def _digest(text: str | Digest) -> Digest:
    return text if isinstance(text, Digest) else Digest.parse(text)
