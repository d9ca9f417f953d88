"""Repositories at GHCR, which are deleted from by GitHub's REST API only: packages and their versions.

Source: GitHub REST API, "Packages"; commands.md 6.1. A version is a manifest with its tags. GitHub responds 404 for a
package that does not exist and for one that the token may not see; both are nothing to clean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self
from urllib.parse import quote

from bakery.clean.items import Item
from bakery.clean.outcome import Deletion, NotAllowed
from bakery.errors import AuthError, BadDigest, BakeryError, NotFound, RegistryError, Unavailable
from bakery.events import Emit
from bakery.oci.annotation import parse_time
from bakery.oci.canonical import parse_json
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository, TagReference
from bakery.registry.answers import is_throttled, retry_after_s
from bakery.registry.gate import Gate, Lane
from bakery.registry.http.config import HttpConfig
from bakery.registry.http.fetch import fetch
from bakery.registry.http.message import HttpResponse, Stats
from bakery.registry.http.transport import Transport
from bakery.registry.http.url import Url
from bakery.retry import Clock, RetryPolicy
from bakery.text import clean

_PAGE: Final = 100
_MAX_PAGES: Final = 2_000
_MAX_BYTES: Final = 16 * 1024 * 1024  # of one page
_AT_ONCE: Final = 8  # GitHub asks for few concurrent requests
_LONGEST_WAIT_S: Final = 3600.0  # the primary limit is reset every hour
_NEXT: Final = re.compile(r'rel="?next"?', re.IGNORECASE)
_NEVER: Final = re.compile(r"5,?000 downloads|last tagged version", re.IGNORECASE)
_HINT: Final = "give the token the scopes read:packages and delete:packages (in a workflow: packages: write)"


class GitHub:
    """GitHub's packages API. Use it as an async context manager.

    api: the base URL, such as https://api.github.com. deadline: the clock's time at which retries end. time: seconds
    since 1970, for limits that name the time of their end.
    """

    def __init__(
        self,
        api: str,
        token: str,
        *,
        config: HttpConfig,
        policy: RetryPolicy,
        clock: Clock,
        deadline: float,
        time: float,
        emit: Emit,
    ) -> None:
        self._api, self._token, self._config = api.rstrip("/"), token, config
        self._policy, self._clock, self._deadline = policy, clock, deadline
        self._epoch = time - clock.now()
        self._origin = Url.parse(self._api).origin
        self._gate = Gate(self._origin.authority, clock=clock, emit=emit, small=_AT_ONCE, bodies=1)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._transport = await self._exits.enter_async_context(Transport(self._config, Stats()))
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def versions(self, repository: Repository) -> tuple[str, list[Mapping[str, Any]]] | None:
        """Return the path of a repository's package in the API, and all its versions. None if it does not exist."""
        owner, _, name = repository.path.partition("/")
        for kind in ("orgs", "users"):
            path = f"/{kind}/{quote(owner, safe='')}/packages/container/{quote(name, safe='')}"
            try:
                return path, await self._pages(f"{path}/versions", repository)
            except NotFound:
                continue
        return None

    async def _pages(self, path: str, repository: Repository) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for number in range(1, _MAX_PAGES + 1):
            query = f"per_page={_PAGE}&page={number}&state=active"
            try:
                response = await self._request("GET", f"{path}?{query}", "list versions of", repository)
            except NotFound:
                if number == 1:
                    raise
                return found  # the last page was full
            page = parse_json(response.body, about=repository, limit_bytes=_MAX_BYTES)
            if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
                why = "GitHub's list of versions must be a list of objects"
                raise RegistryError("cannot list versions of", about=repository, why=why)
            found += page
            if len(page) < _PAGE and not _NEXT.search(response.header("Link")):
                return found
        raise RegistryError("cannot list versions of", about=repository, why=f"more than {_MAX_PAGES} pages")

    async def delete_version(self, path: str, key: str, about: object) -> None:
        """Delete a version. path: of the package. Raises NotFound if it does not exist (any more)."""
        await self._request("DELETE", f"{path}/versions/{quote(key, safe='')}", "delete", about)

    async def _request(self, method: str, path: str, action: str, about: object) -> HttpResponse:
        attempt = 1
        while True:
            try:
                response = await self._send(method, path, action)
                if response.status < 300:
                    return response
                error = self._refusal(response, action, about)
            except BakeryError as failure:
                error = failure
            if not error.transient or attempt >= self._policy.max_attempts:
                raise error
            stated_s = error.retry_after_s if isinstance(error, Unavailable) else None
            wait_s = self._policy.delay_for(attempt) + (stated_s or 0.0)
            if self._clock.now() + wait_s > self._deadline:
                raise error
            if stated_s is None:
                attempt += 1
                await self._clock.sleep(wait_s)
            else:  # every request waits, and this one has not failed
                self._gate.pause(wait_s, error.why)

    async def _send(self, method: str, path: str, action: str) -> HttpResponse:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        await self._gate.enter(Lane.SMALL)
        try:
            url = f"{self._api}{path}"
            response = await fetch(
                self._transport, url, method=method, headers=headers, limit_bytes=_MAX_BYTES, action=action
            )
        finally:
            self._gate.leave(Lane.SMALL)
        if response.url is None or response.url.origin != self._origin:  # the token was not sent there
            raise RegistryError(f"cannot {action}", about=self._api, why="it redirected to another host")
        return response

    def _refusal(self, response: HttpResponse, action: str, about: object) -> BakeryError:
        what, status, words = f"cannot {action}", response.status, _message(response)
        why = f"{status} from GitHub" + (f": {words}" if words else "")
        wait_s = self._limit_s(response)
        if wait_s is not None or status >= 500 or status == 429:
            return Unavailable(what, about=about, status=status, why=why, retry_after_s=wait_s)
        if _NEVER.search(words):
            return NotAllowed(what, about=about, why=why)
        if status == 404:
            return NotFound(what, about=about, status=status, why=why)
        if status in (401, 403):
            return AuthError(what, about=about, status=status, why=why, hint=_HINT)
        return RegistryError(what, about=about, status=status, why=why)

    def _limit_s(self, response: HttpResponse) -> float | None:
        """Return how long GitHub asks to wait; None if this is not a rate limit."""
        if response.status not in (403, 429):
            return None
        if response.header("X-RateLimit-Remaining").strip() == "0":
            try:
                wait_s = float(response.header("X-RateLimit-Reset")) - (self._epoch + self._clock.now())
            except ValueError:
                wait_s = math.nan
            if math.isfinite(wait_s):
                return min(max(wait_s, 1.0), _LONGEST_WAIT_S)
        stated_s = retry_after_s(response) if is_throttled(response) else None
        return None if stated_s is None else min(stated_s, _LONGEST_WAIT_S)


