"""The survey of a dry run over an engine in memory: what it finds for each target, and that it only reads."""

from __future__ import annotations

from msgspec.structs import replace

from bakery.config.schema.options import SociOptions
from bakery.errors import BakeryError, NotFound
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.assemble import AssemblyOptions
from bakery.publish.forecast import Change, Forecast
from bakery.publish.image import AssembledImage, Lacking
from bakery.publish.plan import Plan, RefusedTarget, SkippedTarget
from bakery.publish.policy import Rule, TagPolicy
from bakery.publish.sets import Whole
from bakery.publish.survey import survey
from tests.clock import JumpingClock
from tests.publish.fakes import TEMPORARY, DictionaryEngine, add_image, build, refusal, target

ONE, TWO = Repository.parse("one.example/app"), Repository.parse("two.example/app")
LAYER = Descriptor.of(b"layer", "application/vnd.oci.image.layer.v1.tar")
BOTH = ("linux/amd64", "linux/arm64")


class Surveyed(DictionaryEngine):
    """An engine that lacks one layer and two manifests everywhere, and whose reads of a tag take 0.25 s."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = JumpingClock()
        self.clock.time = 50.0

    async def lacks(self, image: AssembledImage, repository: Repository) -> Lacking:
        self._check("lacks", repository)
        return Lacking((LAYER,), 2)

    async def read_tag(self, reference):
        self.clock.time += 0.25
        return await super().read_tag(reference)

    def __getattribute__(self, name: str):
        assert name not in ("stage", "tag", "set_tag", "remove_tag"), "a survey writes"
        return super().__getattribute__(name)


def planned(engine, *, uid="app", tags=("1.0", "latest"), platforms=BOTH, **changes):
    made = [build(add_image(engine, name, salt=uid)) for name in platforms]
    return replace(target(made, ((str(ONE), tags),), uid=uid), **changes)


async def surveyed(engine, *targets, whole=None, assembly=None, convert=False, **plan) -> Forecast:
    options = {"convert": convert, **({"assembly": assembly} if assembly else {})}
    return await survey(Plan(targets, **plan), engine, whole=whole, clock=engine.clock, **options)


def changes(found: Forecast, at=0) -> dict[str, Change]:
    return {tag.tag: tag.change for place in found.targets[at].destinations for tag in place.tags}


async def test_a_target_is_shown_with_its_digest_platforms_and_what_would_be_sent():
    engine = Surveyed()
    found = await surveyed(engine, planned(engine))
    (one,) = found.targets
    assert one.digest is not None
    assert one.platforms == BOTH
    assert one.missing_platforms == ()
    (place,) = one.destinations
    assert (place.lacking, place.manifests, place.failure) == ((LAYER,), 2, None)
    assert changes(found) == {"1.0": Change.NEW, "latest": Change.NEW}
    assert set(one.blobs.values()) == {TEMPORARY.registry}
    assert 0.25 < found.cost.seconds < 60
    assert not found.would_fail


async def test_tags_that_exist_are_compared():
    engine = Surveyed()
    digest = (await surveyed(engine, planned(engine))).targets[0].digest
    assert digest is not None
    engine.tags |= {(ONE, "1.0"): digest, (ONE, "latest"): Digest.of(b"other")}
    assert changes(await surveyed(engine, planned(engine))) == {"1.0": Change.EQUAL, "latest": Change.MOVES}


async def test_a_build_that_is_missing_is_reported_at_once_and_the_others_are_surveyed():
    engine = Surveyed()
    absent = target([build(add_image(DictionaryEngine(), "linux/amd64"))], ((str(TWO), ("1",)),), uid="absent")
    found = await surveyed(engine, absent, planned(engine))
    assert isinstance(found.targets[0].failure, NotFound)
    assert engine.clock.slept == []
    assert changes(found, 0) == {"1": Change.UNKNOWN}
    assert changes(found, 1) == {"1.0": Change.NEW, "latest": Change.NEW}
    assert found.targets[0].blobs == {}
    assert found.targets[0].destinations[0].failure is None


async def test_a_missing_platform_is_a_failure_or_a_note():
    engine = Surveyed()
    one = planned(engine, platforms=BOTH[:1])
    found = (await surveyed(engine, one)).targets[0]
    assert isinstance(found.failure, BakeryError)
    assert found.missing_platforms == ("linux/arm64",)
    allowed = (await surveyed(engine, one, assembly=AssemblyOptions(allow_missing_platforms=True))).targets[0]
    assert allowed.failure is None
    assert allowed.notes[0].startswith("published without linux/arm64")


async def test_a_destination_that_cannot_be_read_fails_alone():
    engine = Surveyed()
    one = planned(engine)
    one = replace(one, destinations=(*one.destinations, replace(one.destinations[0], repository=TWO)))
    engine.refuse = lambda action, repository: refusal() if repository == TWO and action in ("lacks", "read") else None
    found = await surveyed(engine, one)
    good, bad = found.targets[0].destinations
    assert good.failure is None
    assert bad.failure is not None
    assert {tag.change for tag in bad.tags} == {Change.UNKNOWN}
    assert found.would_fail


async def test_the_digest_of_what_is_converted_to_soci_is_not_known():
    engine = Surveyed()
    engine.tags[ONE, "1.0"] = Digest.of(b"other")
    policy = TagPolicy(version=Rule.IMMUTABLE)
    found = await surveyed(engine, planned(engine, soci=SociOptions(), policy=policy))
    assert found.targets[0].digest is None
    assert "converted to SOCI" in found.targets[0].notes[-1]
    assert changes(found) == {"1.0": Change.UNKNOWN, "latest": Change.NEW}
    absent = target([build(add_image(DictionaryEngine(), "linux/amd64"))], soci=SociOptions())
    assert (await surveyed(engine, absent)).targets[0].notes == ()
    plain = await surveyed(engine, planned(engine))
    assert not [note for note in plain.targets[0].notes if "SOCI" in note]


async def test_only_what_is_published_with_soci_is_converted_and_only_on_request():
    engine = Surveyed()
    engine.refuse = lambda action, repository: refusal() if action == "convert" else None
    for target_, convert in ((planned(engine), True), (planned(engine, soci=SociOptions()), False)):
        found = await surveyed(engine, target_, convert=convert)
        assert found.targets[0].failure is None


async def test_the_digest_of_what_is_converted_to_soci_is_known_if_it_is_converted():
    engine = Surveyed()
    engine.tags[ONE, "1.0"] = Digest.of(b"other")
    one = planned(engine, soci=SociOptions(), policy=TagPolicy(immutable=("1.0",)))
    found = await surveyed(engine, one, convert=True)
    assert found.targets[0].digest is not None
    assert changes(found) == {"1.0": Change.REFUSED, "latest": Change.STAYS}
    assert not [note for note in found.targets[0].notes if "--convert" in note]
    engine.refuse = lambda action, repository: refusal() if action == "convert" else None
    found = await surveyed(engine, one, convert=True)
    assert found.targets[0].failure is not None
    assert found.targets[0].digest is None
    assert set(changes(found).values()) == {Change.UNKNOWN, Change.NEW}
    assert not [note for note in found.targets[0].notes if "--convert" in note]


async def test_an_immutable_tag_with_another_digest_is_refused_and_holds_the_others():
    engine = Surveyed()
    engine.tags |= {(ONE, "1.0"): Digest.of(b"other"), (ONE, "latest"): Digest.of(b"other")}
    policy = TagPolicy(immutable=("1.0",))
    assert changes(await surveyed(engine, planned(engine, policy=policy))) == {
        "1.0": Change.REFUSED,
        "latest": Change.STAYS,
    }


async def test_a_tag_that_a_policy_skips_does_not_hold_the_others():
    engine = Surveyed()
    engine.tags[ONE, "latest"] = add_image(engine, "linux/amd64", created="2030-01-01T00:00:00Z", repository=ONE).digest
    found = await surveyed(engine, planned(engine, policy=TagPolicy(no_downgrade=True)))
    assert changes(found) == {"1.0": Change.NEW, "latest": Change.STAYS}


async def whole_changes(whole: Whole, **plan) -> set[Change]:
    engine = Surveyed()
    return set(changes(await surveyed(engine, planned(engine), whole=whole, **plan)).values())


async def test_a_target_that_is_refused_or_skipped_holds_the_set_that_it_belongs_to():
    engine = DictionaryEngine()
    refused = RefusedTarget(planned(engine, uid="refused"), BakeryError("no"))
    other = RefusedTarget(replace(planned(engine, uid="other"), image="other"), BakeryError("no"))
    skipped = SkippedTarget("skipped", "no build", image="app")
    for left_out in ({"refused": (refused,)}, {"skipped": (skipped,)}):
        assert await whole_changes(Whole.RUN, **left_out) == {Change.STAYS}
        assert await whole_changes(Whole.IMAGE, **left_out) == {Change.STAYS}
        assert await whole_changes(Whole.TARGET, **left_out) == {Change.NEW}
    assert await whole_changes(Whole.IMAGE, refused=(other,)) == {Change.NEW}
    assert await whole_changes(Whole.RUN, refused=(other,)) == {Change.STAYS}
    assert await whole_changes(Whole.RUN) == {Change.NEW}


async def test_a_registry_that_does_not_answer_has_no_round_trip():
    engine = Surveyed()
    engine.refuse = lambda action, repository: refusal() if action == "read" else None
    found = await surveyed(engine, planned(engine))
    assert found.cost.seconds < 0.25
