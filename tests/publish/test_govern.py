"""The tag policy in a run: what it reads, when it asks, and what becomes of the tags."""

import json

import pytest
from msgspec.structs import replace

from bakery.errors import ExitCode
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.outcome import State, Step
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan
from bakery.publish.policy import Rule, TagPolicy
from bakery.publish.sets import Whole
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, refusal, target

ONE = "one.example/app"
HERE = Repository.parse(ONE)
DATES = {"1.9.0": "2026-01-09T00:00:00Z", "2.0.0": "2026-01-20T00:00:00Z", "2.1.0": "2026-01-21T00:00:00Z"}


def release(engine, version, *tags, policy=None, created=None, uid=None):
    """A target of this version, whose builds are in the engine."""
    created = created or DATES[version]
    made = [build(add_image(engine, name, created=created, salt=version)) for name in ("linux/amd64", "linux/arm64")]
    planned = replace(target(made, ((ONE, tags),), uid=uid or version), version=version)
    annotations = {"org.opencontainers.image.version": version}
    return replace(planned, annotations=annotations, policy=policy or TagPolicy())


async def publish(engine, *targets, clock=None, **options):
    return await Pipeline(
        Plan(targets), engine, options=PipelineOptions(**options), clock=clock or JumpingClock()
    ).execute()


def states(outcome):
    return {tag.tag: tag.state for one in outcome.targets for place in one.destinations for tag in place.tags}


async def published(engine, version, *tags, **more):
    outcome = await publish(engine, release(engine, version, *tags, **more))
    assert outcome.exit_code == ExitCode.DONE
    return outcome.targets[0].digest


async def test_by_default_latest_goes_back_to_an_older_version_with_a_warning_that_names_both():
    engine = DictionaryEngine()
    await published(engine, "2.0.0", "latest")
    outcome = await publish(engine, release(engine, "1.9.0", "1.9.0", "latest"))
    assert engine.tags[HERE, "latest"] == outcome.targets[0].digest
    assert outcome.exit_code == ExitCode.DONE
    (note,) = outcome.targets[0].notes
    assert "latest goes back from 2.0.0" in note
    assert "to 1.9.0" in note


@pytest.mark.parametrize("policy", [TagPolicy(no_downgrade=True), TagPolicy(latest=Rule.NO_DOWNGRADE)])
async def test_no_downgrade_skips_the_tag_with_a_note_and_moves_the_others(policy):
    engine = DictionaryEngine()
    newest = await published(engine, "2.0.0", "latest")
    outcome = await publish(engine, release(engine, "1.9.0", "1.9.0", "latest", policy=policy))
    assert engine.tags[HERE, "latest"] == newest
    assert states(outcome) == {"1.9.0": State.PUBLISHED, "latest": State.SKIPPED}
    assert outcome.exit_code == ExitCode.DONE
    assert "latest stays at 2.0.0" in outcome.targets[0].notes[0]


async def test_if_newer_refuses_an_older_image_and_moves_the_tags_that_may():
    engine = DictionaryEngine()
    newest = await published(engine, "2.0.0", "latest")
    outcome = await publish(engine, release(engine, "1.9.0", "1.9.0", "latest", policy=TagPolicy(if_newer=True)))
    assert engine.tags[HERE, "latest"] == newest
    assert states(outcome) == {"1.9.0": State.PUBLISHED, "latest": State.REFUSED}
    assert outcome.exit_code == ExitCode.FAILED
    assert outcome.targets[0].state is State.REFUSED
    assert outcome.targets[0].destinations[0].failure.step is Step.COMMIT


async def test_if_newer_moves_to_a_newer_image():
    engine = DictionaryEngine()
    await published(engine, "1.9.0", "latest")
    outcome = await publish(engine, release(engine, "2.0.0", "latest", policy=TagPolicy(if_newer=True)))
    assert states(outcome) == {"latest": State.PUBLISHED}


