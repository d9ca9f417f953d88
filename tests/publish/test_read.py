"""Reading sources: what the registry says and what the plan knows, limits at their edges, and what was deleted."""

import json
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from bakery.errors import BadDocument, NotFound
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.platform import Platform
from bakery.publish import read
from bakery.publish.choose import ResolvedSource
from bakery.publish.plan import Source
from bakery.publish.read import read_sources
from bakery.publish.sources import wait_for_sources
from tests.clock import JumpingClock
from tests.publish.fakes import TEMPORARY, DictionaryEngine, add_image, build, target

AMD = Platform("linux", "amd64")


async def resolved(engine: DictionaryEngine, *builds: Source) -> tuple[ResolvedSource, ...]:
    planned = target(builds)
    found = await wait_for_sources(planned, engine, limit_s=1, clock=JumpingClock(), emit=lambda event: None)
    return await read_sources(planned, engine, found)


async def only_child(engine: DictionaryEngine, source: Source):
    (found,) = await resolved(engine, source)
    (child,) = found.children
    return child


def index(engine: DictionaryEngine, *entries: Descriptor, **more: object) -> Descriptor:
    listed = [entry.to_json() | more for entry in entries]
    body = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": listed}
    return engine.put(TEMPORARY, json.dumps(body).encode(), mt.OCI_INDEX)


def manifest(engine: DictionaryEngine, config: bytes, config_type: str = mt.OCI_CONFIG) -> Descriptor:
    blob = engine.put(TEMPORARY, config, config_type)
    body = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "layers": [],
            "config": {"mediaType": config_type, "digest": str(blob.digest), "size": blob.size}}  # fmt: skip
    return engine.put(TEMPORARY, json.dumps(body).encode(), mt.OCI_MANIFEST)


async def test_the_platform_of_the_index_counts_before_that_of_the_config():
    engine = DictionaryEngine()
    named = replace(add_image(engine, "linux/arm"), platform=Platform("linux", "arm", "v7"))
    child = await only_child(engine, build(index(engine, named)))
    assert child.descriptor.platform == Platform("linux", "arm", "v7")


@pytest.mark.parametrize("platform", [{}, {"os": "linux", "architecture": ""}, {"os": "", "architecture": "amd64"}])
async def test_an_incomplete_platform_in_an_index_is_that_of_the_config(platform):
    engine = DictionaryEngine()
    child = await only_child(engine, build(index(engine, add_image(engine, "linux/arm64"), platform=platform)))
    assert child.descriptor.platform == Platform("linux", "arm64")


async def test_what_the_plan_says_counts_only_if_the_registry_names_no_platform():
    engine = DictionaryEngine()
    known, unknown = add_image(engine, "linux/arm64"), manifest(engine, b"{}")
    assert (await only_child(engine, build(known, platform=AMD))).descriptor.platform == Platform("linux", "arm64")
    assert (await only_child(engine, build(unknown, platform=AMD))).descriptor.platform == AMD


async def test_an_entry_of_the_user_replaces_the_platform_and_adds_annotations():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/arm64")
    source = build(image, entry=replace(image, platform=AMD, annotations={"own": "yes"}))
    child = await only_child(engine, source)
    assert child.descriptor.platform == AMD
    assert child.descriptor.annotations == {"own": "yes"}
    plain = await only_child(engine, build(image, entry=replace(image, annotations={"own": "yes"})))
    assert plain.descriptor.platform == Platform("linux", "arm64")


async def test_an_entry_of_the_user_with_another_size_is_refused_and_one_without_a_size_is_taken():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/arm64")
    await resolved(engine, build(image, entry=replace(image, size=0)))
    with pytest.raises(BadDocument, match=f"its descriptor says 1 bytes, but it has {image.size}"):
        await resolved(engine, build(image, entry=replace(image, size=1)))


async def test_the_config_of_an_attestation_or_of_no_image_is_not_read():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/amd64")
    unknown = replace(manifest(engine, b"no JSON"), platform=Platform("unknown", "unknown"))
    other = manifest(engine, b"no JSON either", "application/vnd.example.config")
    (found,) = await resolved(engine, build(index(engine, image, unknown, other)))
    assert {child.descriptor.digest for child in found.children} == {image.digest, unknown.digest, other.digest}


