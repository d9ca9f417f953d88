"""The metadata file is written whole or not at all; warnings are counted by Containerfile."""

import base64
import json

import pytest

from bakery.build.metadata import read_document, warning_counts, write_file
from bakery.errors import BakeryError
from bakery.targets.metadata import read_metadata


def test_a_file_without_builds_is_valid(tmp_path):
    write_file(tmp_path / "m.json", {})
    assert read_metadata([tmp_path / "m.json"]).uids == ()


def test_entries_are_written_as_they_are(tmp_path):
    entries = {"a": {"containerimage.digest": "sha256:x", "z": [1.5, None, "é"], "b": {}}}
    write_file(tmp_path / "m.json", entries)
    assert read_document(tmp_path / "m.json") == entries
    assert list(read_document(tmp_path / "m.json")["a"]) == ["containerimage.digest", "z", "b"]


def test_a_file_is_replaced_by_a_rename_and_nothing_is_left_next_to_it(tmp_path):
    file = tmp_path / "m.json"
    file.write_text("old")
    before = file.stat().st_ino
    write_file(file, {"a": {}})
    assert file.stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "m.json").mkdir()
    with pytest.raises(BakeryError, match="cannot write the metadata file"):
        write_file(tmp_path / "m.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff"])
def test_what_buildx_did_not_write_whole_has_no_entries(tmp_path, content):
    file = tmp_path / "m.json"
    if content is not None:
        file.write_bytes(content)
    assert read_document(file) == {}


def test_different_warnings_are_counted_by_the_content_of_the_containerfile():
    def warning(text, line, data=b"FROM x"):
        source = {"filename": "Containerfile", "data": base64.b64encode(data).decode()}
        return {"short": text, "range": [{"start": {"line": line}}], "sourceInfo": source}

    listed = [warning("a", 1), warning("a", 1), warning("a", 2), warning("b", 1), warning("a", 1, b"FROM y"), {}, None]
    assert warning_counts({"buildx.build.warnings": listed}) == {b"FROM x": 3, b"FROM y": 1}
    assert warning_counts({"buildx.build.warnings": json.loads("null")}) == {}
