"""`bakery verify` over a registry in memory: what is looked at, what counts as a difference, and the exit code."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from msgspec.structs import replace

from bakery.errors import AuthError, BakeryError, DigestMismatch, ExitCode, Unavailable
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import ATTESTATION_OF, ATTESTATION_TYPE, RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.publish.audit import MAX_DEPTH, audit
from bakery.publish.audited import Attached, Audit, Checked, Expected
from bakery.publish.outcome import SIGNATURE, ArtifactOutcome

ONE, TWO, THREE = (Repository.parse(f"{name}.example/app") for name in ("one", "two", "three"))


class MemoryRegistry:
    """Registries in dictionaries; counts what is read."""

    def __init__(self) -> None:
        self.manifests: dict[tuple[Repository, Digest], RawManifest] = {}
        self.blobs: set[tuple[Repository, Digest]] = set()
        self.tags: dict[tuple[Repository, str], Digest] = {}
        self.signatures: Counter[DigestReference] = Counter()
        self.attestations: Counter[DigestReference] = Counter()
        self.read: Counter[object] = Counter()
        self.error: BakeryError | None = None

    async def read_tag(self, reference: TagReference) -> Digest | None:
        if self.error is not None:
            raise self.error
        return self.tags.get((reference.repository, reference.tag))

    async def read_manifest(self, reference: DigestReference) -> RawManifest | None:
        self.read[reference] += 1
        return self.manifests.get((reference.repository, reference.digest))

    async def has_blob(self, repository: Repository, blob: Descriptor) -> bool:
        self.read[repository, blob.digest] += 1
        return (repository, blob.digest) in self.blobs

    async def attached(self, reference: DigestReference) -> Attached:
        self.read["attached", reference] += 1
        return Attached(self.signatures[reference], self.attestations[reference])

    def put(self, repository: Repository, document: dict[str, object], media_type: str) -> Descriptor:
        raw = RawManifest.of(json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode(), media_type)
        self.manifests[repository, raw.descriptor.digest] = raw
        return raw.descriptor

    def image(self, repository: Repository, platform: str, *, urls: tuple[str, ...] = ()) -> Descriptor:
        config = Descriptor.of(platform.encode(), mt.OCI_CONFIG)
        shared = replace(Descriptor.of(b"shared", "application/vnd.oci.image.layer.v1.tar"), urls=urls)
        self.blobs |= {(repository, config.digest)} | ({(repository, shared.digest)} if not urls else set())
        document: dict[str, object] = {"config": config.to_json(), "layers": [shared.to_json()]}
        made = self.put(repository, document, mt.OCI_MANIFEST)
        return replace(made, platform=Platform.parse(platform))

    def attestation(self, repository: Repository, about: Descriptor) -> Descriptor:
        made = self.image(repository, "unknown/unknown")
        annotations = {ATTESTATION_TYPE: "attestation-manifest", ATTESTATION_OF: str(about.digest)}
        return replace(made, annotations=annotations)

    def index(self, repository: Repository, *entries: Descriptor) -> Descriptor:
        listed = [{key: value for key, value in entry.to_json().items() if value} for entry in entries]
        return self.put(repository, {"manifests": listed}, mt.OCI_INDEX)

    def release(self, repository: Repository, *tags: str) -> Digest:
        amd, arm = self.image(repository, "linux/amd64"), self.image(repository, "linux/arm/v7")
        root = self.index(repository, amd, arm, self.attestation(repository, amd)).digest
        self.tags |= {(repository, tag): root for tag in tags}
        return root


async def check(registry: MemoryRegistry, *expected: Expected, **more: bool) -> list[Checked]:
    return list((await audit(expected, registry, **more)).checked)


async def test_what_is_whole_is_right_and_told_with_its_counts():
    registry = MemoryRegistry()
    root = registry.release(ONE, "1.0")
    registry.signatures[ONE.with_digest(root)] = 2
    (one,) = await check(registry, Expected(ONE.with_tag("1.0"), root, ("linux/amd64", "linux/arm")))
    assert one.is_right
    assert one.digest == root
    assert one.platforms == ("linux/amd64", "linux/arm/v7")
    assert (one.attestations, one.signatures, one.manifests, one.blobs) == (1, 2, 4, 4)


async def test_everything_is_looked_at_once_in_a_repository_however_many_tags_lead_to_it():
    registry = MemoryRegistry()
    registry.release(ONE, "1.0", "latest")
    first, second = await check(registry, Expected(ONE.with_tag("1.0")), Expected(ONE.with_tag("latest")))
    assert first.is_right
    assert second.is_right
    assert set(registry.read.values()) == {1}


async def test_a_reference_by_digest_needs_no_tag():
    registry = MemoryRegistry()
    root = registry.release(ONE)
    (one,) = await check(registry, Expected(ONE.with_digest(root)))
    assert one.is_right


async def problems(registry: MemoryRegistry, expected: Expected, **more: bool) -> tuple[str, ...]:
    (one,) = await check(registry, expected, **more)
    assert one.is_right is not bool(one.problems)
    return one.problems


async def test_a_tag_that_does_not_exist_is_a_problem():
    assert await problems(MemoryRegistry(), Expected(ONE.with_tag("1.0"))) == ("the tag does not exist",)


async def test_a_tag_that_names_something_else_is_a_problem():
    registry = MemoryRegistry()
    root = registry.release(ONE, "1.0")
    other = Digest.of(b"other")
    assert await problems(registry, Expected(ONE.with_tag("1.0"), other)) == (f"names {root}, expected {other}",)


@pytest.mark.parametrize(("lost", "more"), [(1, ""), (3, ""), (4, " and 1 more")])
async def test_missing_content_is_named_up_to_three_digests(lost, more):
    registry = MemoryRegistry()
    registry.release(ONE, "1.0")
    gone = sorted(registry.blobs, key=str)[:lost]
    registry.blobs -= set(gone)
    (text,) = await problems(registry, Expected(ONE.with_tag("1.0")))
    assert text.startswith("content is missing: ")
    assert text.partition(" and ")[1:] == ((" and ", "1 more") if more else ("", ""))
    assert sum(str(digest) in text for _, digest in gone) == min(lost, 3)


async def test_a_missing_manifest_is_named_and_the_others_are_still_looked_at():
    registry = MemoryRegistry()
    registry.release(ONE, "1.0")
    gone = next(place for place, raw in registry.manifests.items() if raw.descriptor.media_type == mt.OCI_MANIFEST)
    del registry.manifests[gone]
    (one,) = await check(registry, Expected(ONE.with_tag("1.0"), platforms=("linux/s390x",)))
    assert one.problems == (f"content is missing: {gone[1]}",)  # not the platforms: they are in what cannot be read
    assert one.manifests == 4


async def test_a_missing_platform_is_a_problem_and_a_variant_covers_it():
    registry = MemoryRegistry()
    registry.release(ONE, "1.0")
    expected = Expected(ONE.with_tag("1.0"), platforms=("linux/arm", "linux/arm/v7", "linux/arm/v6", "linux/s390x"))
    assert await problems(registry, expected) == ("linux/arm/v6 is missing", "linux/s390x is missing")


@pytest.mark.parametrize("count", [0, 1])
async def test_a_signature_is_needed_only_if_it_is_asked_for(count):
    registry = MemoryRegistry()
    root = registry.release(ONE, "1.0")
    registry.signatures[ONE.with_digest(root)] = count
    assert await problems(registry, Expected(ONE.with_tag("1.0"))) == ()
    needed = await problems(registry, Expected(ONE.with_tag("1.0")), needs_signature=True)
    assert needed == (() if count else ("it is not signed",))


async def test_a_layer_that_only_exists_at_urls_need_not_be_there():
    registry = MemoryRegistry()
    registry.tags[ONE, "1.0"] = registry.image(ONE, "linux/amd64", urls=("https://elsewhere.example/layer",)).digest
    assert await problems(registry, Expected(ONE.with_tag("1.0"))) == ()


async def test_an_entry_with_another_size_than_its_manifest_is_an_error():
    registry = MemoryRegistry()
    image = registry.image(ONE, "linux/amd64")
    registry.tags[ONE, "1.0"] = registry.index(ONE, replace(image, size=image.size + 1)).digest
    (one,) = await check(registry, Expected(ONE.with_tag("1.0")))
    assert isinstance(one.error, DigestMismatch)


async def test_indexes_are_followed_as_deep_as_the_limit_and_loops_end():
    registry = MemoryRegistry()
    nested = registry.image(ONE, "linux/amd64")
    for _ in range(MAX_DEPTH):
        nested = registry.index(ONE, nested)
    registry.tags[ONE, "1.0"] = nested.digest
    (one,) = await check(registry, Expected(ONE.with_tag("1.0")))
    assert one.manifests == MAX_DEPTH + 1
    assert one.blobs == 2


async def test_an_image_that_two_indexes_list_is_described_once():
    registry = MemoryRegistry()
    image = registry.image(ONE, "linux/amd64")
    registry.tags[ONE, "1.0"] = registry.index(ONE, registry.index(ONE, image), image).digest
    (one,) = await check(registry, Expected(ONE.with_tag("1.0")))
    assert one.platforms == ("linux/amd64",)


async def test_a_group_is_compared_with_what_most_of_it_name():
    registry = MemoryRegistry()
    root = registry.release(ONE, "1.0")
    assert registry.release(TWO, "1.0") == root
    registry.tags[THREE, "1.0"] = other = registry.image(THREE, "linux/amd64").digest
    group = [Expected(place.with_tag("1.0"), group="app") for place in (THREE, ONE, TWO)]
    three, one, two = await check(registry, *group)
    assert one.is_right
    assert two.is_right
    assert three.problems == (f"names {other}, but {ONE.with_tag('1.0')} names {root}",)


async def test_tags_without_a_group_and_tags_that_do_not_exist_are_not_compared():
    registry = MemoryRegistry()
    registry.release(ONE, "1.0")
    registry.tags[THREE, "1.0"] = registry.image(THREE, "linux/amd64").digest
    found = await check(
        registry,
        Expected(ONE.with_tag("1.0")),
        Expected(THREE.with_tag("1.0")),
        Expected(TWO.with_tag("1.0"), group="app"),
        Expected(ONE.with_tag("1.0"), group="app"),
    )
    assert [one.problems for one in found] == [(), (), ("the tag does not exist",), ()]


async def test_fewer_attestations_than_elsewhere_are_a_difference():
    registry = MemoryRegistry()
    for place, count in ((ONE, 1), (TWO, 2)):
        registry.attestations[place.with_digest(registry.release(place, "1.0"))] = count
    expected = [Expected(place.with_tag("1.0"), group="app") for place in (ONE, TWO)]
    one, two = await check(registry, *expected)
    assert two.is_right
    assert two.attestations == 3, "that of the index counts as well"
    assert one.problems == (f"has 2 of the 3 attestations at {TWO.with_tag('1.0')}",)


async def test_what_a_run_signed_or_attached_and_is_gone_is_a_problem():
    registry = MemoryRegistry()
    root = registry.release(ONE, "1.0")
    sbom = registry.image(ONE, "linux/amd64").digest
    child = registry.image(ONE, "linux/arm/v7").digest
    wanted = (ArtifactOutcome(root, SIGNATURE), ArtifactOutcome(child, SIGNATURE), ArtifactOutcome(root, "x/y", sbom))
    expected = Expected(ONE.with_tag("1.0"), root, artifacts=wanted)
    for digest in (root, child):
        registry.signatures[ONE.with_digest(digest)] = 1
    assert await problems(registry, expected) == ()
    del registry.signatures[ONE.with_digest(child)]
    assert await problems(registry, expected) == (f"the signature of {child} is missing",)
    gone = Digest.of(b"gone")
    expected = replace(expected, artifacts=(ArtifactOutcome(root, "x/y", gone),))
    assert await problems(registry, expected) == (f"the x/y {gone} of {root} is missing",)


async def test_fewer_signatures_than_elsewhere_are_a_difference():
    registry = MemoryRegistry()
    for place, count in ((ONE, 1), (TWO, 2), (THREE, 2)):
        registry.signatures[place.with_digest(registry.release(place, "1.0"))] = count
    group = [Expected(place.with_tag("1.0"), group="app") for place in (ONE, TWO, THREE)]
    one, two, three = await check(registry, *group)
    assert one.problems == (f"has 1 of the 2 signatures at {TWO.with_tag('1.0')}",)
    assert two.is_right
    assert three.is_right


async def test_a_registry_that_fails_is_in_the_result():
    registry = MemoryRegistry()
    registry.error = Unavailable("cannot read", about="it", status=503)
    (one,) = await check(registry, Expected(ONE.with_tag("1.0")))
    assert one.error is registry.error
    assert not one.is_right


async def test_an_entry_without_a_platform_has_none_and_a_reference_by_digest_is_compared_too():
    registry = MemoryRegistry()
    bare = replace(registry.image(ONE, "linux/amd64"), platform=None)
    root = registry.index(ONE, bare).digest
    other = registry.release(TWO)
    group = [
        Expected(ONE.with_digest(root), group="app"),
        Expected(TWO.with_digest(other)),
        Expected(ONE.with_digest(root)),
    ]
    one, two, again = await check(registry, *group)
    assert (one.platforms, one.problems) == ((), ())
    assert two.problems == again.problems == ()


async def test_tags_that_do_not_exist_do_not_count_as_what_most_of_a_group_name():
    registry = MemoryRegistry()
    registry.release(ONE, "1.0")
    found = await check(registry, *(Expected(place.with_tag("1.0"), group="app") for place in (TWO, ONE, THREE)))
    assert [one.problems for one in found] == [("the tag does not exist",), (), ("the tag does not exist",)]


async def test_an_unknown_platform_is_no_platform():
    registry = MemoryRegistry()
    unknown = registry.image(ONE, "unknown/unknown")
    registry.tags[ONE, "1.0"] = registry.index(ONE, registry.image(ONE, "linux/amd64"), unknown).digest
    (one,) = await check(registry, Expected(ONE.with_tag("1.0")))
    assert (one.platforms, one.attestations) == (("linux/amd64",), 0)


RIGHT = Checked(Expected(ONE.with_tag("1.0")))
WRONG = replace(RIGHT, problems=("it differs",))
DENIED = replace(RIGHT, error=AuthError("cannot read", about="it", why="401"))


@pytest.mark.parametrize(
    ("checked", "expected"),
    [
        ([RIGHT], ExitCode.DONE),
        ([RIGHT, WRONG], ExitCode.FAILED),
        ([RIGHT, DENIED], ExitCode.AUTHENTICATION),
        ([WRONG, DENIED], ExitCode.FAILED),
    ],
)
def test_the_exit_code_follows_from_what_was_found(checked, expected):
    assert Audit(tuple(checked)).exit_code == expected