class GitHubPlace:
    """A repository at GHCR: the versions of a package."""

    lists_all = True

    def __init__(self, github: GitHub, repository: Repository) -> None:
        self.repository = repository
        self._github = github
        self._package = ""

    async def items(self) -> Sequence[Item] | None:
        found = await self._github.versions(self.repository)
        if found is None:
            return None
        self._package, versions = found
        items = (item_of(version) for version in versions)
        return list({item.digest: item for item in items if item is not None}.values())

    async def delete(self, deletion: Deletion) -> BakeryError | None:
        if isinstance(deletion.reference, TagReference):
            why = "GitHub deletes no single tag of a version that has others"
            return NotAllowed("cannot delete", about=deletion.reference, why=why)
        try:
            await self._github.delete_version(self._package, deletion.key, deletion.reference)
        except BakeryError as error:
            if error.transient:
                raise
            return error
        return None


def item_of(version: Mapping[str, Any]) -> Item | None:
    """Return a version as an item; None if it is not a manifest."""
    try:
        digest = Digest.parse(version.get("name"))
    except BadDigest:
        return None
    metadata = version.get("metadata")
    container = metadata.get("container") if isinstance(metadata, Mapping) else None
    tags = container.get("tags") if isinstance(container, Mapping) else None
    times = [parse_time(version.get(name)) for name in ("updated_at", "created_at")]
    return Item(
        digest,
        tuple(sorted({tag for tag in tags if isinstance(tag, str)})) if isinstance(tags, list) else (),
        max((time for time in times if time is not None), default=None),
        str(version.get("id", "")),
    )


def _message(response: HttpResponse) -> str:
    try:
        document = parse_json(response.body, limit_bytes=_MAX_BYTES)
    except BakeryError:
        return ""
    text = document.get("message") if isinstance(document, dict) else ""
    return clean(text)[:300] if isinstance(text, str) else ""
