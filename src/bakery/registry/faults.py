"""The failures that this room alone tells apart. Each is a thing that a caller does differently."""

from __future__ import annotations

from bakery.errors import BakeryError, ConnectionFailed, RegistryError
from bakery.oci.digest import Digest


class UnsafeTarget(BakeryError):
    """A server named a place where we do not go: other scheme, inner address, broken URL. Nothing was sent there."""


class Untrusted(BakeryError):
    """The other side cannot prove who it is. Asking again changes nothing, and plain http is no way out."""


class NotConnected(ConnectionFailed):
    """No connection came about, so nothing was sent."""


class BodyCut(ConnectionFailed):
    """The connection ended before a body was sent whole, so it cannot have been taken."""


class LoginEnded(ConnectionFailed):
    """A 401 came after a body was sent. With a new token the upload may succeed, from its beginning."""


class ContentMissing(RegistryError):
    """The registry does not see what a manifest names. Push `digests` again, then the manifest."""

    def __init__(self, doing: str, *, about: object, status: int, code: str, digests: tuple[Digest, ...]) -> None:
        named = ", ".join(str(digest) for digest in digests[:5]) or "some of its content"
        super().__init__(
            doing,
            about=about,
            status=status,
            code=code,
            why=f"{status} {code}: the registry does not see {named}",
            hint="run it again; where it stays so, the registry lost it, or takes no layers that lie at URLs elsewhere",
        )
        self.digests = digests


class TagTaken(RegistryError):
    """A tag names something that neither was there before nor is what we put: somebody else moved it."""

    def __init__(self, doing: str, *, about: object, found: Digest) -> None:
        super().__init__(
            doing,
            about=about,
            why=f"the tag names {found}, which is not ours",
            hint="another run moved the tag; see which one should win and run it again",
        )
        self.found = found
