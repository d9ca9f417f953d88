"""The resource that a path names. Pure. Names, tags and digests are validated here and are valid from here on.

Source: OCI distribution-spec 1.1, "Endpoints" and "Pulling manifests". A name that does not match the pattern is
refused, never repaired: `..`, `//` and encoded slashes cannot reach the storage.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

from bakery.errors import BadDigest
from bakery.oci.digest import Digest
from bakery.rehearsal.responses import Response, error_response

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MAX_NAME: Final = 255


class ApiRoute(StrEnum):
    """The kinds of resources in the API."""

    BASE = "base"
    CATALOG = "catalog"
    TOKEN = "token"  # noqa: S105  # the name of a route
    TAGS = "tags"
    REFERRERS = "referrers"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"  # where uploads start
    UPLOAD = "upload"  # an open upload session
    STORAGE = "storage"  # the second origin that serves blobs after a redirect
    NONE = "none"


class Resource(Struct, frozen=True):
    """A resource. reference: a tag, a digest, or the name of an upload session. digest: set if the path has one."""

    route: ApiRoute
    repository: str = ""
    reference: str = ""
    digest: Digest | None = None


# How a path ends after `/v2/NAME/`. The longest ending is tried first; "*" is a segment that `_parse` reads.
_ENDINGS: Final[tuple[tuple[tuple[str, ...], ApiRoute], ...]] = (
    (("blobs", "uploads", "*"), ApiRoute.UPLOAD),
    (("blobs", "*"), ApiRoute.BLOB),
    (("manifests", "*"), ApiRoute.MANIFEST),
    (("referrers", "*"), ApiRoute.REFERRERS),
    (("tags", "list"), ApiRoute.TAGS),
)
_FIXED: Final = {
    ("v2", ""): Resource(ApiRoute.BASE),
    ("v2",): Resource(ApiRoute.BASE),
    ("v2", "_catalog"): Resource(ApiRoute.CATALOG),
    ("token",): Resource(ApiRoute.TOKEN),
}
_NOT_FOUND: Final = Response(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")


def find_resource(segments: list[str]) -> Resource | Response:
    """Return the resource that these decoded path segments name, or the error response."""
    fixed = _FIXED.get(tuple(segments))
    if fixed is not None:
        return fixed
    if segments[0] != "v2":
        return _NOT_FOUND
    for ending, route in _ENDINGS:
        tail = segments[-len(ending) :]
        if len(segments) > len(ending) + 1 and all(
            want in ("*", have) for want, have in zip(ending, tail, strict=True)
        ):
            name = segments[1 : -len(ending)]
            if any("/" in part for part in name) or not is_name("/".join(name)):
                return error_response("NAME_INVALID", {"name": "/".join(name)[:300]})
            return _parse(route, "/".join(name), tail[-1])
    return _NOT_FOUND


def _parse(route: ApiRoute, name: str, text: str) -> Resource | Response:
    if route is ApiRoute.TAGS:
        return Resource(route, name)
    if route is ApiRoute.UPLOAD:
        return Resource(route, name, text) if text else Resource(ApiRoute.UPLOADS, name)
    if route is ApiRoute.MANIFEST and ":" not in text:
        if is_tag(text):
            return Resource(route, name, text)
        return error_response("MANIFEST_INVALID", {"tag": text[:300]}, message="invalid tag")
    try:
        digest = Digest.parse(text)
    except BadDigest:
        return error_response("DIGEST_INVALID", {"digest": text[:300]})
    return Resource(route, name, str(digest), digest)


def is_name(text: str) -> bool:
    """Return whether this is a valid repository name."""
    return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return whether this is a valid tag."""
    return _TAG.fullmatch(text) is not None
