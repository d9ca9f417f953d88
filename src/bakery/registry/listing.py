"""Lists that registries give page by page: tags, and what refers to a manifest.

`Link: …; rel=next` is followed within the origin and the repository only, and not for ever (registry.md 7, row 9).
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from bakery.errors import BakeryError, RegistryError
from bakery.oci import media_type as mt
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.registry.answers import Reply, oci_errors
from bakery.registry.endpoint import Ask
from bakery.registry.operation import Operations
from bakery.registry.origin import Url

_log = logging.getLogger(__name__)

_MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
_MAX_PAGES: Final = 1000
_TAGS: Final = "tags/list?n=1000"  # ECR takes no more at once
_NEXT = re.compile(r"<([^>]*)>\s*;\s*rel=\"?next\"?", re.IGNORECASE)
_NO_SUCH_API: Final = frozenset({200, 400, 404, 405, 406, 501})


class Lists:
    """The listing operations of one run."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def tags(self, repository: Repository) -> list[str]:
        """All tags of a repository, in the registry's order. Raises NotFound where it does not exist."""
        tags: list[str] = []
        async for _, page in self._pages(repository, _TAGS, "listing tags"):
            # Nexus puts null in the list, some Artifactory versions put digests in it.
            found = page.get("tags") or []
            if not isinstance(found, list):
                raise RegistryError("listing tags", about=repository, why="tags is no list")
            tags += [tag for tag in found if isinstance(tag, str) and ":" not in tag]
        return tags

    async def tag_names(self, repository: Repository) -> frozenset[str] | None:
        """The names of all tags, where one request tells them; None where it does not and each must be asked for.

        A list that needs a second page, or that the registry does not give, is no failure and is not asked for again:
        on huge repositories it ends in a timeout every time. A repository that is not there has no tags.
        """
        endpoint = self._operations.endpoint(repository)
        ask = self._ask(endpoint.url(repository, _TAGS), repository, "listing tags")
        try:
            reply = await endpoint.send(ask)
            if reply.status == 404 and any(error.code == "NAME_UNKNOWN" for error in oci_errors(reply.body)):
                return frozenset()
            if reply.status != 200 or reply.header("Link"):
                return None
            found = parse_object(reply.body, about=str(repository), limit_bytes=_MAX_PAGE_BYTES).get("tags")
        except BakeryError as error:
            _log.debug("listing tags of %s: %s", repository, error)
            return None
        return frozenset(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else None

    async def referrers(self, repository: Repository, digest: Digest) -> list[Descriptor] | None:
        """What the referrers API lists; None where there is no such API: 404, or an answer that is no OCI index."""
        doing, about = "listing referrers", f"referrers of {repository}@{digest}"
        entries: list[Any] = []
        try:
            async for reply, page in self._pages(repository, f"referrers/{digest}", doing):
                if mt.essence(reply.header("Content-Type")) != mt.OCI_INDEX:
                    return None
                found = page.get("manifests") or []
                if not isinstance(found, list):
                    raise RegistryError(doing, about=about, why="manifests is no list")
                entries += found
        except RegistryError as error:
            if error.status not in _NO_SUCH_API:
                raise
            return None
        return [Descriptor.from_json(entry, about=about) for entry in entries]

    async def _pages(
        self, repository: Repository, rest: str, doing: str
    ) -> AsyncIterator[tuple[Reply, dict[str, Any]]]:
        endpoint = self._operations.endpoint(repository)
        url: Url | None = endpoint.url(repository, rest)
        for _ in range(_MAX_PAGES):
            if url is None:
                return
            here = url

            async def once(here: Url = here) -> Reply:
                ask = self._ask(here, repository, doing)
                reply = await endpoint.send(ask)
                if reply.status != 200:
                    raise await endpoint.refusal(reply, ask)
                return reply

            reply = await self._operations.attempt(repository, doing, str(repository), once)
            yield reply, parse_object(reply.body, about=here.redacted, limit_bytes=_MAX_PAGE_BYTES)
            url = _next_page(reply, here, doing, repository)
        raise RegistryError(doing, about=repository, why=f"more than {_MAX_PAGES} pages")

    def _ask(self, url: Url, repository: Repository, doing: str) -> Ask:
        scopes = self._operations.scopes(repository)
        return Ask("GET", url, repository, scopes, doing, str(repository), limit_bytes=_MAX_PAGE_BYTES)


def _next_page(reply: Reply, here: Url, doing: str, repository: Repository) -> Url | None:
    link = reply.header("Link")
    match = _NEXT.search(link) if link else None
    if match is None:
        return None
    url = here.resolve(match[1])
    if url.origin != here.origin or not url.target.startswith(f"/v2/{repository.path}/"):
        raise RegistryError(doing, about=repository, why="its next page is somewhere else", hint="it is not followed")
    return url
