"""OCI layouts: what is read is what the digest names, and nothing outside is ever opened (registry.md 7, row 18)."""

from __future__ import annotations

import gc
import io
import json
import os
import tarfile
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from bakery.errors import BadDigest, BadDocument, BakeryError, DigestMismatch, UsageError
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.transfer.layout import CHUNK_BYTES, BadLayout, open_layout
from bakery.transfer.layout_writer import LayoutWriter
from tests.transfer.making import Content, open_files

BLOB = b"some content" * 1000


def simple() -> tuple[Content, Descriptor]:
    content = Content()
    blob = content.add(BLOB)
    content.top = [content.index()]
    return content, Descriptor.from_json(blob)


@pytest.fixture(autouse=True)
def no_file_stays_open() -> Iterator[None]:
    gc.collect()
    before = open_files()
    yield
    gc.collect()
    assert open_files() == before


@pytest.fixture(params=["folder", "tar", "tar with ./ before the names"])
def layout_path(request, tmp_path):
    content, _ = simple()
    if request.param == "folder":
        return content.folder(tmp_path / "layout")
    return content.tar(tmp_path / "layout.tar", prefix="./" if "./" in request.param else "")


def test_content_is_found_by_digest_in_a_folder_and_in_a_tar(layout_path):
    content, blob = simple()
    with open_layout(layout_path) as layout:
        assert layout.has(blob)
        assert b"".join(layout.read(blob)) == BLOB
        assert str(layout.root().digest) == content.top[0]["digest"]
        assert layout.document(blob) == BLOB
        missing = Descriptor.of(b"missing", "x/y")
        assert not layout.has(missing)
        assert layout.document(missing) is None
        with pytest.raises(BadLayout, match="is missing"):
            list(layout.read(missing))


def test_two_blobs_of_a_tar_can_be_read_concurrently(tmp_path):
    content = Content()
    one, two = content.add(b"1" * 3_000_000), content.add(b"2" * 3_000_000)
    with open_layout(content.tar(tmp_path / "l.tar")) as layout:
        pairs = zip(layout.read(Descriptor.from_json(one)), layout.read(Descriptor.from_json(two)), strict=True)
        assert all(a.count(b"1") == b.count(b"2") == len(a) for a, b in pairs)


@pytest.mark.parametrize(
    "wrong", [b"other content", BLOB[:-1], BLOB + b"x", b""], ids=["other", "short", "long", "empty"]
)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_reading_content_that_does_not_match_its_name_always_ends_with_an_error(tmp_path, kind, wrong):
    content, blob = simple()
    content.blobs[blob.digest.hex] = wrong
    path = content.folder(tmp_path / "l") if kind == "folder" else content.tar(tmp_path / "l.tar")
    with open_layout(path) as layout:
        received: list[bytes] = []
        with pytest.raises(DigestMismatch):
            received.extend(layout.read(blob))
        assert b"".join(received) != BLOB


def test_the_wanted_image_is_chosen_by_name_or_digest_when_there_are_several(tmp_path):
    content = Content()
    content.top = [
        content.index() | {"annotations": {"org.opencontainers.image.ref.name": "a"}},
        content.index(x=1) | {"annotations": {"org.opencontainers.image.ref.name": "b"}},
    ]
    with open_layout(content.folder(tmp_path / "l")) as layout:
        assert str(layout.root("b").digest) == content.top[1]["digest"]
        assert str(layout.root(content.top[0]["digest"]).digest) == content.top[0]["digest"]
        with pytest.raises(BadLayout, match="it has 2 images", check=lambda error: "a, b" in error.hint):
            layout.root()
        with pytest.raises(BadLayout, match="0 of its 2"):
            layout.root("c")


def test_the_same_image_listed_twice_is_one_image(tmp_path):
    content = Content()
    content.top = [content.index(), content.index()]
    with open_layout(content.folder(tmp_path / "l")) as layout:
        assert str(layout.root().digest) == content.top[0]["digest"]


def secret_for(tmp_path, content: bytes):
    file = tmp_path / "secret"
    file.write_bytes(content)
    return file


def blob_is_a_link(path, blob, secret):
    (path / "blobs/sha256" / blob.digest.hex).unlink()
    (path / "blobs/sha256" / blob.digest.hex).symlink_to(secret)


def blob_is_a_pipe(path, blob, secret):
    (path / "blobs/sha256" / blob.digest.hex).unlink()
    os.mkfifo(path / "blobs/sha256" / blob.digest.hex)


