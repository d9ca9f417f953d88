"""What one registry holds, and a request to it: the two arguments of every handler. Knows no HTTP methods.

The handlers are in lists.py, blobs.py, pushing.py and manifests.py; handlers.py maps methods and routes to them. They
know nothing about sockets, credentials (tokens.py) and faults (faults.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct, field

from bakery.oci.digest import Digest
from bakery.rehearsal.connection import RequestBody
from bakery.rehearsal.http import RequestHead
from bakery.rehearsal.responses import Response
from bakery.rehearsal.routes import Resource
from bakery.rehearsal.storage import Storage, StoredRepository
from bakery.rehearsal.time_source import TimeSource
from bakery.rehearsal.traits import Traits
from bakery.rehearsal.uploads import Uploads


def _everything(_: str) -> bool:
    return True


class Call(Struct):
    """A request for a known resource. may_pull: whether the client may read another repository (for mounts).

    place: turns a path of the API into the one for URLs in the response, which differ if the request was redirected.
    """

    resource: Resource
    head: RequestHead
    body: RequestBody
    may_pull: Callable[[str], bool] = _everything
    query: list[tuple[str, str]] = field(default_factory=list)
    place: Callable[[str], str] = str

    def parameter(self, name: str) -> str:
        """Return the first query parameter with this name, or ""."""
        return next((value for key, value in self.query if key == name), "")


class RegistryState:
    """The state behind the API. bodies: the number of complete upload bodies by their digest.

    created: repositories created in advance, for registries that do not create them on push.
    """

    def __init__(self, storage: Storage, traits: Traits, clock: TimeSource) -> None:
        self.storage, self.traits, self.clock = storage, traits, clock
        self.uploads = Uploads()
        self.bodies: Counter[Digest] = Counter()
        self.created: set[str] = set()

    def known(self, name: str) -> StoredRepository | None:
        """Return the repository; an empty one if it was created in advance."""
        repository = self.storage.repository(name)
        return StoredRepository() if repository is None and name in self.created else repository

    def url(self, call: Call, path: str) -> str:
        """Return this path as the registry writes it into a Location header."""
        place = call.place(path)
        return f"http://{call.head.headers.get('host', '')}{place}" if self.traits.absolute_locations else place

    def read_headers(self, digest: Digest) -> tuple[tuple[str, str], ...]:
        """Return the headers that identify content in a response to a read."""
        return (("Docker-Content-Digest", str(digest)),) if self.traits.digest_headers else ()

    def created_response(self, call: Call, kind: str, digest: Digest, *headers: tuple[str, str]) -> Response:
        """Return the 201 response to a push. kind: `blobs` or `manifests`."""
        location = self.url(call, f"/v2/{call.resource.repository}/{kind}/{digest}")
        return Response(201, (("Location", location), ("Docker-Content-Digest", str(digest)), *headers))

    def close(self) -> None:
        """Discard the open upload sessions and close the storage."""
        self.uploads.discard_all()
        self.storage.close()
