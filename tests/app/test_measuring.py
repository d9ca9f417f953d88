"""Sizes of builds are read from the registry and from Docker, side by side, and nothing of it fails a build."""

import json

import pytest

from bakery.app.measuring import measure, measured, pushed_reference
from bakery.build.outcome import BuildOutcome, State
from bakery.build.sizes import Size
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.rehearsal import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse, Rule
from bakery.rehearsal.routes import ApiRoute
from tests.report import builds
from tests.wire.making import image

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
NOTHING = {"PATH": "/nowhere"}


def indexed(*entries):
    """An index of these (content, media type, members)."""
    manifests = [Descriptor.of(raw, kind).to_json() | more for raw, kind, more in entries]
    return json.dumps({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": manifests}).encode()


def platform(architecture):
    return {"platform": {"os": "linux", "architecture": architecture}}


def pushed(registry, raw, **given):
    """A target that was pushed by digest to the temporary repository of this registry."""
    full, *_ = builds.targets(registry.address)
    digest = registry.put_manifest("tmp", raw)
    entry = {"containerimage.digest": str(digest), "image.name": f"{registry.address}/tmp"}
    return builds.built(full, metadata=entry, **given)


async def sizes_of(*targets, environment=None, **given):
    return await measured(BuildOutcome(targets, **({"pushed": True} | given)), environment or NOTHING)


async def test_an_image_has_the_size_and_number_of_its_layers():
    async with EmbeddedRegistry() as registry:
        one = pushed(registry, image(b"abc", b"defgh")[1])
        assert (await sizes_of(one))[one.uid].registry == Size(8, 2)


async def test_an_index_has_the_sizes_of_all_platforms_and_the_layers_of_the_first():
    async with EmbeddedRegistry() as registry:
        first, second, attestation = image(b"abc", b"de")[1], image(b"defgh")[1], image(b"x" * 100)[1]
        for raw in (first, second, attestation):
            registry.put_manifest("tmp", raw)
        entries = (
            (first, mt.OCI_MANIFEST, platform("amd64")),
            (second, mt.OCI_MANIFEST, platform("arm64")),
            (attestation, mt.OCI_MANIFEST, {"platform": {"os": "unknown", "architecture": "unknown"}}),
        )
        one = pushed(registry, indexed(*entries))
        assert (await sizes_of(one))[one.uid].registry == Size(10, 2)


@pytest.mark.parametrize("form", ["a manifest", "an index of blobs"])
async def test_a_cache_is_measured_in_either_form_also_if_nothing_was_pushed(form):
    async with EmbeddedRegistry() as registry:
        config: tuple[bytes, str, dict[str, object]] = (b"{}" * 50, "application/vnd.buildkit.cacheconfig.v0", {})
        raw = (
            image(b"abc", b"de")[1]
            if form == "a manifest"
            else indexed((b"abc", LAYER, {}), (b"de", LAYER, {}), config)
        )
        registry.put_manifest("cache", raw, "1")
        one = builds.built(builds.targets()[0], cache_ref=f"{registry.address}/cache:1")
        found = (await sizes_of(one, pushed=False))[one.uid]
        assert (found.registry, found.cache) == (None, Size(5, 2))


async def test_a_cache_of_two_targets_is_read_once():
    async with EmbeddedRegistry() as registry:
        registry.put_manifest("cache", image(b"abc")[1], "1")
        full, small, _ = builds.targets()
        shared = [builds.built(one, cache_ref=f"{registry.address}/cache:1") for one in (full, small)]
        found = await sizes_of(*shared, pushed=False)
        assert [one.cache for one in found.values()] == [Size(3, 1)] * 2
        assert registry.count("GET") == 1


async def test_what_cannot_be_measured_is_unknown_and_leaves_the_others_alone():
    async with EmbeddedRegistry() as registry:
        full, small, tool = builds.targets(registry.address)
        gone = builds.built(full, metadata={"containerimage.digest": builds.DIGEST, "image.name": full.references[0]})
        odd = builds.built(small, metadata={"containerimage.digest": "md5:1", "image.name": "Not a name"})
        raw = image(b"abc")[1]
        there = builds.built(
            tool,
            metadata={
                "containerimage.digest": str(registry.put_manifest("tmp", raw)),
                "image.name": f"{registry.address}/tmp",
            },
            cache_ref="not a reference",
        )
        found = await sizes_of(gone, odd, there)
        assert [found[one.uid].registry for one in (gone, odd, there)] == [None, None, Size(3, 1)]
        assert found[there.uid].cache is None


async def test_a_registry_that_fails_is_given_up_after_two_attempts():
    faults = [Rule(name="broken", effect=Refuse(500), route=ApiRoute.MANIFEST)]
    async with EmbeddedRegistry(rules=faults) as registry:
        one = pushed(registry, image(b"abc")[1])
        assert (await sizes_of(one))[one.uid].registry is None
        assert registry.count("GET") <= 2


def test_what_was_pushed_is_named_by_the_digest_of_the_metadata_else_by_the_first_tag():
    full, small, tool = builds.targets()
    outcome = BuildOutcome((), pushed=True)
    assert str(pushed_reference(outcome, builds.built(full))) == f"registry.example/acme/app@{builds.DIGEST}"
    assert str(pushed_reference(outcome, builds.built(tool, metadata=None))) == "registry.example/acme/tool:2"
    assert pushed_reference(outcome, builds.failed(small)) is None
    assert pushed_reference(BuildOutcome(()), builds.built(full)) is None


DOCKER = """#!/bin/sh
[ "$1 $2" = "image inspect" ] || exit 9
case "$3" in
    */app:1.0.0) echo '[{"Size": 1234, "RootFS": {"Layers": ["a", "b"]}}]' ;;
    */app:small) echo 'not JSON' ;;
    *) echo 'Error: No such image' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def docker(tmp_path):
    """A stand-in for docker that knows one image, and a second one badly."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    return {"BAKERY_DOCKER": str(program), "PATH": "/usr/bin:/bin"}


async def test_a_loaded_image_has_the_size_that_docker_reports(docker):
    full, small, tool = builds.targets()
    loaded = (
        builds.built(full, metadata={"image.name": "registry.example/acme/app:1.0.0"}),
        builds.built(small, metadata={"image.name": "registry.example/acme/app:small"}),
        builds.built(tool, metadata=None),
    )
    found = await sizes_of(*loaded, pushed=False, loaded=True, environment=docker)
    assert [found[one.uid].local for one in loaded] == [Size(1234, 2), None, None]
    unloaded = await sizes_of(*loaded, pushed=False, environment=docker)
    assert unloaded[full.uid].local is None


async def test_without_docker_or_a_tag_of_its_own_a_local_size_is_unknown(docker):
    full, *_ = builds.targets()
    shared = builds.built(full, metadata={"image.name": "registry.example:5000/acme/app/tmp"})
    assert (await sizes_of(shared, pushed=False, loaded=True, environment=docker))[full.uid].local is None
    named = builds.built(full)
    assert (await sizes_of(named, pushed=False, loaded=True))[full.uid].local is None


async def test_nothing_is_measured_after_a_signal():
    async with EmbeddedRegistry() as registry:
        one = pushed(registry, image(b"abc")[1])
        assert measure(BuildOutcome((one,), pushed=True, signum=2), NOTHING) == {}
        assert registry.count() == 0


def test_a_target_that_was_stopped_was_not_pushed():
    full, *_ = builds.targets()
    assert pushed_reference(BuildOutcome((), pushed=True), builds.built(full, state=State.STOPPED)) is None
