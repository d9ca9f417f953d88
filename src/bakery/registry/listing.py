"""Lists that registries send page by page: tags, and the referrers of a manifest.

`Link: …; rel=next` is followed only within the origin and the repository, and for a bounded number of pages
(registry.md 7, row 9).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from bakery.errors import AuthError, BakeryError, RegistryError
from bakery.oci import media_type as mt
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import DigestReference, Repository
from bakery.registry.answers import oci_errors
from bakery.registry.http.message import HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.links import next_page
from bakery.registry.operation import Operation
from bakery.registry.reasons import login_hint
from bakery.registry.retries import ClientState, Retries

_log = logging.getLogger(__name__)

_MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
_MAX_PAGES: Final = 1000
_MAX_BYTES: Final = 64 * 1024 * 1024  # of all pages of one list
_MAX_REFERRERS: Final = 10_000  # of one manifest
_TAGS: Final = "tags/list?n=1000"  # ECR returns no more per page
_NO_SUCH_API: Final = frozenset({200, 400, 404, 405, 406, 501})


class Listings:
    """The lists of every registry of a run."""

    def __init__(self, state: ClientState) -> None:
        self._state = state

    async def tags(self, repository: Repository) -> list[str]:
        """Return all tags of a repository, in the registry's order. Raises NotFound if it does not exist."""
        tags: list[str] = []
        async for page in self._pages(repository, _TAGS, "list tags of"):
            # Nexus puts null in the list, some Artifactory versions put digests in it.
            found = page.get("tags") or []
            if not isinstance(found, list):
                raise RegistryError("cannot list tags of", about=repository, why="tags must be a list")
            tags += [tag for tag in found if isinstance(tag, str) and ":" not in tag]
        return tags

    async def has_repository(self, repository: Repository) -> bool:
        """Return False if the registry says that the repository does not exist, True in any other case.

        A list that the registry does not send is neither an error nor retried. Raises AuthError for a login that is
        missing or refused.
        """
        try:
            response = await self._state.endpoint(repository).send(
                self._state.operation(
                    "GET", repository, "tags/list?n=1", "list tags of", repository, limit_bytes=_MAX_PAGE_BYTES
                )
            )
        except AuthError as error:
            await self._check_login(repository)
            if error.status == 401 and self._state.endpoint(repository).lets_in():
                return True  # the login may push, and not list (Harbor's robots): the requests that matter decide
            raise
        except BakeryError as error:
            await self._check_login(repository)  # its token service cannot be reached: without a login, it need not be
            _log.debug("%s", error)
            return True
        await self._check_login(repository)
        return response.status != 404 or all(error.code != "NAME_UNKNOWN" for error in oci_errors(response.body))

    async def _check_login(self, repository: Repository) -> None:
        """Raise AuthError if a repository that will be written to requires a login and has none."""
        endpoint = self._state.endpoint(repository)
        if self._state.writes_to(repository) and await endpoint.lacks_login(repository):
            registry = repository.registry
            why = f"{registry} requires a login, and none is stored"
            hint = login_hint(registry)
            raise AuthError(
                "cannot publish to", about=repository, status=401, why=why, hint=hint, error_code="auth/login"
            )

    async def referrers(self, reference: DigestReference) -> list[Descriptor] | None:
        """Return what the referrers API lists; None if the registry lacks that API: 404, or not an OCI index."""
        action, about = "list referrers of", str(reference)
        entries: list[Descriptor] = []
        try:
            path = f"referrers/{reference.digest}"
            async for page in self._pages(reference.repository, path, action, must_be_index=True):
                found = page.get("manifests") or []
                if not isinstance(found, list):
                    raise RegistryError(f"cannot {action}", about=about, why="manifests must be a list")
                if len(entries) + len(found) > _MAX_REFERRERS:
                    raise RegistryError(f"cannot {action}", about=about, why=f"more than {_MAX_REFERRERS:,} referrers")
                entries += [Descriptor.from_json(entry, about=about) for entry in found]
        except RegistryError as error:
            if error.status not in _NO_SUCH_API:
                raise
            return None
        return entries

    async def has_referrers_api(self, reference: DigestReference) -> bool:
        """Return whether the registry lists referrers itself. Reads one page. Raises if that cannot be known."""
        operation = self._get(reference.repository, f"referrers/{reference.digest}", "list referrers of")
        endpoint, retries = self._state.endpoint(reference.repository), Retries(self._state, operation)
        while True:
            try:
                response = await endpoint.send(operation)
                if response.status in _NO_SUCH_API:
                    return response.status == 200 and _is_index(response)
                raise await endpoint.refusal(response, operation)
            except BakeryError as error:
                if not error.transient or retries.failures:
                    raise
                await retries.pause(error)

    async def _pages(
        self, repository: Repository, rest: str, action: str, *, must_be_index: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        endpoint, received = self._state.endpoint(repository), 0
        url: Url | None = endpoint.url(repository, rest)
        seen: set[Url] = set()
        while url is not None:
            if url in seen or len(seen) == _MAX_PAGES:
                why = "its pages lead back to one of them" if url in seen else f"more than {_MAX_PAGES} pages"
                raise RegistryError(f"cannot {action}", about=repository, why=why)
            seen.add(url)
            operation = self._get(repository, url, action)

            async def once(operation: Operation = operation) -> HttpResponse:
                response = await endpoint.send(operation)
                if response.status != 200 or (must_be_index and not _is_index(response)):
                    raise await endpoint.refusal(response, operation)
                return response

            response = await Retries(self._state, operation).attempt(once)
            received += len(response.body)
            if received > _MAX_BYTES:
                why = f"its pages are longer than {_MAX_BYTES >> 20} MiB"
                raise RegistryError(operation.failed, about=repository, why=why)
            yield parse_object(response.body, about=url.redacted, limit_bytes=_MAX_PAGE_BYTES)
            url = next_page(response, endpoint.moved(url), operation)

    def _get(self, repository: Repository, target: str | Url, action: str) -> Operation:
        return self._state.operation("GET", repository, target, action, repository, limit_bytes=_MAX_PAGE_BYTES)


def _is_index(response: HttpResponse) -> bool:
    return mt.essence(response.header("Content-Type")) == mt.OCI_INDEX