@pytest.mark.parametrize("policy", [TagPolicy(immutable=("*.*.*",)), TagPolicy(version=Rule.IMMUTABLE)])
async def test_an_immutable_tag_with_another_digest_moves_no_tag_of_the_target(policy):
    engine = DictionaryEngine()
    first = await published(engine, "2.0.0", "2.0.0")
    rebuilt = release(engine, "2.0.0", "2", "2.0.0", "latest", policy=policy, created="2026-03-01T00:00:00Z")
    outcome = await publish(engine, rebuilt)
    assert {tag: digest for (_, tag), digest in engine.tags.items()} == {"2.0.0": first}
    assert outcome.targets[0].state is State.REFUSED
    assert outcome.exit_code == ExitCode.FAILED


async def test_an_immutable_tag_with_the_same_digest_is_fine():
    engine = DictionaryEngine()
    await published(engine, "2.0.0", "2.0.0")
    outcome = await publish(engine, release(engine, "2.0.0", "2.0.0", policy=TagPolicy(immutable=("*",))))
    assert states(outcome) == {"2.0.0": State.UNCHANGED}


async def test_a_refusal_in_a_set_comes_before_the_first_tag_moves():
    engine = DictionaryEngine()
    await published(engine, "2.0.0", "latest")
    before = dict(engine.tags)
    policy = TagPolicy(if_newer=True)
    older = release(engine, "1.9.0", "1.9.0", "latest", policy=policy)
    newer = release(engine, "2.1.0", "2.1.0", policy=policy)
    outcome = await publish(engine, older, newer, whole=Whole.RUN)
    assert engine.tags == before
    assert [one.state for one in outcome.targets] == [State.REFUSED, State.FAILED]


async def test_a_tag_that_changed_since_it_was_read_is_judged_again_right_before_the_write():
    engine = DictionaryEngine()
    await published(engine, "1.9.0", "latest")
    newest = await published(engine, "2.1.0", "2.1.0")

    async def on_stage(image, repository):  # another run moves the tag after it was read
        engine.on_stage = None

    def on_tag(repository, tag):
        if tag == "2.0.0":
            engine.tags[repository, "latest"] = newest

    engine.on_stage, engine.on_tag = on_stage, on_tag
    outcome = await publish(engine, release(engine, "2.0.0", "2.0.0", "latest", policy=TagPolicy(if_newer=True)))
    assert engine.tags[HERE, "latest"] == newest
    assert states(outcome) == {"2.0.0": State.PUBLISHED, "latest": State.REFUSED}


async def test_the_newer_of_two_racing_runs_reads_back_after_the_window_and_moves_its_tag_once_more():
    engine, clock = DictionaryEngine(), JumpingClock()
    older = await published(engine, "1.9.0", "1.9.0")
    writes = []

    def on_tag(repository, tag):
        writes.append(tag)
        if len(writes) == 1:
            engine.tags[repository, tag] = older  # the older run had read the tag before, and writes now

    engine.on_tag = on_tag
    policy = TagPolicy(if_newer=True)
    outcome = await publish(engine, release(engine, "2.0.0", "latest", policy=policy), clock=clock)
    assert writes == ["latest", "latest"]
    assert engine.tags[HERE, "latest"] == outcome.targets[0].digest
    assert sum(clock.slept) == pytest.approx(1.0)
    assert outcome.exit_code == ExitCode.DONE


async def test_the_older_of_two_racing_runs_leaves_the_tag_to_the_newer():
    engine = DictionaryEngine()
    newer = await published(engine, "2.1.0", "2.1.0")
    engine.on_tag = lambda repository, tag: engine.tags.update({(repository, tag): newer})
    outcome = await publish(engine, release(engine, "2.0.0", "latest", policy=TagPolicy(if_newer=True)))
    assert engine.tags[HERE, "latest"] == newer
    assert states(outcome) == {"latest": State.TAKEN}
    assert outcome.exit_code == ExitCode.DONE


def foreign(engine, *, labels=None, created=None, tags=()):
    """An index that another tool published: no annotations; what its config says; under these tags."""
    config = {"os": "linux", "architecture": "amd64", "config": {"Labels": labels or {}}}
    config |= {"created": created} if created else {}
    blob = engine.put(HERE, json.dumps(config).encode(), mt.OCI_CONFIG)
    image = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": {"mediaType": mt.OCI_CONFIG, "digest": str(blob.digest), "size": blob.size},
        "layers": [],
    }
    child = engine.put(HERE, json.dumps(image).encode(), mt.OCI_MANIFEST)
    entry = {"mediaType": mt.OCI_MANIFEST, "digest": str(child.digest), "size": child.size}
    index = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [entry]}
    digest = engine.put(HERE, json.dumps(index).encode(), mt.OCI_INDEX).digest
    engine.tags |= {(HERE, tag): digest for tag in tags}
    return digest


