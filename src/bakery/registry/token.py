"""Bearer tokens: which token services are trusted, the requests to them, and their responses. No network, no clock.

Source: distribution's token specification (GET) and its OAuth2 one (POST); realm policy: registry.md 1.5; scopes: 1.3.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Sequence
from enum import Enum
from typing import Any, Final
from unicodedata import category
from urllib.parse import quote, quote_plus, urlencode

from msgspec import Struct

from bakery.errors import AuthError, BakeryError
from bakery.oci.canonical import parse_object
from bakery.oci.reference import Repository
from bakery.registry.answers import Meaning, Purpose, error_for, meaning_of
from bakery.registry.challenge import Challenge
from bakery.registry.domains import same_owner
from bakery.registry.http.address import Reach, literal_reach
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.message import HttpRequest, HttpResponse
from bakery.registry.http.redirect import check_hop
from bakery.registry.http.url import Origin, Url
from bakery.text import hide
from bakery.values import repr_without

MAX_TOKEN_BYTES: Final = 128 * 1024
_SECRET_PART: Final = 16  # characters of a part of a JWT that is secret by itself
CLIENT_ID: Final = "bakery"
_ACTION: Final = "get token from"
_SHORTEST_LIFE_S: Final = 60.0  # the token specification's default if expires_in is missing

# Registries with a token service on another domain, as their own challenges name it. docs/registries.md lists them.
KNOWN_PAIRS: Final = frozenset(
    {
        ("registry-1.docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("registry.access.redhat.com", "sso.redhat.com"),
        ("registry.connect.redhat.com", "sso.redhat.com"),
        ("registry.redhat.io", "sso.redhat.com"),
        ("rg.fr-par.scw.cloud", "api.scaleway.com"),
        ("rg.it-mil.scw.cloud", "api.scaleway.com"),
        ("rg.nl-ams.scw.cloud", "api.scaleway.com"),
        ("rg.pl-waw.scw.cloud", "api.scaleway.com"),
    }
)


class Login(Struct, frozen=True):
    """The credentials for a registry. `repr` shows none of them.

    identity_token is exchanged for a token by POST; registry_token is sent as it is.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    __repr__ = repr_without("username", "password", "identity_token", "registry_token")

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)

    @property
    def fault(self) -> str:
        """Why this login cannot be sent, without quoting it, or "" (RFC 7617 section 2, RFC 6750 section 2.1)."""
        for name, text in (("user name", self.username), ("password", self.password)):
            if any(category(letter) in ("Cc", "Cs") for letter in text):
                return f"its {name} contains a line break, a control character or invalid Unicode"
        for name, text in (("identity token", self.identity_token), ("registry token", self.registry_token)):
            if not is_token(text):
                return f"its {name} contains a blank, a line break or another character that no token has"
        return ""

    def hide(self) -> None:
        """Have every form of the secrets masked in whatever is printed from now on."""
        for secret in (self.password, self.identity_token, self.registry_token):
            for form in (secret, secret.strip(), quote(secret, errors="replace"), quote_plus(secret, errors="replace")):
                hide(form)
            hide(base64.b64encode(secret.encode(errors="replace")).decode())
        if not self.fault:
            hide(self.basic.removeprefix("Basic "))

    @property
    def basic(self) -> str:
        """The Authorization header of Basic, or "" without a password."""
        if not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


ANONYMOUS: Final = Login()


class Token(Struct, frozen=True):
    """A bearer token, its lifetime from its receipt (seconds), and what renews the login if the service sent it."""

    value: str
    lifetime_s: float
    refresh_token: str = ""

    __repr__ = repr_without("value", "refresh_token")


class Trust(Enum):
    """What a token service may see."""

    CREDENTIALS = "credentials"
    NOTHING = "nothing"  # tokens are requested anonymously


def scope_of(repository: Repository, actions: str) -> str:
    """Return a scope such as `repository:acme/app:pull,push`."""
    return f"repository:{repository.path}:{actions}"


def realm_url(registry: Url, challenge: Challenge) -> Url:
    """Return the realm of a challenge, resolved against the URL that was refused. Raises UnsafeTarget."""
    return registry.resolve(challenge.realm)


def trust_in(registry: Origin, realm: Url, own: Reach, trusted: frozenset[Origin]) -> tuple[Trust, frozenset[Reach]]:
    """Return what this token service may see, and which addresses its name may resolve to (registry.md 1.5).

    own: the class of the registry's own address. trusted: origins that the user named. Raises UnsafeTarget if no
    request may be sent there: plain HTTP from an https registry, an internal address from a public registry.
    """
    if registry.scheme == "https" and realm.origin.scheme != "https":
        why = f"{registry} uses https and its token service does not"
        hint = "have the proxy in front of the registry send X-Forwarded-Proto: https, or correct the registry's realm"
        raise UnsafeTarget("cannot get token from", about=realm.redacted, why=why, hint=hint)
    if realm.origin == registry or realm.origin in trusted:
        return Trust.CREDENTIALS, frozenset(Reach)
    allowed = check_hop(registry, realm, own)
    host = realm.origin.host
    if registry.scheme != "https":
        return Trust.NOTHING, allowed
    # GitLab's registry is often on port 5050 of GitLab's own name. On loopback, each port may be another user's.
    if host == registry.host and Reach.LOOPBACK not in (own, literal_reach(host)):
        return Trust.CREDENTIALS, allowed
    is_related = (registry.host, host) in KNOWN_PAIRS or same_owner(registry.host, host)
    if realm.origin.port == registry.port == 443 and is_related:
        return Trust.CREDENTIALS, allowed
    return Trust.NOTHING, allowed


