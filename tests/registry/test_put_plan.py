"""The plan of a manifest's PUT, without a socket: invariants over every course of events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.errors import AuthError, BakeryError, ConnectionFailed, DigestMismatch, RegistryError, Unavailable
from bakery.oci.digest import Digest
from bakery.registry import put_plan
from bakery.registry.failure import ConditionFailed, ContentMissing
from bakery.registry.http.failure import NotConnected
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.step import Backoff, LookUp
from tests.hypothesis_profiles import examples
from tests.registry.test_upload_plan import TimeIsUp, follow
from tests.wire.making import errors

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


def test_a_digest_in_upper_case_is_the_same_one():
    for text in (str(DIGEST).upper(), f"sha256:{DIGEST.hex.upper()}", f" {DIGEST} "):
        put(scripted(HttpResponse(201, Fields({"Docker-Content-Digest": text}))))


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
