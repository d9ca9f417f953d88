"""Shared by the tests of attacks: a registry that counts as public, its certificate, login and resolver.

A is the registry that the user named, B the server that A redirects to. Each records every byte that it receives. The
classification that these tests pass in makes 127.0.0.2 a public address.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trustme

from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import CredentialSources
from bakery.registry.http.address import Reach, reach_of
from bakery.registry.http.url import Origin
from bakery.retry import RetryPolicy
from tests.wire.making import blob, make_client
from tests.wire.script import Response, ScriptedServer

PUBLIC = "127.0.0.2"
PASSWORD = "canary-password-7f3a"
LAYER, CONTENT = blob(b"some layer" * 1000)
BLOB = f"/v2/acme/app/blobs/{LAYER.digest}"
UPLOADS = "/v2/acme/app/blobs/uploads/"
ONCE = RetryPolicy(max_attempts=1, attempts_were_set=True)


def as_if_public(address: str) -> Reach:
    return Reach.PUBLIC if address == PUBLIC else reach_of(address)


def names(**addresses: str) -> Any:
    """Return a resolver for these names (`_` stands for `.`) that records its lookups."""

    async def lookup(host: str, port: int) -> list[str]:
        lookup.names.append(host)  # type: ignore[attr-defined]  # a function with an attribute
        found = {name.replace("_", "."): address for name, address in addresses.items()}.get(host.rstrip("."))
        if found is None:
            raise OSError(f"no such name: {host}")
        return [found]

    lookup.names = []  # type: ignore[attr-defined]  # a function with an attribute
    return lookup


def login(*hosts: str) -> CredentialSources:
    pair = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
    return CredentialSources(inline=json.dumps({"auths": {host: {"auth": pair} for host in hosts}}))


class Tls:
    """A certificate authority and its certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.file))

    def server(self, *server_names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*server_names).configure_cert(context)
        return context


@contextlib.asynccontextmanager
async def public_registry(
    tls: Tls, *, trusted: str = "", **others: Any
) -> AsyncIterator[tuple[ScriptedServer, Client]]:
    """Run A over https, on an address that counts as public; yield it with a client that has its login."""
    name = "registry.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as a:
        config = RegistryConfig(
            ca_file=tls.file,
            credentials=login(a.host),
            trusted_realms=frozenset({Origin.parse(trusted)} if trusted else ()),
            connect_s=2,
        )
        others.setdefault("lookup", names(registry_example=PUBLIC, storage_example=PUBLIC, inner_example="127.0.0.1"))
        async with make_client(config=config, classify=as_if_public, policy=ONCE, **others) as client:
            yield a, client


def no_secret(*servers: ScriptedServer) -> None:
    pair = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
    for server in servers:
        for secret in (PASSWORD, pair, "the-token", "Authorization", "Cookie"):
            assert secret not in server.transcript


async def read(client: Client, where: Repository, descriptor: Descriptor = LAYER) -> bytes:
    received = bytearray()
    async with contextlib.aclosing(client.blobs(where).read(descriptor, must_exist=False)) as chunks:
        async for chunk in chunks:
            received += chunk
    return bytes(received)


def bearer(a: ScriptedServer) -> None:
    """Let A require a token, and send `the-token` to clients with the password."""
    a.expect("GET", r"/token\?.*", Response(200, body=b'{"token":"the-token"}'), times=None, regex=True)


def challenge(realm: str) -> Response:
    return Response(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})
