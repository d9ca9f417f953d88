"""GitHub's REST API for packages, on the content of an embedded registry: as much as `clean` needs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry

_ROUTE = re.compile(r"/(orgs|users)/([^/]+)/packages/container/([^/]+)/versions(?:/(\d+))?")
Reply = tuple[int, dict[str, str], Any]


@dataclass
class GitHubStandIn:
    """The API. owners: the kind of each owner, `orgs` or `users`. pushed: the time of a version.

    intercept: called with method and path first; what it returns is the response.
    """

    registry: EmbeddedRegistry
    owners: dict[str, str] = field(default_factory=lambda: {"acme": "orgs"})
    pushed: dict[Digest, str] = field(default_factory=dict)
    token: str = "ghp_secret_of_the_tests"
    page: int = 100
    ends_with_404: bool = False
    prefix: str = ""  # of every path, as GitHub Enterprise has one
    intercept: Callable[[str, str], Reply | None] = lambda method, path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""
    _ids: dict[tuple[str, Digest], int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.address}{self.prefix}"

    def environment(self) -> dict[str, str]:
        return {"GITHUB_API_URL": self.url, "GITHUB_TOKEN": self.token}

    def _respond(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        self.requests.append((method, target))
        if (reply := self.intercept(method, target)) is not None:
            return reply
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, {}, {"message": "Bad credentials"}
        parts = urlsplit(target.removeprefix(self.prefix))
        match = _ROUTE.fullmatch(parts.path)
        if match is None or self.owners.get(unquote(match[2])) != match[1]:
            return 404, {}, {"message": "Package not found."}
        name = f"{unquote(match[2])}/{unquote(match[3])}"
        digests = self.registry.manifests(name)
        if match[4] is None:
            if name not in self.registry.repositories():
                return 404, {}, {"message": "Package not found."}
            number = int(parse_qs(parts.query).get("page", ["1"])[0])
            shown = digests[(number - 1) * self.page : number * self.page]
            if number > 1 and not shown and self.ends_with_404:
                return 404, {}, {"message": "Not Found"}
            following = {"Link": f'<{self.url}/x>; rel="next"'} if number * self.page < len(digests) else {}
            return 200, following, [self._version(name, digest) for digest in shown]
        found = [digest for digest in digests if self._id(name, digest) == int(match[4])]
        if method != "DELETE" or not found:
            return 404, {}, {"message": "Package version not found."}
        self.registry.delete_manifest(name, found[0])
        return 204, {}, None

    def _id(self, name: str, digest: Digest) -> int:
        return self._ids.setdefault((name, digest), 1000 + len(self._ids))

    def _version(self, name: str, digest: Digest) -> dict[str, Any]:
        tags = [tag for tag, found in self.registry.tags(name).items() if found == digest]
        pushed = self.pushed.get(digest, "2026-07-01T00:00:00Z")
        return {
            "id": self._id(name, digest),
            "name": str(digest),
            "created_at": pushed,
            "updated_at": pushed,
            "metadata": {"package_type": "container", "container": {"tags": tags}},
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        status, extra, body = self._respond(method, target, headers)
        raw = b"" if body is None else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", "Connection: close", *(f"{name}: {text}" for name, text in extra.items())]
        if status != 204:
            lines.append(f"Content-Length: {len(raw)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def github(registry: EmbeddedRegistry, **fields: Any) -> AsyncIterator[GitHubStandIn]:
    """Serve the API for the content of this registry."""
    stand_in = GitHubStandIn(registry, **fields)
    server = await asyncio.start_server(stand_in._serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    stand_in.address = f"{host}:{port}"
    try:
        yield stand_in
    finally:
        server.close()
        await server.wait_closed()
