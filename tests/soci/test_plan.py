"""Which images of an index are chosen, and how their platforms are written and compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bakery.errors import NothingSelected
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.soci.convert import Converted, clean_path
from bakery.soci.options import SociSettings
from tests.soci.golden_cases import convert_in_memory
from tests.soci.making import END, entry, gzip
from tests.transfer.making import Content

OCI_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def converted(content: Content, top: dict[str, Any], **options: Any) -> Converted:
    def read(digest: Digest) -> bytes | None:
        return content.blobs.get(digest.hex)

    return convert_in_memory(Descriptor.from_json(top), read, SociSettings(4096, 0, **options))


def image(content: Content, number: int, platform: dict[str, Any], **more: Any) -> dict[str, Any]:
    return content.image(content.add(gzip(entry(b"%d" % number) + END), OCI_GZIP), **more) | {"platform": platform}


def soci_platforms(*platforms: dict[str, Any], wanted: tuple[Platform, ...] = ()) -> list[dict[str, Any]]:
    content = Content()
    top = content.index(*(image(content, number, platform) for number, platform in enumerate(platforms)))
    index = json.loads(converted(content, top, platforms=wanted).root.raw)
    return [entry["platform"] for entry in index["manifests"] if "artifactType" in entry]


def linux(architecture: str, **more: Any) -> dict[str, Any]:
    return {"architecture": architecture, "os": "linux", **more}


def windows(version: str) -> dict[str, Any]:
    return {"architecture": "amd64", "os": "windows"} | ({"os.version": version} if version else {})


def test_layers_compressed_with_zstd_are_counted_in_a_note_that_says_what_to_do():
    content = Content()
    zstd = [content.add(bytes([number]) * 9, OCI_GZIP.replace("gzip", "zstd")) for number in range(3)]
    gzipped = content.add(gzip(entry(b"a") + END), OCI_GZIP)
    top = content.index(
        content.image(*zstd, gzipped) | {"platform": linux("amd64")},
        content.image(zstd[0]) | {"platform": linux("arm64")},
    )
    notes = [note for note in converted(content, top).notes if "zstd" in note]
    assert notes == [
        f"{count} with zstd and cannot be indexed: nodes pull them whole; build with compression=gzip instead"
        for count in ("3 of 4 layers for linux/amd64 are compressed", "1 of 1 layer for linux/arm64 is compressed")
    ]


def test_small_layers_compressed_with_zstd_are_not_mentioned():
    content = Content()
    top = content.index(content.image(content.add(b"123", OCI_GZIP.replace("gzip", "zstd"))) | {"platform": linux("a")})
    settings = SociSettings(4096, 4)
    found = convert_in_memory(Descriptor.from_json(top), lambda digest: content.blobs.get(digest.hex), settings)
    assert not any("zstd" in note for note in found.notes)


def test_if_two_entries_have_the_same_platform_the_first_is_indexed():
    assert soci_platforms(linux("x86_64"), linux("amd64", variant="v1")) == [linux("x86_64")]
    assert soci_platforms(linux("arm64", variant="v9"), linux("aarch64", variant="9.0")) == [
        linux("arm64", variant="v9")
    ]
    assert soci_platforms(linux("armhf"), linux("arm"), linux("arm", variant="v7")) == [linux("armhf")]


def test_windows_versions_are_compared_by_build_and_no_version_matches_all():
    first, second = windows("10.0.17763.1"), windows("10.0.20348.2")
    assert soci_platforms(first, second) == [first, second]
    assert soci_platforms(first, windows("10.0.17763.2")) == [first]
    assert soci_platforms(windows(""), first) == [windows("")]
    assert soci_platforms(first, windows("")) == [first]


def test_entries_with_different_features_are_both_indexed():
    plain, with_features = linux("amd64"), linux("amd64", **{"os.features": ["a"]})
    assert soci_platforms(plain, with_features) == [plain, with_features]
    assert soci_platforms(with_features, plain, wanted=(Platform("linux", "amd64"),)) == [plain]


SPELLED = {
    "linux/x86_64": linux("amd64"),
    "linux/arm64": linux("arm64"),
    "linux/arm64/8": linux("arm64", variant="v8"),
    "linux/arm64/v8": linux("arm64", variant="v8"),
    "linux/arm": linux("arm"),
    "linux/armhf": linux("arm"),
    "linux/arm/7": linux("arm", variant="v7"),
}


@pytest.mark.parametrize(("wanted", "written"), SPELLED.items(), ids=SPELLED)
def test_a_wanted_platform_is_written_with_its_aliases_resolved(wanted, written):
    platforms = [linux("amd64"), linux("arm64"), linux("arm", variant="v7")]
    assert soci_platforms(*platforms, wanted=(Platform.parse(wanted),)) == [written]


def test_soci_indexes_are_in_the_order_of_the_wanted_platforms_without_duplicates():
    wanted = tuple(map(Platform.parse, ("linux/arm64", "linux/amd64", "linux/aarch64")))
    assert soci_platforms(linux("amd64"), linux("arm64"), wanted=wanted) == [linux("arm64"), linux("amd64")]


def test_a_missing_platform_is_an_error_that_lists_those_of_the_image():
    with pytest.raises(NothingSelected, match=r"no manifest for linux/s390x \(platforms: linux/amd64\)"):
        soci_platforms(linux("amd64"), wanted=(Platform("linux", "s390x"),))


def test_an_annotation_for_a_soci_index_that_is_not_in_the_image_is_kept():
    content = Content()
    layer = content.add(b"zstd", OCI_GZIP.replace("gzip", "zstd"))
    stale = {"com.amazon.soci.index-digest": "sha256:" + "0" * 64}
    manifest = content.image(layer)
    document = json.loads(content.blobs[manifest["digest"][7:]]) | {"annotations": stale}
    old = content.json(document, manifest["mediaType"], platform=linux("s390x"))
    top = content.index(image(content, 1, linux("amd64")), old)
    index = json.loads(converted(content, top).root.raw)
    assert index["manifests"][1]["annotations"] == stale


def test_inline_data_of_a_rewritten_manifest_is_removed():
    content = Content()
    top = content.index(image(content, 1, linux("amd64")) | {"data": "e30="})
    assert "data" not in json.loads(converted(content, top).root.raw)["manifests"][0]


PATHS = {"/a": "a", " a/b ": "a/b", "./a//b/../c": "a/c", "../../a": "a", "/": "", "a/": "a"}


@pytest.mark.parametrize(("path", "clean"), PATHS.items(), ids=PATHS)
def test_paths_to_prefetch_are_normalised_as_absolute_paths(path, clean):
    assert clean_path(path) == clean
