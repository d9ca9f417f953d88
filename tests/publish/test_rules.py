"""Assembly rules: what each rule of a plan decides, on values alone."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from bakery.config.schema.options import SociOptions
from bakery.errors import BadDocument, BakeryError
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import ATTESTATION_OF, ATTESTATION_TYPE, Index, Manifest, RawManifest, parse
from bakery.oci.platform import Platform
from bakery.publish import assemble
from bakery.publish.assemble import AssemblyOptions, assemble_target, read_config
from bakery.publish.choose import ResolvedSource, choose, select_platforms
from bakery.publish.image import AssembledImage, Child, ConfigFacts
from bakery.publish.plan import AssemblyRules, KeepSource, OnDuplicate, PlannedTarget
from tests.publish.fakes import TEMPORARY, build, target

EMPTY = "application/vnd.oci.empty.v1+json"


def child(
    platform: str = "",
    *,
    salt: str = "",
    config: str = mt.OCI_CONFIG,
    media_type: str = mt.OCI_MANIFEST,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str = "",
    typed: bool = False,
    subject: Digest | None = None,
) -> Child:
    """A manifest of an index. artifact_type: in the manifest; typed: in its entry of the index too."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "annotations": {"salt": salt, "platform": platform},
        "config": {"mediaType": config, "digest": str(Digest.of(salt.encode())), "size": 9},
        "layers": [],
    }
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject is not None:
        document["subject"] = {"mediaType": mt.OCI_MANIFEST, "digest": str(subject), "size": 9}
    raw = json.dumps(document).encode()
    view = parse(raw)
    assert isinstance(view, Manifest)
    known = Platform.parse(platform) if platform else None
    descriptor = replace(
        Descriptor.of(raw, media_type),
        platform=known,
        annotations=annotations or {},
        artifact_type=artifact_type if typed else "",
    )
    return Child(RawManifest(descriptor, raw), view, TEMPORARY)


def attestation(about: Child, salt: str = "") -> Child:
    annotations = {ATTESTATION_TYPE: "attestation-manifest", ATTESTATION_OF: str(about.descriptor.digest)}
    return child("unknown/unknown", salt=salt, annotations=annotations)


def index_source(*children: Child, media_type: str = mt.OCI_INDEX, created: datetime | None = None) -> ResolvedSource:
    root = encode_index((one.descriptor for one in children), {"annotations": {"kept": "yes"}}, media_type=media_type)
    return ResolvedSource(
        build(root.descriptor), TEMPORARY.with_digest(root.descriptor.digest), root, children, (), created
    )


def manifest_source(one: Child, created: datetime | None = None) -> ResolvedSource:
    plain = RawManifest.of(one.content.raw, one.descriptor.media_type)
    return ResolvedSource(
        build(plain.descriptor), TEMPORARY.with_digest(plain.descriptor.digest), plain, (one,), (), created
    )


def planned(rules: AssemblyRules, *, platforms: tuple[str, ...] = (), **changes: object) -> PlannedTarget:
    return replace(target([], platforms=platforms), annotations={}, rules=rules, **changes)


AMD, ARM = child("linux/amd64"), child("linux/arm64")
KEEP_INDEX, KEEP_ANY = AssemblyRules(keep=KeepSource.INDEX), AssemblyRules(keep=KeepSource.ANY)
SUBJECT = Descriptor(mt.OCI_MANIFEST, Digest.of(b"subject"), 7)


def is_kept(one: PlannedTarget, *sources: ResolvedSource) -> bool:
    return assemble_target(one, sources).index is sources[0].root


def test_the_only_source_is_kept_byte_for_byte_if_the_rules_allow_it():
    assert is_kept(planned(KEEP_INDEX), index_source(AMD, ARM))
    assert is_kept(planned(KEEP_ANY), index_source(AMD, ARM))
    assert is_kept(planned(KEEP_ANY), manifest_source(AMD))
    assert not is_kept(planned(KEEP_INDEX), manifest_source(AMD))
    assert not is_kept(planned(AssemblyRules()), index_source(AMD, ARM))


def test_two_sources_are_never_kept():
    assert not is_kept(planned(KEEP_INDEX), index_source(AMD), index_source(ARM))


def test_a_source_whose_entry_the_user_gave_is_not_kept():
    one = index_source(AMD, ARM)
    entry = replace(one.root.descriptor, annotations={"own": "yes"})
    assert not is_kept(planned(KEEP_ANY), replace(one, source=replace(one.source, entry=entry)))


def test_a_single_manifest_that_is_converted_to_soci_is_not_kept():
    assert not is_kept(planned(KEEP_ANY, soci=SociOptions()), manifest_source(AMD))


@pytest.mark.parametrize(
    "change",
    [{"entry_annotations": {"": {"a": "b"}}}, {"artifact_type": "a/b"}, {"subject": SUBJECT}],
    ids=["entry annotations", "artifact type", "subject"],
)
def test_whatever_changes_the_index_means_that_it_is_not_kept(change):
    assert not is_kept(planned(replace(KEEP_INDEX, **change)), index_source(AMD, ARM))


