"""SOCI for single images: layouts in and out, what an index holds, and whether it is right."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.engines.soci_inspection import LayoutSource, inspect_image, verify_image
from bakery.engines.soci_layout import convert_layout
from bakery.errors import DigestMismatch
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.soci import media
from bakery.soci.failure import LayerDamaged, LayerLimit
from bakery.soci.options import Limits, SociSettings
from bakery.soci.ztoc import Ztoc
from bakery.transfer.layout import BadLayout, open_layout
from tests.soci.golden_cases import CASES, GOLDEN
from tests.soci.making import END, entry, gzip
from tests.transfer.making import Content

OCI_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ALL = SociSettings(span_size=4096, min_layer_size=0)
RIGHT = {name: case for name, case in CASES.items() if case.expected_index}


def convert(source: Path, to: Path, options: SociSettings = ALL, **more) -> list[str]:
    notes: list[str] = []
    with open_layout(source) as layout:
        convert_layout(layout, to, options, note=notes.append, **more)
    return notes


def layer_of(seed: int, size: int = 40_000) -> bytes:
    text = b"".join(b"%d %d\n" % (seed, number * number) for number in range(size // 8))
    return gzip(entry(b"file%d" % seed, text) + END, memory=1)  # many short blocks


def reachable(path: Path) -> set[str]:
    """Every digest that can be read from the top of a layout, each checked."""
    with open_layout(path) as layout:
        seen: set[str] = set()

        def visit(descriptor: Descriptor) -> None:
            if str(descriptor.digest) in seen:
                return
            content = b"".join(layout.read(descriptor))
            seen.add(str(descriptor.digest))
            if descriptor.media_type.endswith(("index.v1+json", "manifest.v1+json", "v2+json")) and content != b"{}":
                document = json.loads(content)
                for child in [*document.get("manifests", []), document.get("config"), *document.get("layers", [])]:
                    if child:
                        visit(Descriptor.from_json(child))

        visit(layout.root())
        return seen


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_a_converted_layout_has_the_right_index_and_all_its_content(tmp_path, case):
    convert(case.layout, tmp_path / "out", case.options)
    with open_layout(tmp_path / "out") as layout:
        wanted = case.expected_index
        assert str(layout.root().digest) == wanted["digest"]
    assert len(reachable(tmp_path / "out")) > 3


def test_a_tar_converts_to_the_same_image_as_a_folder(tmp_path):
    content = Content()
    content.top = [content.index(content.image(content.add(layer_of(1), OCI_GZIP), content.add(layer_of(2), OCI_GZIP)))]
    convert(content.folder(tmp_path / "in"), tmp_path / "out")
    convert(content.tar(tmp_path / "in.tar"), tmp_path / "out.tar")
    assert reachable(tmp_path / "out") == reachable(tmp_path / "out.tar")


def test_an_index_json_that_lists_platforms_is_the_index_itself(tmp_path):
    shutil.copytree(GOLDEN / "inputs/two-platform", tmp_path / "in")
    top = json.loads((tmp_path / "in/index.json").read_text())["manifests"][0]
    inner = json.loads((tmp_path / "in/blobs/sha256" / top["digest"][7:]).read_text())
    (tmp_path / "in/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": inner["manifests"]}))
    (tmp_path / "in/blobs/sha256" / top["digest"][7:]).unlink()
    convert(tmp_path / "in", tmp_path / "out", CASES["two-platform"].options)
    with open_layout(tmp_path / "out") as layout:
        assert str(layout.root().digest) == CASES["two-platform"].data["expected"]["index"]["digest"]


def test_a_damaged_layer_leaves_nothing_at_the_destination(tmp_path):
    content = Content()
    whole = layer_of(1)
    layers = [content.add(whole[:-100], OCI_GZIP), content.add(layer_of(2), OCI_GZIP)]
    content.top = [content.index(content.image(*layers))]
    source = content.folder(tmp_path / "in")
    for name in ("out", "out.tar"):
        with pytest.raises(LayerDamaged, match=layers[0]["digest"]):
            convert(source, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_layer_with_the_wrong_digest_leaves_nothing_at_the_destination(tmp_path):
    content = Content()
    layers = [content.add(layer_of(1), OCI_GZIP)]
    content.top = [content.index(content.image(*layers))]
    content.blobs[layers[0]["digest"][7:]] = layer_of(3)
    with pytest.raises((DigestMismatch, LayerDamaged)):
        convert(content.folder(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_with_nothing_to_index_is_copied_unchanged_with_a_note(tmp_path):
    content = Content()
    content.top = [content.index(content.image(content.add(layer_of(1), OCI_GZIP)))]
    notes = convert(content.folder(tmp_path / "in"), tmp_path / "out", SociSettings())
    assert any("is left unchanged" in note for note in notes)
    assert reachable(tmp_path / "out") == reachable(tmp_path / "in")


def test_a_second_run_to_the_same_destination_writes_the_same_layout(tmp_path):
    content = Content()
    content.top = [content.index(content.image(content.add(layer_of(1), OCI_GZIP)))]
    source = content.folder(tmp_path / "in")
    convert(source, tmp_path / "out")
    before = reachable(tmp_path / "out")
    convert(source, tmp_path / "out")
    assert reachable(tmp_path / "out") == before


def test_a_layout_can_be_converted_in_place(tmp_path):
    content = Content()
    content.top = [content.index(content.image(content.add(layer_of(1), OCI_GZIP)))]
    source = content.folder(tmp_path / "in")
    convert(source, tmp_path / "out")
    convert(source, source)
    assert reachable(source) == reachable(tmp_path / "out")


def test_a_missing_child_is_left_out_with_a_warning(tmp_path):
    notes = convert(CASES["partial-layout"].layout, tmp_path / "out", CASES["partial-layout"].options)
    assert any("is missing" in note for note in notes)


def test_a_missing_layer_is_an_error_unless_it_is_nondistributable(tmp_path):
    foreign = OCI_GZIP.replace("layer.v1", "layer.nondistributable.v1")
    content = Content()
    layers = [content.add(layer_of(1), OCI_GZIP), content.add(layer_of(2), foreign)]
    content.top = [content.index(content.image(*layers))]
    del content.blobs[layers[1]["digest"][7:]]
    notes = convert(content.folder(tmp_path / "in"), tmp_path / "out")
    assert any(layers[1]["digest"] in note for note in notes)
    (tmp_path / "in/blobs/sha256" / layers[0]["digest"][7:]).unlink()
    with pytest.raises(BadLayout, match=layers[0]["digest"]):
        convert(tmp_path / "in", tmp_path / "other")


def test_the_source_layout_is_never_written_to(tmp_path):
    content = Content()
    content.top = [content.index(content.image(content.add(layer_of(1), OCI_GZIP)))]
    source = content.folder(tmp_path / "in")
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    convert(source, tmp_path / "out")
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before


def test_limits_apply_to_the_layer_and_the_error_names_them(tmp_path):
    content = Content()
    content.top = [
        content.index(content.image(content.add(gzip(b"".join(entry(b"%d" % n) for n in range(50)) + END), OCI_GZIP)))
    ]
    source = content.folder(tmp_path / "in")
    with pytest.raises(LayerLimit, match="more than 49 entries"):
        convert(source, tmp_path / "out", replace(ALL, limits=Limits(entries=49)))
    convert(source, tmp_path / "out", replace(ALL, limits=Limits(entries=50)))


@pytest.fixture
def converted(tmp_path) -> Path:
    content = Content()
    plain = content.add(entry(b"plain", bytes(9000)) + END, "application/vnd.oci.image.layer.v1.tar")
    small = content.add(b"zstd?", "application/vnd.oci.image.layer.v1.tar+zstd")
    layers = [content.add(layer_of(1), OCI_GZIP), plain, small]
    content.top = [content.index(content.image(*layers), content.image(layers[0], platform="linux/arm64"))]
    options = SociSettings(4096, 0, prefetch_files=("/file1",), optimizations=("xattr",))
    convert(content.folder(tmp_path / "in"), tmp_path / "out", options)
    return Path(tmp_path / "out")


async def test_inspecting_returns_spans_files_and_sizes_of_every_layer(converted):
    with open_layout(converted) as layout:
        report = await inspect_image(LayoutSource(layout))
    assert json.loads(json.dumps(report)) == report
    [amd64, arm64] = report["soci_indexes"]
    assert (amd64["platform"], arm64["platform"]) == ("linux/amd64", "linux/arm64")
    [gz, plain, zstd] = amd64["layers"]
    assert gz["ztoc"]["files"] == plain["ztoc"]["files"] == 1
    assert gz["ztoc"]["spans"] > 2
    assert gz["ztoc"]["disable_xattrs"] is True
    assert gz["ztoc"]["prefetch_spans"] == [[0, gz["ztoc"]["spans"] - 1]]
    assert plain["ztoc"]["spans"] == 3
    assert plain["ztoc"]["uncompressed_size"] == plain["size"]
    assert zstd["ztoc"] is None


async def test_an_image_without_soci_index_has_nothing_to_inspect_and_does_not_verify(converted):
    with open_layout(converted.parent / "in") as layout:
        assert (await inspect_image(LayoutSource(layout)))["soci_indexes"] == []
        assert not (await verify_image(LayoutSource(layout))).right


async def test_a_correct_index_is_verified_reading_each_layer_once(converted):
    with open_layout(converted) as layout:
        found = await verify_image(LayoutSource(layout))
    assert found.right
    assert [(checked.platform, checked.files) for checked in found.layers] == [("linux/amd64", 1), ("linux/amd64", 1)]


def rewrite(path: Path, change) -> None:
    """Change the first ztoc of the first SOCI index, and every document above it, so that all digests fit."""

    def blob(digest: str) -> Path:
        return path / "blobs/sha256" / digest[7:]

    def put(content: bytes) -> dict[str, object]:
        digest = str(Digest.of(content))
        blob(digest).write_bytes(content)
        return {"digest": digest, "size": len(content)}

    top = json.loads((path / "index.json").read_text())
    index = json.loads(blob(top["manifests"][0]["digest"]).read_text())
    soci = next(entry for entry in index["manifests"] if entry.get("artifactType") == media.SOCI_INDEX)
    image = next(e for e in index["manifests"] if e["digest"] == soci["annotations"][media.IMAGE_DIGEST])
    manifest, document = json.loads(blob(image["digest"]).read_text()), json.loads(blob(soci["digest"]).read_text())
    content = bytearray(blob(document["layers"][0]["digest"]).read_bytes())
    change(content, document)
    document["layers"][0] |= put(bytes(content))
    soci |= put(json.dumps(document).encode())
    manifest["annotations"][media.INDEX_DIGEST] = soci["digest"]
    image |= put(json.dumps(manifest).encode())
    soci["annotations"][media.IMAGE_DIGEST] = image["digest"]
    top["manifests"][0] |= put(json.dumps(index).encode())
    (path / "index.json").write_text(json.dumps(top))


def points_of(content: bytearray) -> int:
    """Where the checkpoints of a ztoc begin."""
    return Ztoc(bytes(content)).points_at


SECOND = 17 + 32768


def alter(offset: int):
    def change(content: bytearray, _document: dict[str, object]) -> None:
        content[points_of(content) + offset] ^= 1

    return change


def alter_text(old: bytes, new: bytes):
    def change(content: bytearray, _document: dict[str, object]) -> None:
        at = bytes(content).rindex(old)
        content[at : at + len(old)] = new

    return change


def alter_digest(content: bytearray, _document: dict[str, object]) -> None:
    at = bytes(content).index(b"sha256:") + 10
    content[at] = ord("0") if content[at] != ord("0") else ord("1")


def alter_annotation(_content: bytearray, document) -> None:
    document["layers"][0]["annotations"][media.SPAN_SIZE] = "77"


WRONG = {
    "a window's byte": (
        alter(SECOND + 17 + 32_000),
        r"checkpoint 1 \(byte \d+ of the ztoc\) has 0x.. at byte 32000 of its window",
    ),
    "a compressed offset": (alter(SECOND), r"checkpoint 1 \(byte \d+ of the ztoc\) is at byte"),
    "an uncompressed offset": (alter(SECOND + 8), r"checkpoint 1 \(byte \d+ of the ztoc\) is at byte"),
    "unused bits": (alter(SECOND + 16), r"checkpoint 1 \(byte \d+ of the ztoc\) has \d unused bits"),
    "a span digest": (alter_digest, r"digest of span \d+, from byte \d+ of the layer"),
    "a file's name": (alter_text(b"file1", b"fileX"), "name of file number 0"),
    "a file's time": (alter_text(b"2023-11-14", b"2024-11-14"), "mod_time of file number 0"),
    "the version": (alter_text(b"0.9", b"0.8"), "version is 0.8"),
    "the span size next to the ztoc": (alter_annotation, "span-size is 77, expected 4096"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
async def test_the_first_error_is_reported(converted, change, message):
    rewrite(converted, change)
    with open_layout(converted) as layout:
        found = await verify_image(LayoutSource(layout))
    assert not found.right
    [wrong] = [checked.error for checked in found.layers if checked.error]
    assert re.search(message, wrong), wrong


async def test_an_altered_layer_is_reported_with_the_altered_span(converted):
    def same(_content: bytearray, _document: object) -> None:
        pass

    rewrite(converted, same)
    with open_layout(converted) as layout:
        report = await inspect_image(LayoutSource(layout))
    layer = converted / "blobs/sha256" / report["soci_indexes"][0]["layers"][0]["digest"][7:]
    content = bytearray(layer.read_bytes())
    content[len(content) // 2] ^= 4
    layer.write_bytes(content)
    with open_layout(converted) as layout:
        found = await verify_image(LayoutSource(layout))
    assert any("span" in checked.error or "corrupt" in checked.error for checked in found.layers)


async def test_links_to_other_content_are_reported(converted):
    top = json.loads((converted / "index.json").read_text())
    file = converted / "blobs/sha256" / top["manifests"][0]["digest"][7:]
    index = json.loads(file.read_text())
    images = [entry for entry in index["manifests"] if "artifactType" not in entry]
    soci = [entry for entry in index["manifests"] if "artifactType" in entry]
    soci[0]["annotations"][media.IMAGE_DIGEST] = images[1]["digest"]
    content = json.dumps(index).encode()
    (converted / "blobs/sha256" / Digest.of(content).hex).write_bytes(content)
    top["manifests"][0] |= {"digest": str(Digest.of(content)), "size": len(content)}
    (converted / "index.json").write_text(json.dumps(top))
    with open_layout(converted) as layout:
        found = await verify_image(LayoutSource(layout))
    assert any("names sha256:" in error for error in found.errors)
    assert not found.right
