"""Rolling back over an engine in memory: which tags go back, which are left, what is checked before and after."""

from __future__ import annotations

import asyncio
import json

import pytest

from bakery.errors import AuthError, BakeryError, ExitCode, NotFound
from bakery.events import Event, RunFinished, RunStarted, TagMoved, TagMoving
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish import rollback
from bakery.publish.changes import Change
from bakery.publish.restore import is_ours, put_back
from bakery.publish.rollback import roll_back, survey
from bakery.publish.rolled_back import Found, Rollback, RolledBack
from tests.publish.fakes import DictionaryEngine, add_image, refusal

HERE = Repository.parse("one.example/app")


def index(engine: DictionaryEngine, salt: str) -> Digest:
    """An index of one image, both in the repository."""
    image = add_image(engine, "linux/amd64", repository=HERE, salt=salt)
    body = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [image.to_json()]}
    return engine.put(HERE, json.dumps(body).encode(), mt.OCI_INDEX).digest


class Moved(DictionaryEngine):
    """An engine whose tags a run moved from `before` to `ours`."""

    def __init__(self, *tags: str) -> None:
        super().__init__()
        self.before, self.ours = index(self, "before"), index(self, "ours")
        self.tags |= {(HERE, tag): self.ours for tag in tags}

    def change(self, tag: str, *, is_new: bool = False) -> Change:
        return Change(HERE.with_tag(tag), None if is_new else self.before, frozenset({self.ours}))


async def rolled(engine: Moved, *changes: Change, events: list[Event] | None = None) -> list[RolledBack]:
    return list((await roll_back(changes, engine, emit=(events if events is not None else []).append)).tags)


async def test_tags_go_back_with_latest_last_and_every_move_is_an_event():
    engine, events = Moved("latest", "1.0"), list[Event]()
    done = await rolled(engine, engine.change("latest"), engine.change("1.0"), events=events)
    assert [(one.change.tag.tag, one.found, one.named) for one in done] == [
        ("1.0", Found.RESTORED, engine.ours),
        ("latest", Found.RESTORED, engine.ours),
    ]
    assert engine.log == [f"set {HERE}:1.0", f"set {HERE}:latest"]
    fields = ("", f"{HERE}:1.0", str(engine.before), str(engine.ours))
    assert events[:3] == [RunStarted("rollback"), TagMoving(*fields), TagMoved(*fields)]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].state == "done"
    assert 0 <= events[-1].elapsed_s < 60


async def test_a_plan_changes_nothing():
    engine = Moved("1.0")
    plan = await survey([engine.change("1.0")], engine)
    assert [one.found for one in plan.tags] == [Found.RESTORE]
    assert engine.log == []


async def test_a_second_rollback_finds_that_everything_is_back():
    engine = Moved("1.0")
    await rolled(engine, engine.change("1.0"))
    (one,) = await rolled(engine, engine.change("1.0"))
    assert one.found is Found.ALREADY
    assert engine.log == [f"set {HERE}:1.0"]


async def test_a_tag_that_someone_moved_since_is_left():
    engine, events = Moved("1.0", "2.0"), list[Event]()
    engine.tags[HERE, "1.0"] = Digest.of(b"by another run")
    one, two = await rolled(engine, engine.change("1.0"), engine.change("2.0"), events=events)
    assert (one.found, two.found) == (Found.LEFT, Found.RESTORED)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].state == "failed"


async def test_a_new_tag_is_deleted_and_not_verified():
    engine = Moved("1.0")
    engine.refuse = lambda action, repository: refusal() if action == "verify" else None
    (one,) = await rolled(engine, engine.change("1.0", is_new=True))
    assert one.found is Found.RESTORED
    assert (HERE, "1.0") not in engine.tags


@pytest.mark.parametrize("lost", ["index", "image"])
async def test_what_cannot_be_read_any_more_is_not_restored(lost):
    engine = Moved("1.0", "2.0")
    _, raw = engine.content[HERE, engine.before]
    gone = engine.before if lost == "index" else Digest.parse(json.loads(raw)["manifests"][0]["digest"])
    del engine.content[HERE, gone]
    done = await rolled(engine, engine.change("1.0"), engine.change("2.0"))
    assert [one.found for one in done] == [Found.FAILED] * 2
    for one in done:
        assert isinstance(one.error, NotFound)
        assert f"{gone} is no longer in the repository" in str(one.error)
    assert engine.log == []
    assert len(engine.found) == len(set(engine.found))  # each is looked for once