def blob_is_a_folder(path, blob, secret):
    (path / "blobs/sha256" / blob.digest.hex).unlink()
    (path / "blobs/sha256" / blob.digest.hex).mkdir()


def algorithm_is_a_link(path, blob, secret):
    (path / "blobs/sha256").rename(secret.parent / "elsewhere")
    (path / "blobs/sha256").symlink_to(secret.parent / "elsewhere")


def blobs_is_a_link(path, blob, secret):
    (path / "blobs").rename(secret.parent / "elsewhere")
    (path / "blobs").symlink_to(secret.parent / "elsewhere")


def blobs_is_a_file(path, blob, secret):
    (path / "blobs").rename(secret.parent / "elsewhere")
    (path / "blobs").write_text("x")


@pytest.mark.parametrize(
    "twist",
    [blob_is_a_link, blob_is_a_pipe, blob_is_a_folder, algorithm_is_a_link, blobs_is_a_link, blobs_is_a_file],
)
def test_no_link_pipe_or_device_is_ever_read_as_a_blob(tmp_path, twist):
    content, blob = simple()
    path = content.folder(tmp_path / "l")
    twist(path, blob, secret_for(tmp_path, BLOB))  # the right bytes even: it is where they are that is wrong
    with open_layout(path) as layout:
        with pytest.raises(BadLayout):
            list(layout.read(blob))
        with pytest.raises(BadLayout):
            layout.has(blob)
        with pytest.raises(BadLayout):
            layout.document(blob)


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_index_json_and_oci_layout_must_not_be_links_or_pipes(tmp_path, name):
    content, _ = simple()
    for kind in ("link", "pipe"):
        path = content.folder(tmp_path / kind)
        original = (path / name).read_bytes()
        (path / name).unlink()
        if kind == "link":
            (path / name).symlink_to(secret_for(tmp_path, original))
        else:
            os.mkfifo(path / name)
        with pytest.raises(BadLayout), open_layout(path) as layout:
            layout.root()


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("what", ["blob", "index.json"])
def test_members_of_a_tar_that_are_not_regular_files_are_refused(tmp_path, type_, what):
    content, blob = simple()
    files = content.files()
    name = f"blobs/sha256/{blob.digest.hex}" if what == "blob" else what
    path = tmp_path / "l.tar"
    with tarfile.open(path, "w") as archive:
        for member_name, data in files.items():
            member = tarfile.TarInfo(member_name)
            if member_name == name:
                member.type, member.linkname = type_, "/etc/passwd"
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))

    def use() -> None:
        with open_layout(path) as layout:
            layout.root()
            list(layout.read(blob))

    with pytest.raises(BadLayout, match="not a regular file"):
        use()


def test_a_sparse_member_of_a_tar_is_refused(tmp_path):
    content, blob = simple()
    path = content.tar(tmp_path / "l.tar")
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
        member.size, member.pax_headers = 2, {"GNU.sparse.map": "0,2", "GNU.sparse.size": "2"}
        archive.addfile(member, io.BytesIO(b"{}"))
    sparse = replace(blob, digest=Digest("sha256", "0" * 64), size=2)
    with open_layout(path) as layout, pytest.raises(BadLayout, match="is not a regular file"):
        list(layout.read(sparse))


def test_a_member_that_occurs_twice_in_a_tar_is_refused(tmp_path):
    content, _ = simple()
    path = content.tar(tmp_path / "l.tar")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("./index.json")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"{}"))
    with pytest.raises(BadLayout, match="occurs twice"), open_layout(path) as layout:
        layout.root()


def test_digests_that_are_paths_never_reach_a_file(tmp_path):
    content, _ = simple()
    content.top = [{"mediaType": mt.OCI_INDEX, "digest": "sha256:../../secret", "size": 1}]
    with open_layout(content.folder(tmp_path / "l")) as layout, pytest.raises(BadDigest):
        layout.root()


