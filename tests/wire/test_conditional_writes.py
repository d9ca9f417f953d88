"""A tag that must still name what was read: where registries honour If-Match, no write comes between."""

import pytest

from bakery.oci import media_type as mt
from bakery.oci.index import encode_index
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.registry.failure import ConditionFailed
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.rehearsal.traits import Traits
from bakery.retry import RetryPolicy

OLD, NEW, OTHER = (encode_index((), {"annotations": {"n": name}}) for name in ("old", "new", "other"))
OLD_DIGEST, NEW_DIGEST, OTHER_DIGEST = (one.descriptor.digest for one in (OLD, NEW, OTHER))


def put(registry, index):
    registry.put_manifest("app", index.raw, "latest", media_type=mt.OCI_INDEX)


@pytest.fixture
async def client():
    async with Client(config=RegistryConfig.from_environment({}), policy=RetryPolicy(base_delay=0.01)) as made:
        yield made


def conditions(client, registry):
    """Return whether writes to the registry have conditions."""
    return client._state.endpoint(Repository(registry.address, "app")).manners.etags_are_digests


async def move(client, registry, *, between=None):
    """Read the tag, let something happen, and move the tag on the condition that it has not changed."""
    tag = Repository(registry.address, "app").with_tag("latest")
    found = await client.manifests.head(tag)
    if between is not None:
        between()
    await client.manifests.put(tag, NEW, replacing=found.digest)


async def test_a_tag_that_changed_in_the_meantime_is_not_overwritten(client):
    async with EmbeddedRegistry(traits=Traits(conditional_writes=True)) as registry:
        put(registry, OLD)
        with pytest.raises(ConditionFailed) as caught:
            await move(client, registry, between=lambda: put(registry, OTHER))
        assert caught.value.found == OTHER_DIGEST
        assert registry.tags("app") == {"latest": OTHER_DIGEST}


async def test_a_tag_that_did_not_change_moves(client):
    async with EmbeddedRegistry(traits=Traits(conditional_writes=True)) as registry:
        put(registry, OLD)
        await move(client, registry)
        assert registry.tags("app") == {"latest": NEW_DIGEST}


async def test_a_registry_that_ignores_the_condition_moves_the_tag(client):
    async with EmbeddedRegistry() as registry:
        put(registry, OLD)
        await move(client, registry, between=lambda: put(registry, OTHER))
        assert registry.tags("app") == {"latest": NEW_DIGEST}


async def test_a_registry_that_refuses_a_condition_that_holds_gets_none_any_more(client):
    async with EmbeddedRegistry() as registry:
        put(registry, OLD)
        registry.fault("PUT", "/manifests/latest", then=Refuse(412, "DENIED"), times=1)
        await move(client, registry)
        assert registry.tags("app") == {"latest": NEW_DIGEST}
        assert registry.count("PUT") == 2
        assert not conditions(client, registry)


async def test_a_registry_whose_etags_are_not_digests_gets_no_condition(client):
    async with EmbeddedRegistry(traits=Traits(manifest_headers=(("ETag", '"x"'),))) as registry:
        put(registry, OLD)
        await move(client, registry)
        assert not conditions(client, registry)
