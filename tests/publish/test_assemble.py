"""Assembling: platforms come from the registry, attestations follow, and the same inputs give the same digest."""

import json
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.errors import BadDocument
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED
from bakery.oci.digest import Digest
from bakery.oci.manifest import ATTESTATION_OF, Index, is_attestation, parse
from bakery.oci.platform import Platform
from bakery.publish import read
from bakery.publish.assemble import encode, index_annotations, missing_platforms
from bakery.publish.choose import choose
from bakery.publish.image import ConfigFacts
from bakery.publish.read import read_sources
from bakery.publish.sources import wait_for_sources
from tests.clock import JumpingClock
from tests.engines.workload import digest_of
from tests.publish.fakes import TEMPORARY, DictionaryEngine, add_image, build, target

LAYOUT = Path(__file__).parents[2] / "examples" / "hello" / "builds" / "layout"


async def resolved(engine, builds):
    planned = target(builds)
    found = await wait_for_sources(planned, engine, limit_s=1, clock=JumpingClock(), emit=lambda event: None)
    return await read_sources(planned, engine, found)


async def index_of(engine, builds) -> Index:
    found = await resolved(engine, builds)
    children, _ = choose(found)
    view = parse(encode(children, {}).raw)
    assert isinstance(view, Index)
    return view


def load_layout(engine) -> None:
    """The images that a real buildx left, in the engine's temporary repository."""
    for entry in (LAYOUT / "blobs" / "sha256").iterdir():
        raw = entry.read_bytes()
        try:
            media_type = json.loads(raw).get("mediaType", "")
        except (ValueError, UnicodeDecodeError, AttributeError):
            media_type = ""
        engine.content[TEMPORARY, Digest("sha256", entry.name)] = (media_type, raw)


def parse_descriptor(engine, digest):
    from bakery.oci.descriptor import Descriptor

    media_type, raw = engine.content[TEMPORARY, digest]
    return Descriptor(media_type, digest, len(raw))


async def test_attested_indexes_of_real_buildx_are_flattened_and_both_platforms_kept():
    engine = DictionaryEngine()
    load_layout(engine)
    metadata = [json.loads((LAYOUT.parent / f"attested-{arch}.json").read_text()) for arch in ("amd64", "arm64")]
    uid = "hello-1-0-0-standard-ubuntu-22-04"
    digests = [Digest.parse(file[uid]["containerimage.digest"]) for file in metadata]
    view = await index_of(engine, [build(parse_descriptor(engine, digest)) for digest in digests])
    assert [str(entry.platform) for entry in view.manifests] == [
        "linux/amd64",
        "linux/arm64",
        "unknown/unknown",
        "unknown/unknown",
    ]
    images = [str(entry.digest) for entry in view.manifests[:2]]
    assert [entry.annotations[ATTESTATION_OF] for entry in view.manifests[2:]] == images
    assert all(is_attestation(entry) for entry in view.manifests[2:])


async def test_the_order_of_files_and_runs_does_not_change_the_digest():
    engine = DictionaryEngine()
    builds = [build(add_image(engine, name)) for name in ("linux/arm64", "linux/amd64", "linux/arm/v7")]
    one, _ = choose(await resolved(engine, builds))
    two, _ = choose(await resolved(engine, builds[::-1]))
    annotations = {"b": "2", "a": "1"}
    reordered = {"a": "1", "b": "2"}
    assert encode(one, {"annotations": annotations}).raw == encode(two, {"annotations": reordered}).raw
    assert [str(child.descriptor.platform) for child in one] == ["linux/amd64", "linux/arm/v7", "linux/arm64"]


async def test_the_newest_of_two_builds_of_one_platform_wins_with_a_warning():
    engine = DictionaryEngine()
    old = build(add_image(engine, "linux/amd64", salt="old"), created=datetime(2026, 1, 1, tzinfo=UTC))
    new = build(add_image(engine, "linux/amd64", salt="new"), created=datetime(2026, 2, 1, tzinfo=UTC))
    for builds in ([old, new], [new, old]):
        found = await resolved(engine, builds)
        (child,), notes = choose(found)
        assert child.descriptor.digest == digest_of(new)
        assert str(digest_of(old)) in notes[0]


