"""The errors of this room, besides those of `http`. A caller handles each of them differently."""

from __future__ import annotations

from bakery.errors import ConnectionFailed, RegistryError
from bakery.oci.digest import Digest


class LoginEnded(ConnectionFailed):
    """A 401 arrived after a body was sent. With a new token, the upload may succeed if it starts again."""

    error_code = "auth/expired"


class ContentMissing(RegistryError):
    """The registry does not find content that a manifest names. Push `digests` again, then the manifest."""

    error_code = "registry/content-missing"

    def __init__(self, what: str, *, about: object, status: int, code: str, digests: tuple[Digest, ...]) -> None:
        named = ", ".join(str(digest) for digest in digests[:5]) or "some of its content"
        super().__init__(
            what,
            about=about,
            status=status,
            code=code,
            why=f"{status} {code}: the registry does not find {named}".replace("  ", " "),
            hint="run the command again; if it fails again, check the registry's storage",
        )
        self.digests = digests


class Conflict(RegistryError):
    """409: another request to the same name is not finished. The same request may succeed soon."""

    error_code = "registry/conflict"
    transient = True


class ConditionFailed(RegistryError):
    """412: the tag no longer names what the write was conditional on. `found` is what it names now."""

    def __init__(self, what: str, *, about: object, found: Digest | None) -> None:
        super().__init__(
            what, about=about, status=412, why=f"it was moved in the meantime and names {found or 'nothing'}"
        )
        self.found = found


class TagTaken(RegistryError):
    """A tag names neither its previous content nor ours: something else moved it."""

    error_code = "registry/tag-taken"

    def __init__(self, what: str, *, about: object, found: Digest) -> None:
        super().__init__(
            what,
            about=about,
            why=f"the tag names {found}, which this run did not push",
            hint="find out which run moved the tag, and rerun the one whose image you want to keep",
        )
        self.found = found
