"""The plan of an upload, without a socket: invariants over every course of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.errors import AuthError, BakeryError, ConnectionFailed, RegistryError
from bakery.oci.descriptor import Descriptor
from bakery.registry import upload_plan
from bakery.registry.failure import LoginEnded
from bakery.registry.http.failure import BodyCut, NotConnected
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.step import Backoff, LookUp
from bakery.registry.upload_plan import Ask, Chunk, Finish, Manners, Open, Sent, Whole
from tests.hypothesis_profiles import examples
from tests.wire.making import errors

LAYER = Descriptor.of(b"x" * 1000, "application/x")
SESSION = Url.parse("https://reg.example/up/1")
STEPS_AT_MOST = 60


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


def always(result: Sent) -> Callable[[Any], Any]:
    """Return what gives each PUT this result, and finds nothing."""
    return lambda step: OPENED if isinstance(step, Open) else result if isinstance(step, Whole) else False


REPEATED = {  # what each PUT gets, and after how many the upload ends
    "a digest that is refused": (WRONG, 3, "DIGEST_INVALID"),
    "a session that is lost": (STALE, 11, "BLOB_UPLOAD_UNKNOWN"),
}


@pytest.mark.parametrize(("result", "puts", "why"), REPEATED.values(), ids=REPEATED)
def test_what_may_pass_once_ends_the_upload_if_it_repeats(result, puts, why):
    steps: list[Any] = []

    def act(step: Any) -> Any:
        steps.append(step)
        return always(result)(step)

    with pytest.raises(RegistryError, match=why):
        follow(upload_plan.upload(LAYER, Manners()), act)
    assert sum(isinstance(step, Whole) for step in steps) == puts


def test_a_login_that_ends_without_a_reason_is_the_error_itself():
    with pytest.raises(LoginEnded):
        follow(upload_plan.upload(LAYER, Manners()), always(Sent(error=LoginEnded("x"))))


def test_what_passes_with_time_ends_no_upload_however_often_it_repeats():
    with pytest.raises(TimeIsUp):
        follow(upload_plan.upload(LAYER, Manners()), always(THROTTLED))


@pytest.mark.parametrize(("error", "raised"), [(LoginEnded("x"), RegistryError), (AuthError("x"), AuthError)])
def test_the_reason_of_an_error_is_raised_in_its_place_only_for_a_login(error, raised):
    error.__cause__ = RegistryError("y", status=401)
    with pytest.raises(BakeryError) as caught:
        follow(upload_plan.upload(LAYER, Manners()), always(Sent(error=error)))
    assert type(caught.value) is raised


@pytest.mark.parametrize(
    "refused", [HttpResponse(405, body=errors("UNSUPPORTED")), *map(HttpResponse, (411, 413, 416))]
)
def test_a_host_that_refuses_a_whole_blob_gets_chunks_from_then_on(refused):
    manners = Manners()
    results = iter([OPENED, Sent(refused), OPENED, OPENED, CREATED])
    steps = follow(upload_plan.upload(LAYER, manners), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == "open put open Chunk Finish"
    assert manners.chunk_bytes == upload_plan.GHCR_CHUNK_BYTES


def test_chunks_become_smaller_down_to_64_kib_while_they_are_too_large():
    manners, tried = Manners(), []

    def act(step: Any) -> Any:
        if isinstance(step, Open):
            return OPENED
        tried.append(manners.chunk_bytes)
        return Sent(HttpResponse(413))

    with pytest.raises(RegistryError) as caught:
        follow(upload_plan.upload(LAYER, manners), act)
    assert tried == [None, *(size * 1024 for size in (4096, 1024, 256, 64))]
    assert "raise the limit for request bodies" in caught.value.hint


def test_chunks_do_not_become_smaller_than_the_registry_requires():
    least = 2 * 1024 * 1024
    results = iter([OPENED, Sent(HttpResponse(413)), OPENED, Sent(HttpResponse(413))])
    with pytest.raises(RegistryError):
        follow(upload_plan.upload(LAYER, Manners(least_chunk_bytes=least)), lambda step: next(results))


@pytest.mark.parametrize(("used", "status"), [(None, 411), (4 << 20, 413)])
def test_a_size_that_another_blob_has_learned_meanwhile_stays_if_it_is_smaller(used, status):
    manners = Manners(chunk_bytes=1 << 16)
    assert upload_plan._requires_smaller(HttpResponse(status), None, used, manners)
    assert manners.chunk_bytes == 1 << 16


def test_a_chunk_that_is_refused_for_another_reason_makes_none_smaller():
    manners = Manners(chunk_bytes=4 << 20)
    assert not upload_plan._requires_smaller(HttpResponse(416), None, 4 << 20, manners)
    assert manners.chunk_bytes == 4 << 20


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


OPENED_BY_201 = {  # the session that comes with a 201, whether a look finds the blob, the steps
    "the blob is there": (None, True, "open glance"),
    "a session": (SESSION, False, "open glance put"),
}


@pytest.mark.parametrize(("session", "is_there", "expected"), OPENED_BY_201.values(), ids=OPENED_BY_201)
def test_a_201_in_place_of_a_session_counts_only_if_the_blob_is_there(session, is_there, expected):
    results = iter([Sent(HttpResponse(201), session), is_there, CREATED])
    steps = follow(upload_plan.upload(LAYER, Manners()), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == expected


def test_a_201_for_a_blob_that_is_not_there_ends_the_upload():
    results = iter([CREATED, False])
    with pytest.raises(RegistryError, match="responded 201 without a session"):
        follow(upload_plan.upload(LAYER, Manners()), lambda step: next(results))


def test_an_upload_that_cannot_be_opened_for_now_is_opened_later():
    results = iter([BUSY, None, LOST, None, OPENED, CREATED])
    steps = follow(upload_plan.upload(LAYER, Manners()), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == "open pause open pause open put"


def test_the_result_of_a_request_is_a_response_or_an_error():
    with pytest.raises(ValueError, match="a response or an error"):
        follow(upload_plan.upload(LAYER, Manners()), lambda step: Sent())


def at(received: str) -> Sent:
    """Return the response of a session that states this range."""
    return Sent(HttpResponse(204, Fields({"Range": received})))


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


@pytest.mark.parametrize("untaken", [THROTTLED, BUSY, UNSENT])
def test_a_chunk_that_was_not_taken_for_now_is_sent_again_in_its_session(untaken):
    newer = Url.parse("https://reg.example/up/2")
    results = iter([OPENED, Sent(HttpResponse(202), newer), untaken, None, untaken, None, OPENED, CREATED])
    steps = follow(upload_plan.upload(LAYER, Manners(chunk_bytes=500)), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == "open Chunk Chunk pause Chunk pause Chunk Finish"
    assert [(step.session, step.first) for step in steps[2:7:2]] == [(newer, 500)] * 3


UNCERTAIN = {  # what the session states after the second chunk (bytes 500 to 999) failed, the steps that follow
    "it has the chunk": (at("0-999"), "Finish"),
    "it has nothing of the chunk": (at("0-499"), "Chunk Finish"),
    "it has a part of the chunk": (at("0-700"), "open Chunk Chunk Finish"),
    "it has nothing": (at("0-0"), "open Chunk Chunk Finish"),
    "it has more than was sent": (at("0-5000"), "open Chunk Chunk Finish"),
    "it states nothing": (at(""), "open Chunk Chunk Finish"),
    "it is gone": (STALE, "open Chunk Chunk Finish"),
    "it is elsewhere": (Sent(HttpResponse(300, Fields({"Range": "0-999"}))), "open Chunk Chunk Finish"),
    "it does not respond": (LOST, "open Chunk Chunk Finish"),
}


@pytest.mark.parametrize("failure", [LOST, CUT, BROKEN], ids=["lost", "cut", "500"])
@pytest.mark.parametrize(("stated", "expected"), UNCERTAIN.values(), ids=UNCERTAIN)
def test_after_a_doubtful_chunk_the_session_decides_where_the_upload_goes_on(failure, stated, expected):
    follows = [CREATED if step == "Finish" else OPENED for step in expected.split()]
    results = iter([OPENED, OPENED, failure, None, stated, *follows])
    steps = follow(upload_plan.upload(LAYER, Manners(chunk_bytes=500)), lambda step: next(results))
    assert " ".join(name_of(step) for step in steps) == f"open Chunk Chunk pause Ask {expected}"
    assert next(results, "no other step") == "no other step"


def test_a_chunk_that_is_sent_again_goes_to_the_url_that_the_session_states():
    newer = Url.parse("https://reg.example/up/2")
    results = iter([OPENED, OPENED, LOST, None, Sent(at("0-499").response, newer), OPENED, CREATED])
    steps = follow(upload_plan.upload(LAYER, Manners(chunk_bytes=500)), lambda step: next(results))
    assert [step.session for step in steps[-2:]] == [newer, SESSION]


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
    """A random registry: it may store content, lose the response and lie about what a session has received.

    The plan must end right and never too early.
    """
    stored = acknowledged = found = False
    fresh: Url | None = None
    used: set[str] = set()
    received: list[int] = []  # the offsets of the bytes of the session

    def act(step: Any) -> Any:
        nonlocal stored, acknowledged, found, fresh
        assert not acknowledged, "a step after the acknowledgement"
        assert not found, "a step after the blob was found"
        match step:
            case Open():
                outcome = data.draw(st.sampled_from([OPENED, LOST, THROTTLED, BROKEN, BUSY]))
                if outcome is OPENED:
                    fresh = Url.parse(f"https://reg.example/up/{len(used)}")
                    received.clear()
                    return Sent(HttpResponse(202), fresh)
                return outcome
            case Whole(session) | Finish(session):
                assert session == fresh
                assert str(session) not in used, "a session is used once"
                used.add(str(session))
                results = [CREATED, LOST, CUT, THROTTLED, BROKEN, STALE, LOGIN, WRONG]
                if isinstance(step, Finish) and received != list(range(LAYER.size)):
                    return data.draw(st.sampled_from([CUT, THROTTLED, WRONG]))
                outcome = data.draw(st.sampled_from(results))
                stored = stored or outcome is CREATED or (outcome in (LOST, BROKEN, STALE) and data.draw(st.booleans()))
                acknowledged = outcome is CREATED
                return outcome
            case Chunk(session, first, last):
                assert session == fresh
                outcome = data.draw(st.sampled_from([Sent(HttpResponse(202), session), LOST, BROKEN, THROTTLED]))
                if outcome.session is not None or (outcome is not THROTTLED and data.draw(st.booleans())):
                    received.extend(range(first, last + 1))
                return outcome
            case Ask(session):
                assert session == fresh
                truth = f"0-{max(0, len(received) - 1)}"
                stated = data.draw(st.sampled_from([truth, truth, truth, "0-0", "0-299", "", "none"]))
                return data.draw(st.sampled_from([at(stated), at(stated), at(stated), LOST, STALE]))
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
