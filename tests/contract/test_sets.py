"""Sets over both engines: whole or not at all, and tags that go back to what they named before."""

import pytest
from msgspec.structs import replace

from bakery.errors import ExitCode, NotFound
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.reference import Repository
from bakery.publish.outcome import State
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.policy import TagPolicy
from bakery.publish.sets import Whole
from bakery.rehearsal.faults import Refuse
from tests.engines.workload import add_target, plan

PATH = "acme/app"


def old(registry, *tags):
    """Put an index under these tags, and return its digest."""
    index = encode_index((), {"annotations": {"a": "old"}}, media_type=mt.OCI_INDEX)
    return registry.put_manifest(PATH, index.raw, *tags, media_type=mt.OCI_INDEX)


async def publish(engine, *targets):
    return await Pipeline(plan(*targets), engine, options=PipelineOptions(jobs=4, whole=Whole.RUN)).execute()


async def test_no_tag_moves_anywhere_if_one_registry_refuses_content(engine, registries):
    source, one, two = registries
    before = old(one, "1.0", "latest")
    two.fault("POST PUT PATCH", "/blobs/", then=Refuse(403, "DENIED"))
    outcome = await publish(engine(), add_target(source, (one, two), "a"))
    assert outcome.exit_code != ExitCode.DONE
    assert one.tags(PATH) == {"1.0": before, "latest": before}
    assert two.tags(PATH) == {}


async def test_tags_that_moved_go_back_if_another_registry_refuses_a_tag(engine, registries):
    source, one, two = registries
    before = old(one, "1.0", "latest")
    old(two, "1.0", "latest")
    two.fault("PUT", "/manifests/latest", then=Refuse(403, "DENIED"))
    outcome = await publish(engine(), add_target(source, (one, two), "a"))
    assert outcome.exit_code != ExitCode.DONE
    assert one.tags(PATH) == two.tags(PATH) == {"1.0": before, "latest": before}
    states = {tag.state for place in outcome.targets[0].destinations for tag in place.tags}
    assert State.RESTORED in states


async def test_a_tag_is_set_to_a_manifest_of_its_repository_and_read_as_it_is_now(engine, registries):
    one, *_ = registries
    digest = old(one, "latest")
    tag = Repository(one.address, PATH).with_tag("again")
    async with engine() as working:
        assert await working.read_tag(tag) is None
        await working.set_tag(tag, digest)
        assert await working.read_tag(tag) == digest
        assert await working.list_tags(tag.repository) == {"again", "latest"}
        with pytest.raises(NotFound):
            await working.set_tag(tag, Digest.of(b"nothing"))
    assert one.tags(PATH) == {"again": digest, "latest": digest}


async def test_an_older_version_leaves_a_tag_where_it_is_and_moves_its_own(engine, registries):
    source, one, _ = registries

    async def release(version, *tags):
        planned = add_target(source, (one,), version, tags=tags)
        planned = replace(planned, version=version, annotations={"org.opencontainers.image.version": version})
        planned = replace(planned, policy=TagPolicy(no_downgrade=True))
        return await Pipeline(plan(planned), engine(), options=PipelineOptions(jobs=4)).execute()

    newer = await release("2.0.0", "latest")
    older = await release("1.9.0", "1.9.0", "latest")
    assert older.exit_code == ExitCode.DONE
    assert one.tags(PATH) == {"latest": newer.targets[0].digest, "1.9.0": older.targets[0].digest}
    states = {tag.tag: tag.state for tag in older.targets[0].destinations[0].tags}
    assert states == {"latest": State.SKIPPED, "1.9.0": State.PUBLISHED}