def token_flow(
    challenge: Challenge, realm: Url, scopes: Sequence[str], login: Login, allowed: frozenset[Reach]
) -> Generator[HttpRequest, HttpResponse, Token]:
    """Yield the requests to send, receive their responses, return the token. Redirects must not be followed.

    Raises AuthError if the service refuses, Unavailable if it fails temporarily.
    """
    service = challenge.parameters.get("service", "")
    if login.identity_token:
        response = yield _post(realm, service, scopes, login, allowed)
        # Harbor's service responds 405 to anything but GET, GCR's 404, ACR's 400, Artifactory's 401, others 403 or 415.
        if 400 <= response.status < 500 and login.password and response.status != 429:
            response = yield _get(realm, service, scopes, login, allowed)
    else:
        response = yield _get(realm, service, scopes, login, allowed)
    if response.status != 200:
        raise _refused(response, realm, scopes, login)
    return read_token(response.body, realm)


def _get(realm: Url, service: str, scopes: Sequence[str], login: Login, allowed: frozenset[Reach]) -> HttpRequest:
    pairs = [("service", service)] if service else []
    pairs += [("scope", scope) for scope in scopes]
    url = realm
    for name, value in pairs:
        url = url.with_query(f"{name}={quote(value, safe='/:,')}")
    headers = {"Authorization": login.basic} if login.basic else {}
    return HttpRequest("GET", url, headers, None, allowed, _ACTION, str(realm.origin))


def _post(realm: Url, service: str, scopes: Sequence[str], login: Login, allowed: frozenset[Reach]) -> HttpRequest:
    fields = {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": CLIENT_ID}
    if service:
        fields["service"] = service
    if scopes:
        fields["scope"] = " ".join(scopes)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return HttpRequest("POST", realm, headers, urlencode(fields).encode(), allowed, _ACTION, str(realm.origin))


def _refused(response: HttpResponse, realm: Url, scopes: Sequence[str], login: Login) -> BakeryError:
    about = f"{realm.origin} for {' '.join(scopes)}".removesuffix(" for ")
    # Of the body, only the sentences of JSON are shown: token services have echoed secrets.
    hint = "check the login for this registry (docker login)" if login else "log in to this registry (docker login)"
    error = error_for(response, _ACTION, about, hint=hint, json_only=True)
    if error.transient or meaning_of(response, Purpose.READ) is Meaning.FULL:
        return error
    kind = error.error_code if isinstance(error, AuthError) else "auth/login"
    return AuthError(
        f"cannot {_ACTION}", about=about, status=response.status, why=error.why, hint=hint, error_code=kind
    )


def read_token(body: bytes, realm: Url) -> Token:
    """Return the token in a service's response. Raises AuthError, which quotes nothing of it."""

    def refuse(why: str) -> AuthError:
        return AuthError(f"cannot {_ACTION}", about=realm.origin, why=why)

    try:
        document = parse_object(body.removeprefix(b"\xef\xbb\xbf"), limit_bytes=MAX_TOKEN_BYTES)
    except BakeryError:
        raise refuse("the response is not a JSON object") from None
    value = document.get("access_token") or document.get("token")
    if not isinstance(value, str) or not value:
        raise refuse("the response contains no token")
    for secret in (value, *(part for part in value.split(".") if len(part) >= _SECRET_PART)):
        hide(secret)  # servers quote a token in part, too
    if not is_token(value):
        raise refuse("the token contains characters that are not allowed in a header")
    refresh = document.get("refresh_token")
    if not isinstance(refresh, str) or not is_token(refresh):
        refresh = ""
    hide(refresh)
    return Token(value, _lifetime(document.get("expires_in")), refresh)


def is_token(text: str) -> bool:
    """Return whether a text can be sent as a token: printable ASCII without blanks."""
    return text.isascii() and text.isprintable() and " " not in text


def _lifetime(expires_in: Any) -> float:
    if isinstance(expires_in, int):
        return min(max(float(expires_in), _SHORTEST_LIFE_S), 24 * 3600.0)
    return _SHORTEST_LIFE_S


def refresh_margin_s(lifetime_s: float) -> float:
    """Return how long before its end a token is replaced: a tenth of its lifetime, at least ten seconds."""
    return max(10.0, lifetime_s / 10)