def test_annotations_of_the_target_mean_that_the_source_is_not_kept():
    assert not is_kept(replace(planned(KEEP_INDEX), annotations={"a": "b"}), index_source(AMD, ARM))


def test_an_index_is_kept_only_with_the_media_type_that_is_wanted():
    docker = child("linux/amd64", media_type=mt.DOCKER_MANIFEST)
    assert is_kept(planned(replace(KEEP_INDEX, media_type=mt.OCI_INDEX)), index_source(AMD))
    assert not is_kept(planned(replace(KEEP_INDEX, media_type=mt.DOCKER_LIST)), index_source(docker))
    # The rule is about indexes. A manifest that is published as it is has the type that it has.
    assert is_kept(planned(replace(KEEP_ANY, media_type=mt.DOCKER_LIST)), manifest_source(AMD))


def test_an_index_that_loses_an_image_is_written_anew():
    image = assemble_target(
        planned(replace(KEEP_INDEX, only_platforms=(Platform.parse("linux/amd64"),))), [index_source(AMD, ARM)]
    )
    view = parse(image.index.raw)
    assert isinstance(view, Index)
    assert [entry.digest for entry in view.manifests] == [AMD.descriptor.digest]


def test_nothing_left_to_publish_is_an_error_that_says_what_was_left_out():
    nameless = replace(AMD, content=replace(AMD.content, descriptor=AMD.descriptor.with_platform(Platform("", ""))))
    for one, name in ((AMD, "linux/amd64"), (nameless, rf"{AMD.descriptor.digest} \(its platform is empty\)")):
        with pytest.raises(BakeryError, match=f"no image is left; .*linux/s390x.*; left out {name}, which bakery.yaml"):
            assemble_target(
                planned(AssemblyRules(), platforms=("linux/s390x",)),
                [index_source(one)],
                AssemblyOptions(allow_missing_platforms=True),
            )


def test_a_new_index_is_an_oci_index_unless_a_docker_list_is_wanted():
    docker = child("linux/amd64", media_type=mt.DOCKER_MANIFEST, config=mt.DOCKER_CONFIG)
    assert (
        assemble_target(planned(AssemblyRules()), [manifest_source(docker)]).index.descriptor.media_type == mt.OCI_INDEX
    )
    wanted = planned(AssemblyRules(media_type=mt.DOCKER_LIST))
    assert assemble_target(wanted, [manifest_source(docker)]).index.descriptor.media_type == mt.DOCKER_LIST
    with pytest.raises(BadDocument, match="is not a Docker manifest"):
        assemble_target(wanted, [manifest_source(AMD)])


def test_an_index_may_be_as_large_as_registries_accept_and_no_larger(monkeypatch):
    size = len(assemble.encode([AMD], {}).raw)
    monkeypatch.setattr(assemble, "MAX_MANIFEST_BYTES", size)
    assert len(assemble.encode([AMD], {}).raw) == size
    monkeypatch.setattr(assemble, "MAX_MANIFEST_BYTES", size - 1)
    with pytest.raises(BadDocument, match=f"it has {size} bytes"):
        assemble.encode([AMD], {})


def test_entry_annotations_go_to_images_of_their_platform_or_to_all_and_never_to_attestations():
    texts = {"": {"all": "1"}, "linux/arm64": {"arm": "1"}}
    bare = child(config=mt.OCI_CONFIG, salt="no platform")
    image = assemble_target(planned(AssemblyRules(entry_annotations=texts)), [index_source(AMD, ARM, attestation(AMD))])
    assert [dict(one.descriptor.annotations) for one in image.children[:2]] == [{"all": "1"}, {"all": "1", "arm": "1"}]
    assert "all" not in image.children[2].descriptor.annotations
    assert assemble._annotated(bare, texts).descriptor.annotations == {"all": "1"}


def test_children_keep_their_annotations_if_no_rule_adds_any():
    assert assemble._annotated(AMD, {}) is AMD


@pytest.mark.parametrize("document", [{"os": "linux"}, {"architecture": "amd64"}, {"os": 1, "architecture": "amd64"}])
def test_an_image_config_without_system_and_architecture_names_no_platform(document):
    assert read_config(json.dumps(document).encode(), about="x") == ConfigFacts()


NEW, OLD = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
FIRST, SECOND = child("linux/amd64", salt="one"), child("linux/amd64", salt="two")


def chosen(rules: AssemblyRules, *sources: ResolvedSource) -> tuple[list[Digest], tuple[str, ...]]:
    children, notes = choose(sources, rules)
    return [one.descriptor.digest for one in children], notes