async def test_the_version_of_what_a_tag_names_is_that_of_the_version_tag_with_the_same_digest():
    engine = DictionaryEngine()
    there = foreign(engine, tags=("2.0.0", "latest"))
    outcome = await publish(engine, release(engine, "1.9.0", "latest", policy=TagPolicy(no_downgrade=True)))
    assert engine.tags[HERE, "latest"] == there
    assert states(outcome) == {"latest": State.SKIPPED}


async def test_the_creation_of_what_a_tag_names_is_that_of_its_config():
    engine = DictionaryEngine()
    there = foreign(engine, created="2026-02-01T00:00:00Z", tags=("latest",))
    outcome = await publish(engine, release(engine, "1.9.0", "latest", policy=TagPolicy(if_newer=True)))
    assert engine.tags[HERE, "latest"] == there
    assert states(outcome) == {"latest": State.REFUSED}


async def test_a_version_label_that_was_inherited_from_the_base_image_does_not_count():
    engine = DictionaryEngine()
    foreign(engine, labels={"org.opencontainers.image.version": "24.04"}, tags=("latest",))
    outcome = await publish(engine, release(engine, "1.9.0", "latest", policy=TagPolicy(no_downgrade=True)))
    assert states(outcome) == {"latest": State.PUBLISHED}


async def test_an_age_that_cannot_be_read_never_stops_a_tag_that_only_warns():
    engine = DictionaryEngine()
    await published(engine, "2.0.0", "latest")
    engine.refuse = lambda action, repository: refusal() if (action, repository) == ("find", HERE) else None
    assert (await publish(engine, release(engine, "1.9.0", "latest"))).exit_code == ExitCode.DONE
    strict = release(engine, "1.9.0", "edge", policy=TagPolicy(if_newer=True))
    engine.tags[HERE, "edge"] = Digest.of(b"x")
    assert (await publish(engine, strict)).exit_code == ExitCode.FAILED


async def test_what_tags_leave_is_kept_under_a_tag_unless_its_version_tag_names_it():
    engine = DictionaryEngine()
    first = await published(engine, "1.9.0", "1.9.0", "latest")
    assert (await publish(engine, release(engine, "2.0.0", "latest"), keep_previous="old-")).exit_code == ExitCode.DONE
    assert {tag for _, tag in engine.tags} == {"1.9.0", "latest"}
    second = engine.tags[HERE, "latest"]
    third = release(engine, "2.1.0", "2.1.0", "latest")
    for _ in range(2):  # the second run changes nothing
        assert (await publish(engine, third, keep_previous="old-")).exit_code == ExitCode.DONE
    kept = {tag: digest for (_, tag), digest in engine.tags.items() if tag.startswith("old-")}
    assert kept == {f"old-{second.hex[:12]}": second}
    assert first != second


async def test_nothing_moves_if_what_the_tags_leave_cannot_be_kept():
    engine = DictionaryEngine()
    first = await published(engine, "1.9.0", "latest")
    engine.refuse = lambda action, repository: refusal() if action == "set" else None
    outcome = await publish(engine, release(engine, "2.0.0", "2.0.0", "latest"), keep_previous="old-")
    assert engine.tags == {(HERE, "latest"): first}
    assert outcome.exit_code == ExitCode.FAILED


async def test_a_conditional_write_that_came_too_late_is_judged_again(monkeypatch):
    engine = DictionaryEngine()
    engine.is_conditional = True
    await published(engine, "1.9.0", "latest")
    newest = await published(engine, "2.1.0", "2.1.0")
    read = engine.read_tag

    async def between(reference):
        found = await read(reference)
        if engine.tags[HERE, "latest"] != newest:  # another run writes right after our read
            engine.tags[HERE, "latest"] = newest
        return found

    monkeypatch.setattr(engine, "read_tag", between)
    outcome = await publish(engine, release(engine, "2.0.0", "latest", policy=TagPolicy(if_newer=True)))
    assert engine.tags[HERE, "latest"] == newest
    assert states(outcome) == {"latest": State.REFUSED}
