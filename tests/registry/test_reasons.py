"""What a refusal says, in one line, and what follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bakery.oci.reference import Repository
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.reasons import Known, create_hint, known_reason, words_of
from tests.wire.making import errors

KNOWN = {
    "a full disk, by its status": (507, "", Known.DISK_FULL),
    "a full disk, whatever the status": (500, "no space left on device", Known.DISK_FULL),
    "payment": (402, "", Known.QUOTA),
    "the first status of a refusal": (400, "the tag is immutable", Known.IMMUTABLE),
    "the first status of a failure": (500, "the tag is immutable", None),
    "a rate limit": (429, "the limit has been reached", None),
    "words without a reason": (400, "no", None),
    "nothing": (400, "", None),
}


@pytest.mark.parametrize(("status", "text", "expected"), KNOWN.values(), ids=KNOWN)
def test_a_reason_is_known_by_status_and_words(status, text, expected):
    assert known_reason(HttpResponse(status, body=text.encode())) is expected


def words(document: Any) -> str:
    return words_of(HttpResponse(400, body=json.dumps(document).encode()))


def nested(text: str, depth: int) -> Any:
    return text if not depth else [nested(text, depth - 1)]


def test_only_what_is_meant_for_people_is_shown():
    assert words({"id": "4711", "message": "denied"}) == "denied"
    assert words({"message": "", "detail": "denied"}) == "denied"
    assert words({"message": "an unknown layer", "detail": f"sha256:{64 * 'a'}"}) == "an unknown layer"
    assert words({"code": "the code", "message": "denied"}) == "denied"
    assert words({"code": {"message": "denied"}}) == "denied"


def test_json_is_read_to_a_depth_of_six():
    assert words(nested("it is denied", 6)) == "it is denied"
    assert words(nested("it is denied", 7)) == ""
    assert words({"a": {"a": {"a": {"a": {"a": {"message": "denied"}}}}}}) == "denied"
    assert words({"a": {"a": {"a": {"a": {"a": {"a": {"message": "denied"}}}}}}}) == ""


def test_a_line_has_at_most_300_characters():
    assert words({"message": "x" * 300}) == "x" * 300
    assert words({"message": "x" * 301}) == "x" * 299 + "…"


UNREAD = {
    "malformed JSON": (b'{"x', "application/json"),
    "a page without a title": (b"<html>", "text/html"),
    "bytes that are not UTF-8": (b"\xff\xfe\xfd", "text/plain; charset=utf-8"),
    "zeros": (b"a\0b", "text/plain"),
}


@pytest.mark.parametrize(("body", "content_type"), UNREAD.values(), ids=UNREAD)
def test_content_without_words_is_named_by_its_size_and_type(body: bytes, content_type: str):
    response = HttpResponse(400, Fields({"Content-Type": content_type}), body)
    assert words_of(response) == f"({len(body)} bytes of {content_type.partition(';')[0]})"
    assert words_of(HttpResponse(400, body=body)) == ""
    assert words_of(response, json_only=True) == ""


def test_a_token_service_is_quoted_only_in_json():
    assert words_of(HttpResponse(400, body=errors("X", "denied")), json_only=True) == "denied"
    assert words_of(HttpResponse(400, body=b"denied"), json_only=True) == ""


@pytest.mark.parametrize(("path", "name"), [("alias/app", "app"), ("alias/team/app", "team/app"), ("app", "app")])
def test_a_public_repository_of_aws_is_created_without_its_alias(path, name):
    assert create_hint(Repository("public.ecr.aws", path)).endswith(f"--repository-name {name}")