LONG_NAME = tarfile.TarInfo("././@LongLink")
LONG_NAME.type, LONG_NAME.size = tarfile.GNUTYPE_LONGNAME, 1
NO_LAYOUTS = {
    "nothing": lambda path: None,
    "an empty folder": lambda path: path.mkdir(),
    "a text file": lambda path: path.write_text("hello"),
    "a pipe": lambda path: os.mkfifo(path),
    "a gzip": lambda path: path.write_bytes(b"\x1f\x8b" + bytes(600)),
    "a tar with a chain of long names": lambda path: path.write_bytes(
        (LONG_NAME.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 20_000
    ),
    "an empty tar": lambda path: path.write_bytes(bytes(1024)),
    "a layout of version 2": lambda path: (
        path.mkdir(),
        (path / "oci-layout").write_text('{"imageLayoutVersion":"2"}'),
    ),
    "a huge mark": lambda path: (path.mkdir(), (path / "oci-layout").write_bytes(b" " * 5000)),
}


@pytest.mark.parametrize("make", NO_LAYOUTS.values(), ids=NO_LAYOUTS)
def test_a_path_that_is_not_a_layout_is_refused_and_named(tmp_path, make):
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(BakeryError, match=str(path)):
        open_layout(path)


def test_an_index_json_larger_than_a_manifest_may_be_is_not_read_into_memory(tmp_path):
    content, _ = simple()
    path = content.folder(tmp_path / "l")
    os.truncate(path / "index.json", 5 * 1024 * 1024)
    with open_layout(path) as layout, pytest.raises(BadLayout, match="larger than"):
        layout.root()


def test_an_index_json_that_could_be_read_in_two_ways_is_refused(tmp_path):
    content, _ = simple()
    path = content.folder(tmp_path / "l")
    (path / "index.json").write_bytes(b'{"schemaVersion":2,"manifests":[],"manifests":[]}')
    with open_layout(path) as layout, pytest.raises(BadDocument, match="twice"):
        layout.root()


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_a_written_layout_can_be_read_and_has_one_descriptor(tmp_path, name):
    _, blob = simple()
    root = Descriptor.of(b"{}", mt.OCI_INDEX)
    with LayoutWriter(tmp_path / name) as writer:
        writer.write(blob, [BLOB[:100], BLOB[100:]])
        writer.write(root, [b"{}"])
        assert not (tmp_path / name).exists()
        writer.commit(root)
    with open_layout(tmp_path / name) as layout:
        assert b"".join(layout.read(blob)) == BLOB
        assert layout.root() == root
        assert layout.top().document == {
            "schemaVersion": 2,
            "mediaType": mt.OCI_INDEX,
            "manifests": [{"mediaType": mt.OCI_INDEX, "digest": str(root.digest), "size": 2}],
        }
    assert [file.name for file in tmp_path.iterdir()] == [name]


def broken() -> Iterator[bytes]:
    yield b"some"
    raise DigestMismatch("reading")


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_a_failed_write_leaves_nothing_behind(tmp_path, name):
    with pytest.raises(DigestMismatch), LayoutWriter(tmp_path / name) as writer:
        writer.write(Descriptor.of(BLOB, "x/y"), broken())
    assert list(tmp_path.iterdir()) == []


def test_equal_content_makes_equal_tars(tmp_path):
    for name in ("one.tar", "two.tar"):
        with LayoutWriter(tmp_path / name) as writer:
            for number in (1, 2) if name == "one.tar" else (2, 1):
                writer.write(Descriptor.of(b"%d" % number, "x/y"), [b"%d" % number])
            writer.commit(Descriptor.of(b"1", mt.OCI_INDEX))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_writing_into_a_layout_adds_to_it_and_a_failure_leaves_its_image(tmp_path):
    content, blob = simple()
    path = content.folder(tmp_path / "l")
    before = (path / "index.json").read_bytes()
    with pytest.raises(DigestMismatch), LayoutWriter(path) as writer:
        writer.write(Descriptor.of(b"new", "x/y"), broken())
    assert (path / "index.json").read_bytes() == before
    root = Descriptor.of(b"{}", mt.OCI_INDEX)
    with LayoutWriter(path) as writer:
        writer.write(root, [b"{}"])
        writer.commit(root)
    with open_layout(path) as layout:
        assert layout.root() == root
        assert layout.has(blob)
    assert [file.name for file in path.rglob(".*")] == []


def test_a_folder_that_is_something_else_is_not_written_into(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter").write_text("dear")
    with pytest.raises(BadLayout, match="it has no oci-layout"):
        LayoutWriter(tmp_path / "documents")
    (tmp_path / "file").write_text("x")
    for name in ("file", "new.tar.gz"):
        with pytest.raises(UsageError):
            LayoutWriter(tmp_path / name)


def test_a_layout_that_cannot_be_read_is_not_added_to(tmp_path):
    content, _ = simple()
    path = content.folder(tmp_path / "layout")
    (path / "index.json").write_text("[]")
    with pytest.raises(BakeryError, match=r"index\.json"):
        LayoutWriter(path)


@pytest.mark.parametrize(("name", "is_folder"), [("out", True), ("out.d", True), ("out.tar", False)])
def test_only_a_path_that_ends_in_tar_becomes_a_tar(tmp_path, name, is_folder):
    blob = Descriptor.of(b"x", "a/b")
    with LayoutWriter(tmp_path / name) as writer:
        writer.write(blob, [b"x"])
        writer.commit(blob)
    assert (tmp_path / name).is_dir() is is_folder


def test_an_empty_folder_may_be_the_destination(tmp_path):
    (tmp_path / "out").mkdir()
    root = Descriptor.of(b"{}", mt.OCI_INDEX)
    with LayoutWriter(tmp_path / "out") as writer:
        writer.write(root, [b"{}"])
        writer.commit(root)
    assert json.loads((tmp_path / "out/index.json").read_bytes())["manifests"][0]["digest"] == str(root.digest)


def test_content_that_has_the_wrong_digest_or_size_is_refused_whatever_the_reader_wants(tmp_path):
    content = Content()
    right = content.add(b"right")
    content.top = [content.image(right)]
    folder = content.folder(tmp_path / "layout")
    digest = Descriptor.from_json(right)
    with open_layout(folder) as layout:
        for size in (4, 6):  # the digest is right
            with pytest.raises(DigestMismatch):
                b"".join(layout.read(replace(digest, size=size)))
        (folder / "blobs" / "sha256" / digest.digest.hex).write_bytes(b"wrong")  # the size is right
        for withhold in (True, False):
            with pytest.raises(DigestMismatch):
                b"".join(layout.read(digest, withhold=withhold))


@pytest.mark.parametrize("withhold", [True, False])
@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_content_is_yielded_once_whether_its_end_is_withheld_or_not(tmp_path, size, withhold):
    content = Content()
    blob = content.add(bytes(size))
    content.top = [content.image(blob)]
    with open_layout(content.folder(tmp_path / "layout")) as layout:
        assert b"".join(layout.read(Descriptor.from_json(blob), withhold=withhold)) == bytes(size)


def test_an_index_json_that_lists_the_platforms_of_one_image_is_the_image(tmp_path):
    content = Content()
    content.top = [content.image(platform="linux/amd64"), content.image(platform="linux/arm64")]
    with open_layout(content.folder(tmp_path / "layout")) as layout:
        root = layout.root()
        assert root.media_type == mt.OCI_INDEX
        assert Digest.of(layout.document(root) or b"") == root.digest
        chosen = layout.root(content.top[1]["digest"])
        assert str(chosen.digest) == content.top[1]["digest"]


def test_images_without_platforms_are_images_of_their_own_and_a_choice_is_needed(tmp_path):
    content = Content()
    one, two = content.image(platform="linux/amd64"), content.image(platform="linux/arm64")
    two.pop("platform")
    content.top = [one, two | {"annotations": {"org.opencontainers.image.ref.name": "two"}}]
    with open_layout(content.folder(tmp_path / "layout")) as layout, pytest.raises(BadLayout) as caught:
        layout.root()
    assert caught.value.hint.endswith(f"{one['digest']}, two")


def test_indexes_with_platforms_are_images_of_their_own(tmp_path):
    content = Content()
    content.top = [content.index(content.image(platform=f"linux/{name}")) for name in ("amd64", "arm64")]
    for entry, name in zip(content.top, ("amd64", "arm64"), strict=True):
        entry["platform"] = {"os": "linux", "architecture": name}
    with (
        open_layout(content.folder(tmp_path / "layout")) as layout,
        pytest.raises(BadLayout, match="it has 2 images"),
    ):
        layout.root()


def test_only_one_image_is_an_image_even_if_it_has_a_platform(tmp_path):
    content = Content()
    content.top = [content.image()]
    with open_layout(content.folder(tmp_path / "layout")) as layout:
        assert str(layout.root().digest) == content.top[0]["digest"]


def test_a_tag_is_the_end_of_a_name_after_a_colon(tmp_path):
    content = Content()
    named = content.image(platform="linux/arm64") | {"annotations": {"io.containerd.image.name": "reg.example/app:1.0"}}
    content.top = [content.image(), named]
    with open_layout(content.folder(tmp_path / "layout")) as layout:
        assert str(layout.root("1.0").digest) == named["digest"]
        with pytest.raises(BadLayout):
            layout.root("0")


def test_a_written_tar_has_the_same_modes_for_everybody_and_its_directories(tmp_path):
    blob = Descriptor.of(b"x", "a/b")
    with LayoutWriter(tmp_path / "new" / "out.tar") as writer:
        writer.write(blob, [b"x"])
        writer.commit(blob)
    with tarfile.open(tmp_path / "new" / "out.tar") as archive:
        modes = {member.name: (member.isdir(), oct(member.mode)) for member in archive}
    assert modes == {
        "blobs": (True, "0o755"),
        "blobs/sha256": (True, "0o755"),
        f"blobs/sha256/{blob.digest.hex}": (False, "0o644"),
        "index.json": (False, "0o644"),
        "oci-layout": (False, "0o644"),
    }


def test_a_tar_can_be_written_again_and_leaves_only_itself(tmp_path):
    blob = Descriptor.of(b"x", "a/b")
    for _ in range(2):
        with LayoutWriter(tmp_path / "out.tar") as writer:
            writer.write(blob, [b"x"])
            writer.commit(blob)
    assert [path.name for path in tmp_path.iterdir()] == ["out.tar"]


def test_an_index_json_without_a_schema_version_is_read(tmp_path):
    content, blob = simple()
    folder = content.folder(tmp_path / "layout")
    document = json.loads((folder / "index.json").read_bytes())
    del document["schemaVersion"]
    (folder / "index.json").write_text(json.dumps(document))
    with open_layout(folder) as layout:
        assert str(layout.root().digest) == content.top[0]["digest"]
        assert layout.has(blob)


def test_a_file_that_is_not_a_tar_and_a_pipe_are_refused_by_what_they_are(tmp_path):
    (tmp_path / "text").write_text("no tar" * 200)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadLayout, match="it is not a tar", check=lambda error: "type=oci" in error.hint):
        open_layout(tmp_path / "text")
    with pytest.raises(BadLayout, match="neither a directory nor a file"):
        open_layout(tmp_path / "pipe")


BEGINNINGS = {
    "nothing": (b"", "it is empty", "export the image again"),
    "gzip": (b"\x1f\x8b\x08", "it is compressed with gzip", "decompress it"),
    "zstd": (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "decompress it"),
    "xz": (b"\xfd7zXZ\x00", "it is compressed with xz", "decompress it"),
    "bzip2": (b"BZh9", "it is compressed with bzip2", "decompress it"),
}


@pytest.mark.parametrize(("content", "why", "hint"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_file_that_is_not_a_tar_is_named_by_what_it_is(tmp_path, content, why, hint):
    (tmp_path / "image.tar").write_bytes(content + bytes(600 if content else 0))
    with pytest.raises(BadLayout, match=why, check=lambda error: hint in error.hint):
        open_layout(tmp_path / "image.tar")


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_other_formats_of_images_are_named_with_how_to_convert_them(tmp_path, is_folder):
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "manifest.json").write_text('[{"Config": "a.json", "RepoTags": ["a:1"], "Layers": []}]')
    path = folder if is_folder else tmp_path / "image.tar"
    if not is_folder:
        with tarfile.open(path, "w") as tar:
            tar.add(folder, arcname=".")
    with pytest.raises(BadLayout, match=r"\(dir:\)" if is_folder else "Docker archive") as caught:
        open_layout(path)
    assert f"{'dir' if is_folder else 'docker-archive'}:{path.name}" in caught.value.hint


def test_a_layout_that_is_a_docker_archive_too_is_read_as_a_layout(tmp_path):
    content, _ = simple()
    folder = content.folder(tmp_path / "image")
    (folder / "manifest.json").write_text("[]")  # as `docker save` adds it to a layout
    with open_layout(folder) as layout:
        assert str(layout.root("").digest) == content.top[0]["digest"]


def test_a_tar_without_its_end_is_damaged(tmp_path):
    content, _ = simple()
    whole = content.tar(tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    with pytest.raises(BadLayout, match="it is damaged, or its end is missing"):
        open_layout(tmp_path / "cut.tar")


def test_a_directory_that_ends_in_tar_stays_a_directory(tmp_path):
    blob = Descriptor.of(b"x", "a/b")
    (tmp_path / "out.tar").mkdir()
    with LayoutWriter(tmp_path / "out.tar") as writer:
        writer.write(blob, [b"x"])
        writer.commit(blob)
    assert (tmp_path / "out.tar" / "index.json").is_file()


def test_a_failed_write_is_an_error_that_names_the_layout(tmp_path):
    with LayoutWriter(tmp_path / "out") as writer:
        (next(tmp_path.iterdir()) / "blobs").write_text("in the way")
        with pytest.raises(BadLayout, match=r"cannot write image layout .*out"):
            writer.write(Descriptor.of(b"x", "a/b"), [b"x"])
