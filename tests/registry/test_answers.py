"""What responses mean, as tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.errors import AuthError, NotFound, RegistryError, Unavailable
from bakery.oci.digest import Digest
from bakery.registry.answers import (
    Meaning,
    OciError,
    Purpose,
    error_for,
    is_immutable_tag,
    is_throttled,
    meaning_of,
    missing_digests,
    oci_errors,
    retry_after_s,
    summary_of,
)
from bakery.registry.failure import ContentMissing
from bakery.registry.http.message import Fields, HttpResponse
from tests.wire.making import errors

READ, OPEN, SEND, PUT = Purpose.READ, Purpose.OPEN_UPLOAD, Purpose.SEND_BLOB, Purpose.PUT_MANIFEST
GHCR_LIMIT = b"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."

MEANINGS = {
    "absent": (404, "MANIFEST_UNKNOWN", READ, False, Meaning.ABSENT),
    "absent, without a body": (404, "", READ, False, Meaning.ABSENT),
    "manifest of this run, not there yet": (404, "MANIFEST_UNKNOWN", READ, True, Meaning.LAG),
    "login refused, though it says not found": (401, "NAME_UNKNOWN", READ, True, Meaning.LOGIN),
    "login refused only by code": (404, "UNAUTHORIZED", READ, True, Meaning.LOGIN),
    "denied": (403, "DENIED", READ, False, Meaning.DENIED),
    "throttled": (429, "TOOMANYREQUESTS", READ, False, Meaning.THROTTLED),
    "throttled only by code": (400, "TOOMANYREQUESTS", PUT, False, Meaning.THROTTLED),
    "not taken": (503, "UNAVAILABLE", PUT, False, Meaning.NOT_TAKEN),
    "too early": (425, "", PUT, False, Meaning.NOT_TAKEN),
    "may have been carried out": (500, "UNKNOWN", PUT, False, Meaning.AMBIGUOUS),
    "bad gateway": (502, "", SEND, False, Meaning.AMBIGUOUS),
    "gateway timeout": (504, "", SEND, False, Meaning.AMBIGUOUS),
    "a proxy's own status": (522, "", READ, False, Meaning.AMBIGUOUS),
    "not implemented": (501, "", READ, False, Meaning.UNSUPPORTED),
    "method refused": (405, "UNSUPPORTED", Purpose.DELETE, False, Meaning.UNSUPPORTED),
    "child missing": (400, "MANIFEST_BLOB_UNKNOWN", PUT, False, Meaning.CONTENT_MISSING),
    "child missing, by 404": (404, "BLOB_UNKNOWN", PUT, False, Meaning.CONTENT_MISSING),
    "repository missing": (404, "NAME_UNKNOWN", PUT, False, Meaning.ABSENT),
    "session gone": (404, "BLOB_UPLOAD_UNKNOWN", SEND, False, Meaning.SESSION_LOST),
    "session broken": (400, "BLOB_UPLOAD_INVALID", SEND, False, Meaning.SESSION_LOST),
    "digest refused": (400, "DIGEST_INVALID", SEND, False, Meaning.REFUSED),
    "manifest refused": (400, "MANIFEST_INVALID", PUT, False, Meaning.REFUSED),
    "too large": (413, "", PUT, False, Meaning.REFUSED),
    "not taken only by code": (400, "UNAVAILABLE", PUT, False, Meaning.NOT_TAKEN),
    "a proxy's own error, whatever it names": (502, "MANIFEST_BLOB_UNKNOWN", PUT, False, Meaning.AMBIGUOUS),
    "child missing, without a body": (404, "", PUT, False, Meaning.CONTENT_MISSING),
    "not supported only by code": (400, "UNSUPPORTED", PUT, False, Meaning.UNSUPPORTED),
    "conflict": (409, "", PUT, False, Meaning.CONFLICT),
    "conflict of a read": (409, "", READ, False, Meaning.REFUSED),
    "conflict in a new repository": (409, "", OPEN, False, Meaning.CONFLICT),
    "precondition of a tag": (412, "", PUT, False, Meaning.CONFLICT),
}


@pytest.mark.parametrize(("status", "code", "purpose", "ours", "expected"), MEANINGS.values(), ids=MEANINGS)
def test_responses_are_classified(status: int, code: str, purpose: Purpose, ours: bool, expected: Meaning):
    response = HttpResponse(status, body=errors(code) if code else b"")
    assert meaning_of(response, purpose, ours=ours) is expected


READ_ONLY = {  # what a 403 says, and whether the registry takes no writes, rather than this login
    "Harbor": ("The system is in read only mode. Any modification is prohibited.", True),
    "a registry": ("the registry is currently read-only", True),
    "maintenance": ("registry is under maintenance", True),
    "Gitea": ("repository is archived", True),
    "a login": ("this token is read-only", False),
    "a permission": ("the project has read-only access for you", False),
    "a role": ("your role on this repository is read-only permission", False),
}


@pytest.mark.parametrize(("words", "is_read_only"), READ_ONLY.values(), ids=READ_ONLY)
def test_a_registry_that_takes_no_writes_is_no_matter_of_the_login(words: str, is_read_only: bool):
    refused = HttpResponse(403, body=errors("DENIED", words))
    assert meaning_of(refused, PUT) is (Meaning.UNSUPPORTED if is_read_only else Meaning.DENIED)
    error = error_for(refused, "push", "app", purpose=PUT, hint="log in first")
    assert isinstance(error, AuthError) is not is_read_only
    assert error.hint == ("run the command again once the registry accepts writes" if is_read_only else "log in first")


def test_a_403_is_a_rate_limit_only_if_it_says_so():
    assert meaning_of(HttpResponse(403, body=GHCR_LIMIT), READ) is Meaning.THROTTLED
    assert meaning_of(HttpResponse(403, body=errors("DENIED", GHCR_LIMIT.decode())), PUT) is Meaning.THROTTLED
    assert meaning_of(HttpResponse(403, Fields({"Retry-After": "60"})), PUT) is Meaning.THROTTLED
    assert (
        meaning_of(HttpResponse(403, body=errors("DENIED", "requested access to the resource is denied")), PUT)
        is Meaning.DENIED
    )


def test_a_success_is_not_a_rate_limit_whatever_it_contains():
    assert not is_throttled(HttpResponse(200, body=errors("TOOMANYREQUESTS")))


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
WAITS = {
    "seconds": (429, {"Retry-After": "7"}, b"", 7.0),
    "a fraction": (503, {"retry-after": "0.5"}, b"", 0.5),
    "a date": (429, {"Retry-After": "Thu, 01 Jan 2026 12:01:30 GMT"}, b"", 90.0),
    "a date of another zone": (429, {"Retry-After": "Thu, 01 Jan 2026 13:01:30 +0100"}, b"", 90.0),
    "a date in the past": (429, {"Retry-After": "Thu, 01 Jan 2026 11:00:00 GMT"}, b"", 0.0),
    "a day": (429, {"Retry-After": "86400"}, b"", 600.0),
    "negative": (429, {"Retry-After": "-5"}, b"", None),
    "nonsense": (429, {"Retry-After": "soon"}, b"", None),
    "not a number": (429, {"Retry-After": "nan"}, b"", None),
    "nothing": (429, {}, b"", None),
    "GHCR's text, below a second": (429, {}, b"retry-after: 10.48ms, allowed: 2000/minute", 1.0),
    "GHCR's text in JSON": (429, {}, errors("TOOMANYREQUESTS", "retry-after: 2500ms, allowed: 44000/minute"), 2.5),
    "text in seconds": (429, {}, b"Retry-After: 12s", 12.0),
    "a header before a text": (429, {"Retry-After": "7"}, b"please retry after 2 minutes", 7.0),
    "text in minutes": (429, {}, b"please retry after 2 minutes", 120.0),
    "a number that is not a wait": (429, {}, b"allowed: 2000/minute", None),
    "GHCR's secondary limit": (403, {}, GHCR_LIMIT, 60.0),
    "a text that is not a rate limit": (500, {}, b"retry-after: 5s", None),
}


@pytest.mark.parametrize(("status", "headers", "body", "expected"), WAITS.values(), ids=WAITS)
def test_the_requested_wait_is_read_from_header_and_message(status, headers, body, expected):
    assert retry_after_s(HttpResponse(status, Fields(headers), body), now=NOW) == expected


def test_a_date_is_compared_with_the_time_at_which_it_is_read():
    past = Fields({"Retry-After": "Thu, 01 Jan 2026 12:00:00 GMT"})
    future = Fields({"Retry-After": "Thu, 01 Jan 2099 12:00:00 GMT"})
    assert retry_after_s(HttpResponse(429, past)) == 0
    assert retry_after_s(HttpResponse(429, future)) == 600


CLASSES = {
    "throttled": (429, "", READ, Unavailable),
    "transient": (502, "", READ, Unavailable),
    "login": (401, "", READ, AuthError),
    "denied": (403, "DENIED", READ, AuthError),
    "absent": (404, "", READ, NotFound),
    "content": (400, "MANIFEST_BLOB_UNKNOWN", PUT, ContentMissing),
    "other": (400, "MANIFEST_INVALID", PUT, RegistryError),
}


@pytest.mark.parametrize(("status", "code", "purpose", "expected"), CLASSES.values(), ids=CLASSES)
def test_each_failure_has_the_class_that_callers_act_on(status, code, purpose, expected):
    found = error_for(HttpResponse(status, body=errors(code) if code else b""), "push blob", "host/a", purpose=purpose)
    assert type(found) is expected
    assert found.transient is (expected is Unavailable)


CODES = {  # of the catalogue: what users look up
    "throttled": (HttpResponse(429), "registry/rate-limit"),
    "transient": (HttpResponse(502), "registry/unavailable"),
    "login": (HttpResponse(401), "auth/login"),
    "denied": (HttpResponse(403), "auth/denied"),
    "absent": (HttpResponse(404), "registry/not-found"),
    "an absent manifest": (HttpResponse(404, body=errors("MANIFEST_UNKNOWN")), "registry/not-found"),
    "an absent repository": (HttpResponse(404, body=errors("NAME_UNKNOWN")), "registry/no-repository"),
    "an absent repository, in words": (
        HttpResponse(404, body=errors("NOT_FOUND", "the repository does not exist")),
        "registry/no-repository",
    ),
    "a full disk": (HttpResponse(507), "registry/disk-full"),
    "a quota": (HttpResponse(402), "registry/quota"),
    "not supported": (HttpResponse(405), "registry/unsupported"),
    "refused": (HttpResponse(400), "registry/refused"),
}


@pytest.mark.parametrize(("response", "expected"), CODES.values(), ids=CODES)
def test_each_failure_has_the_code_that_users_look_up(response, expected):
    assert error_for(response, "push blob", "host/a").error_code == expected


def test_a_full_disk_and_a_quota_have_hints_of_their_own():
    assert "disk space" in error_for(HttpResponse(507), "push blob", "host/a").hint
    assert "raise the limit" in error_for(HttpResponse(402), "push blob", "host/a").hint


def test_a_code_or_message_of_another_form_is_dropped():
    body = b'{"errors":[{"code":"NO CODE","message":["x"],"detail":1},{"code":"denied","message":"no"}]}'
    assert oci_errors(body) == (OciError("", "", 1), OciError("DENIED", "no"))


def test_a_code_that_says_something_precedes_one_that_does_not():
    body = b'{"errors":[{"code":"UNKNOWN"},{"code":"DENIED"},{"code":"MANIFEST_INVALID"}]}'
    assert summary_of(HttpResponse(400, body=body))[0] == "DENIED"
    assert summary_of(HttpResponse(400, body=errors("UNKNOWN")))[0] == "UNKNOWN"


def test_missing_digests_are_read_from_any_shape_of_detail():
    one, two, three, other = (Digest.of(text) for text in (b"1", b"2", b"3", b"4"))
    body = (
        b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"%s"}},'
        b'{"code":"MANIFEST_BLOB_UNKNOWN","detail":"%s"},{"code":"BLOB_UNKNOWN","detail":{"Digest":"%s"}},'
        b'{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"%s"}},{"code":"MANIFEST_BLOB_UNKNOWN","detail":[1]},'
        b'{"code":"DIGEST_INVALID","detail":"%s"}]}'
    ) % tuple(str(digest).encode() for digest in (one, two, three, one, other))
    assert missing_digests(HttpResponse(400, body=body)) == (one, two, three)


IMMUTABLE = {
    "ECR": (400, errors("TAG_INVALID", "The image tag 'v1' already exists and cannot be overwritten"), True),
    "Harbor": (412, errors("PRECONDITION", "configured as immutable, cannot be overwritten"), True),
    "no words": (412, b"", False),
    "a conflict": (409, errors("CONFLICT", "another request is being processed"), False),
    "a sentence": (403, errors("DENIED", "tag v1 is immutable"), True),
    "another refusal": (400, errors("MANIFEST_INVALID", "no"), False),
    "a failure": (500, errors("TAG_INVALID", "immutable"), False),
}


@pytest.mark.parametrize(("status", "body", "expected"), IMMUTABLE.values(), ids=IMMUTABLE)
def test_an_immutable_tag_is_recognized_in_each_registrys_response(status, body, expected):
    assert is_immutable_tag(HttpResponse(status, body=body)) is expected


WORDS = {
    "text of another type": ("application/json", b"the project is asleep"),
    "text in Latin-1": ("text/plain; charset=ISO-8859-1", "é: the project is asleep".encode("latin-1")),
    "JSON in UTF-16": ("application/json; charset=utf-16", '{"message": "the project is asleep"}'.encode("utf-16")),
    "a JSON string": ("application/json", b'"the project is asleep"'),
    "truncated JSON": ("application/json", b'{"errors":[{"code":"X","message":"the project is asleep"},{"co'),
    "the XML of object storage": (
        "application/xml",
        b"<?xml version='1.0'?>\n<Error><Code>X</Code><Message>the project is asleep</Message></Error>",
    ),
    "the heading of a page": ("text/html", b"<html><body><h1>the project is asleep</h1></body></html>"),
}


@pytest.mark.parametrize(("content_type", "body"), WORDS.values(), ids=WORDS)
def test_the_words_of_a_refusal_are_found_in_any_form(content_type, body):
    response = HttpResponse(400, Fields([("Content-Type", content_type)]), body)
    assert "the project is asleep" in summary_of(response)[1]


SECRETS = [
    "token eyJhbGciOiJSUzI1NiIsInR5cCI6.eyJpc3MiOiJhdXRoLmRvY2tlci5pbyJ9.c2lnbmF0dXJl is bad",
    "see https://bucket.example/x?X-Amz-Signature=deadbeef&y=1 for more",
    "header was Bearer abcdefghijklmnop",
    "header was Basic cm9ib3Q6c2VjcmV0",
]


@pytest.mark.parametrize("message", SECRETS)
def test_a_registrys_message_is_shown_without_secrets(message):
    _, summary = summary_of(HttpResponse(400, body=errors("UNKNOWN", message)))
    for secret in ("eyJ", "deadbeef", "abcdefghijklmnop", "cm9ib3Q"):
        assert secret not in summary


def test_a_registrys_message_is_one_line_and_its_digests_stay_readable():
    digest = Digest.of(b"x")
    _, summary = summary_of(HttpResponse(400, body=errors("UNKNOWN", f"no\x1b[31m\r\n{digest} " + "y" * 1000)))
    assert str(digest) in summary
    assert "\n" not in summary
    assert "\x1b" not in summary
    assert len(summary) < 400


@given(st.binary(max_size=400), st.integers(100, 599), st.sampled_from(Purpose))
def test_no_body_breaks_the_classification(body, status, purpose):
    response = HttpResponse(status, body=body)
    oci_errors(body)
    summary_of(response)
    retry_after_s(response)
    missing_digests(response)
    assert meaning_of(response, purpose) in Meaning


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_json_breaks_the_parsing_of_errors(value):
    for document in (value, {"errors": value}, {"errors": [value]}, {"errors": [{"code": value, "message": value}]}):
        response = HttpResponse(400, body=json.dumps(document).encode())
        summary_of(response)
        missing_digests(response)


def test_a_500_that_names_missing_content_is_not_transient():
    named = {"code": "MANIFEST_BLOB_UNKNOWN", "detail": f"sha256:{64 * 'a'}"}
    body = json.dumps({"errors": [{"code": "UNKNOWN"}, named]})
    response = HttpResponse(500, body=body.encode())
    assert meaning_of(response, Purpose.PUT_MANIFEST) is Meaning.CONTENT_MISSING
    assert meaning_of(response, Purpose.SEND_BLOB) is Meaning.AMBIGUOUS
    error = error_for(response, "push manifest", "x", purpose=Purpose.PUT_MANIFEST)
    assert not error.transient
    assert f"sha256:{64 * 'a'}" in str(error)
    assert error.hint


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422, 501])
def test_a_permanent_refusal_has_a_hint(status):
    assert error_for(HttpResponse(status), "push manifest", "x", purpose=Purpose.PUT_MANIFEST).hint
