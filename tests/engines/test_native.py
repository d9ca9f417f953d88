"""The native engine over real sockets: what it sends, how often, and what it leaves behind."""

import gc
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from bakery.engines.native import NativeEngine
from bakery.errors import ExitCode
from bakery.oci import manifest as views
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest
from bakery.oci.reference import Repository
from bakery.publish.outcome import State
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock
from tests.engines.workload import add_target, digest_of, layer, plan


@pytest.fixture
async def registries():
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EmbeddedRegistry()) for _ in range(3)]


def client(clock=None) -> Client:
    return Client(config=RegistryConfig.from_environment({}), policy=RetryPolicy(base_delay=0.01), clock=clock)


async def publish(*targets, engine=None, **options):
    return await Pipeline(
        plan(*targets), engine or NativeEngine(client()), options=PipelineOptions(**options)
    ).execute()


def assert_published(registry, path, tag, digest):
    """Index, children and blobs are all there, under the tag."""
    assert registry.tags(path)[tag] == digest
    _, raw = registry.manifest(path, tag)
    index = views.parse(raw)
    assert isinstance(index, Index)
    for entry in index.manifests:
        _, child = registry.manifest(path, entry.digest)
        image = views.parse(child)
        assert isinstance(image, Manifest)
        for blob in image.blobs:
            assert Digest.of(registry.blob(path, blob.digest)) == blob.digest


async def test_two_targets_are_published_complete_to_two_registries(registries):
    source, one, two = registries
    targets = [add_target(source, (one, two), uid, tags=(uid, f"{uid}-x"), path=f"acme/{uid}") for uid in ("a", "b")]
    outcome = await publish(*targets)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    for target in outcome.targets:
        for registry in (one, two):
            assert_published(registry, f"acme/{target.uid}", target.uid, target.digest)


async def test_work_ahead_of_time_that_never_began_leaves_no_warning(registries):
    towards = [Repository(registries[0].address, "acme/app")]
    async with NativeEngine(client(), towards=towards):
        pass
    gc.collect()  # a coroutine that was never awaited would be an error here
    async with NativeEngine(client()):
        pass
    assert registries[0].requests == []


async def test_a_second_run_sends_no_write(registries):
    source, one, two = registries
    targets = [add_target(source, (one, two), uid, tags=(uid,)) for uid in ("a", "b")]
    first = await publish(*targets)
    for registry in registries:
        registry.forget_requests()
    second = await publish(*targets)
    assert second.exit_code == ExitCode.DONE
    assert [target.state for target in second.targets] == [State.UNCHANGED] * 2
    assert [target.digest for target in second.targets] == [target.digest for target in first.targets]
    for registry in registries:
        assert sum(registry.count(method) for method in ("PUT", "POST", "PATCH", "DELETE")) == 0


DAMAGE = {
    "a layer": lambda registry, path, index: registry.delete_blob(path, layer_digests(registry, path, index)[0]),
    "a child": lambda registry, path, index: registry.delete_manifest(path, index.manifests[0].digest),
    "a tag": lambda registry, path, index: registry.delete_tag(path, "latest"),
}


def layer_digests(registry, path, index):
    _, raw = registry.manifest(path, index.manifests[0].digest)
    image = views.parse(raw)
    assert isinstance(image, Manifest)
    return [blob.digest for blob in image.layers]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_destination_with_missing_content_is_repaired(registries, damage):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    first = await publish(target)
    _, raw = one.manifest("acme/app", "latest")
    damage(one, "acme/app", views.parse(raw))
    again = await publish(target)
    assert again.exit_code == ExitCode.DONE
    assert_published(one, "acme/app", "latest", first.targets[0].digest)


async def test_each_blob_is_read_once_and_sent_once_per_registry(registries):
    source, one, two = registries
    shared = layer("the base that all have")
    targets = [add_target(source, (one, two), uid, shared=(shared,), path=f"acme/{uid}") for uid in ("a", "b", "c")]
    outcome = await publish(*targets)
    assert outcome.exit_code == ExitCode.DONE
    digest = Digest.of(shared)
    assert source.count("GET", "blob", "tmp/app/tmp") == 1 + 2 * 2 * 3  # the shared one, a config and a layer each
    assert [registry.bodies_received(digest) for registry in (one, two)] == [1, 1]


async def test_content_of_the_same_registry_is_mounted_and_not_uploaded(registries):
    source, *_ = registries
    outcome = await publish(add_target(source, (source,), "a"))
    assert outcome.exit_code == ExitCode.DONE
    assert_published(source, "acme/app", "latest", outcome.targets[0].digest)
    assert source.count("GET", "blob") == 2  # the configs, to know platform and time


async def test_sources_may_be_in_several_registries(registries):
    source, other, one = registries
    left, right = add_target(source, (one,), "a"), add_target(other, (one,), "a", repository="elsewhere/tmp")
    outcome = await publish(replace(left, sources=(left.sources[0], right.sources[1])))
    assert outcome.exit_code == ExitCode.DONE
    assert_published(one, "acme/app", "latest", outcome.targets[0].digest)


