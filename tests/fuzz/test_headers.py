"""What registries put into headers: challenges, next pages, upload sessions, redirects, ranges, waits."""

from __future__ import annotations

from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from bakery.errors import BakeryError
from bakery.oci.reference import Repository
from bakery.registry import challenge, links, ranges
from bakery.registry.answers import Purpose, error_for, oci_errors, retry_after_s
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.http.redirect import next_hop
from bakery.registry.http.url import Origin, Url
from bakery.registry.operation import Operation
from bakery.registry.token import read_token, realm_url
from tests.fuzz.mutating import json_bytes, mutated, value_or_error

REPOSITORY = Repository("registry.example", "acme/app")
API = Origin.parse("https://registry.example")
HERE = Url(API, "/v2/acme/app/tags/list?n=1000")
CHALLENGES = (
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:acme/app:pull"',
    'Basic realm="x", Bearer realm="https://a.example"',
    'Negotiate, Bearer realm="a\\"b" , error = insufficient_scope',
)
LINKS = (
    '</v2/acme/app/tags/list?last=1&n=2>; rel="next"',
    "<https://registry.example/v2/acme/app/tags/list?n=2>; rel=next",
    "<../list?x>; REL=next, <b>; rel=prev",
)
LOCATIONS = (
    "/v2/acme/app/blobs/uploads/uuid?_state=a%2Fb",
    "https://registry.example/v2/acme/app/blobs/uploads/1",
    "//other.example/x",
    "http://[::1]:80/",
    "storage.example/path",
)
RANGES = ("bytes 0-9/10", "bytes 5-9/*", "bytes */10", "0-0")


@given(header=mutated(CHALLENGES, '" , = \\ Bearer Basic realm= \t \r'))
@example(header='Bearer realm="')
@example(header="Bearer ,,,=")
@example(header='Bearer realm="\\')
def test_a_challenge(header):
    found = value_or_error(lambda: challenge.parse([header]))
    if not isinstance(found, BakeryError):
        for one in found:
            value_or_error(partial(realm_url, HERE, one))
        challenge.preferred(found)


@given(link=mutated(LINKS, "< > ; , rel=next %2e%2e .. // \\ @ #"))
@example(link="<//registry.example@evil.example/v2/acme/app/x>; rel=next")
@example(link="</v2/acme/app/../../x>; rel=next")
@example(link="<>; rel=next")
def test_the_next_page_is_in_the_repository_or_an_error(link):
    operation = Operation("GET", HERE, REPOSITORY, (), "list tags of", str(REPOSITORY))
    response = HttpResponse(200, Fields({"Link": link}), url=HERE)
    page = value_or_error(lambda: links.next_page(response, HERE, operation))
    if isinstance(page, Url):
        assert page.origin == API
        assert page.target.startswith("/v2/acme/app/")


@given(location=mutated(LOCATIONS, "/ // .. %2e%2e @ : [ ] ? # http: https: \\"))
@example(location="https://registry.example@evil.example/")
@example(location="/v2/acme/app/blobs/uploads/../../../../x")
@example(location="http://")
@example(location="https://[")
def test_a_location_leads_somewhere_valid_or_is_an_error(location):
    response = HttpResponse(202, Fields({"Location": location}), url=HERE)
    session = value_or_error(lambda: links.session_in(response, REPOSITORY, API))
    hop = value_or_error(lambda: next_hop(HERE, response.headers, 1))
    for url in (session, hop):
        if isinstance(url, Url):
            assert url.origin.scheme in ("http", "https")
            assert "\r" not in url.target
            assert "\n" not in url.target
            assert url.target.startswith("/")


@given(header=mutated(RANGES, "bytes - / * 0 99999999999999999999"), offset=st.integers(0, 20), size=st.integers(0, 20))
@example(header="bytes 0-9/10\u00b2", offset=0, size=10)
def test_a_content_range_is_what_was_asked_for_or_an_error(header, offset, size):
    value_or_error(lambda: ranges.parse_content_range([header]))
    if value_or_error(lambda: ranges.check_resumed([header], offset=offset, size=size)) is None:
        assert f"{offset}-" in header


ERRORS = (
    {"errors": [{"code": "DENIED", "message": "no", "detail": {"digest": "sha256:" + "0" * 64}}]},
    {"token": "abc", "access_token": "def", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"},
)


@given(
    body=json_bytes(ERRORS),
    status=st.sampled_from([200, 400, 401, 403, 404, 405, 409, 413, 416, 429, 500, 502, 503, 999]),
    wait=mutated(("120", "Wed, 21 Oct 2026 07:28:00 GMT", "1.5"), "- . e9 inf nan 99999999999999999999"),
)
@example(body=b'{"errors":[{"code":5}]}', status=400, wait="")
@example(body=b"{" * 4000, status=500, wait="nan")
@example(body=b"retry-after: 9999999999ms", status=429, wait="Wed, 99 Oct 99999 07:28:00 GMT")
def test_any_refusal_is_an_error_with_a_sensible_wait(body, status, wait):
    response = HttpResponse(status, Fields({"Retry-After": wait}), body, HERE)
    oci_errors(body)
    wait_s = retry_after_s(response)
    assert wait_s is None or 0 <= wait_s < 24 * 3600
    for purpose in Purpose:
        assert isinstance(error_for(response, "read manifest", REPOSITORY, purpose=purpose), BakeryError)
    value_or_error(lambda: read_token(body, HERE))
