"""SOCI on the way: converted before anything is published, each layer read once, a bad layer fails its target alone."""

from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from bakery.config.schema.options import SociOptions
from bakery.engines.native import NativeEngine
from bakery.errors import ExitCode
from bakery.oci import manifest as views
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest
from bakery.oci.reference import Repository
from bakery.publish.outcome import State, Step
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Rule, When, WrongBytes
from bakery.retry import RetryPolicy
from bakery.soci import media
from tests.engines.test_native import FOREIGN
from tests.engines.workload import add_target, layer, plan

ALL = SociOptions(min_layer_size=0)


@pytest.fixture
async def registries():
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EmbeddedRegistry()) for _ in range(3)]


async def publish(*targets):
    client = Client(config=RegistryConfig.from_environment({}), policy=RetryPolicy(base_delay=0.01))
    return await Pipeline(plan(*targets), NativeEngine(client), options=PipelineOptions()).execute()


def index_of(registry, path="acme/app", tag="latest"):
    view = views.parse(registry.manifest(path, tag)[1])
    assert isinstance(view, Index)
    return view


async def test_the_converted_image_is_published_with_all_its_content(registries):
    source, one, two = registries
    target = replace(add_target(source, (one, two), "a"), soci=ALL)
    outcome = await publish(target)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert [item.platform for item in outcome.targets[0].platforms] == ["linux/amd64", "linux/arm64"]
    for registry in (one, two):
        index = index_of(registry)
        images, soci = index.manifests[:2], index.manifests[2:]
        assert [entry.artifact_type for entry in soci] == [media.SOCI_INDEX] * 2
        for image, entry in zip(images, soci, strict=True):
            assert entry.annotations[media.IMAGE_DIGEST] == str(image.digest)
            manifest = views.parse(registry.manifest("acme/app", entry.digest)[1])
            assert isinstance(manifest, Manifest)
            for blob in manifest.blobs:
                assert Digest.of(registry.blob("acme/app", blob.digest)) == blob.digest


@pytest.mark.parametrize("skip", range(4))
async def test_a_blob_that_is_wrong_once_is_indexed_and_uploaded_from_a_second_download(skip):
    """Two platforms, each with a config and a layer."""
    wrong = Rule(name="wrong", effect=WrongBytes(), when=When.COMMIT, method="GET", path="/blobs/", times=1, skip=skip)
    async with EmbeddedRegistry(rules=[wrong]) as source, EmbeddedRegistry() as one:
        target = replace(add_target(source, (one,), "a"), soci=ALL)
        outcome = await publish(target)
        assert outcome.exit_code == ExitCode.DONE, outcome.failures
        assert source.faults_met == {"wrong": 1}
        assert [entry.artifact_type for entry in index_of(one).manifests[2:]] == [media.SOCI_INDEX] * 2


async def test_a_layer_is_read_once_for_its_index_and_for_every_upload(registries):
    source, one, two = registries
    shared = layer("the base that all have")
    targets = [
        replace(add_target(source, (one, two), uid, shared=(shared,), path=f"acme/{uid}"), soci=ALL)
        for uid in ("a", "b")
    ]
    outcome = await publish(*targets)
    assert outcome.exit_code == ExitCode.DONE
    assert source.count("GET", "blob", "tmp/app/tmp") == 1 + 2 * 2 * 2
    assert [registry.bodies_received(Digest.of(shared)) for registry in (one, two)] == [1, 1]


async def test_a_second_run_sends_no_write(registries):
    source, one, _ = registries
    target = replace(add_target(source, (one,), "a"), soci=ALL)
    await publish(target)
    one.forget_requests()
    outcome = await publish(target)
    assert outcome.targets[0].state is State.UNCHANGED
    assert sum(one.count(method) for method in ("PUT", "POST", "PATCH")) == 0


async def test_an_image_with_nothing_to_index_is_published_unchanged_with_a_note(registries):
    source, one, _ = registries
    target = replace(add_target(source, (one,), "a"), soci=SociOptions())  # its layers are below 10 MiB
    outcome = await publish(target)
    assert outcome.exit_code == ExitCode.DONE
    assert len(index_of(one).manifests) == 2
    assert "is left unchanged" in outcome.targets[0].notes[0]


async def test_a_damaged_layer_fails_only_its_target_and_is_named(registries):
    source, one, _ = registries
    cut = layer("damaged")[:-12]
    bad = replace(add_target(source, (one,), "bad", shared=(cut,), path="acme/bad"), soci=ALL)
    good = replace(add_target(source, (one,), "good", path="acme/good"), soci=ALL)
    outcome = await publish(bad, good)
    assert [target.state for target in outcome.targets] == [State.FAILED, State.PUBLISHED]
    failure = outcome.targets[0].failure
    assert failure is not None
    assert failure.step is Step.SOCI
    assert str(Digest.of(cut)) in str(failure.error)
    assert one.tags("acme/bad") == {}


async def test_a_foreign_layer_in_no_registry_gets_no_ztoc(registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a", foreign=(FOREIGN,))
    outcome = await publish(replace(target, soci=ALL))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert len(index_of(one).manifests) == 4


async def test_a_converted_image_can_be_the_source_of_another_publish(registries):
    source, one, two = registries
    first = await publish(replace(add_target(source, (one,), "a"), soci=ALL))
    reference = Repository(one.address, "acme/app").with_digest(first.targets[0].digest)
    again = add_target(source, (two,), "a")
    outcome = await publish(replace(again, sources=(replace(again.sources[0], reference=reference),)))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert [item.platform for item in outcome.targets[0].platforms] == ["linux/amd64", "linux/arm64"]
    assert {entry.digest for entry in index_of(two).manifests} == {entry.digest for entry in index_of(one).manifests}
