"""Token requests and the trust in token services, without a socket."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from bakery.errors import AuthError, BakeryError, Unavailable
from bakery.oci.reference import Repository
from bakery.registry.challenge import Challenge
from bakery.registry.http.address import EVERYWHERE, Reach
from bakery.registry.http.message import HttpRequest, HttpResponse
from bakery.registry.http.url import Origin, Url
from bakery.registry.token import (
    ANONYMOUS,
    KNOWN_PAIRS,
    Login,
    Token,
    Trust,
    read_token,
    refresh_margin_s,
    scope_of,
    token_flow,
    trust_in,
)
from bakery.text import clean

REALM = Url.parse("https://auth.example/token?kept=1")
CHALLENGE = Challenge("bearer", {"realm": str(REALM), "service": "reg example"})
SCOPES = ("repository:acme/app:pull,push", "repository:acme/base:pull")
GOOD = HttpResponse(200, body=b'{"token":"t","expires_in":300}')
PASSWORD = Login("robot", "se:cret")
IDENTITY = Login(identity_token="refresh")


def run(flow: Generator[HttpRequest, HttpResponse, Token], respond: Callable[[HttpRequest], HttpResponse]) -> Token:
    try:
        request = next(flow)
        while True:
            request = flow.send(respond(request))
    except StopIteration as done:
        found: Token = done.value
        return found


def requests_for(login: Login, *responses: HttpResponse) -> list[HttpRequest]:
    requests: list[HttpRequest] = []
    left = list(responses)

    def respond(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return left.pop(0)

    run(token_flow(CHALLENGE, REALM, SCOPES, login, EVERYWHERE), respond)
    return requests


def test_a_password_is_sent_by_get_and_the_realms_query_is_kept():
    (request,) = requests_for(PASSWORD, GOOD)
    assert (request.method, request.body) == ("GET", None)
    expected = "/token?kept=1&service=reg%20example&scope=repository:acme/app:pull,push&scope=repository:acme/base:pull"
    assert request.url.target == expected
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"robot:se:cret"


def test_an_anonymous_token_request_carries_no_authorization():
    (request,) = requests_for(ANONYMOUS, GOOD)
    assert (request.method, request.headers) == ("GET", {})


def test_an_identity_token_is_sent_by_post_and_never_in_a_url():
    (request,) = requests_for(IDENTITY, GOOD)
    assert request.method == "POST"
    assert isinstance(request.body, bytes)
    assert b"grant_type=refresh_token&refresh_token=refresh" in request.body
    assert b"scope=repository%3Aacme%2Fapp%3Apull%2Cpush+repository%3Aacme%2Fbase%3Apull" in request.body
    assert "refresh" not in request.url.target


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415, 422])
def test_a_service_that_refuses_post_gets_a_get_if_there_is_a_password(status: int):
    login = Login("robot", "secret", "refresh")
    post, get = requests_for(login, HttpResponse(status), GOOD)
    assert (post.method, get.method) == ("POST", "GET")
    with pytest.raises(AuthError):
        requests_for(IDENTITY, HttpResponse(status))


@pytest.mark.parametrize("status", [429, 500])
def test_a_service_that_fails_for_now_gets_no_password_by_get(status: int):
    with pytest.raises(Unavailable):
        requests_for(Login("robot", "secret", "refresh"), HttpResponse(status))


def test_a_service_is_named_by_post_if_the_challenge_names_it():
    flow = token_flow(CHALLENGE, REALM, SCOPES, IDENTITY, EVERYWHERE)
    assert b"service=reg+example" in body_of(next(flow))
    flow = token_flow(Challenge("bearer", {"realm": str(REALM)}), REALM, SCOPES, IDENTITY, EVERYWHERE)
    assert b"service" not in body_of(next(flow))


def body_of(request: HttpRequest) -> bytes:
    assert isinstance(request.body, bytes)
    return request.body


CODES = {  # of the catalogue
    "refused": (401, "auth/login"),
    "forbidden": (403, "auth/denied"),
    "redirected": (302, "auth/login"),
    "a quota": (402, "registry/quota"),
}


@pytest.mark.parametrize(("status", "code"), CODES.values(), ids=CODES)
def test_a_refusal_has_the_code_that_users_look_up(status: int, code: str):
    with pytest.raises(BakeryError) as caught:
        requests_for(PASSWORD, HttpResponse(status))
    assert caught.value.error_code == code


@pytest.mark.parametrize(("login", "hint"), [(PASSWORD, "check the login for"), (ANONYMOUS, "log in to")])
def test_a_refusal_has_a_hint_that_knows_whether_there_was_a_login(login: Login, hint: str):
    with pytest.raises(AuthError) as caught:
        requests_for(login, HttpResponse(401))
    assert caught.value.hint.startswith(hint)


def test_a_login_of_any_part_is_a_login():
    assert not ANONYMOUS
    assert Login("robot")
    assert Login(password="secret")
    assert Login(identity_token="refresh")
    assert Login(registry_token="token")


REFUSALS = {
    "refused": (401, AuthError),
    "forbidden": (403, AuthError),
    "redirected": (302, AuthError),
    "overloaded": (503, Unavailable),
    "throttled": (429, Unavailable),
}


@pytest.mark.parametrize(("status", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_are_permanent_failures_transient_and_neither_quotes_the_body(status, expected):
    with pytest.raises(expected) as caught:
        requests_for(PASSWORD, HttpResponse(status, body=b"canary"))
    assert "canary" not in str(caught.value)


TOKENS = {
    "token": (b'{"token":"a"}', "a", 60.0),
    "access_token": (b'{"access_token":"a","expires_in":900}', "a", 900.0),
    "both, and the access token wins": (b'{"token":"b","access_token":"a"}', "a", 60.0),
    "a null access token": (b'{"token":"a","access_token":null}', "a", 60.0),
    "a lifetime below a minute counts as one": (b'{"token":"a","expires_in":5}', "a", 60.0),
    "a lifetime is at most a day": (b'{"token":"a","expires_in":999999999}', "a", 86400.0),
    "a lifetime that is not a number": (b'{"token":"a","expires_in":"300"}', "a", 60.0),
    "a lifetime that is true": (b'{"token":"a","expires_in":true}', "a", 60.0),
}


@pytest.mark.parametrize(("body", "value", "lifetime_s"), TOKENS.values(), ids=TOKENS)
def test_tokens_are_read_in_every_form_that_services_send(body, value, lifetime_s):
    token = read_token(body, REALM)
    assert (token.value, token.lifetime_s) == (value, lifetime_s)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token":""}',
        b'{"token":1}',
        b'{"token":"a b"}',
        b'{"token":"a\\r\\nX: y"}',
        b"<html>canary",
    ],
)
def test_a_response_without_a_usable_token_is_an_error_that_quotes_nothing(body):
    with pytest.raises(AuthError) as caught:
        read_token(body, REALM)
    assert "canary" not in str(caught.value)


def test_logins_and_tokens_are_never_printed():
    shown = repr((PASSWORD, IDENTITY, read_token(b'{"token":"canary-t"}', REALM), requests_for(PASSWORD, GOOD)))
    for secret in ("se:cret", "refresh'", "canary-t", base64.b64encode(b"robot:se:cret").decode()):
        assert secret not in shown


def test_a_token_is_replaced_a_tenth_of_its_lifetime_and_at_least_ten_seconds_before_its_end():
    assert refresh_margin_s(60) == 10
    assert refresh_margin_s(3600) == 360


def test_a_scope_names_the_repository():
    assert scope_of(Repository("ghcr.io", "acme/app"), "pull") == "repository:acme/app:pull"


YES, NO = Trust.CREDENTIALS, Trust.NOTHING
TRUST = {  # registry, realm, class of the registry's address, trusted by the user, expected (None: no request is sent)
    "its own origin": ("https://reg.example", "https://reg.example/token", Reach.PUBLIC, "", YES),
    "its own origin with its port": ("https://reg.example", "https://reg.example:443/t", Reach.PUBLIC, "", YES),
    "its own origin over plain HTTP": ("http://127.0.0.1:5000", "http://127.0.0.1:5000/t", Reach.LOOPBACK, "", YES),
    "the same name on another port": ("https://reg.example", "https://reg.example:8443/t", Reach.PUBLIC, "", YES),
    "Docker Hub": ("https://registry-1.docker.io", "https://auth.docker.io/token", Reach.PUBLIC, "", YES),
    "GitLab": ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", Reach.PUBLIC, "", YES),
    "the same name on another port, on loopback": (
        "https://reg.example",
        "https://reg.example:8443/t",
        Reach.LOOPBACK,
        "",
        NO,
    ),
    "localhost on another port": ("https://localhost", "https://localhost:8443/t", Reach.LOOPBACK, "", NO),
    "https, from plain HTTP": ("http://reg.example", "https://reg.example/t", Reach.PRIVATE, "", NO),
    "Scaleway": ("https://rg.fr-par.scw.cloud", "https://api.scaleway.com/t", Reach.PUBLIC, "", YES),
    "the same domain on another port": (
        "https://registry.acme.com",
        "https://git.acme.com:8443/t",
        Reach.PUBLIC,
        "",
        NO,
    ),
    "the same domain": ("https://registry.acme.com", "https://git.acme.com/jwt/auth", Reach.PUBLIC, "", YES),
    "the same domain, .co.uk": (
        "https://reg.acme.co.uk",
        "https://git.acme.co.uk/t",
        Reach.PUBLIC,
        "",
        YES,
    ),
    "another domain, .co.uk": ("https://reg.acme.co.uk", "https://evil.co.uk/t", Reach.PUBLIC, "", NO),
    "another domain": ("https://registry.acme.com", "https://acme.com.evil.net/t", Reach.PUBLIC, "", NO),
    "a name with the same ending": ("https://reg.acme.com", "https://evilacme.com/t", Reach.PUBLIC, "", NO),
    "two customers of one cloud": ("https://a.azurecr.io", "https://b.azurecr.io/t", Reach.PUBLIC, "", NO),
    "two customers of one host": ("https://a.jfrog.io", "https://b.jfrog.io/t", Reach.PUBLIC, "", NO),
    "an origin the user trusts": (
        "https://reg.example",
        "https://sso.other/t",
        Reach.PUBLIC,
        "https://sso.other",
        YES,
    ),
    "another port of an origin that the user trusts": (
        "https://reg.example",
        "https://sso.other:8443/t",
        Reach.PUBLIC,
        "https://sso.other",
        NO,
    ),
    "plain HTTP from https": ("https://reg.example", "http://reg.example/t", Reach.PUBLIC, "", None),
    "plain HTTP, though trusted": ("https://reg.example", "http://sso.other/t", Reach.PUBLIC, "http://sso.other", None),
    "loopback from outside": ("https://reg.example", "https://127.0.0.1/t", Reach.PUBLIC, "", None),
    "loopback from a private network": ("https://10.0.0.1", "https://127.0.0.1/t", Reach.PRIVATE, "", None),
    "loopback, another port": ("http://127.0.0.1:5000", "http://127.0.0.1:5001/t", Reach.LOOPBACK, "", NO),
    "loopback, another port, trusted": (
        "http://127.0.0.1:5000",
        "http://127.0.0.1:5001/t",
        Reach.LOOPBACK,
        "http://127.0.0.1:5001",
        YES,
    ),
    "a private address from a private network": ("https://10.0.0.1", "https://10.0.0.2/t", Reach.PRIVATE, "", NO),
    "a private address from outside": ("https://reg.example", "https://10.0.0.2/t", Reach.PUBLIC, "", None),
    "the metadata service": ("http://127.0.0.1:5000", "http://169.254.169.254/t", Reach.LOOPBACK, "", None),
}


@pytest.mark.parametrize(("registry", "realm", "own", "trusted", "expected"), TRUST.values(), ids=TRUST)
def test_a_token_service_gets_the_login_only_if_it_is_trusted(registry, realm, own, trusted, expected):
    named = frozenset({Origin.parse(trusted)} if trusted else ())

    def trust() -> tuple[Trust, frozenset[Reach]]:
        return trust_in(Origin.parse(registry), Url.parse(realm), own, named)

    if expected is None:
        with pytest.raises(BakeryError):
            trust()
    else:
        assert trust()[0] is expected


@pytest.mark.parametrize("realm", ["https://reg.acme.com:8443/t", "https://auth.acme.com/t", "https://other.example/t"])
def test_the_name_of_a_token_service_may_resolve_to_what_a_redirect_may_lead_to(realm):
    _, allowed = trust_in(Origin.parse("https://reg.acme.com"), Url.parse(realm), Reach.PUBLIC, frozenset())
    assert allowed == {Reach.PUBLIC, Reach.PRIVATE}


def test_a_refresh_token_is_kept_for_the_next_exchange():
    token = read_token(json.dumps({"token": "t", "refresh_token": "next"}).encode(), REALM)
    assert token.refresh_token == "next"


@pytest.mark.parametrize("refresh", ["not a token", 7, None])
def test_a_refresh_token_that_cannot_be_sent_is_dropped(refresh):
    assert read_token(json.dumps({"token": "t", "refresh_token": refresh}).encode(), REALM).refresh_token == ""


def test_the_documentation_lists_the_known_pairs_of_registry_and_token_service():
    page = (Path(__file__).parents[2] / "docs" / "registries.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for registry, service in KNOWN_PAIRS:
        assert any(f"`{registry}`" in row and f"`{service}`" in row for row in rows)


def test_the_parts_of_a_token_are_masked_when_a_server_quotes_only_one():
    read_token(b'{"token":"head.canary-of-the-payload.signature-of-it"}', REALM)
    assert clean("the token canary-of-the-payload is bad") == "the token *** is bad"


def test_secrets_are_masked_in_every_form_in_which_a_server_may_quote_them():
    Login("robot", "canary password").hide()
    forms = ("canary password", "canary+password", "canary%20password")
    for form in (
        *forms,
        base64.b64encode(b"canary password").decode(),
        base64.b64encode(b"robot:canary password").decode(),
    ):
        assert clean(f"the login {form} is bad") == "the login *** is bad"
    read_token(b'{"token":"head.canary-of-16-byt.end","refresh_token":"canary-refresh"}', REALM)
    assert clean("canary-of-16-byt") == clean("canary-refresh") == "***"


def test_only_what_a_header_can_hold_is_sent():
    assert Login("röbot", "pässword").fault == ""
    assert Login("robot\n", "x").fault.startswith("its user name")
    assert Login("robot", "x\x00y").fault.startswith("its password")
    for text in ("tökën", "a\nb", "a b"):
        assert Login(identity_token=text).fault.startswith("its identity token")
        assert Login(registry_token=text).fault.startswith("its registry token")
