"""The plans of uploads and manifests, without a socket: invariants over every course of events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.errors import AuthError, BakeryError, ConnectionFailed, DigestMismatch, RegistryError, Unavailable
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.registry import put_plan, upload_plan
from bakery.registry.failure import ConditionFailed, ContentMissing, LoginEnded
from bakery.registry.http.failure import BodyCut, NotConnected
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.step import Backoff, LookUp
from bakery.registry.upload_plan import Chunk, Finish, Manners, Open, Sent, Whole
from tests.hypothesis_profiles import examples
from tests.wire.making import errors

LAYER = Descriptor.of(b"x" * 1000, "application/x")
SESSION = Url.parse("https://reg.example/up/1")
STEPS_AT_MOST = 30


class TimeIsUp(Exception):
    """The time budget is exceeded: a plan may continue for as long as it is allowed to."""


def follow(flow: Any, act: Callable[[Any], Any]) -> list[Any]:
    """Carry out a plan and return its steps."""
    steps = []
    try:
        step = next(flow)
        while True:
            steps.append(step)
            if len(steps) > STEPS_AT_MOST:
                raise TimeIsUp
            step = flow.send(act(step))
    except StopIteration:
        return steps


def sent(*statuses: int) -> list[Sent]:
    return [Sent(HttpResponse(status)) for status in statuses]


LOST = Sent(error=ConnectionFailed("x"))
CUT = Sent(error=BodyCut("x"))
UNSENT = Sent(error=NotConnected("x"))
LOGIN = Sent(error=LoginEnded("x"))
STALE = Sent(HttpResponse(404, body=errors("BLOB_UPLOAD_UNKNOWN")))
WRONG = Sent(HttpResponse(400, body=errors("DIGEST_INVALID")))
SHORT = Sent(HttpResponse(400, body=errors("SIZE_INVALID")))
OPENED = Sent(HttpResponse(202), SESSION)
THROTTLED, BUSY, BROKEN, CREATED, ODD = sent(429, 503, 502, 201, 200)

COURSES = {  # results of the PUTs, results of the looks, the steps
    "success": ([CREATED], [], "open put"),
    "the response is lost, the blob exists": ([LOST], [True], "open put look"),
    "the response is lost, and so is the blob": ([LOST, CREATED], [False], "open put look pause open put"),
    "a gateway error": ([BROKEN, CREATED], [False], "open put look pause open put"),
    "a server error, and the blob exists": (sent(500), [True], "open put glance"),
    "the body is truncated": ([CUT, CREATED], [], "open put pause open put"),
    "no connection": ([UNSENT, CREATED], [], "open put pause open put"),
    "too many requests": ([THROTTLED, CREATED], [], "open put pause open put"),
    "unavailable": ([BUSY, CREATED], [], "open put pause open put"),
    "the session is lost, the blob exists": ([STALE], [True], "open put look"),
    "the session is lost": ([STALE, CREATED], [False], "open put look pause open put"),
    "the login expires": ([LOGIN, CREATED], [False], "open put glance pause open put"),
    "the digest is refused once": ([WRONG, CREATED], [False], "open put glance pause open put"),
    "the size is refused once": ([SHORT, CREATED], [False], "open put glance pause open put"),
    "a 200, and the blob exists": ([ODD], [True], "open put glance"),
}


def name_of(step: Any) -> str:
    match step:
        case Open():
            return "open"
        case Whole():
            return "put"
        case LookUp(settle):
            return "look" if settle else "glance"
        case Backoff():
            return "pause"
        case _:
            return type(step).__name__


@pytest.mark.parametrize(("puts", "looks", "expected"), COURSES.values(), ids=COURSES)
def test_an_upload_takes_the_fewest_safe_steps(puts, looks, expected):
    puts, looks = list(puts), list(looks)

    def act(step: Any) -> Any:
        match step:
            case Open():
                return OPENED
            case Whole():
                return puts.pop(0)
            case LookUp():
                return looks.pop(0)
            case _:
                return False

    steps = follow(upload_plan.upload(LAYER, Manners()), act)
    assert " ".join(name_of(step) for step in steps) == expected
    assert not puts
    assert not looks


def test_a_session_that_a_mount_opened_is_used_first():
    steps = follow(upload_plan.upload(LAYER, Manners(), SESSION), lambda step: CREATED)
    assert steps == [Whole(SESSION)]


FINAL = {
    "denied": Sent(HttpResponse(403, body=errors("DENIED"))),
    "login": Sent(HttpResponse(401)),
    "refused": Sent(HttpResponse(400, body=errors("NAME_INVALID"))),
}


@pytest.mark.parametrize("sent", FINAL.values(), ids=FINAL)
def test_a_permanent_refusal_ends_the_upload_at_once(sent):
    with pytest.raises(RegistryError):
        follow(upload_plan.upload(LAYER, Manners()), lambda step: OPENED if isinstance(step, Open) else sent)


def test_a_200_for_a_blob_that_is_not_there_ends_the_upload():
    results = iter([OPENED, ODD, False])
    with pytest.raises(RegistryError, match="responded 200, but the blob is not there"):
        follow(upload_plan.upload(LAYER, Manners()), lambda step: next(results))


def test_a_digest_that_is_refused_three_times_is_refused_permanently():
    steps: list[Any] = []

    def act(step: Any) -> Any:
        steps.append(step)
        return OPENED if isinstance(step, Open) else WRONG if isinstance(step, Whole) else False

    with pytest.raises(RegistryError, match="DIGEST_INVALID"):
        follow(upload_plan.upload(LAYER, Manners()), act)
    assert sum(isinstance(step, Whole) for step in steps) == 3


@pytest.mark.parametrize(
    "refused", [HttpResponse(405, body=errors("UNSUPPORTED")), *map(HttpResponse, (411, 413, 416))]
)
def test_a_host_that_refuses_a_whole_blob_gets_chunks_from_then_on(refused):
    manners = Manners()
    results = iter([OPENED, Sent(refused), OPENED, OPENED, CREATED])
    steps = follow(upload_plan.upload(LAYER, manners), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == "open put open Chunk Finish"
    assert manners.chunk_bytes == upload_plan.GHCR_CHUNK_BYTES


def test_an_error_names_the_blob_or_what_the_caller_calls_it():
    refused = Sent(HttpResponse(403))
    for about, named in (("", str(LAYER.digest)), ("reg.example/app@sha256:…", "reg.example/app@sha256:…")):
        with pytest.raises(AuthError) as caught:
            follow(upload_plan.upload(LAYER, Manners(), about=about), lambda step: refused)
        assert caught.value.about == named


OPENINGS: dict[str, tuple[Sent, type[BakeryError], str]] = {
    "denied": (Sent(HttpResponse(403)), AuthError, "403"),
    "refused": (Sent(HttpResponse(400, body=errors("NAME_INVALID"))), RegistryError, "NAME_INVALID"),
    "a session that comes with a 200": (Sent(HttpResponse(200), SESSION), RegistryError, "200 without a session"),
    "no session": (Sent(HttpResponse(202)), RegistryError, "202 without a session"),
}


@pytest.mark.parametrize(("opened", "kind", "why"), OPENINGS.values(), ids=OPENINGS)
def test_an_upload_that_cannot_be_opened_ends_at_once(opened, kind, why):
    steps: list[Any] = []

    def act(step: Any) -> Any:
        steps.append(step)
        return opened

    with pytest.raises(kind, match=why):
        follow(upload_plan.upload(LAYER, Manners()), act)
    assert steps == [Open()]


def test_an_upload_that_cannot_be_opened_for_now_is_opened_later():
    results = iter([BUSY, None, LOST, None, OPENED, CREATED])
    steps = follow(upload_plan.upload(LAYER, Manners()), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == "open pause open pause open put"


def test_the_result_of_a_request_is_a_response_or_an_error():
    with pytest.raises(ValueError, match="a response or an error"):
        follow(upload_plan.upload(LAYER, Manners()), lambda step: Sent())


CHUNKS = {  # result of the second chunk, result of the commit, the steps; the blob is never found
    "a chunk is lost": (LOST, None, "open Chunk Chunk pause"),
    "a chunk is refused for now": (BROKEN, None, "open Chunk Chunk pause"),
    "the commit is lost": (OPENED, LOST, "open Chunk Chunk Finish look pause"),
}


@pytest.mark.parametrize(("second", "commit", "expected"), CHUNKS.values(), ids=CHUNKS)
def test_a_blob_in_chunks_is_only_looked_for_after_its_commit(second, commit, expected):
    steps: list[Any] = []

    def act(step: Any) -> Any:
        steps.append(step)
        match step:
            case Open():
                return OPENED
            case Chunk(_, first, _):
                return second if first else OPENED
            case Finish():
                return commit
            case Backoff():
                raise TimeIsUp
            case _:
                return False

    with pytest.raises(TimeIsUp):
        follow(upload_plan.upload(LAYER, Manners(chunk_bytes=500)), act)
    assert " ".join(name_of(step) for step in steps) == expected


@pytest.mark.parametrize("status", [300, 403, 413])
def test_a_chunk_that_is_refused_is_the_last_one(status):
    steps: list[Any] = []

    def act(step: Any) -> Any:
        steps.append(step)
        return OPENED if isinstance(step, Open) else False if isinstance(step, LookUp) else Sent(HttpResponse(status))

    with pytest.raises(RegistryError):
        follow(upload_plan.upload(LAYER, Manners(chunk_bytes=500)), act)
    assert sum(isinstance(step, Chunk) for step in steps) == 1


def test_a_chunk_goes_to_the_newest_url_of_the_session():
    newer = Url.parse("https://reg.example/up/2")
    results = iter([OPENED, Sent(HttpResponse(202), newer), Sent(HttpResponse(202)), CREATED])
    steps = follow(upload_plan.upload(LAYER, Manners(chunk_bytes=500)), lambda step: next(results))
    assert [step.session for step in steps[1:]] == [SESSION, newer, newer]


@pytest.mark.parametrize(
    ("stated", "noted"),
    [("400", 400), (str(10**11 - 1), upload_plan.MAX_CHUNK_BYTES), (str(10**11), 0), ("many", 0)],
)
def test_a_chunk_size_is_noted_unless_it_is_absurd(stated, noted):
    manners = Manners()
    upload_plan.note_chunk_size(HttpResponse(202, Fields({"OCI-Chunk-Min-Length": stated})), manners)
    assert manners.least_chunk_bytes == noted


def test_chunks_cover_the_blob_once_and_in_order():
    manners = Manners(chunk_bytes=300)
    steps = follow(
        upload_plan.upload(LAYER, manners, SESSION), lambda step: CREATED if isinstance(step, Finish) else OPENED
    )
    spans = [(step.first, step.last) for step in steps if isinstance(step, Chunk)]
    assert spans == [(0, 299), (300, 599), (600, 899), (900, 999)]
    assert isinstance(steps[-1], Finish)


def test_chunks_are_never_smaller_than_the_registry_requires():
    opened = Sent(HttpResponse(202, Fields({"OCI-Chunk-Min-Length": "400"})), SESSION)
    manners = Manners(chunk_bytes=300)
    steps = follow(
        upload_plan.upload(LAYER, manners),
        lambda step: opened if isinstance(step, Open) else CREATED if isinstance(step, Finish) else OPENED,
    )
    assert [step.last - step.first + 1 for step in steps if isinstance(step, Chunk)] == [400, 400, 200]


def test_a_registry_that_states_a_chunk_size_may_still_get_the_whole_blob():
    opened = Sent(HttpResponse(202, Fields({"OCI-Chunk-Min-Length": "400"})), SESSION)
    steps = follow(upload_plan.upload(LAYER, Manners()), lambda step: opened if isinstance(step, Open) else CREATED)
    assert [type(step) for step in steps] == [Open, Whole]


def test_a_refused_put_becomes_chunks_even_if_another_blob_learned_it_meanwhile():
    manners = Manners()
    refused = Sent(HttpResponse(405, body=errors("UNSUPPORTED")))

    def act(step: Any) -> Any:
        if isinstance(step, Whole):
            manners.chunk_bytes = 300  # as another upload does while this one waits for its response
            return refused
        return CREATED if isinstance(step, Finish) else OPENED

    steps = follow(upload_plan.upload(LAYER, manners), act)
    assert [type(step).__name__ for step in steps[:4]] == ["Open", "Whole", "Open", "Chunk"]


@settings(max_examples=examples(150))
@given(st.data(), st.sampled_from([None, 300]))
def test_a_blob_that_was_acknowledged_or_found_is_never_sent_again(data, chunk_bytes):
    """A random registry: it may store content and lose the response. The plan must end right and never too early."""
    stored = acknowledged = found = False
    fresh: Url | None = None
    used: set[str] = set()

    def act(step: Any) -> Any:
        nonlocal stored, acknowledged, found, fresh
        assert not acknowledged, "a step after the acknowledgement"
        assert not found, "a step after the blob was found"
        match step:
            case Open():
                outcome = data.draw(st.sampled_from([OPENED, LOST, THROTTLED, BROKEN, BUSY]))
                if outcome is OPENED:
                    fresh = Url.parse(f"https://reg.example/up/{len(used)}")
                    return Sent(HttpResponse(202), fresh)
                return outcome
            case Whole(session) | Finish(session):
                assert session == fresh
                assert str(session) not in used, "a session is used once"
                used.add(str(session))
                outcome = data.draw(st.sampled_from([CREATED, LOST, CUT, THROTTLED, BROKEN, STALE, LOGIN, WRONG]))
                stored = stored or outcome is CREATED or (outcome in (LOST, BROKEN, STALE) and data.draw(st.booleans()))
                acknowledged = outcome is CREATED
                return outcome
            case Chunk(session):
                assert session == fresh
                return data.draw(st.sampled_from([Sent(HttpResponse(202), session), LOST, BROKEN]))
            case LookUp(settle):
                seen = stored and (settle or data.draw(st.booleans()))
                found = seen
                return seen
            case _:
                return False

    try:
        follow(upload_plan.upload(LAYER, Manners(chunk_bytes)), act)
    except (BakeryError, TimeIsUp):
        assert not acknowledged
        return
    assert stored
    assert acknowledged or found


# Manifests

DIGEST, OTHER, CHILD = (Digest.of(text) for text in (b"it", b"other", b"child"))
CHILD_MISSING = HttpResponse(400, body=errors("MANIFEST_BLOB_UNKNOWN", detail={"digest": str(CHILD)}))


def put(act: Callable[[Any], Any], *, is_tag: bool = False, ours: bool = False) -> list[Any]:
    return follow(put_plan.put(DIGEST, about="x", is_tag=is_tag, names=lambda: [CHILD], ours=lambda _: ours), act)


def scripted(*results: Any) -> Callable[[Any], Any]:
    left = list(results)
    return lambda step: left.pop(0)


def test_an_acknowledged_put_is_one_step():
    assert put(scripted(HttpResponse(201))) == [put_plan.Put()]


@pytest.mark.parametrize("lost", [ConnectionFailed("x"), HttpResponse(500), HttpResponse(502), HttpResponse(504)])
def test_a_put_whose_response_was_lost_is_looked_for(lost):
    done, look = put(scripted(lost, DIGEST))
    assert done == put_plan.Put()
    assert isinstance(look, LookUp)
    assert look.because is not None
    assert look.settle is not (isinstance(lost, HttpResponse) and lost.status == 500)


@pytest.mark.parametrize("refused", [HttpResponse(429), HttpResponse(503), NotConnected("x")])
def test_a_refused_put_is_not_looked_for(refused):
    steps = put(scripted(refused, None, HttpResponse(201)))
    assert [type(step) for step in steps] == [put_plan.Put, Backoff, put_plan.Put]


def test_a_tag_that_names_something_else_after_a_lost_response_is_put_again():
    steps = put(scripted(ConnectionFailed("x"), OTHER, None, HttpResponse(201)), is_tag=True)
    assert [type(step) for step in steps] == [put_plan.Put, LookUp, Backoff, put_plan.Put]


def test_only_content_that_this_run_pushed_is_waited_for():
    steps = put(scripted(CHILD_MISSING, True, CHILD_MISSING, True, HttpResponse(201)), ours=True)
    assert [type(step) for step in steps] == [put_plan.Put, put_plan.AwaitContent] * 2 + [put_plan.Put]
    with pytest.raises(ContentMissing) as caught:
        put(scripted(CHILD_MISSING, (CHILD,)), ours=False)
    assert caught.value.digests == (CHILD,)


def test_content_is_waited_for_only_if_this_run_pushed_all_of_it():
    missing = [{"code": "MANIFEST_BLOB_UNKNOWN", "detail": {"digest": str(one)}} for one in (CHILD, OTHER)]
    refused = HttpResponse(400, body=json.dumps({"errors": missing}).encode())
    asked: list[Any] = []

    def act(step: Any) -> Any:
        asked.append(step)
        return refused if isinstance(step, put_plan.Put) else (OTHER,)

    def ours(digest: Digest) -> bool:
        return digest == CHILD

    with pytest.raises(ContentMissing) as caught:
        follow(put_plan.put(DIGEST, about="x", is_tag=False, names=list, ours=ours), act)
    assert asked == [put_plan.Put(), put_plan.FindMissing((CHILD, OTHER))]
    assert caught.value.digests == (OTHER,)


def test_if_the_registry_does_not_say_what_is_missing_everything_that_the_manifest_names_is_looked_for():
    refused = HttpResponse(400, body=errors("MANIFEST_BLOB_UNKNOWN"))
    with pytest.raises(ContentMissing) as caught:
        put(scripted(refused, ()))
    assert caught.value.digests == (CHILD,)
    other = HttpResponse(400, body=errors("MANIFEST_BLOB_UNKNOWN", detail={"digest": str(OTHER)}))
    with pytest.raises(ContentMissing) as caught:
        put(scripted(other, ()))
    assert caught.value.digests == (OTHER,)


def test_when_patience_ends_the_missing_content_is_named():
    with pytest.raises(ContentMissing) as caught:
        put(scripted(CHILD_MISSING, False, (CHILD,)), ours=True)
    assert caught.value.digests == (CHILD,)


def test_content_that_head_finds_and_the_put_still_misses_is_named():
    with pytest.raises(ContentMissing) as caught:
        put(scripted(CHILD_MISSING, False, ()), ours=True)
    assert caught.value.digests == (CHILD,)


def test_a_registry_that_stored_another_digest_is_an_error():
    with pytest.raises(DigestMismatch):
        put(scripted(HttpResponse(201, Fields({"Docker-Content-Digest": str(OTHER)}))))


def test_a_digest_of_another_algorithm_proves_nothing_and_the_same_one_proves_that_the_manifest_is_stored():
    sha512 = Fields({"Docker-Content-Digest": str(Digest.of(b"it", "sha512"))})
    same = Fields({"Docker-Content-Digest": str(DIGEST)})
    assert put(scripted(HttpResponse(201, sha512))) == [put_plan.Put()]
    assert put(scripted(HttpResponse(201, same))) == [put_plan.Put()]
    assert put(scripted(HttpResponse(200, same))) == [put_plan.Put()]


@pytest.mark.parametrize("is_tag", [False, True])
def test_a_200_without_a_digest_counts_only_if_the_manifest_is_there(is_tag):
    assert put(scripted(HttpResponse(200), DIGEST)) == [put_plan.Put(), LookUp(settle=False)]
    action = "cannot move tag" if is_tag else "cannot push manifest"
    with pytest.raises(RegistryError, match=f"{action} x: .* 200, but the manifest is not there"):
        put(scripted(HttpResponse(200), None), is_tag=is_tag)


def test_only_a_tag_is_immutable_and_only_if_the_registry_says_so():
    with pytest.raises(RegistryError, check=lambda error: "immutable" not in error.why):
        put(scripted(HttpResponse(403)), is_tag=True)
    steps = put(scripted(HttpResponse(412), True, HttpResponse(201)))  # by digest: a conflict, which is retried
    assert [type(step) for step in steps] == [put_plan.Put, Backoff, put_plan.Put]


def test_the_result_of_a_put_is_a_response_or_an_error():
    with pytest.raises(ValueError, match="a response or an error"):
        put(scripted(True))


def test_an_immutable_tag_with_another_digest_is_an_error_that_names_it():
    assert len(put(scripted(HttpResponse(412), DIGEST), is_tag=True)) == 2
    with pytest.raises(RegistryError, match=f"immutable and names {OTHER}"):
        put(scripted(HttpResponse(400, body=errors("TAG_INVALID")), OTHER), is_tag=True)


def test_a_412_proves_that_a_tag_is_immutable_if_it_names_other_content():
    with pytest.raises(RegistryError, match=f"immutable and names {OTHER}"):
        put(scripted(HttpResponse(412), OTHER), is_tag=True)
    steps = put(scripted(HttpResponse(412), None, None, HttpResponse(201)), is_tag=True)
    assert [type(step) for step in steps] == [put_plan.Put, LookUp, Backoff, put_plan.Put]


def test_a_409_is_a_conflict_until_the_third_one_finds_the_tag_at_other_content():
    once = (HttpResponse(409), OTHER, None)
    steps = put(scripted(*once, *once, HttpResponse(201)), is_tag=True)
    assert [type(step) for step in steps] == [put_plan.Put, LookUp, Backoff] * 2 + [put_plan.Put]
    with pytest.raises(RegistryError, match=f"immutable and names {OTHER}"):
        put(scripted(*once, *once, HttpResponse(409), OTHER), is_tag=True)


@pytest.mark.parametrize("named", [OTHER, None])
def test_a_condition_that_does_not_hold_is_told_with_what_the_tag_names_and_only_a_412_says_so(named):
    def conditional(*results: Any) -> list[Any]:
        flow = put_plan.put(DIGEST, about="x", is_tag=True, names=list, ours=lambda _: False, is_conditional=True)
        return follow(flow, scripted(*results))

    with pytest.raises(ConditionFailed) as caught:
        conditional(HttpResponse(412), named)
    assert caught.value.found == named
    assert len(conditional(HttpResponse(409), named, None, HttpResponse(201))) == 4


def test_a_409_is_never_taken_for_immutable_while_the_tag_cannot_be_read():
    unread = (HttpResponse(409), None, None)
    assert len(put(scripted(*unread * 5, HttpResponse(201)), is_tag=True)) == 16


@pytest.mark.parametrize(
    ("is_ascii", "response", "hinted"),
    [
        (False, HttpResponse(400, body=errors("DIGEST_INVALID")), True),
        (True, HttpResponse(400, body=errors("DIGEST_INVALID")), False),
        (False, HttpResponse(400, body=errors("NAME_INVALID")), False),
        (False, HttpResponse(403, body=errors("DIGEST_INVALID")), False),
    ],
)
def test_a_digest_refused_for_text_beyond_ascii_has_the_hint_to_avoid_it(is_ascii, response, hinted):
    flow = put_plan.put(DIGEST, about="x", is_tag=False, names=list, ours=lambda _: False, is_ascii=is_ascii)
    with pytest.raises(BakeryError) as caught:
        follow(flow, lambda step: response)
    assert (caught.value.hint == put_plan.ASCII_HINT) is hinted


@pytest.mark.parametrize(("response", "expected"), [(HttpResponse(403), AuthError), (HttpResponse(413), RegistryError)])
def test_a_permanent_refusal_ends_the_put_at_once(response, expected):
    with pytest.raises(expected):
        put(scripted(response))


@settings(max_examples=examples(150))
@given(st.data())
def test_an_acknowledged_manifest_is_never_put_again(data):
    stored = acknowledged = False

    def act(step: Any) -> Any:
        nonlocal stored, acknowledged
        assert not acknowledged
        match step:
            case put_plan.Put():
                outcome = data.draw(
                    st.sampled_from(
                        [
                            HttpResponse(201),
                            HttpResponse(500),
                            HttpResponse(503),
                            ConnectionFailed("x"),
                            NotConnected("x"),
                            CHILD_MISSING,
                        ]
                    )
                )
                acknowledged = isinstance(outcome, HttpResponse) and outcome.status == 201
                maybe = type(outcome) is ConnectionFailed or (
                    isinstance(outcome, HttpResponse) and outcome.status == 500
                )
                stored = stored or acknowledged or (maybe and data.draw(st.booleans()))
                return outcome
            case LookUp():
                return DIGEST if stored else data.draw(st.sampled_from([None, OTHER]))
            case put_plan.AwaitContent():
                return data.draw(st.booleans())
            case put_plan.FindMissing(digests):
                return tuple(digests)
            case Backoff(because):
                assert isinstance(because, Unavailable | ConnectionFailed)
                return None

    try:
        put(act, is_tag=data.draw(st.booleans()), ours=data.draw(st.booleans()))
    except (BakeryError, TimeIsUp):
        assert not acknowledged
        return
    assert stored
