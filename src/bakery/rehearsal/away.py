"""The storage behind a registry that sends downloads away: signed addresses on an origin of its own.

As with S3, Azure and their like, who has the signature needs nothing else, and who brings an Authorization header too
is refused: a client that carries its token along finds out here.
"""

from __future__ import annotations

import hmac
import secrets

from msgspec.structs import replace

from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.http import Head
from bakery.rehearsal.routes import Found, Route, find


class Away:
    """Signs addresses of the storage and checks them. address: the storage's `host:port`."""

    def __init__(self) -> None:
        self.address = ""
        self._secret = secrets.token_bytes(16)

    def redirect(self, found: Found) -> Answer:
        """The answer that sends a download of this blob to the storage."""
        path = f"/storage/{found.repository}/blobs/{found.reference}"
        return Answer(307, (("Location", f"http://{self.address}{path}?signature={self._signature(path)}"),))

    def find(self, head: Head) -> Found | Answer:
        """The blob that a request to the storage names, or the answer to who may not have it."""
        found = find(["v2", *head.segments[1:]]) if head.segments[0] == "storage" else failure("NAME_UNKNOWN")
        if isinstance(found, Answer):
            return found
        if "authorization" in head.headers:
            return failure("UNSUPPORTED", message="only one way to authenticate is allowed", status=400)
        if found.route is Route.BLOB and ("signature", self._signature(head.path)) in head.query():
            return replace(found, route=Route.STORAGE)
        return failure("DENIED", message="no such signature")

    def _signature(self, path: str) -> str:
        return hmac.new(self._secret, path.encode(), "sha256").hexdigest()
