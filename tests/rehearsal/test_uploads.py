"""Uploads as a state machine: in any order of chunks, cuts and ends, exactly the right bytes count."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from bakery.oci.digest import Digest
from bakery.rehearsal.backend import MemoryBackend
from bakery.rehearsal.storage import Storage
from bakery.rehearsal.time_source import SystemTime
from bakery.rehearsal.uploads import Placement, Upload, placement, range_header
from tests.hypothesis_profiles import examples

RANGES = {  # Content-Range, bytes arrived, body length: what it means
    ("0-9", 0, 10): Placement.NEXT,
    ("10-19", 10, 10): Placement.NEXT,
    ("10-19", 10, None): Placement.NEXT,
    ("0-9", 10, 10): Placement.ELSEWHERE,
    ("20-29", 10, 10): Placement.ELSEWHERE,
    ("10-19", 10, 9): Placement.MALFORMED,
    ("9-0", 9, 1): Placement.MALFORMED,
    ("bytes 0-9/10", 0, 10): Placement.MALFORMED,
    ("", 0, 0): Placement.MALFORMED,
    ("-1-5", 0, 7): Placement.MALFORMED,
}


@pytest.mark.parametrize(("header", "arrived", "length"), RANGES)
def test_the_content_range_decides_where_a_chunk_goes(header, arrived, length):
    assert placement(header, arrived, length) is RANGES[header, arrived, length]


@pytest.mark.parametrize(("arrived", "header"), [(0, "0-0"), (1, "0-0"), (2, "0-1"), (1000, "0-999")])
def test_the_range_header_ends_at_the_last_byte(arrived, header):
    assert range_header(arrived) == header


class Uploading(RuleBasedStateMachine):
    """Compares sessions with a model: the bytes that each should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage(MemoryBackend(), SystemTime())
        self.kept: dict[Digest, bytes] = {}
        self.arrived: dict[str, bytes] = {}

    sessions: Bundle[Upload] = Bundle("sessions")

    @rule(target=sessions, algorithm=st.sampled_from(["sha256", "sha512"]))
    def start(self, algorithm: str) -> Upload:
        upload = Upload("a/b", self.storage.writer(), algorithm)
        self.arrived[upload.name] = b""
        return upload

    @rule(upload=sessions, pieces=st.lists(st.binary(max_size=20), max_size=4))
    def chunk(self, upload: Upload, pieces: list[bytes]) -> None:
        with upload.chunk():
            for piece in pieces:
                upload.write(piece)
        self.arrived[upload.name] += b"".join(pieces)

    @rule(upload=sessions, piece=st.binary(max_size=20))
    def cut_chunk(self, upload: Upload, piece: bytes) -> None:
        with suppress(ConnectionError), upload.chunk():
            upload.write(piece)
            raise ConnectionError

    @rule(target=sessions, upload=consumes(sessions), algorithm=st.sampled_from(["sha256", "sha512"]))
    def finish(self, upload: Upload, algorithm: str) -> Any:
        content = self.arrived.pop(upload.name)
        digest = Digest.of(content, algorithm)
        assert not upload.has_digest(Digest.of(content + b"!", algorithm))
        assert upload.has_digest(digest)
        self.storage.keep_blob("a/b", digest, upload.writer)
        self.kept[digest] = content
        return multiple()

    @rule(target=sessions, upload=consumes(sessions))
    def cancel(self, upload: Upload) -> Any:
        upload.writer.discard()
        del self.arrived[upload.name]
        return multiple()

    @invariant()
    def kept_blobs_are_what_was_sent(self) -> None:
        for digest, content in self.kept.items():
            held = self.storage.blob("a/b", digest)
            assert held is not None
            assert bytes(held.read(0, len(content) + 1)) == content
        repository = self.storage.repository("a/b")
        assert set(repository.blobs if repository else ()) == set(self.kept)


TestUploading = Uploading.TestCase
TestUploading.settings = settings(max_examples=examples(40), stateful_step_count=25)