@pytest.mark.parametrize("in_source_order", [False, True])
def test_the_newest_build_wins_in_whatever_order_the_images_are_listed(in_source_order):
    rules = AssemblyRules(in_source_order=in_source_order)
    newer, older = manifest_source(FIRST, NEW), manifest_source(SECOND, OLD)
    for order in ((newer, older), (older, newer)):
        found, notes = chosen(rules, *order)
        assert found == [FIRST.descriptor.digest]
        assert "using the newer" in notes[0]


def test_a_build_of_unknown_age_loses_to_any_other():
    found, _ = chosen(AssemblyRules(), manifest_source(FIRST, OLD), manifest_source(SECOND))
    assert found == [FIRST.descriptor.digest]


def test_the_last_source_wins_if_the_rules_say_so():
    rules = AssemblyRules(on_duplicate=OnDuplicate.LAST)
    found, notes = chosen(rules, manifest_source(FIRST, NEW), manifest_source(SECOND, OLD))
    assert found == [SECOND.descriptor.digest]
    assert "using the last" in notes[0]


def test_the_notes_about_three_builds_do_not_depend_on_their_order():
    builds = [manifest_source(child("linux/amd64", salt=salt), OLD) for salt in "abc"]
    assert chosen(AssemblyRules(), *builds) == chosen(AssemblyRules(), *reversed(builds))


def test_duplicates_are_refused_if_the_rules_say_so_and_one_build_given_twice_is_none():
    rules = AssemblyRules(on_duplicate=OnDuplicate.REFUSE)
    assert chosen(rules, manifest_source(FIRST), manifest_source(FIRST))[0] == [FIRST.descriptor.digest]
    with pytest.raises(BakeryError, match="two sources have an image for linux/amd64"):
        chosen(rules, manifest_source(FIRST), manifest_source(SECOND))


def test_images_keep_the_order_of_the_sources_if_the_rules_say_so():
    assert chosen(AssemblyRules(in_source_order=True), index_source(ARM, AMD))[0] == [
        ARM.descriptor.digest,
        AMD.descriptor.digest,
    ]
    assert chosen(AssemblyRules(), index_source(ARM, AMD))[0] == [AMD.descriptor.digest, ARM.descriptor.digest]


def test_attestations_follow_in_the_order_of_their_images_and_then_by_digest():
    about_arm = attestation(ARM)
    several = sorted((attestation(AMD, salt) for salt in "abcdef"), key=lambda one: str(one.descriptor.digest))
    for order in (several, several[::-1]):
        found, _ = chosen(AssemblyRules(), index_source(about_arm, *order, AMD, ARM))
        assert found[2:] == [*(one.descriptor.digest for one in several), about_arm.descriptor.digest]


def test_selected_platforms_keep_what_describes_them_and_what_has_no_platform():
    other = child(artifact_type="a/b", config=EMPTY, salt="about nothing")
    bare = child(config=mt.OCI_CONFIG, salt="an image of unknown platform")
    children = [AMD, ARM, bare, attestation(AMD), attestation(ARM), other]
    kept = select_platforms(children, [Platform.parse("linux/amd64")])
    assert [one.descriptor.digest for one in kept] == [children[n].descriptor.digest for n in (0, 2, 3, 5)]


def test_a_platform_that_only_an_artifact_names_is_not_there():
    typed = child("linux/s390x", artifact_type="a/b", config=EMPTY)
    with pytest.raises(BakeryError, match="no source has an image for linux/s390x; there are: linux/amd64"):
        select_platforms([AMD, typed, child(salt="no platform")], [Platform.parse("linux/s390x")])


def test_several_platforms_may_be_selected():
    kept = select_platforms([AMD, ARM], [Platform.parse("linux/amd64"), Platform.parse("linux/arm64")])
    assert kept == (AMD, ARM)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (AMD, True),
        (child(salt="its config may name a platform"), True),
        (attestation(AMD), False),
        (child("linux/amd64", annotations={ATTESTATION_TYPE: "attestation-manifest"}), False),
        (child("unknown/unknown"), False),
        (child("linux/amd64", config="application/vnd.example.config"), True),
        (child(config="application/vnd.example.config"), False),
        (child("linux/amd64", config=EMPTY, artifact_type="a/b"), False),
        (child("linux/amd64", config=EMPTY, artifact_type="a/b", typed=True), False),
    ],
)
def test_an_image_is_what_runs_on_a_platform(one, expected):
    assert one.is_image is expected


def test_an_entry_that_the_index_calls_an_artifact_is_no_image():
    plain = child("linux/amd64", config=EMPTY)
    assert plain.is_image
    typed = replace(plain.content, descriptor=replace(plain.descriptor, artifact_type="a/b"))
    assert not replace(plain, content=typed).is_image


def test_an_image_is_single_if_its_tags_name_one_of_its_children():
    assert AssembledImage(AMD.content, (AMD, attestation(AMD))).is_single
    assert not AssembledImage(index_source(AMD).root, (AMD,)).is_single
