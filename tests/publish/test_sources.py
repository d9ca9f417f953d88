"""What a plan may ask of its sources: tags, must-exist, kept bytes, platforms, duplicates, order, entries."""

import json
from itertools import islice

import pytest
from msgspec.structs import replace

from bakery.errors import BakeryError, NotFound
from bakery.events import Event, Noted, SourcesMissing
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED
from bakery.oci.digest import Digest
from bakery.oci.manifest import ATTESTATION_OF, Index, parse
from bakery.oci.platform import Platform
from bakery.polling import poll_delays
from bakery.publish.assemble import AssemblyOptions, assemble_target
from bakery.publish.outcome import State
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import AssemblyRules, KeepSource, OnDuplicate, Plan, Source
from bakery.publish.read import read_sources
from bakery.publish.sources import wait_for_sources
from tests.clock import JumpingClock
from tests.publish.fakes import TEMPORARY, DictionaryEngine, add_image, build, target

PLAIN = AssemblyRules(sets_created=False, in_source_order=True, on_duplicate=OnDuplicate.REFUSE)


def wanted(sources, *, platforms=(), annotations=(), **rules):
    return replace(target(sources, platforms=platforms), annotations=dict(annotations), rules=replace(PLAIN, **rules))


async def assembled(engine, planned, **options):
    found = await wait_for_sources(planned, engine, limit_s=1, clock=JumpingClock(), emit=lambda event: None)
    return assemble_target(planned, await read_sources(planned, engine, found), AssemblyOptions(**options))


def names(image):
    return [str(child.descriptor.platform) for child in image.children]


def put_index(engine, *entries, tag=""):
    document = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": list(entries)}
    found = engine.put(TEMPORARY, json.dumps(document, indent=3).encode(), mt.OCI_INDEX)
    if tag:
        engine.tags[TEMPORARY, tag] = found.digest
    return found


def entry(descriptor, platform, **more):
    os_name, architecture = platform.split("/")
    found = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    return found | {"platform": {"os": os_name, "architecture": architecture}} | more


def attestation_of(engine, image):
    made = add_image(engine, "unknown/unknown", salt=str(image.digest))
    return entry(made, "unknown/unknown", annotations={ATTESTATION_OF: str(image.digest)})


async def test_a_tag_is_resolved_once_and_its_digest_is_reported():
    engine, events = DictionaryEngine(), list[Event]()
    image = add_image(engine, "linux/amd64")
    engine.tags[TEMPORARY, "edge"] = image.digest
    reference = TEMPORARY.with_tag("edge")
    planned = wanted([Source(reference), Source(reference)])
    outcome = await Pipeline(
        Plan((planned,)), engine, options=PipelineOptions(), clock=JumpingClock(), emit=events.append
    ).execute()
    assert outcome.targets[0].state is State.PUBLISHED
    assert engine.found == [reference]
    assert Noted("app", f"{reference} is {image.digest}", warning=False) in events


async def test_a_source_is_waited_for_as_long_as_the_limit_says_and_no_longer():
    reference = TEMPORARY.with_digest(Digest.of(b"absent"))
    first, second = islice(poll_delays(), 2)
    for limit_s, waits in ((first, [first]), (first + second, [first, second]), (first + second / 2, [first])):
        clock, events = JumpingClock(), list[Event]()
        clock.time = 100.0
        with pytest.raises(NotFound, match=f"still missing after {sum(waits):.0f} s"):
            await wait_for_sources(
                wanted([Source(reference)]), DictionaryEngine(), limit_s=limit_s, clock=clock, emit=events.append
            )
        assert clock.slept == waits
        assert [event.waited_s for event in events if isinstance(event, SourcesMissing)] == [0, first][: len(waits)]


async def test_a_source_that_must_exist_is_not_waited_for():
    clock, reference = JumpingClock(), TEMPORARY.with_tag("edge")
    planned = wanted([Source(reference, must_exist=True)])
    with pytest.raises(NotFound, match="must exist already") as raised:
        await wait_for_sources(planned, DictionaryEngine(), limit_s=600, clock=clock, emit=lambda event: None)
    assert str(reference) in str(raised.value)
    assert clock.slept == []


class TestKeptBytes:
    """What is published unchanged if it is the only source."""

    async def test_an_index_keeps_its_digest_if_nothing_changes(self):
        engine = DictionaryEngine()
        found = put_index(engine, entry(add_image(engine, "linux/amd64"), "linux/amd64"))
        image = await assembled(engine, wanted([build(found)], keep=KeepSource.INDEX))
        assert image.digest == found.digest

    @pytest.mark.parametrize("keep", [KeepSource.INDEX, KeepSource.ANY])
    async def test_annotations_make_a_new_index(self, keep):
        engine = DictionaryEngine()
        found = put_index(engine, entry(add_image(engine, "linux/amd64"), "linux/amd64"))
        image = await assembled(engine, wanted([build(found)], annotations={"a": "b"}, keep=keep))
        assert image.digest != found.digest

    async def test_a_single_manifest_becomes_an_index_or_a_carbon_copy(self):
        engine = DictionaryEngine()
        found = add_image(engine, "linux/amd64")
        assert not (await assembled(engine, wanted([build(found)], keep=KeepSource.INDEX))).is_single
        copy = await assembled(engine, wanted([build(found)], keep=KeepSource.ANY))
        assert copy.is_single
        assert copy.digest == found.digest

    async def test_indexes_inside_a_kept_index_are_published_too(self):
        engine = DictionaryEngine()
        inner = put_index(engine, entry(add_image(engine, "linux/amd64"), "linux/amd64"))
        outer = put_index(engine, {"mediaType": mt.OCI_INDEX, "digest": str(inner.digest), "size": inner.size})
        image = await assembled(engine, wanted([build(outer)], keep=KeepSource.ANY))
        assert image.digest == outer.digest
        assert [content.descriptor.digest for content in image.nested] == [inner.digest]


