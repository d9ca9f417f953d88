"""The URLs that a registry names for the next request: upload sessions and next pages. Pure.

A login is sent to them if they are at the registry's own origin, so they must not lead out of the repository's API:
neither by dot segments nor by another origin that a redirect led to (registry.md 7, row 9).
"""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import unquote

from bakery.errors import RegistryError
from bakery.oci.reference import Repository
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.message import HttpResponse
from bakery.registry.http.url import Origin, Url
from bakery.registry.operation import Operation

_NEXT: Final = re.compile(r"<([^>]*)>\s*;\s*rel=\"?next\"?", re.IGNORECASE)


def session_in(response: HttpResponse, repository: Repository, api: Origin) -> Url | None:
    """Return the upload session that a response names, or None. api: the origin of the registry's API.

    Another origin that a redirect led to may name one there: only in this repository, since a login is sent there.
    """
    location = response.header("Location") if response.status < 300 else ""
    if not location or response.url is None:
        return None
    if location.lower().startswith(f"{response.url.origin.authority}/"):  # containerd takes it without a scheme as well
        location = f"//{location}"
    session = response.url.resolve(location)
    if session.origin != api:
        return session
    uploads = re.escape(f"/v2/{repository.path}/blobs/uploads/")
    came_back = response.url.origin != api
    if (came_back and not re.match(rf"{uploads}[\w-]+(\?|\Z)", session.target)) or (
        # Without dot segments, another path of the registry is in order: Google's uploads have one.
        _has_dot_segments(location) and not _is_within(session, repository)
    ):
        why = f"{response.url.origin} names an upload session outside the repository"
        raise UnsafeTarget("unsafe URL", about=session.redacted, why=why)
    return session


def next_page(response: HttpResponse, here: Url, operation: Operation) -> Url | None:
    """Return the page that follows this one, or None. Raises RegistryError if it is outside the repository."""
    link = response.header("Link")
    match = _NEXT.search(link) if link else None
    if match is None:
        return None
    url = here.resolve(match[1])
    if url.origin != here.origin or not _is_within(url, operation.repository):
        why = f"the next page is outside the repository: {url.redacted}"
        raise RegistryError(operation.failed, about=operation.about, why=why)
    return url


def _is_within(url: Url, repository: Repository) -> bool:
    """Return whether a URL is in the API of the repository, both as it is and with its dot segments resolved."""
    path, base = unquote(url.target.partition("?")[0]), f"/v2/{repository.path}/"
    return path.startswith(base) and posixpath.normpath(path).startswith(base)


def _has_dot_segments(reference: str) -> bool:
    segments = re.split(r"[/\\]", unquote(reference.partition("?")[0].partition("#")[0]))
    return "." in segments or ".." in segments
