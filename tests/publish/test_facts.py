"""How old an image is: where its version and its time of creation are read from, and where they are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from bakery.errors import Unavailable
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED, VERSION
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import ATTESTATION_TYPE
from bakery.oci.platform import Platform
from bakery.oci.reference import Repository
from bakery.publish import facts
from bakery.publish.assemble import assemble_target
from bakery.publish.facts import facts_of, read_facts, trusts_labels
from bakery.publish.policy import ImageFacts
from bakery.publish.read import read_sources
from bakery.publish.sources import wait_for_sources
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, build, target

HERE = Repository.parse("one.example/app")
DAY = {day: datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)}


def image(engine: DictionaryEngine, *, day: int = 1, version: str = "", annotations: dict[str, str] | None = None,
          config_type: str = mt.OCI_CONFIG, **more: object) -> Descriptor:  # fmt: skip
    labels = {VERSION: version} if version else {}
    config = {
        "os": "linux",
        "architecture": "amd64",
        "created": f"2026-01-0{day}T00:00:00Z",
        "config": {"Labels": labels},
    }
    blob = engine.put(HERE, json.dumps(config).encode(), config_type)
    body = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "layers": [], "annotations": annotations or {},
            "config": {"mediaType": config_type, "digest": str(blob.digest), "size": blob.size}}  # fmt: skip
    return replace(engine.put(HERE, json.dumps(body).encode(), mt.OCI_MANIFEST), **more)


def index(engine: DictionaryEngine, *entries: Descriptor, annotations: dict[str, str] | None = None) -> Digest:
    listed = [{key: value for key, value in one.to_json().items() if value} for one in entries]
    body = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": listed, "annotations": annotations or {}}
    return engine.put(HERE, json.dumps(body).encode(), mt.OCI_INDEX).digest


async def read(engine: DictionaryEngine, digest: Digest, *, labels: bool = True, tags: bool = False) -> ImageFacts:
    return await read_facts(engine, HERE, digest, labels=labels, tags=tags)


async def test_annotations_of_the_index_are_believed_first():
    engine = DictionaryEngine()
    told = {VERSION: "1.2.3", CREATED: "2026-01-02T00:00:00Z"}
    digest = index(engine, image(engine, day=3, version="9.9.9"), annotations=told)
    assert await read(engine, digest) == ImageFacts(digest, "1.2.3", DAY[2])


async def test_without_them_the_newest_config_and_its_version_label_are_taken():
    engine = DictionaryEngine()
    digest = index(engine, image(engine, day=1, version="1.0.0"), image(engine, day=3, version="1.0.0"))
    assert await read(engine, digest) == ImageFacts(digest, "1.0.0", DAY[3])


async def test_each_is_taken_from_where_it_is():
    engine = DictionaryEngine()
    timed = index(engine, image(engine, day=1, version="1.0.0"), annotations={CREATED: "2026-01-02T00:00:00Z"})
    assert await read(engine, timed) == ImageFacts(timed, "1.0.0", DAY[2])
    named = index(engine, image(engine, day=1, version="1.0.0"), annotations={VERSION: "2.0.0"})
    assert await read(engine, named) == ImageFacts(named, "2.0.0", DAY[1])


async def test_labels_that_an_image_may_have_inherited_do_not_count():
    engine = DictionaryEngine()
    digest = index(engine, image(engine, day=2, version="1.0.0"))
    assert await read(engine, digest, labels=False) == ImageFacts(digest, "", DAY[2])


async def test_a_config_is_not_read_if_the_annotations_tell_everything_that_counts(monkeypatch):
    engine = DictionaryEngine()
    digest = index(engine, image(engine), annotations={CREATED: "2026-01-02T00:00:00Z"})

    async def read_blob(*_: object, **__: object) -> bytes:
        raise AssertionError("a config is read")

    monkeypatch.setattr(engine, "read_blob", read_blob)
    assert await read(engine, digest, labels=False) == ImageFacts(digest, "", DAY[2])
    told = index(engine, image(engine), annotations={CREATED: "2026-01-02T00:00:00Z", VERSION: "1.0.0"})
    assert await read(engine, told, labels=True) == ImageFacts(told, "1.0.0", DAY[2])


async def test_a_single_image_is_read_as_well():
    engine = DictionaryEngine()
    digest = image(engine, day=2, version="1.0.0").digest
    assert await read(engine, digest) == ImageFacts(digest, "1.0.0", DAY[2])


async def test_attestations_unknown_platforms_and_other_artifacts_tell_nothing():
    engine = DictionaryEngine()
    attested = image(engine, day=3, version="3", annotations={"a": "1"})
    attested = replace(attested, annotations={ATTESTATION_TYPE: "attestation-manifest"})
    unknown = image(engine, day=3, version="4", annotations={"a": "2"}, platform=Platform("unknown", "unknown"))
    artifact = image(engine, day=3, version="5", config_type="application/vnd.example.config")
    real = image(engine, day=2, version="1.0.0", platform=Platform("linux", "amd64"))
    digest = index(engine, attested, unknown, artifact, real)
    assert await read(engine, digest) == ImageFacts(digest, "1.0.0", DAY[2])


async def test_what_is_gone_or_cannot_be_understood_is_unknown():
    engine = DictionaryEngine()
    absent = Digest.of(b"absent")
    assert await read(engine, absent) == ImageFacts(absent)
    garbled = engine.put(HERE, b"{}", mt.OCI_INDEX).digest
    assert await read(engine, garbled) == ImageFacts(garbled)


async def test_version_tags_of_the_same_digest_are_looked_for_only_if_asked_and_needed():
    engine = DictionaryEngine()
    digest = index(engine, image(engine))
    engine.tags |= {(HERE, "1.0.0"): digest, (HERE, "latest"): digest, (HERE, "2.0.0"): Digest.of(b"other")}
    assert (await read(engine, digest)).version == ""
    assert (await read(engine, digest, tags=True)).version == "1.0.0"
    named = index(engine, image(engine), annotations={VERSION: "7"})
    assert (await read(engine, named, tags=True)).version == "7"


async def test_the_newest_version_tags_are_looked_at_and_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(facts, "_MOST_TAGS", 4)
    monkeypatch.setattr(facts, "_AT_ONCE", 2)
    engine = DictionaryEngine()
    digest = index(engine, image(engine))
    engine.tags |= {(HERE, f"1.{minor}.0"): Digest.of(b"other") for minor in range(12)}
    for tag, version in (("1.10.0", "1.10.0"), ("1.8.0", "1.8.0"), ("1.7.0", "")):
        with monkeypatch.context() as patched:
            patched.setitem(engine.tags, (HERE, tag), digest)
            assert (await read(engine, digest, tags=True)).version == version


async def test_tags_that_cannot_be_read_leave_the_version_unknown():
    engine = DictionaryEngine()
    digest = index(engine, image(engine))
    engine.tags[HERE, "1.0.0"] = digest
    engine.refuse = lambda action, repository: (
        Unavailable("cannot read", about="x", status=503) if action == "read" else None
    )
    assert (await read(engine, digest, tags=True)).version == ""


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (ImageFacts(Digest.of(b"a")), str(Digest.of(b"a"))),
        (ImageFacts(Digest.of(b"a"), "1.0"), f"1.0 ({Digest.of(b'a')})"),
        (ImageFacts(Digest.of(b"a"), "1.0", DAY[1]), f"1.0, created 2026-01-01T00:00:00Z ({Digest.of(b'a')})"),
    ],
)
def test_facts_are_shown_with_what_is_known(known, text):
    assert str(known) == text


async def test_a_version_that_the_annotation_tells_is_not_replaced_by_that_of_a_label():
    engine = DictionaryEngine()
    digest = index(engine, image(engine, version="9.9.9"), annotations={VERSION: "1.0.0"})
    assert (await read(engine, digest)).version == "1.0.0"


async def assembled(engine: DictionaryEngine, *children: Descriptor, annotations: dict[str, str]) -> ImageFacts:
    planned = target([build(one, HERE) for one in children], platforms=())
    planned = replace(planned, annotations=annotations, rules=replace(planned.rules, sets_created=False), version="1.0")
    found = await wait_for_sources(planned, engine, limit_s=0, clock=JumpingClock(), emit=lambda event: None)
    made = assemble_target(planned, await read_sources(planned, engine, found))
    assert trusts_labels(made, "7.0") is any(child.config.version == "7.0" for child in made.children)
    return facts_of(planned, made, planned.destinations[0])


async def test_an_image_that_is_published_was_created_when_its_annotation_says_or_its_newest_config():
    engine = DictionaryEngine()
    one = image(engine, day=1, version="7.0", platform=Platform("linux", "amd64"))
    config = {"os": "linux", "architecture": "arm64", "created": "2026-01-03T00:00:00Z"}
    blob = engine.put(HERE, json.dumps(config).encode(), mt.OCI_CONFIG)
    body = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "layers": [],
            "config": {"mediaType": mt.OCI_CONFIG, "digest": str(blob.digest), "size": blob.size}}  # fmt: skip
    two = engine.put(HERE, json.dumps(body).encode(), mt.OCI_MANIFEST)
    assert (await assembled(engine, one, two, annotations={})).created == DAY[3]
    assert (await assembled(engine, one, two, annotations={CREATED: "2026-01-02T00:00:00Z"})).created == DAY[2]
