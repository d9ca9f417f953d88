"""The same bytes as the real tool, or better ones if its result is not sound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bakery.errors import BadDocument
from bakery.oci.canonical import parse_object
from bakery.oci.digest import Digest
from bakery.soci import media
from bakery.soci.failure import LayerDamaged
from bakery.soci.ztoc import Ztoc
from tests.soci.golden_cases import CASES, GOLDEN, Case, blob, converted, root_of

RIGHT = {name: case for name, case in CASES.items() if case.expected_index}
DAMAGED = {
    "odd-cut-gzip": "cut off",
    "odd-bad-checksum": "incorrect data check",
    "odd-bad-header": "tar header at byte 1024 is invalid",
    "odd-cut-tar": "tar archive is cut off",
}
WITHOUT_ZTOC = {
    "odd-gnu-sparse": "type 'S'",
    "odd-contiguous": "type '7'",
    "odd-trailing-garbage": "bytes follow the last gzip member",
    "odd-gzip-named-tar": "compressed",
    "odd-pax-sparse": "sparse",
}


def entries_of(case: Case) -> list[dict[str, Any]]:
    return list(parse_object(converted(case).root.raw)["manifests"])


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_a_sound_case_has_the_bytes_of_the_real_tool(case):
    result = converted(case)
    made = {str(descriptor.digest) for descriptor in result.contents}
    kept = {str(descriptor.digest) for descriptor in result.kept}
    expected = case.data.get("expected", {})
    for soci in expected.get("soci_indexes", ()):
        for artifact in (*soci["ztocs"], *soci["prefetch"]):
            assert artifact["digest"] in made
        assert soci["digest"] in made
    if case.sound:
        for manifest in expected["manifests"]:
            assert manifest["digest"] in made | kept
    wanted = case.expected_index
    assert wanted is not None
    assert result.root.raw.decode() == (GOLDEN / wanted["file"]).read_text()
    assert str(result.root.descriptor.digest) == wanted["digest"]


def test_every_case_is_tested():
    others = {"unknown-fields", "other-manifests", "convert-again-one", "convert-again-minimum", "odd-global-header"}
    others |= {"odd-not-a-layer", "odd-encrypted-gzip", "odd-hardlink-with-size", "odd-all-skipped"}
    others |= {"odd-no-platform-first", "odd-nested-index"}
    assert RIGHT.keys() | DAMAGED.keys() | WITHOUT_ZTOC.keys() | others == CASES.keys()


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_layer_is_an_error_that_names_the_layer(name):
    with pytest.raises(LayerDamaged, match=DAMAGED[name]) as caught:
        converted(CASES[name])
    layers = (CASES[name].layout / "blobs/sha256").iterdir()
    assert any(f"layer sha256:{layer.name}" in str(caught.value) for layer in layers)


@pytest.mark.parametrize("name", WITHOUT_ZTOC)
def test_a_layer_that_cannot_be_indexed_gets_no_ztoc_and_a_note_says_why(name):
    result = converted(CASES[name])
    assert result.changed
    assert len([note for note in result.notes if "gets no ztoc" in note and WITHOUT_ZTOC[name] in note]) == 1
    entries = entries_of(CASES[name])
    assert [entry.get("artifactType") for entry in entries] == [None, None, media.SOCI_INDEX]
    assert media.INDEX_DIGEST not in (entries[0].get("annotations") or {})


def test_members_that_oci_does_not_define_are_kept():
    case = CASES["unknown-fields"]
    result = converted(case)

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for member in value.values() for name in names(member)}
        return {name for member in value for name in names(member)} if isinstance(value, list) else set()

    before = names(json.loads(blob(case.layout, root_of(case.layout).digest) or b""))
    assert before <= names(json.loads(result.root.raw))
    for entry in case.data["expected"]["manifests"]:
        old = names(json.loads(blob(case.layout, Digest.parse(entry["from"])) or b""))
        new = [json.loads(content.raw) for content in result.manifests]
        assert any(old <= names(manifest) for manifest in new)


def test_manifests_of_unknown_type_or_platform_keep_descriptor_and_bytes():
    case = CASES["other-manifests"]
    before = json.loads(blob(case.layout, root_of(case.layout).digest) or b"")["manifests"]
    assert entries_of(case)[2:4] == before[2:4]


def test_a_second_conversion_keeps_the_soci_indexes_of_other_platforms():
    case = CASES["convert-again-one"]
    before = json.loads(blob(case.layout, root_of(case.layout).digest) or b"")["manifests"]
    after = entries_of(case)
    assert [after[1], after[3]] == [before[1], before[3]]
    assert after[0] != before[0]
    assert after[2] != before[2]


def test_a_soci_index_is_removed_if_its_platform_has_nothing_to_index_any_more():
    case = CASES["convert-again-minimum"]
    after = entries_of(case)
    assert len([entry for entry in after if entry.get("artifactType") == media.SOCI_INDEX]) == 1
    assert len([entry for entry in after if media.INDEX_DIGEST in (entry.get("annotations") or {})]) == 1


def test_a_global_header_does_not_stop_the_index():
    [ztoc] = [c for c in converted(CASES["odd-global-header"]).blobs if b"a" in names_of(c.raw)]
    assert names_of(ztoc.raw) == [b"a"]


def names_of(content: bytes) -> list[bytes]:
    try:
        return [file.name for file in Ztoc(content).files()]
    except BadDocument:
        return []


def test_a_manifest_that_is_not_an_image_is_left_unchanged():
    case = CASES["odd-not-a-layer"]
    before = json.loads(blob(case.layout, root_of(case.layout).digest) or b"")["manifests"]
    assert entries_of(case)[0] == before[0]
    assert any("is not a container image" in note for note in converted(case).notes)


def test_an_encrypted_layer_is_left_unchanged():
    assert [entry.get("artifactType") for entry in entries_of(CASES["odd-encrypted-gzip"])][-1] == media.SOCI_INDEX
    assert len(converted(CASES["odd-encrypted-gzip"]).soci_indexes) == 1


def test_a_link_with_a_size_has_size_0_in_the_ztoc_so_that_offsets_never_decrease():
    files = next(
        list(Ztoc(c.raw).files()) for c in converted(CASES["odd-hardlink-with-size"]).blobs if b"b" in names_of(c.raw)
    )
    assert [(file.kind, file.size) for file in files] == [(b"reg", 5000), (b"hardlink", 0), (b"reg", 5)]
    ends = [file.offset + file.size for file in files]
    assert all(file.offset >= end for file, end in zip(files[1:], ends, strict=False))


def test_an_image_with_nothing_to_index_is_left_unchanged_with_a_note():
    case = CASES["odd-all-skipped"]
    result = converted(case)
    assert not result.changed
    assert result.root.raw == blob(case.layout, root_of(case.layout).digest)
    assert any("is left unchanged" in note for note in result.notes)


def test_an_entry_without_platform_is_indexed_with_the_platform_of_its_config():
    entries = entries_of(CASES["odd-no-platform-first"])
    assert [entry.get("platform") for entry in entries if entry.get("artifactType") == media.SOCI_INDEX] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]


def test_a_nested_index_is_left_unchanged():
    case = CASES["odd-nested-index"]
    before = json.loads(blob(case.layout, root_of(case.layout).digest) or b"")["manifests"]
    assert entries_of(case)[1] == before[1]


def test_a_second_conversion_with_the_same_options_changes_nothing():
    result = converted(CASES["convert-again"])
    assert result.root.raw == blob(CASES["convert-again"].layout, root_of(CASES["convert-again"].layout).digest)
    assert result.manifests == ()
