"""How few questions the native engine asks, and that what it does not ask it need not know."""

import pytest

from bakery.engines.native import NativeEngine
from bakery.errors import ExitCode
from bakery.oci import manifest as views
from bakery.oci.descriptor import Descriptor
from bakery.publish.image import Content, Image
from tests.engines.test_native import assert_published, client, publish, registries
from tests.engines.workload import add_target

__all__ = ["registries"]


async def test_a_new_repository_is_asked_once_for_its_tags_and_never_for_what_cannot_be_there(registries):
    source, one, _ = registries
    outcome = await publish(add_target(source, (one,), "a", tags=("1", "1.0", "1.0.0")))
    assert outcome.exit_code == ExitCode.DONE
    assert one.count("GET", "tags") == 1
    # Of what is new: each child's config is looked for, no small layer. The index and its children are read back, and
    # so are the tags.
    assert one.count("HEAD", "blob") == 2
    assert one.count("HEAD", "manifest") == 3 + 3


async def test_where_an_earlier_run_got_further_small_layers_are_looked_for_and_not_sent_again(registries):
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


@pytest.mark.parametrize("trouble", ["answer 500", "answer 429", "drop the connection"])
async def test_a_registry_that_does_not_list_its_tags_is_asked_for_each(registries, trouble):
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


async def test_a_tag_that_this_run_moved_is_known_to_be_there_though_the_list_is_older(registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a", tags=("1",))
    where = target.destinations[0].repository
    await publish(target)
    media_type, raw = one.manifest("acme/app", "1")
    image = Image(Content(Descriptor.of(raw, media_type), raw), ())
    async with NativeEngine(client()) as engine:
        assert await engine.read_tags(where, ["1", "2"]) == {"1": image.digest, "2": None}
        await engine.tag(image, where, "2", previous=None)
        assert await engine.read_tags(where, ["1", "2"]) == {"1": image.digest, "2": image.digest}
    assert one.count("GET", "tags", "acme/app") == 2  # one a run