async def test_a_tag_that_the_registry_does_not_set_fails_alone(monkeypatch):
    engine = Moved("1.0", "2.0")
    setting = engine.set_tag

    async def set_tag(reference, digest):
        if reference.tag == "1.0":
            raise refusal()
        await setting(reference, digest)

    monkeypatch.setattr(engine, "set_tag", set_tag)
    one, two = await rolled(engine, engine.change("1.0"), engine.change("2.0"))
    assert (one.found, two.found) == (Found.FAILED, Found.RESTORED)


async def test_a_tag_that_keeps_its_digest_after_it_was_restored_is_a_failure(monkeypatch):
    monkeypatch.setattr(rollback, "VERIFY_S", 0.01)
    engine = Moved("1.0")

    async def for_ever(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(engine, "verify_tag", for_ever)
    (one,) = await rolled(engine, engine.change("1.0"))
    assert one.found is Found.FAILED
    assert f"it still names {engine.ours}" in str(one.error)


async def test_a_bug_at_one_tag_does_not_stop_the_others():
    engine = Moved("1.0", "2.0")
    calls: list[str] = []

    def refuse(action: str, repository: Repository) -> Exception | None:
        if action == "set":
            calls.append(action)
            return ZeroDivisionError("bug") if len(calls) == 1 else None
        return None

    engine.refuse = refuse
    done = await rolled(engine, engine.change("1.0"), engine.change("2.0"))
    assert sorted(one.found for one in done) == [Found.FAILED, Found.RESTORED]


DENIED, REFUSED = AuthError("cannot move", about="x", why="401"), refusal(500)
ANY = Change(HERE.with_tag("1.0"), None, frozenset())


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([RolledBack(ANY, Found.RESTORED), RolledBack(ANY, Found.ALREADY)], ExitCode.DONE),
        ([RolledBack(ANY, Found.RESTORED), RolledBack(ANY, Found.LEFT)], ExitCode.FAILED),
        ([RolledBack(ANY, Found.FAILED, error=DENIED)], ExitCode.AUTHENTICATION),
        ([RolledBack(ANY, Found.FAILED, error=DENIED), RolledBack(ANY, Found.LEFT)], ExitCode.FAILED),
        ([RolledBack(ANY, Found.FAILED, error=DENIED), RolledBack(ANY, Found.FAILED, error=REFUSED)], ExitCode.FAILED),
    ],
)
def test_the_exit_code_follows_from_what_became_of_the_tags(found, expected):
    assert Rollback(tuple(found)).exit_code == expected


@pytest.mark.parametrize(
    ("named", "moved", "expected"),
    [
        ("ours", True, True),
        ("ours", False, True),
        ("before", False, False),
        ("other", True, False),
        ("other", False, False),
    ],
)
async def test_a_tag_is_ours_while_it_names_what_we_put_there(named, moved, expected):
    engine = Moved()
    digests = {"ours": engine.ours, "before": engine.before, "other": Digest.of(b"other")}
    engine.tags[HERE, "1.0"] = digests[named]
    assert await is_ours(engine, HERE.with_tag("1.0"), engine.ours, engine.before, moved=moved) is expected


@pytest.mark.parametrize("before", ["the old digest", "no tag"])
async def test_a_tag_that_was_moved_and_reads_as_before_is_looked_at_until_it_names_ours(monkeypatch, before):
    engine = Moved()
    if before == "the old digest":
        engine.tags[HERE, "1.0"] = engine.before
    verified: list[Digest] = []

    async def verify_tag(reference: object, digest: Digest, *, previous: Digest | None) -> None:
        verified.append(digest)

    monkeypatch.setattr(engine, "verify_tag", verify_tag)
    assert await is_ours(engine, HERE.with_tag("1.0"), engine.ours, engine.before, moved=True)
    assert verified == [engine.ours]


async def test_a_new_tag_that_the_registry_does_not_delete_is_an_error(monkeypatch):
    engine = Moved("1.0")

    async def remove_tag(reference: object) -> bool:
        return False

    monkeypatch.setattr(engine, "remove_tag", remove_tag)
    with pytest.raises(BakeryError, match="the registry does not allow it"):
        await put_back(engine, HERE.with_tag("1.0"), None)
