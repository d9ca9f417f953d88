"""How few questions the native engine asks, and that what it does not ask it need not know."""

import random

import pytest
from msgspec.structs import replace

from bakery.engines.native import NativeEngine
from bakery.errors import ExitCode
from bakery.oci import manifest as views
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.publish.image import AssembledImage
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.rehearsal.profiles import ECR
from bakery.rehearsal.routes import ApiRoute
from tests.clock import JumpingClock
from tests.engines.test_native import assert_published, client, publish, registries
from tests.engines.workload import add_image, add_target

__all__ = ["registries"]

LARGE = random.Random(5).randbytes(300_000)
OTHER = random.Random(6).randbytes(300_000)


async def test_the_tags_of_a_new_repository_are_listed_once_and_nothing_else_is_queried(registries):
    source, one, _ = registries
    outcome = await publish(add_target(source, (one,), "a", tags=("1", "1.0", "1.0.0")))
    assert outcome.exit_code == ExitCode.DONE
    assert one.count("GET", "tags") == 1
    # Of what is new: each child's config is looked for, no small layer. The index and its children are read back, and
    # so are the tags.
    assert one.count("HEAD", "blob") == 2
    assert one.count("HEAD", "manifest") == 3 + 3


async def test_small_layers_of_an_earlier_run_are_found_and_not_sent_again(registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    first = await publish(target)
    digest = first.targets[0].digest
    _, raw = one.manifest("acme/app", digest)
    index = views.parse(raw)
    assert isinstance(index, views.Index)
    for child in index.manifests:  # as a run leaves it that was killed before it put the manifests
        one.delete_manifest("acme/app", child.digest)
    one.delete_manifest("acme/app", digest)
    one.forget_requests()
    again = await publish(target)
    assert again.exit_code == ExitCode.DONE
    assert one.count("POST", "uploads") == 0
    assert_published(one, "acme/app", "latest", digest)


async def test_a_large_layer_of_a_new_image_is_found_by_the_post_that_opens_its_upload(registries):
    source, one, _ = registries
    outcome = await publish(
        add_target(source, (one,), "a", shared=(LARGE, OTHER)),
        add_target(source, (one,), "b", shared=(LARGE,), path="acme/other"),
    )
    assert outcome.exit_code == ExitCode.DONE
    assert one.bodies_received(Digest.of(LARGE)) == one.bodies_received(Digest.of(OTHER)) == 1
    # A config for each child, and LARGE where the other repository was already bringing it: it is mounted there.
    assert one.count("HEAD", "blob") == 4 + 1
    # Four children of config and own layer, two large layers, that mount, one trial of mounts and one proof of them.
    assert one.count("POST", "uploads") == 4 * 2 + 2 + 1 + 2
    assert one.count("DELETE") == 1  # of the session that the proof opened


async def test_a_host_that_mounts_nothing_is_queried_by_head_and_keeps_no_open_session(registries):
    source, _, _ = registries
    async with EmbeddedRegistry(traits=ECR.traits) as ecr:
        first = await publish(add_target(source, (ecr,), "a", tags=("1",), shared=(LARGE,)))
        assert first.exit_code == ExitCode.DONE
        assert ecr.count("DELETE", "upload") == 1
        assert ecr.count("HEAD", "blob") == 2 + 1
        ecr.forget_requests()
        again = await publish(add_target(source, (ecr,), "b", tags=("2",), shared=(LARGE,)))
        assert again.exit_code == ExitCode.DONE
        assert ecr.bodies_received(Digest.of(LARGE)) == 0


async def test_a_large_layer_of_an_earlier_image_is_not_sent_again(registries):
    source, one, _ = registries
    await publish(add_target(source, (one,), "a", shared=(LARGE,)))
    one.forget_requests()
    outcome = await publish(add_target(source, (one,), "b", shared=(LARGE, OTHER)))
    assert outcome.exit_code == ExitCode.DONE
    assert one.bodies_received(Digest.of(LARGE)) == 0
    assert one.bodies_received(Digest.of(OTHER)) == 1
    assert one.count("HEAD", "blob") == 2


async def test_a_layer_falsely_reported_as_present_is_sent_when_its_manifest_is_refused(registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    image = add_image(source, "tmp/app/tmp", "linux/amd64", layers=(LARGE,))
    build = replace(target.sources[0], reference=Repository(source.address, "tmp/app/tmp").with_digest(image.digest))
    target = replace(target, sources=(build,), platforms=("linux/amd64",))
    said = (("Docker-Content-Digest", str(Digest.of(LARGE))),)
    # The third POST: before it are the config's and the question how the host answers.
    lie = one.fault("POST", route=ApiRoute.UPLOADS, skip=2, times=1, then=Refuse(201, headers=said))
    outcome = await publish(target, engine=NativeEngine(client(JumpingClock())))
    assert (outcome.exit_code, lie.met) == (ExitCode.DONE, 1)
    assert_published(one, "acme/app", "latest", outcome.targets[0].digest)


async def test_no_host_is_probed_unless_a_large_layer_needs_it(registries):
    source, one, _ = registries
    await publish(add_target(source, (one,), "a"))
    assert one.count("POST", "uploads") == 2 * 2


@pytest.mark.parametrize("trouble", ["answer 500", "answer 429", "drop the connection"])
async def test_every_tag_is_queried_if_a_registry_does_not_list_tags(registries, trouble):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    first = await publish(target)
    one.fault("GET", "/tags/list", then=trouble, times=1)
    one.forget_requests()
    again = await publish(target)
    assert again.exit_code == ExitCode.DONE
    assert one.count("GET", "tags") == 1
    assert one.count("PUT") == 0
    assert one.tags("acme/app")["latest"] == first.targets[0].digest


async def test_a_tag_that_this_run_moved_is_known_although_the_list_is_older(registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a", tags=("1",))
    where = target.destinations[0].repository
    await publish(target)
    media_type, raw = one.manifest("acme/app", "1")
    image = AssembledImage(RawManifest.of(raw, media_type), ())
    async with NativeEngine(client()) as engine:
        assert await engine.read_tags(where, ["1", "2"]) == {"1": image.digest, "2": None}
        await engine.tag(image, where.with_tag("2"), previous=None)
        assert await engine.read_tags(where, ["1", "2"]) == {"1": image.digest, "2": image.digest}
    assert one.count("GET", "tags", "acme/app") == 2  # one a run
