"""What one registry is and holds, and a request to it: what every handler works on. Knows no HTTP methods.

The handlers are lists.py, blobs.py, pushing.py and manifests.py; handlers.py says which serves what. They know no
sockets, no credentials (tokens.py) and no faults (faults.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct, field

from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.connection import Body
from bakery.rehearsal.http import Head
from bakery.rehearsal.routes import Found
from bakery.rehearsal.storage import Repository, Storage
from bakery.rehearsal.traits import Traits
from bakery.rehearsal.uploads import Uploads


def _everything(_: str) -> bool:
    return True


class Call(Struct):
    """A request with its resource found. may_pull: whether the caller may read that other repository (mounts)."""

    found: Found
    head: Head
    body: Body
    may_pull: Callable[[str], bool] = _everything
    query: list[tuple[str, str]] = field(default_factory=list)

    def parameter(self, name: str) -> str:
        """The first query parameter of this name, or ""."""
        return next((value for key, value in self.query if key == name), "")


class Registry:
    """The state behind the API. bodies: upload bodies that arrived whole, by the digest they were sent for.

    created: repositories that were made beforehand, where pushing does not make them.
    """

    def __init__(self, storage: Storage, traits: Traits, clock: Clock) -> None:
        self.storage, self.traits, self.clock = storage, traits, clock
        self.uploads = Uploads()
        self.bodies: Counter[Digest] = Counter()
        self.created: set[str] = set()

    def known(self, name: str) -> Repository | None:
        """The repository, also an empty one that was made beforehand."""
        repository = self.storage.repository(name)
        return Repository() if repository is None and name in self.created else repository

    def url(self, call: Call, path: str) -> str:
        """How this registry spells one of its paths in a Location."""
        return f"http://{call.head.headers.get('host', '')}{path}" if self.traits.absolute_locations else path

    def made(self, call: Call, kind: str, digest: Digest, *headers: tuple[str, str]) -> Answer:
        """The answer to who pushed this. kind: `blobs` or `manifests`."""
        place = self.url(call, f"/v2/{call.found.repository}/{kind}/{digest}")
        return Answer(201, (("Location", place), ("Docker-Content-Digest", str(digest)), *headers))

    def close(self) -> None:
        """Give up the open sessions and the storage."""
        self.uploads.discard_all()
        self.storage.close()