@pytest.mark.parametrize("created", [None, datetime(2026, 1, 1, tzinfo=UTC)], ids=["no times", "equal times"])
async def test_the_higher_digest_of_two_equally_old_builds_wins(created):
    engine = DictionaryEngine()
    builds = [build(add_image(engine, "linux/amd64", salt=salt), created=created) for salt in ("one", "two", "three")]
    highest = max(str(digest_of(one)) for one in builds)
    for order in permutations(builds):
        (child,), _ = choose(await resolved(engine, order))
        assert str(child.descriptor.digest) == highest


async def test_an_unknown_platform_is_an_error_with_a_hint():
    engine = DictionaryEngine()
    config = engine.put(TEMPORARY, b"{}", mt.OCI_CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": {"mediaType": mt.OCI_CONFIG, "digest": str(config.digest), "size": config.size},
        "layers": [],
    }
    found = await resolved(engine, [build(engine.put(TEMPORARY, json.dumps(manifest).encode(), mt.OCI_MANIFEST))])
    with pytest.raises(BadDocument, check=lambda error: "--platform" in error.hint):
        choose(found)


def wrapped(engine, *entries):
    body = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [entry.to_json() for entry in entries]}
    return engine.put(TEMPORARY, json.dumps(body).encode(), mt.OCI_INDEX)


def artifact(engine, text: str, *, subject=None, **more):
    config = engine.put(TEMPORARY, b"{}", "application/vnd.oci.empty.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "artifactType": "application/vnd.example.bundle",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(config.digest), "size": config.size},
        "layers": [],
        "annotations": {"text": text},
    }
    if subject is not None:
        manifest["subject"] = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
    return replace(engine.put(TEMPORARY, json.dumps(manifest).encode(), mt.OCI_MANIFEST), **more)


async def test_artifacts_next_to_the_images_are_kept_and_do_not_count_as_platforms():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/amd64")
    plain = artifact(engine, "no platform, no type in the index")
    typed = artifact(
        engine, "as SOCI has it", platform=Platform("linux", "arm64"), artifact_type="application/vnd.example.bundle"
    )
    source = build(wrapped(engine, plain, typed, image))
    children, _ = choose(await resolved(engine, [source]))
    assert children[0].descriptor.digest == image.digest
    assert {child.descriptor.digest for child in children[1:]} == {plain.digest, typed.digest}
    assert missing_platforms(children, ["linux/amd64", "linux/arm64"]) == ("linux/arm64",)


async def test_an_artifact_of_a_build_that_was_not_chosen_is_left_out_too():
    engine = DictionaryEngine()
    old, new = (add_image(engine, "linux/amd64", salt=salt) for salt in ("old", "new"))
    made = [
        build(
            wrapped(engine, one, artifact(engine, "of it", subject=one)), created=datetime(2026, month, 1, tzinfo=UTC)
        )
        for month, one in enumerate((old, new), 1)
    ]
    children, _ = choose(await resolved(engine, made))
    assert len(children) == 2
    subject = children[1].manifest.subject
    assert subject is not None
    assert subject.digest == new.digest


async def test_a_reference_that_is_not_a_digest_is_kept_unchanged():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/amd64")
    odd = artifact(engine, "odd", annotations={ATTESTATION_OF: "sha256:none"})
    children, _ = choose(await resolved(engine, [build(wrapped(engine, image, odd))]))
    assert [child.descriptor.digest for child in children] == [image.digest, odd.digest]


async def test_a_build_without_an_image_is_reported():
    engine = DictionaryEngine()
    source = build(artifact(engine, "a chart"))
    found = await resolved(engine, [source])
    with pytest.raises(BadDocument, match=rf"{source.reference}.*image", check=lambda error: "digest" in error.hint):
        choose(found)


