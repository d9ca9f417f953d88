"""What every engine must do, whatever it does it with; and that both leave the same bytes."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.config.schema.options import SociOptions
from bakery.errors import AuthError, ExitCode
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.reference import LayoutPath, LayoutReference, Repository
from bakery.publish.outcome import State, Step
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import AssemblyRules, KeepSource, Source
from bakery.rehearsal import Access, EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from tests.contract.conftest import cli, native
from tests.engines.workload import add_image, add_target, digest_of, layer, plan
from tests.soci_program import soci

__all__ = ["soci"]  # a fixture

LAYOUT = Path(__file__).parents[2] / "examples" / "hello" / "builds" / "layout"
ATTESTED = "sha256:9651344657d15ace394b0a7f8781a4e1acb8c58adab50841baf6beab002a8f93"  # an index
PLAIN = "sha256:4c17d0c3dcd3e32805349f69690338f57cf0644f340d415023be190d4bc14ec1"  # a manifest

INDEX = "application/vnd.oci.image.index.v1+json"


async def publish(engine, *targets, **options):
    return await Pipeline(plan(*targets), engine, options=PipelineOptions(jobs=4, **options)).execute()


def assert_whole(registry, path, tag, digest):
    """Index, children and blobs are all there, under the tag."""
    assert registry.tags(path)[tag] == digest
    index = views.parse(registry.manifest(path, tag)[1])
    assert isinstance(index, Index)
    for entry in index.manifests:
        image = views.parse(registry.manifest(path, entry.digest)[1])
        assert isinstance(image, Manifest)
        for blob in image.blobs:
            assert Digest.of(registry.blob(path, blob.digest)) == blob.digest


def writes(*registries):
    return sum(registry.count(method) for registry in registries for method in ("PUT", "POST", "PATCH", "DELETE"))


async def test_two_targets_are_published_complete_to_two_registries(engine, registries):
    source, one, two = registries
    targets = [add_target(source, (one, two), uid, tags=(uid, f"{uid}-x"), path=f"acme/{uid}") for uid in ("a", "b")]
    outcome = await publish(engine(), *targets)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    for target in outcome.targets:
        for registry in (one, two):
            assert_whole(registry, f"acme/{target.uid}", target.uid, target.digest)
            assert set(registry.tags(f"acme/{target.uid}")) == {target.uid, f"{target.uid}-x"}


async def test_only_requested_tags_appear(engine, registries):
    source, one, _ = registries
    outcome = await publish(engine(), add_target(source, (one,), "a"))
    assert outcome.exit_code == ExitCode.DONE
    assert source.tags("tmp/app/tmp") == {}
    assert set(one.tags("acme/app")) == {"1.0", "latest"}


async def test_no_tag_moves_before_index_and_children_were_read_back(engine, registries):
    source, one, _ = registries
    outcome = await publish(engine(), add_target(source, (one,), "a", tags=("1.0",)))
    index = views.parse(one.manifest("acme/app", "1.0")[1])
    assert isinstance(index, Index)
    asked = [(request.method, request.path.rpartition("/manifests/")[2]) for request in one.requests]
    moved = asked.index(("PUT", "1.0"))
    for digest in (outcome.targets[0].digest, *(entry.digest for entry in index.manifests)):
        written = asked.index(("PUT", str(digest)))
        assert [method for method, name in asked[written + 1 : moved] if name == str(digest) and method != "PUT"]


async def test_a_second_run_changes_nothing_at_the_destination(engine, registries):
    source, one, two = registries
    targets = [add_target(source, (one, two), uid, tags=(uid,)) for uid in ("a", "b")]
    first = await publish(engine(), *targets)
    one.forget_requests()
    two.forget_requests()
    second = await publish(engine(), *targets)
    assert [target.state for target in second.targets] == [State.UNCHANGED] * 2
    assert [target.digest for target in second.targets] == [target.digest for target in first.targets]
    assert writes(one, two) == 0


@pytest.mark.parametrize("damage", ["a child", "a tag", "the index", "a layer"])
async def test_a_destination_with_missing_content_is_repaired(engine, registries, damage):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    first = await publish(engine(), target)
    index = views.parse(one.manifest("acme/app", "latest")[1])
    assert isinstance(index, Index)
    if damage == "a child":
        one.delete_manifest("acme/app", index.manifests[0].digest)
    elif damage == "a layer":
        one.delete_blob("acme/app", Digest.of(layer("a linux/arm64")))
    elif damage == "the index":
        one.delete_manifest("acme/app", first.targets[0].digest)
    else:
        one.delete_tag("acme/app", "latest")
    again = await publish(engine(), target)
    assert again.exit_code == ExitCode.DONE, again.failures
    assert_whole(one, "acme/app", "latest", first.targets[0].digest)


async def test_content_of_the_same_registry_is_mounted_and_not_uploaded(engine, registries):
    source, *_ = registries
    outcome = await publish(engine(), add_target(source, (source,), "a"))
    assert outcome.exit_code == ExitCode.DONE
    assert_whole(source, "acme/app", "latest", outcome.targets[0].digest)
    assert source.count("PATCH", "", "acme/app") == 0
    assert source.bodies_received(Digest.of(layer("a linux/amd64"))) == 0


async def test_sources_may_be_in_several_registries(engine, registries):
    source, other, one = registries
    left, right = add_target(source, (one,), "a"), add_target(other, (one,), "a", repository="elsewhere/tmp")
    outcome = await publish(engine(), replace(left, sources=(left.sources[0], right.sources[1])))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert_whole(one, "acme/app", "latest", outcome.targets[0].digest)


def index_target(source, destination, uid="attested"):
    """A target whose two builds are indexes, as buildx pushes them: an image and its attestation each."""
    builds = []
    target = add_target(source, (destination,), uid)
    for platform in ("linux/amd64", "linux/arm64"):
        image = add_image(source, "tmp/app/tmp", platform, layers=(layer(f"{uid} {platform}"),), salt=uid)
        attestation = add_image(source, "tmp/app/tmp", "unknown/unknown", layers=(layer(f"{uid} sbom {platform}"),))
        os_name, architecture = platform.split("/")
        raw = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [
                    {
                        "mediaType": mt.OCI_MANIFEST,
                        "digest": str(image.digest),
                        "size": image.size,
                        "platform": {"architecture": architecture, "os": os_name},
                    },
                    {
                        "mediaType": mt.OCI_MANIFEST,
                        "digest": str(attestation.digest),
                        "size": attestation.size,
                        "annotations": {
                            "vnd.docker.reference.type": "attestation-manifest",
                            "vnd.docker.reference.digest": str(image.digest),
                        },
                        "platform": {"architecture": "unknown", "os": "unknown"},
                    },
                ],
            }
        ).encode()
        digest = source.put_manifest("tmp/app/tmp", raw)
        reference = Repository(source.address, "tmp/app/tmp").with_digest(digest)
        builds.append(Source(reference))
    return replace(target, sources=tuple(builds))


async def test_sources_that_are_indexes_are_flattened_with_their_attestations(engine, registries):
    source, one, _ = registries
    outcome = await publish(engine(), index_target(source, one))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    index = views.parse(one.manifest("acme/app", "latest")[1])
    assert isinstance(index, Index)
    assert [str(entry.platform) for entry in index.manifests] == [
        "linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown",
    ]  # fmt: skip
    assert {entry.media_type for entry in index.manifests} == {mt.OCI_MANIFEST}
    assert_whole(one, "acme/app", "latest", outcome.targets[0].digest)


async def test_a_dead_registry_fails_alone_and_a_refused_login_is_an_authentication_error(engine, registries):
    source, one, two = registries
    target = add_target(source, (one, two), "a")
    two.fault("POST", "/blobs/uploads/", then=Refuse(403, "DENIED"))
    outcome = await publish(engine(), target)
    assert {str(place.repository): place.state for place in outcome.targets[0].destinations} == {
        f"{one.address}/acme/app": State.PUBLISHED,
        f"{two.address}/acme/app": State.FAILED,
    }
    assert [type(failure.error) for failure in outcome.failures] == [AuthError]
    assert outcome.exit_code == ExitCode.AUTHENTICATION
    assert two.tags("acme/app") == {}


@pytest.mark.parametrize("anonymous_pull", [False, True], ids=["private", "readable by all"])
async def test_a_missing_login_is_found_before_anything_is_sent_and_the_others_go_on(
    engine, registries, anonymous_pull
):
    source, one, _ = registries
    access = Access(users={"robot": "secret"}, anonymous_pull=anonymous_pull)
    async with EmbeddedRegistry(access=access) as guarded:
        target = add_target(source, (one, guarded), "a")
        towards = [place.repository for place in target.destinations]
        outcome = await publish(engine(towards=towards), target)
        writes = [request.method for request in guarded.requests if request.method in ("POST", "PUT", "PATCH")]
    places = {str(place.repository): place for place in outcome.targets[0].destinations}
    assert places[f"{one.address}/acme/app"].state == State.PUBLISHED
    failure = places[f"{guarded.address}/acme/app"].failure
    assert failure is not None
    assert failure.step == Step.STAGE
    assert isinstance(failure.error, AuthError)
    assert failure.error.why == f"{guarded.address} requires a login, and none is stored"
    assert failure.error.hint == f"log in first: docker login {guarded.address}"
    assert outcome.exit_code == ExitCode.AUTHENTICATION
    assert writes == []


async def test_requests_to_an_overloaded_registry_are_retried(engine, registries):
    source, one, _ = registries
    source.fault("GET", "/manifests/", then=Refuse(503, "UNAVAILABLE"), times=2)
    one.fault("PUT", "/manifests/", then=Refuse(500, "UNKNOWN"), times=1)
    outcome = await publish(engine(), add_target(source, (one,), "a"))
    assert outcome.exit_code == ExitCode.DONE, outcome.failures


async def test_sources_that_never_arrive_are_named(engine, registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    source.delete_manifest("tmp/app/tmp", digest_of(target.sources[0]))
    outcome = await publish(engine(), target, wait_limit_s=0.2)
    assert outcome.failures[0].step == Step.WAIT
    assert str(target.sources[0].reference) in str(outcome.failures[0].error)


async def test_a_tag_moves_from_one_release_to_the_next(engine, registries):
    source, one, _ = registries
    await publish(engine(), add_target(source, (one,), "old"))
    outcome = await publish(engine(), add_target(source, (one,), "new"))
    assert outcome.exit_code == ExitCode.DONE
    assert one.tags("acme/app")["latest"] == outcome.targets[0].digest


WORKLOADS = {
    "two manifests of one repository": lambda source, one: add_target(source, (one,), "plain"),
    "indexes with attestations": index_target,
    "one platform": lambda source, one: replace(
        (target := add_target(source, (one,), "single")), sources=target.sources[:1], platforms=("linux/amd64",)
    ),
    "annotations that JSON escapes": lambda source, one: replace(
        add_target(source, (one,), "odd"), annotations={"b": 'a <b> & "c" \u2028', "a": "ü = é", "n": "two\nlines"}
    ),
}


@pytest.mark.peer
@pytest.mark.parametrize("make", WORKLOADS.values(), ids=WORKLOADS)
async def test_both_engines_leave_the_same_bytes(make, registries):
    source, one, two = registries
    first = await publish(cli(), make(source, one))
    second = await publish(native(), make(source, two))
    assert first.exit_code == second.exit_code == ExitCode.DONE, (first.failures, second.failures)
    assert first.targets[0].digest == second.targets[0].digest
    assert one.manifest("acme/app", "latest") == two.manifest("acme/app", "latest")
    assert {str(digest) for digest in one.manifests("acme/app")} == {
        str(digest) for digest in two.manifests("acme/app")
    }
    assert set(one.blobs("acme/app")) == set(two.blobs("acme/app"))


SOCI = {
    "all of it": SociOptions(min_layer_size=0),
    "small spans and one platform": SociOptions(min_layer_size=0, span_size=65536, platforms=("linux/arm64",)),
    "prefetch and xattr": SociOptions(min_layer_size=0, prefetch_files=("etc/motd",), optimizations=("xattr",)),
    "nothing is large enough": SociOptions(),
}


@pytest.mark.peer
@pytest.mark.parametrize("request_", SOCI.values(), ids=SOCI)
async def test_both_engines_convert_to_the_same_bytes(request_, registries, soci, tmp_path, monkeypatch):
    source, one, two = registries
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    first = await publish(cli(soci, needs_soci=True), replace(add_target(source, (one,), "a"), soci=request_))
    second = await publish(native(), replace(add_target(source, (two,), "a"), soci=request_))
    assert first.exit_code == second.exit_code == ExitCode.DONE, (first.failures, second.failures)
    assert first.targets[0].digest == second.targets[0].digest
    assert_whole(one, "acme/app", "latest", first.targets[0].digest)
    assert {str(digest) for digest in one.manifests("acme/app")} == {
        str(digest) for digest in two.manifests("acme/app")
    }
    assert [path for path in tmp_path.iterdir() if path.name.startswith(("bakery-cli-", "soci-standalone-"))] == []


@pytest.mark.peer
async def test_sources_in_several_repositories_are_converted_too(registries, soci):
    source, other, one = registries
    left, right = add_target(source, (one,), "a"), add_target(other, (one,), "a", repository="elsewhere/tmp")
    target = replace(left, sources=(left.sources[0], right.sources[1]), soci=SOCI["all of it"])
    outcome = await publish(cli(soci, needs_soci=True), target)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert_whole(one, "acme/app", "latest", outcome.targets[0].digest)


async def test_a_layout_is_published_like_a_repository(engine, registries):
    _, one, two = registries
    layout = LayoutReference(LayoutPath(str(LAYOUT)), ATTESTED)
    target = replace(add_target(one, (one, two), "a"), sources=(Source(layout),), platforms=())
    outcome = await publish(engine(), target)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    for registry in (one, two):
        assert_whole(registry, "acme/app", "latest", outcome.targets[0].digest)


@pytest.mark.parametrize("where", ["a tag", "a layout"])
async def test_a_single_manifest_can_be_copied_as_it_is(engine, registries, where):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    image = digest_of(target.sources[0])
    found = Repository(source.address, "tmp/app/tmp").with_tag("edge")
    if where == "a tag":
        source.put_manifest("tmp/app/tmp", source.manifest("tmp/app/tmp", image)[1], "edge")
        copied = Source(found)
    else:
        image, copied = Digest.parse(PLAIN), Source(LayoutReference(LayoutPath(str(LAYOUT)), PLAIN))
    rules = AssemblyRules(keep=KeepSource.ANY, sets_created=False)
    target = replace(target, sources=(copied,), platforms=(), annotations={}, rules=rules)
    outcome = await publish(engine(), target)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert outcome.targets[0].digest == image
    assert one.tags("acme/app")["latest"] == image
    again = await publish(engine(), target)
    assert again.targets[0].state is State.UNCHANGED


async def test_an_image_missing_from_a_layout_is_an_error_at_once(engine, registries, tmp_path):
    _, one, _ = registries
    target = replace(add_target(one, (one,), "a"), platforms=())
    for layout in (
        LayoutReference(LayoutPath(str(LAYOUT)), "no-such-name"),
        LayoutReference(LayoutPath(str(tmp_path))),
    ):
        outcome = await publish(engine(), replace(target, sources=(Source(layout),)))
        assert outcome.exit_code == ExitCode.FAILED
        assert outcome.targets[0].failure is not None
        assert outcome.targets[0].failure.step is Step.WAIT


async def test_a_copy_of_nested_indexes_is_complete(engine, registries):
    source, one, _ = registries
    target = add_target(source, (one,), "a")
    raw = source.manifest("tmp/app/tmp", digest_of(target.sources[0]))[1]
    inner = encode_index([RawManifest.of(raw, mt.OCI_MANIFEST).descriptor])
    outer = encode_index([inner.descriptor])
    for index in (inner, outer):
        source.put_manifest("tmp/app/tmp", index.raw)
    copied = Source(Repository(source.address, "tmp/app/tmp").with_digest(outer.descriptor.digest))
    rules = AssemblyRules(keep=KeepSource.ANY, sets_created=False)
    target = replace(target, sources=(copied,), platforms=(), annotations={}, rules=rules)
    outcome = await publish(engine(), target)
    assert outcome.exit_code == ExitCode.DONE, outcome.failures
    assert outcome.targets[0].digest == one.tags("acme/app")["latest"] == outer.descriptor.digest
    assert one.manifest("acme/app", inner.descriptor.digest)[1] == inner.raw