class TestPlatforms:
    """Which images are left out, and which must be there."""

    NAMES = ("linux/amd64", "linux/arm64", "linux/riscv64")

    def attested(self, engine):
        images = [add_image(engine, name) for name in self.NAMES]
        entries = [entry(image, name) for image, name in zip(images, self.NAMES, strict=True)]
        return build(put_index(engine, *entries, *(attestation_of(engine, image) for image in images)))

    async def test_a_filter_keeps_the_attestations_of_what_it_keeps(self):
        engine = DictionaryEngine()
        only = (Platform.parse("linux/arm64"),)
        image = await assembled(engine, wanted([self.attested(engine)], only_platforms=only, keep=KeepSource.ANY))
        assert names(image) == ["linux/arm64", "unknown/unknown"]

    async def test_a_platform_that_no_source_has_is_an_error(self):
        engine = DictionaryEngine()
        only = (Platform.parse("linux/s390x"),)
        with pytest.raises(BakeryError, match="no source has an image for linux/s390x; there are: linux/amd64"):
            await assembled(engine, wanted([self.attested(engine)], only_platforms=only))

    async def test_an_undeclared_platform_is_left_out_with_a_note(self):
        engine = DictionaryEngine()
        planned = wanted([self.attested(engine)], platforms=self.NAMES[:2], keep=KeepSource.INDEX)
        image = await assembled(engine, planned)
        assert names(image) == [*self.NAMES[:2], "unknown/unknown", "unknown/unknown"]
        assert image.notes == (
            "left out linux/riscv64, which bakery.yaml does not declare; --allow-extra-platforms publishes it",
        )
        assert names(await assembled(engine, planned, allow_extra_platforms=True))[:3] == list(self.NAMES)

    async def test_an_undeclared_platform_is_refused_if_platforms_are_exact(self):
        engine = DictionaryEngine()
        planned = wanted(
            [self.attested(engine)], platforms=self.NAMES[:2], exact_platforms=True, declared_in="--require-platform"
        )
        with pytest.raises(BakeryError, match="linux/riscv64, which --require-platform does not declare"):
            await assembled(engine, planned)


class TestDuplicates:
    """Two sources of one platform."""

    async def test_duplicates_are_refused_and_both_are_named(self):
        engine = DictionaryEngine()
        found = [build(add_image(engine, "linux/amd64", salt=salt)) for salt in "ab"]
        with pytest.raises(BakeryError, match="two sources have an image for linux/amd64") as raised:
            await assembled(engine, wanted(found))
        assert all(str(source.reference) in str(raised.value) for source in found)

    async def test_the_last_duplicate_wins_if_that_is_chosen(self):
        engine = DictionaryEngine()
        images = [add_image(engine, "linux/amd64", salt=salt) for salt in "ab"]
        for order in (images, images[::-1]):
            image = await assembled(engine, wanted([build(one) for one in order], on_duplicate=OnDuplicate.LAST))
            assert [child.descriptor.digest for child in image.children] == [order[1].digest]
            assert "using the last" in image.notes[0]

    async def test_the_same_image_twice_is_not_a_duplicate(self):
        engine = DictionaryEngine()
        found = add_image(engine, "linux/amd64")
        image = await assembled(engine, wanted([build(found), build(put_index(engine, entry(found, "linux/amd64")))]))
        assert len(image.children) == 1


async def test_entries_keep_the_order_of_the_sources_if_that_is_chosen():
    engine = DictionaryEngine()
    order = ("linux/s390x", "linux/amd64", "linux/arm64")
    found = [build(add_image(engine, name)) for name in order]
    assert names(await assembled(engine, wanted(found))) == list(order)
    assert names(await assembled(engine, wanted(found, in_source_order=False))) == sorted(order)


async def test_a_descriptor_of_the_user_replaces_the_platform_and_adds_its_annotations():
    engine = DictionaryEngine()
    found = add_image(engine, "linux/arm64")
    given = replace(found, platform=Platform("linux", "arm64", "v9"), annotations={"a": "b"})
    image = await assembled(engine, wanted([build(found, entry=given)], keep=KeepSource.ANY))
    assert names(image) == ["linux/arm64/v9"]
    assert dict(image.children[0].descriptor.annotations) == {"a": "b"}


async def test_members_of_index_and_entries_are_set_and_created_is_not():
    engine = DictionaryEngine()
    subject = add_image(engine, "linux/amd64", salt="subject")
    found = [build(add_image(engine, name)) for name in ("linux/amd64", "linux/arm64")]
    planned = wanted(
        found,
        annotations={"x": "y"},
        entry_annotations={"": {"all": "1"}, "linux/arm64": {"one": "2"}},
        artifact_type="application/x",
        subject=subject,
    )
    view = parse((await assembled(engine, planned)).index.raw)
    assert isinstance(view, Index)
    assert (view.annotations, view.artifact_type) == ({"x": "y"}, "application/x")
    assert view.subject is not None
    assert view.subject.digest == subject.digest
    assert [dict(one.annotations) for one in view.manifests] == [{"all": "1"}, {"all": "1", "one": "2"}]
    assert CREATED not in view.annotations


async def test_two_assemblies_of_the_same_sources_have_one_digest():
    engine = DictionaryEngine()
    found = [build(add_image(engine, name)) for name in ("linux/amd64", "linux/arm64")]
    digests: set[Digest] = {(await assembled(engine, wanted(found))).digest for _ in range(2)}
    assert len(digests) == 1