async def test_nested_indexes_are_flattened_up_to_a_limit():
    engine = DictionaryEngine()
    inner = add_image(engine, "linux/amd64")

    def wrap(entry):
        body = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [entry.to_json()]}
        return engine.put(TEMPORARY, json.dumps(body).encode(), mt.OCI_INDEX)

    nested = wrap(wrap(inner))
    view = await index_of(engine, [build(nested)])
    assert [entry.digest for entry in view.manifests] == [inner.digest]
    for _ in range(6):
        nested = wrap(nested)
    with pytest.raises(BadDocument, match="nested"):
        await resolved(engine, [build(nested)])


def index(engine, entries):
    body = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries}
    return engine.put(TEMPORARY, json.dumps(body).encode(), mt.OCI_INDEX)


async def test_each_document_is_read_once_however_often_indexes_repeat_it(monkeypatch):
    engine, asked = DictionaryEngine(), []
    reading = engine.read_manifest

    async def read_manifest(repository, descriptor):
        asked.append(descriptor.digest)
        return await reading(repository, descriptor)

    monkeypatch.setattr(engine, "read_manifest", read_manifest)
    nested = add_image(engine, "linux/amd64")
    for _ in range(4):
        nested = index(engine, [nested.to_json()] * 1000)
    view = await index_of(engine, [build(nested)])
    assert len(view.manifests) == 1
    assert len(asked) == len(set(asked)) == 4


async def test_an_image_listed_for_two_platforms_is_kept_for_both():
    engine = DictionaryEngine()
    image = add_image(engine, "linux/arm").to_json()
    platforms = [{"os": "linux", "architecture": "arm", "variant": variant} for variant in ("v6", "v7")]
    view = await index_of(engine, [build(index(engine, [image | {"platform": one} for one in platforms]))])
    assert [str(entry.platform) for entry in view.manifests] == ["linux/arm/v6", "linux/arm/v7"]


@pytest.mark.parametrize(
    ("limit", "value", "why"),
    [("MAX_ENTRIES", 2, "3 entries, more than the 2"), ("MAX_MANIFESTS", 3, "more than 3 manifests"),
     ("MAX_BYTES", 1000, "more than 0 MiB of manifests"), ("MAX_DEPTH", 0, "more than 0 levels")],
)  # fmt: skip
async def test_an_index_that_exceeds_a_limit_is_named(monkeypatch, limit, value, why):
    monkeypatch.setattr(read, limit, value)
    engine = DictionaryEngine()
    top = index(engine, [add_image(engine, f"linux/{name}").to_json() for name in ("a", "b", "c")])
    with pytest.raises(BadDocument, match=why) as caught:
        await resolved(engine, [build(top)])
    assert caught.value.about == str(TEMPORARY.with_digest(top.digest))


async def test_an_index_entry_of_a_blobs_type_is_refused():
    engine = DictionaryEngine()
    entry = add_image(engine, "linux/amd64").to_json() | {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}
    with pytest.raises(BadDocument, match=r"not a manifest's"):
        await resolved(engine, [build(index(engine, [entry]))])


def test_created_is_the_newest_config_or_the_epoch_and_never_now():
    configs = [ConfigFacts(None, datetime(2026, 1, day, tzinfo=UTC)) for day in (3, 5, 4)]
    labels = {"title": "x", CREATED: "now"}
    assert index_annotations(labels, configs, None) == {"title": "x", CREATED: "2026-01-05T00:00:00Z"}
    assert index_annotations(labels, configs, 0) == {"title": "x", CREATED: "1970-01-01T00:00:00Z"}
    assert index_annotations(labels, [], None) == {"title": "x"}


async def test_any_variant_covers_a_declared_platform():
    engine = DictionaryEngine()
    found = await resolved(
        engine, [build(add_image(engine, "linux/arm64/v8")), build(add_image(engine, "linux/arm/v7"))]
    )
    children, _ = choose(found)
    assert missing_platforms(children, ["linux/arm64", "linux/amd64", "linux/arm"]) == ("linux/amd64",)
