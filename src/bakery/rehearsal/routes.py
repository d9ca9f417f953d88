"""Which resource a path names. Pure. Names, tags and digests are checked here and are valid from here on.

Source: OCI distribution-spec 1.1, "Endpoints" and "Pulling manifests". A name that breaks the pattern is refused and
never repaired: `..`, `//` and encoded slashes find no way into storage.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

from bakery.errors import BadDigest
from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer, failure

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MAX_NAME: Final = 255


class Route(StrEnum):
    """The resources of the API."""

    BASE = "base"
    CATALOG = "catalog"
    TOKEN = "token"  # noqa: S105  # the name of a route
    TAGS = "tags"
    REFERRERS = "referrers"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"  # where uploads begin
    UPLOAD = "upload"  # one that has begun
    STORAGE = "storage"  # where GET of a blob is sent to, on an origin of its own
    NONE = "none"


class Found(Struct, frozen=True):
    """A resource. reference: a tag, or an upload's name. digest: where the path holds one."""

    route: Route
    repository: str = ""
    reference: str = ""
    digest: Digest | None = None


# How a path ends, after `/v2/NAME/`. The longest ending is tried first; "*" is one segment that is handed on.
_ENDINGS: Final[tuple[tuple[tuple[str, ...], Route], ...]] = (
    (("blobs", "uploads", "*"), Route.UPLOAD),
    (("blobs", "*"), Route.BLOB),
    (("manifests", "*"), Route.MANIFEST),
    (("referrers", "*"), Route.REFERRERS),
    (("tags", "list"), Route.TAGS),
)
_FIXED: Final = {
    ("v2", ""): Found(Route.BASE),
    ("v2",): Found(Route.BASE),
    ("v2", "_catalog"): Found(Route.CATALOG),
    ("token",): Found(Route.TOKEN),
}
_NOWHERE: Final = Answer(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")


def find(segments: list[str]) -> Found | Answer:
    """The resource that these decoded path segments name, or the answer to who asked for something else."""
    fixed = _FIXED.get(tuple(segments))
    if fixed is not None:
        return fixed
    if segments[0] != "v2":
        return _NOWHERE
    for ending, route in _ENDINGS:
        tail = segments[-len(ending) :]
        if len(segments) > len(ending) + 1 and all(
            want in ("*", have) for want, have in zip(ending, tail, strict=True)
        ):
            name = segments[1 : -len(ending)]
            if any("/" in part for part in name) or not is_name("/".join(name)):
                return failure("NAME_INVALID", detail={"name": "/".join(name)[:300]})
            return _reference(route, "/".join(name), tail[-1])
    return _NOWHERE


def _reference(route: Route, name: str, text: str) -> Found | Answer:
    if route is Route.TAGS:
        return Found(route, name)
    if route is Route.UPLOAD:
        return Found(route, name, text) if text else Found(Route.UPLOADS, name)
    if route is Route.MANIFEST and ":" not in text:
        if is_tag(text):
            return Found(route, name, text)
        return failure("MANIFEST_INVALID", message="invalid tag", detail={"tag": text[:300]})
    try:
        digest = Digest.parse(text)
    except BadDigest:
        return failure("DIGEST_INVALID", detail={"digest": text[:300]})
    return Found(route, name, str(digest), digest)


def is_name(text: str) -> bool:
    """Whether this may name a repository."""
    return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether this may be a tag."""
    return _TAG.fullmatch(text) is not None
