"""Storage as a state machine: memory and folder hold the same, and reopening a folder changes nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal.backend import FolderBackend, MemoryBackend
from bakery.rehearsal.manifests import stored_manifest
from bakery.rehearsal.storage import Storage
from bakery.rehearsal.time_source import SystemTime
from tests.hypothesis_profiles import examples
from tests.rehearsal.content import index

NAMES = st.sampled_from(["a", "a/b", "tags/list", "blobs"])
TAGS = st.sampled_from(["1", "_tags", "_blobs", "latest"])
CONTENTS = st.sampled_from([b"", b"one", b"two", index()])
SUBJECT = {"mediaType": mt.OCI_MANIFEST, "digest": str(Digest.of(b"of")), "size": 2}
MANIFESTS = st.sampled_from([index(), index(annotations={"n": "1"}), index(subject=SUBJECT)])


def picture(storage: Storage) -> dict[str, Any]:
    """Return everything that readers can see."""
    seen: dict[str, Any] = {}
    for name in storage.names():
        repository = storage.repository(name)
        assert repository is not None
        seen[name] = {
            "blobs": {str(digest): read(storage.blob(name, digest)) for digest in repository.blobs},
            "manifests": {
                str(digest): (found[0].media_type, read(found[1]))
                if (found := storage.manifest(name, digest))
                else None
                for digest in repository.manifests
            },
            "tags": {tag: str(found.digest) for tag, found in repository.tags.items()},
            "referrers": sorted(entry["digest"] for entry in storage.referrers(name, Digest.of(b"of"))),
        }
    return seen


def read(content: Any) -> bytes:
    assert content is not None
    try:
        return bytes(content.read(0, content.size or 0))
    finally:
        content.close()


class Storing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.kept = self.open()
        self.memory = Storage(MemoryBackend(), SystemTime())

    def open(self) -> Storage:
        return Storage(FolderBackend(self.folder), SystemTime())

    def both(self, action: Any) -> None:
        assert action(self.kept) == action(self.memory)

    @rule(name=NAMES, content=CONTENTS)
    def push_a_blob(self, name: str, content: bytes) -> None:
        def push(storage: Storage) -> None:
            incoming = storage.writer()
            incoming.write(content)
            storage.keep_blob(name, Digest.of(content), incoming)

        self.both(push)

    @rule(name=NAMES, raw=MANIFESTS, tags=st.lists(TAGS, max_size=2))
    def push_a_manifest(self, name: str, raw: bytes, tags: list[str]) -> None:
        view, digest = oci.parse(raw), Digest.of(raw)
        self.both(
            lambda storage: storage.keep_manifest(name, digest, raw, stored_manifest(view, digest, raw, 0.0), tags)
        )

    @rule(name=NAMES, source=NAMES, content=CONTENTS)
    def mount(self, name: str, source: str, content: bytes) -> None:
        digest = Digest.of(content)
        if self.memory.blob(source, digest) is not None:
            self.both(lambda storage: storage.hold_blob(name, digest))

    @rule(name=NAMES, tag=TAGS)
    def delete_a_tag(self, name: str, tag: str) -> None:
        self.both(lambda storage: storage.drop_tag(name, tag))

    @rule(name=NAMES, raw=MANIFESTS)
    def delete_a_manifest(self, name: str, raw: bytes) -> None:
        self.both(lambda storage: storage.drop_manifest(name, Digest.of(raw)))

    @rule(name=NAMES, content=CONTENTS)
    def delete_a_blob(self, name: str, content: bytes) -> None:
        self.both(lambda storage: storage.drop_blob(name, Digest.of(content)))

    @rule()
    def reopen(self) -> None:
        self.kept.close()
        self.kept = self.open()

    @invariant()
    def both_show_the_same(self) -> None:
        assert picture(self.kept) == picture(self.memory)

    @invariant()
    def no_file_is_left_that_no_repository_holds(self) -> None:
        seen = picture(self.memory).values()
        held = {digest.partition(":")[2] for one in seen for kind in ("blobs", "manifests") for digest in one[kind]}
        assert {file.name for file in (self.folder / "content").rglob("*") if file.is_file()} == held

    def teardown(self) -> None:
        self.kept.close()
        shutil.rmtree(self.folder)


TestStoring = Storing.TestCase
TestStoring.settings = settings(max_examples=examples(30), stateful_step_count=20)
