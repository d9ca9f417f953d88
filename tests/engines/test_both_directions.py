"""Copies between two registries in both directions, one request at a time per host and lane.

Guards: a slot is held for a request, never across a wait for another slot. An upload that kept its slot while its
download waits for one would wait for the upload in the other direction, and that one for it.
"""

import random
from contextlib import AsyncExitStack

import pytest

from bakery.engines.native import NativeEngine
from bakery.errors import ExitCode
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.registry import gate
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Cut, Refuse, Rule
from bakery.retry import RetryPolicy
from tests.engines.workload import add_target, plan

SIZES = {
    "that go through the lane for small requests": 100_000,
    "that go through the lane for bodies": 1_500_000,
}


FAULTS = {
    "undisturbed": None,
    "every other download is cut": Rule(name="cut", effect=Cut(), method="GET", path="/blobs/", probability=0.5),
    "every fifth request is throttled": Rule(
        name="throttled", effect=Refuse(429, headers=(("Retry-After", "0"),)), method="GET POST", probability=0.2
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rule", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_blobs_are_copied_in_both_directions_with_one_request_at_a_time(size, rule, monkeypatch):
    monkeypatch.setattr(gate, "_GROWTH", 1)  # a lane stays as narrow as it begins
    dice = random.Random(7)
    one_by_one = RegistryConfig(small_at_once=1, bodies_at_once=1, stall_s=3600.0, response_s=3600.0)
    rules = [] if rule is None else [rule]
    async with AsyncExitStack() as stack:
        left, right = [await stack.enter_async_context(EmbeddedRegistry(rules=rules, seed=seed)) for seed in (1, 2)]
        targets = [
            add_target(
                source,
                (destination,),
                f"{number}-{path}",
                tags=(f"{number}",),
                shared=[dice.randbytes(size) for _ in range(4)],
                repository=f"tmp/{path}",
                path=f"acme/{path}-{number}",
            )
            for number in range(4)
            for source, destination, path in ((left, right, "to-right"), (right, left, "to-left"))
        ]
        client = Client(config=one_by_one, policy=RetryPolicy(base_delay=0.01))
        outcome = await Pipeline(plan(*targets), NativeEngine(client), options=PipelineOptions()).execute()
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
