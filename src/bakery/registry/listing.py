"""Lists that registries send page by page: tags, and the referrers of a manifest.

`Link: …; rel=next` is followed only within the origin and the repository, and for a bounded number of pages
(registry.md 7, row 9).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from bakery.errors import BakeryError, RegistryError
from bakery.oci import media_type as mt
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import DigestReference, Repository
from bakery.registry.answers import oci_errors
from bakery.registry.http.message import HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.links import next_page
from bakery.registry.operation import Operation
from bakery.registry.retries import ClientState, Retries

_log = logging.getLogger(__name__)

_MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
_MAX_PAGES: Final = 1000
_TAGS: Final = "tags/list?n=1000"  # ECR returns no more per page
_NO_SUCH_API: Final = frozenset({200, 400, 404, 405, 406, 501})


class Listings:
    """The lists of every registry of a run."""

    def __init__(self, state: ClientState) -> None:
        self._state = state

    async def tags(self, repository: Repository) -> list[str]:
        """Return all tags of a repository, in the registry's order. Raises NotFound if it does not exist."""
        tags: list[str] = []
        async for _, page in self._pages(repository, _TAGS, "list tags of"):
            # Nexus puts null in the list, some Artifactory versions put digests in it.
            found = page.get("tags") or []
            if not isinstance(found, list):
                raise RegistryError("cannot list tags of", about=repository, why="tags must be a list")
            tags += [tag for tag in found if isinstance(tag, str) and ":" not in tag]
        return tags

    async def tag_names(self, repository: Repository) -> frozenset[str] | None:
        """Return all tags of a repository if one request is enough; None if not, and each tag has to be looked for.

        A list that needs a second page, or that the registry does not send, is not an error and not retried: for huge
        repositories it times out every time. A repository that does not exist has no tags.
        """
        endpoint = self._state.endpoint(repository)
        try:
            response = await endpoint.send(self._get(repository, _TAGS, "list tags of"))
            if response.status == 404 and any(error.code == "NAME_UNKNOWN" for error in oci_errors(response.body)):
                return frozenset()
            if response.status != 200 or response.header("Link"):
                return None
            found = parse_object(response.body, about=str(repository), limit_bytes=_MAX_PAGE_BYTES).get("tags")
        except BakeryError as error:
            _log.debug("%s", error)
            return None
        return frozenset(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else None

    async def referrers(self, reference: DigestReference) -> list[Descriptor] | None:
        """Return what the referrers API lists; None if there is no such API: 404, or not an OCI index."""
        action, about = "list referrers of", str(reference)
        entries: list[Any] = []
        try:
            async for response, page in self._pages(reference.repository, f"referrers/{reference.digest}", action):
                if mt.essence(response.header("Content-Type")) != mt.OCI_INDEX:
                    return None
                found = page.get("manifests") or []
                if not isinstance(found, list):
                    raise RegistryError(f"cannot {action}", about=about, why="manifests must be a list")
                entries += found
        except RegistryError as error:
            if error.status not in _NO_SUCH_API:
                raise
            return None
        return [Descriptor.from_json(entry, about=about) for entry in entries]

    async def _pages(
        self, repository: Repository, rest: str, action: str
    ) -> AsyncIterator[tuple[HttpResponse, dict[str, Any]]]:
        endpoint = self._state.endpoint(repository)
        url: Url | None = endpoint.url(repository, rest)
        for _ in range(_MAX_PAGES):
            if url is None:
                return
            operation = self._get(repository, url, action)

            async def once(operation: Operation = operation) -> HttpResponse:
                response = await endpoint.send(operation)
                if response.status != 200:
                    raise await endpoint.refusal(response, operation)
                return response

            response = await Retries(self._state, operation).attempt(once)
            yield response, parse_object(response.body, about=url.redacted, limit_bytes=_MAX_PAGE_BYTES)
            url = next_page(response, endpoint.moved(url), operation)
        raise RegistryError(f"cannot {action}", about=repository, why=f"more than {_MAX_PAGES} pages")

    def _get(self, repository: Repository, target: str | Url, action: str) -> Operation:
        return self._state.operation("GET", repository, target, action, repository, limit_bytes=_MAX_PAGE_BYTES)