async def test_a_broken_download_never_becomes_an_upload(registries):
    source, one, two = registries
    target = add_target(source, (one, two), "a")
    bad = Digest.of(layer("a linux/amd64"))
    source.fault("GET", f"/blobs/{bad}", then="alter the body")
    outcome = await publish(target)
    assert outcome.exit_code == ExitCode.FAILED
    assert "DigestMismatch" in {type(failure.error).__name__ for failure in outcome.failures}
    for registry in (one, two):
        assert registry.bodies_received(bad) == 0
        assert registry.tags("acme/app") == {}


async def test_a_dead_registry_fails_only_its_own_destination(registries):
    source, one, two = registries
    target = add_target(source, (one, two), "a")
    two.fault("POST", "/blobs/uploads/", then=Refuse(403, "DENIED"))
    outcome = await publish(target)
    assert {str(place.repository): place.state for place in outcome.targets[0].destinations} == {
        f"{one.address}/acme/app": State.PUBLISHED,
        f"{two.address}/acme/app": State.FAILED,
    }
    assert outcome.exit_code == ExitCode.AUTHENTICATION
    assert two.tags("acme/app") == {}


async def test_a_child_lost_before_the_index_arrives_is_pushed_again(registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    lost = digest_of(target.sources[0])
    chosen = client(JumpingClock())  # it waits half a minute for what it pushed
    real_put = chosen.manifests.put
    dropped: list[bool] = []

    async def put(reference, manifest, **options):
        if manifest.descriptor.media_type.endswith("index.v1+json") and not dropped:
            dropped.append(one.delete_manifest("acme/app", lost))
        await real_put(reference, manifest, **options)

    chosen.manifests.put = put  # type: ignore[method-assign]  # the one moment in which the registry loses it
    outcome = await publish(target, engine=NativeEngine(chosen))
    assert dropped == [True]
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert_published(one, "acme/app", "latest", outcome.targets[0].digest)


FOREIGN_LAYER = b"a base layer that only its maker distributes"
FOREIGN = replace(
    Descriptor.of(FOREIGN_LAYER, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    urls=("https://elsewhere.example/layer",),
)


async def test_a_foreign_layer_in_no_registry_stays_at_its_urls(registries):
    source, one, _ = registries
    outcome = await publish(add_target(source, (one,), "a", foreign=(FOREIGN,)), time_budget_s=10)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert FOREIGN.digest not in one.blobs("acme/app")
    index = views.parse(one.manifest("acme/app", "latest")[1])
    assert isinstance(index, Index)
    image = views.parse(one.manifest("acme/app", index.manifests[0].digest)[1])
    assert isinstance(image, Manifest)
    assert image.layers[-1].urls == FOREIGN.urls


async def test_a_foreign_layer_that_is_in_the_source_registry_is_copied(registries):
    source, one, _ = registries
    source.put_blob("tmp/app/tmp", FOREIGN_LAYER)
    outcome = await publish(add_target(source, (one,), "a", foreign=(FOREIGN,)))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert FOREIGN.digest in one.blobs("acme/app")


async def test_an_empty_layer_and_a_repeated_layer_are_copied_like_others(registries):
    source, one, _ = registries
    outcome = await publish(add_target(source, (one,), "a", shared=(b"", layer("twice"), layer("twice"), b"")))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert_published(one, "acme/app", "latest", outcome.targets[0].digest)
    assert one.bodies_received(Digest.of(layer("twice"))) == 1


async def test_connections_are_opened_ahead_to_all_that_is_read_and_written(registries, monkeypatch):
    source, one, two = registries
    target = add_target(source, (one, two), "a")
    planned, asked = plan(target), []

    async def open_ahead(repositories, *, each):
        asked.append((repositories, each))

    chosen = client()
    monkeypatch.setattr(chosen, "open_ahead", open_ahead)
    engine = NativeEngine(chosen, sources=planned.source_repositories, towards=planned.repositories)
    outcome = await publish(target, engine=engine)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert asked == [({*planned.source_repositories, *planned.repositories}, 6)]
    assert {place.registry for place in asked[0][0]} == {source.address, one.address, two.address}


async def test_a_bug_in_early_work_at_one_destination_does_not_affect_the_other(registries, monkeypatch):
    source, one, two = registries
    target = add_target(source, (one, two), "a")
    engine = NativeEngine(client(), towards=[place.repository for place in target.destinations])
    listing = engine._client.listings.has_repository

    async def has_repository(repository):
        if repository.registry == two.address:
            raise UnicodeError("label too long")
        return await listing(repository)

    monkeypatch.setattr(engine._client.listings, "has_repository", has_repository)
    outcome = await publish(target, engine=engine)
    assert [place.state for place in outcome.targets[0].destinations] == [State.PUBLISHED, State.FAILED]
