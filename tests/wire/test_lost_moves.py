"""A tag whose move had no response: how long it is looked for before it is moved again."""

from __future__ import annotations

import pytest

from bakery.oci.index import encode_index
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Drop, Refuse
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock


@pytest.mark.parametrize(("absent", "longest_s"), [(0, 6.0), (3, 2.5)])
async def test_a_tag_whose_move_had_no_response_is_looked_for_little_longer_than_the_lag_that_the_host_showed(
    absent: int, longest_s: float
):
    clock, index = JumpingClock(), encode_index((), {"annotations": {"n": "new"}})
    async with EmbeddedRegistry() as registry:
        policy = RetryPolicy(base_delay=0.1, jitter=False)
        async with Client(config=RegistryConfig.from_environment({}), policy=policy, clock=clock) as client:
            place = Repository(registry.address, "app")
            if absent:
                registry.fault("HEAD", "/manifests/sha256", then=Refuse(404, "MANIFEST_UNKNOWN"), times=absent)
            await client.manifests.put(place.with_digest(index.descriptor.digest), index)
            await client.manifests.await_manifest(place.with_digest(index.descriptor.digest))
            registry.fault("PUT", "/manifests/latest", then=Drop(), times=1)
            began = clock.now()
            await client.manifests.put(place.with_tag("latest"), index)
            assert clock.now() - began < longest_s
            assert (clock.now() - began > 5) == (not absent)
            assert registry.tags("app") == {"latest": index.descriptor.digest}
