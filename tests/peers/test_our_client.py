"""Our client with real registries. What it pushes is read back by crane, byte for byte."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from bakery.errors import AuthError
from bakery.oci.descriptor import Descriptor
from bakery.oci.media_type import OCI_CONFIG
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import CredentialSources
from bakery.registry.http.url import Origin
from tests.peers.conftest import StartRegistry
from tests.peers.programs import run
from tests.peers.registries import KINDS, Basic, RealRegistry
from tests.peers.tokens import TokenService
from tests.wire.making import LAYER_TYPE, body_of, make_client
from tests.wire.publishing import SHARED, publication, pull, push


def config_for(registry: RealRegistry, *realms: str) -> RegistryConfig:
    return RegistryConfig(
        credentials=CredentialSources(inline=json.dumps(registry.docker_config())),
        trusted_realms=frozenset(Origin.parse(realm) for realm in realms),
    )


async def test_content_pushed_by_our_client_is_read_by_crane_byte_for_byte(real_registry: RealRegistry):
    wanted = publication()
    async with make_client() as client:
        where = Repository(real_registry.host, "acme/app")
        await push(client, where, wanted)
        await pull(client, where, wanted)
        requests = Counter(one.method for one in real_registry.requests() if "/acme/" in one.path)
        assert requests == Counter(method for _, method in client.stats.requests.elements())
    for tag in ("v1", "latest"):
        raw = run("crane", "manifest", "--insecure", f"{real_registry.host}/acme/app:{tag}")
        assert raw.rstrip(b"\n") == wanted.index[1]
    for descriptor, raw in wanted.images:
        assert run("crane", "manifest", "--insecure", f"{where}@{descriptor.digest}").rstrip(b"\n") == raw
    layer = Descriptor.of(SHARED, LAYER_TYPE)
    assert run("crane", "blob", "--insecure", f"{where}@{layer.digest}") == SHARED


async def test_a_layer_is_mounted_from_another_repository(real_registry: RealRegistry):
    wanted = publication()
    layer = Descriptor.of(SHARED, LAYER_TYPE)
    async with make_client() as client:
        where, other = (Repository(real_registry.host, path) for path in ("acme/app", "acme/other"))
        await push(client, where, wanted)
        assert await client.blobs(other).mount(layer, client.blobs(where))
        absent = Descriptor.of(b"never pushed", LAYER_TYPE)
        assert not await client.blobs(other).mount(absent, client.blobs(where))
        assert await client.blobs(other).has(layer)
        assert await client.listings.tags(where) == ["latest", "v1"]
        assert await client.manifests.referrers(where.with_digest(wanted.index[0].digest)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("login", ["open", "bearer"])
async def test_a_mount_from_its_own_repository_tells_whether_a_blob_exists(
    kind: str, login: str, start_registry: StartRegistry, tokens: TokenService
):
    registry = start_registry(kind, auth=tokens if login == "bearer" else None)
    config, layer = Descriptor.of(b"{}", OCI_CONFIG), Descriptor.of(SHARED, LAYER_TYPE)
    where = Repository(registry.host, "acme/app")
    async with make_client(config=config_for(registry, origin_of(tokens.realm))) as client:
        client.announce_writes([where])
        await client.blobs(where).write(config, body_of(b"{}"))
        assert not await client.blobs(where).has(layer, else_write=True)
        await client.blobs(where).write(layer, body_of(SHARED))
    requests = [(one.method, one.status) for one in registry.requests() if "/acme/" in one.path and one.status != 401]
    exists, opened = ("POST", 201), ("POST", 202)
    # A host proves its mounts once per client, with a blob that exists nowhere. A push token may not end the session.
    proof = [opened, ("DELETE", 204)] if login == "open" else [opened]
    assert requests == [opened, ("PUT", 201), exists, *proof, opened, ("PUT", 201)]
    async with make_client(config=config_for(registry, origin_of(tokens.realm))) as another:
        another.announce_writes([where])
        await another.blobs(where).write(config, body_of(b"{}"))
        assert await another.blobs(where).has(layer, else_write=True)
    requests = [(one.method, one.status) for one in registry.requests() if one.status != 401]
    assert requests[-len(proof) - 2 :] == [exists, *proof, exists]
    assert len(tokens.requests) == (2 if login == "bearer" else 0)  # one per client: no second scope


@pytest.mark.parametrize("kind", KINDS)
async def test_bearer_tokens_are_requested_once_per_repository_and_scope(
    kind: str, start_registry: StartRegistry, tokens: TokenService
):
    registry = start_registry(kind, auth=tokens)
    wanted = publication()
    async with make_client(config=config_for(registry, origin_of(tokens.realm))) as client:
        for path in ("acme/app", "acme/other"):
            await push(client, Repository(registry.host, path), wanted)
            await pull(client, Repository(registry.host, path), wanted)
        assert client.stats.token_requests == 2
        assert client.stats.logins_refused == 1
    assert len(tokens.requests) == 2
    scopes: list[Any] = sorted(scope for request in tokens.requests for scope in request)
    assert scopes == ["repository:acme/app:pull,push", "repository:acme/other:pull,push"]


def origin_of(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_basic_login_works_and_a_wrong_one_fails_at_once(kind: str, start_registry: StartRegistry):
    registry = start_registry(kind, auth=Basic())
    wanted = publication()
    async with make_client(config=config_for(registry)) as client:
        await push(client, Repository(registry.host, "acme/app"), wanted)
    wrong = {"auths": {registry.host: {"username": "baker", "password": "chalk"}}}
    config = RegistryConfig(credentials=CredentialSources(inline=json.dumps(wrong)))
    async with make_client(config=config) as stranger:
        with pytest.raises(AuthError) as caught:
            await stranger.manifests.head(Repository(registry.host, "acme/app").with_tag("v1"))
        assert caught.value.hint
        assert stranger.stats.retries == 0