async def test_a_source_is_as_old_as_the_plan_says_or_as_the_newest_of_its_configs():
    engine = DictionaryEngine()
    images = [
        add_image(engine, name, created=f"2026-01-0{day}T00:00:00Z") for day, name in ((3, "linux/a"), (2, "linux/b"))
    ]
    told = datetime(2020, 1, 1, tzinfo=UTC)
    found = await resolved(engine, build(index(engine, *images)), build(images[1], created=told))
    assert [source.created for source in found] == [datetime(2026, 1, 3, tzinfo=UTC), told]


@pytest.mark.parametrize("platform", [None, AMD])
async def test_content_that_a_source_names_and_that_was_deleted_is_named_with_its_platform(platform, monkeypatch):
    engine = DictionaryEngine()
    image = replace(add_image(engine, "linux/amd64"), platform=platform)
    top = index(engine, image)
    named = " for linux/amd64" if platform else ""

    async def gone(*asked: object, **more: object) -> bytes:
        raise NotFound("cannot read", about="it", status=404)

    monkeypatch.setattr(engine, "read_blob", gone)
    with pytest.raises(NotFound, match=f"the manifest {TEMPORARY}@{image.digest}{named} names it, so it was probably"):
        await resolved(engine, build(top))
    monkeypatch.setattr(engine, "read_manifest", gone)
    with pytest.raises(NotFound, match=f"the index {TEMPORARY}@{top.digest}{named} names it, so it was probably"):
        await resolved(engine, build(top))


async def test_as_many_manifests_and_bytes_as_the_limits_say_are_read(monkeypatch):
    engine = DictionaryEngine()
    images = [add_image(engine, f"linux/{name}") for name in "abc"]
    top = index(engine, *images)
    size = top.size + sum(image.size for image in images)
    for name, value in (("MAX_MANIFESTS", 4), ("MAX_BYTES", size)):
        with monkeypatch.context() as patched:
            patched.setattr(read, name, value)
            await resolved(engine, build(top))
            patched.setattr(read, name, value - 1)
            with pytest.raises(BadDocument, match="the target has more than"):
                await resolved(engine, build(top))


async def test_each_manifest_counts_once_however_many_entries_name_it(monkeypatch):
    engine = DictionaryEngine()
    image = add_image(engine, "linux/arm")
    variants = [replace(image, platform=Platform("linux", "arm", variant)) for variant in ("v5", "v6", "v7")]
    inner = index(engine, *variants)
    monkeypatch.setattr(read, "MAX_MANIFESTS", 3)
    (found,) = await resolved(engine, build(index(engine, inner, *variants)))
    assert {str(child.descriptor.platform) for child in found.children} == {
        "linux/arm/v5",
        "linux/arm/v6",
        "linux/arm/v7",
    }


async def test_entries_that_differ_only_in_type_or_annotations_are_all_kept():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/amd64")
    entries = [image, replace(image, annotations={"a": "1"}), replace(image, artifact_type="a/b")]
    (found,) = await resolved(engine, build(index(engine, *entries)))
    assert len(found.children) == 3


async def test_an_entry_without_a_media_type_is_read_and_one_of_another_kind_refused():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/amd64")
    (found,) = await resolved(engine, build(index(engine, image, mediaType="")))
    assert [child.descriptor.digest for child in found.children] == [image.digest]
    with pytest.raises(BadDocument, match="is not a manifest's"):
        await resolved(engine, build(index(engine, image, mediaType="text/plain")))


async def test_nested_indexes_are_kept_innermost_first_and_each_once():
    engine = DictionaryEngine()
    inner = index(engine, add_image(engine, "linux/amd64"))
    middle = index(engine, inner)
    (found,) = await resolved(engine, build(index(engine, middle, inner)))
    assert [one.descriptor.digest for one in found.nested] == [inner.digest, middle.digest]
    assert len(found.children) == 1
