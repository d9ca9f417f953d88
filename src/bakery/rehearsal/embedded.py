"""`EmbeddedRegistry`: a whole registry inside this process, on a loopback port, for tests and rehearsals.

    async with EmbeddedRegistry() as registry:
        push_to(registry.address)
        assert registry.tags("acme/app")["1.0"] == digest

It serves until the block is left. Tests inspect it and inject faults through this class; clients only see HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bakery.errors import BakeryError, NotFound
from bakery.oci import manifest as oci
from bakery.oci.digest import Digest
from bakery.rehearsal.backend import FolderBackend, MemoryBackend
from bakery.rehearsal.connection import ClientGone, Connection, Respond, ServerRequest
from bakery.rehearsal.faults import PHRASES, ActiveRule, Effect, Faults, Rule, When
from bakery.rehearsal.http import MalformedRequest
from bakery.rehearsal.log import Log, LoggedRequest
from bakery.rehearsal.manifests import read_all, stored_manifest
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.routes import ApiRoute
from bakery.rehearsal.service import Service
from bakery.rehearsal.state import RegistryState
from bakery.rehearsal.storage import Storage, StoredRepository
from bakery.rehearsal.time_source import SystemTime, TimeSource
from bakery.rehearsal.tokens import Access, Guard, LoggedTokenRequest
from bakery.rehearsal.traits import SPEC, Traits

_log = logging.getLogger(__name__)
_HOST: Final = "127.0.0.1"


class EmbeddedRegistry:
    """A registry to use with `async with`. storage: a folder, or None for memory. port 0: any free port.

    Raises BakeryError if the folder or the port is not available. A bug in the registry gets a 500 response and is
    raised when the block is left, so that no test misses it.
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
        clock: TimeSource | None = None,
    ) -> None:
        self._folder, self._port = storage, port
        self._traits, self._access, self._clock = traits, access, clock or SystemTime()
        self._faults = Faults(rules, seed)
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._bugs: list[Exception] = []
        self._service: Service | None = None

    # Life cycle.

    async def __aenter__(self) -> Self:
        shelf = FolderBackend(self._folder) if self._folder else MemoryBackend()
        storage = Storage(shelf, self._clock)
        guard = Guard(self._access, self._clock, storage.names) if self._access else None
        service = self._service = Service(
            RegistryState(storage, self._traits, self._clock), self._faults, guard, self._clock
        )
        try:
            self._port = await self._listen(service.respond, self._port)
            if self._access and self._access.second_port:
                service.token_address = f"{_HOST}:{await self._listen(service.respond_token, 0)}"
            if service.signed_urls.needs_other_origin:
                service.signed_urls.address = f"{_HOST}:{await self._listen(service.respond_redirected, 0)}"
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
        async def guarded(request: ServerRequest) -> Response:
            try:
                return await respond(request)
            except (ClientGone, MalformedRequest):
                raise
            except Exception as bug:  # noqa: BLE001  # the border of a request: one bug must not stop the server
                _log.exception("bug in the embedded registry")
                self._bugs.append(bug)
                return error_response("UNKNOWN", message=f"bug in the embedded registry: {type(bug).__name__}")

        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: Connection(guarded, self._clock, self._opened), _HOST, port, backlog=1024
            )
        except OSError as error:
            raise BakeryError(
                "cannot listen on",
                about=f"{_HOST}:{port}",
                why=os.strerror(error.errno) if error.errno else str(error),
                hint="choose another port with --port",
            ) from error
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _opened(self, connection: Connection) -> None:
        # Not a TaskGroup: a fixture enters and leaves the block in different tasks.
        task = asyncio.get_running_loop().create_task(connection.serve(), name="embedded registry connection")
        self._connections.add(task)
        task.add_done_callback(lambda done: self._ended(connection, done))

    def _ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if task.cancelled():  # perhaps before it started; a client that does not read must not block the shutdown
            connection.abort()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        while self._connections:  # a connection may be accepted while we wait for the others
            for task in self._connections:
                task.cancel()
            await asyncio.wait(self._connections)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        if self._service is not None:
            self._service.registry.close()

    # Address.

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{_HOST}:{self._port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    # Content.

    @property
    def _running(self) -> Service:
        if self._service is None:
            raise ValueError("the registry must be entered with `async with` first")
        return self._service

    @property
    def storage(self) -> Storage:
        """All content."""
        return self._running.registry.storage

    def repositories(self) -> list[str]:
        """Return the names of repositories that hold anything, sorted."""
        return self.storage.names()

    def tags(self, repository: str) -> dict[str, Digest]:
        """Return digest by tag; empty if the repository does not exist."""
        return {name: tag.digest for name, tag in self._repository(repository).tags.items()}

    def manifests(self, repository: str) -> list[Digest]:
        """Return the digests of the manifests in a repository, in order of arrival."""
        return list(self._repository(repository).manifests)

    def blobs(self, repository: str) -> list[Digest]:
        """Return the digests of the blobs in a repository, in order of arrival."""
        return list(self._repository(repository).blobs)

    def _repository(self, repository: str) -> StoredRepository:
        return self.storage.repository(repository) or StoredRepository()

    def manifest(self, repository: str, reference: str | Digest) -> tuple[str, bytes]:
        """Return media type and bytes of a manifest, by tag or digest. Raises NotFound."""
        digest = reference if isinstance(reference, Digest) else self._digest(repository, reference)
        found = self.storage.manifest(repository, digest) if digest else None
        if found is None:
            raise NotFound("cannot read manifest", about=f"{self.address}/{repository} {reference}", status=404)
        manifest, content = found
        return manifest.media_type, read_all(content)

    def _digest(self, repository: str, reference: str) -> Digest | None:
        if ":" in reference:
            return Digest.parse(reference)
        tag = self.storage.tag(repository, reference)
        return tag.digest if tag else None

    def blob(self, repository: str, digest: str | Digest) -> bytes:
        """Return the bytes of a blob. Raises NotFound."""
        content = self.storage.blob(repository, _digest(digest))
        if content is None:
            raise NotFound("cannot read blob", about=f"{self.address}/{repository}@{digest}", status=404)
        return read_all(content)

    def put_blob(self, repository: str, content: bytes, *, algorithm: str = "sha256") -> Digest:
        """Store a blob as if a client had just pushed it: a lag counts from now."""
        writer, digest = self.storage.writer(), Digest.of(content, algorithm)
        writer.write(content)
        self.storage.keep_blob(repository, digest, writer)
        return digest

    def put_manifest(
        self, repository: str, raw: bytes, *tags: str, media_type: str = "", algorithm: str = "sha256"
    ) -> Digest:
        """Store a manifest under these tags. Its blobs and children may be missing. Raises InvalidContent."""
        view, digest = oci.parse(raw, media_type=media_type), Digest.of(raw, algorithm)
        manifest = stored_manifest(view, digest, raw, self._clock.now())
        self.storage.keep_manifest(repository, digest, raw, manifest, tags)
        return digest

    def delete_blob(self, repository: str, digest: str | Digest) -> bool:
        """Remove a blob. Return whether it existed."""
        return self.storage.drop_blob(repository, _digest(digest))

    def delete_manifest(self, repository: str, digest: str | Digest) -> bool:
        """Remove a manifest and its tags. Return whether it existed."""
        return self.storage.drop_manifest(repository, _digest(digest))

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Remove a tag. Return whether it existed."""
        return self.storage.drop_tag(repository, tag)

    def create_repository(self, repository: str) -> None:
        """Create a repository, for registries that do not create it on push."""
        self._running.registry.created.add(repository)

    # Requests.

    @property
    def log(self) -> Log:
        """The log of requests."""
        return self._running.log

    @property
    def requests(self) -> list[LoggedRequest]:
        """The last 100,000 requests, oldest first."""
        return list(self.log.entries)

    def count(
        self, method: str = "", route: ApiRoute | str = "", repository: str = "", status: int | None = None
    ) -> int:
        """Return the number of requests that match. Arguments left out match anything. route: see routes.ApiRoute."""
        return self.log.count(method, route, repository, status)

    def bodies_received(self, digest: str | Digest) -> int:
        """Return how many times this blob was uploaded completely."""
        return self._running.registry.bodies[_digest(digest)]

    def forget_requests(self) -> None:
        """Reset the counts of requests, bodies, token requests and faults."""
        service = self._running
        service.log.clear()
        service.registry.bodies.clear()
        service.faults.met.clear()
        if service.guard is not None:
            service.guard.requests.clear()

    @property
    def token_requests(self) -> list[LoggedTokenRequest]:
        """The requests to the token endpoint."""
        guard = self._running.guard
        return list(guard.requests) if guard else []

    def expire_tokens(self) -> None:
        """Expire every token."""
        guard = self._running.guard
        if guard is not None:
            guard.expire_all()

    # Faults.

    def fault(
        self,
        method: str = "*",
        path: str = "",
        *,
        then: str | Effect,
        after: str = "arrival",
        name: str = "",
        route: ApiRoute | None = None,
        repository: str = "*",
        probability: float = 1.0,
        times: int | None = None,
        skip: int = 0,
    ) -> ActiveRule:
        """Inject a fault into matching requests. Return the active rule, whose `met` counts how often it was seen.

        then: an Effect, or one of faults.PHRASES. after: "arrival", or "commit" once the registry has done its work.
        An effect that only makes sense at one point, such as a cut body, applies there whatever `after` says.
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
        """Remove all faults; the counts stay."""
        self._faults.clear()

    @property
    def faults_met(self) -> Mapping[str, int]:
        """How often clients saw each fault, by name."""
        return dict(self._faults.met)


def _digest(text: str | Digest) -> Digest:
    return text if isinstance(text, Digest) else Digest.parse(text)
