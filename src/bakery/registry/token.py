"""Bearer tokens: which realm may be asked, with what, and what its answer means. Knows no network and no clock.

Source: distribution's token specification (GET) and its OAuth2 one (POST); realm policy: registry.md 1.5; scopes: 1.3.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Sequence
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from bakery.errors import AuthError, BakeryError
from bakery.oci.canonical import parse_object
from bakery.oci.reference import Repository
from bakery.registry.answers import Reply, failure, is_passing
from bakery.registry.challenge import Challenge
from bakery.registry.domains import same_owner
from bakery.registry.faults import UnsafeTarget
from bakery.registry.origin import Origin, Reach, Url, check_hop
from bakery.values import repr_without

MAX_TOKEN_BYTES: Final = 128 * 1024
CLIENT_ID: Final = "bakery"
_SHORTEST_LIFE_S: Final = 60.0  # what the token specification tells clients to assume where expires_in is missing

# Registries whose token service lives elsewhere, as they have it themselves.
_KNOWN_PAIRS: Final = frozenset(
    {
        ("registry-1.docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("registry.access.redhat.com", "sso.redhat.com"),
        ("registry.redhat.io", "sso.redhat.com"),
    }
)


class Login(Struct, frozen=True):
    """What we may show to a registry. Never printed: `repr` tells only what kinds there are.

    identity_token is exchanged by POST; registry_token is sent as it is.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    __repr__ = repr_without("username", "password", "identity_token", "registry_token")

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)

    @property
    def basic(self) -> str:
        """The Authorization header of Basic, or "" without a password."""
        if not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


ANONYMOUS: Final = Login()


class Token(Struct, frozen=True):
    """A bearer token, how long it lives from its receipt (seconds), and what renews the login, if that was given."""

    value: str
    lifetime_s: float
    refresh_token: str = ""

    __repr__ = repr_without("value", "refresh_token")


class TokenRequest(Struct, frozen=True):
    """One request to a token service. Redirects of it are never followed."""

    method: str
    url: Url
    authorization: str = ""
    form: bytes | None = None

    __repr__ = repr_without("authorization", "form")


class Trust(Enum):
    """What a token service is shown."""

    CREDENTIALS = "credentials"
    NOTHING = "nothing"  # it is asked anonymously


def scope_of(repository: Repository, actions: str) -> str:
    """`repository:acme/app:pull,push`."""
    return f"repository:{repository.path}:{actions}"


def realm_url(registry: Url, challenge: Challenge) -> Url:
    """Where the challenge sends us; relative to the URL that was refused. Raises UnsafeTarget."""
    return registry.resolve(challenge.realm)


def trust_in(registry: Origin, realm: Url, own: Reach, trusted: frozenset[Origin]) -> tuple[Trust, frozenset[Reach]]:
    """Whether this token service gets credentials, and which addresses its name may resolve to (registry.md 1.5).

    own: the class of the registry's own address. trusted: origins that the user named. Raises UnsafeTarget where it
    is not even asked: plain http from an https registry, an inner address from an outer registry.
    """
    if registry.scheme == "https" and realm.origin.scheme != "https":
        raise UnsafeTarget(
            "asking for a token", about=realm.redacted, why=f"{registry} is https, and https is never left"
        )
    if realm.origin == registry or realm.origin in trusted:
        return Trust.CREDENTIALS, frozenset(Reach)
    allowed = check_hop(registry, realm, own)
    known = realm.origin.scheme == "https" and realm.origin.port == 443 and registry.port == 443
    if known and ((registry.host, realm.origin.host) in _KNOWN_PAIRS or same_owner(registry.host, realm.origin.host)):
        return Trust.CREDENTIALS, allowed
    return Trust.NOTHING, allowed


def token_flow(
    challenge: Challenge, realm: Url, scopes: Sequence[str], login: Login
) -> Generator[TokenRequest, Reply, Token]:
    """Yield the requests to send, take the replies, return the token.

    Raises AuthError where the service refuses, Unavailable where it fails in a way that passes.
    """
    service = challenge.parameters.get("service", "")
    reply: Reply
    if login.identity_token:
        reply = yield _post(realm, service, scopes, login)
        # Harbor's service answers 405 to anything but GET, GCR's 404, ACR's 400, Artifactory's 401.
        if reply.status in (400, 401, 404, 405) and login.password:
            reply = yield _get(realm, service, scopes, login)
    else:
        reply = yield _get(realm, service, scopes, login)
    if reply.status != 200:
        raise _refused(reply, realm, scopes, login)
    return read_token(reply.body, realm)


def _get(realm: Url, service: str, scopes: Sequence[str], login: Login) -> TokenRequest:
    pairs = [("service", service)] if service else []
    pairs += [("scope", scope) for scope in scopes]
    url = realm
    for name, value in pairs:
        url = url.with_query(f"{name}={quote(value, safe='/:,')}")
    return TokenRequest("GET", url, login.basic)


def _post(realm: Url, service: str, scopes: Sequence[str], login: Login) -> TokenRequest:
    fields = {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": CLIENT_ID}
    if service:
        fields["service"] = service
    if scopes:
        fields["scope"] = " ".join(scopes)
    return TokenRequest("POST", realm, form=urlencode(fields).encode())


def _refused(reply: Reply, realm: Url, scopes: Sequence[str], login: Login) -> BakeryError:
    about = f"{realm.origin} for {' '.join(scopes)}".strip()
    if is_passing(reply):
        return failure(reply, "asking for a token", about)
    # The body is not quoted: token services have echoed secrets.
    hint = "check the login of this registry (docker login)" if login else "log in to this registry (docker login)"
    return AuthError("asking for a token", about=about, status=reply.status, hint=hint)


def read_token(body: bytes, realm: Url) -> Token:
    """The token in a service's answer. Raises AuthError, which quotes nothing of it."""

    def refuse(rule: str) -> AuthError:
        return AuthError("reading a token", about=realm.origin, why=rule)

    try:
        document = parse_object(body, limit_bytes=MAX_TOKEN_BYTES)
    except BakeryError:
        raise refuse("the answer is no JSON object") from None
    value = document.get("access_token") or document.get("token")
    if not isinstance(value, str) or not value:
        raise refuse("the answer holds no token")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise refuse("the token has characters that no header may have")
    refresh = document.get("refresh_token")
    return Token(value, _lifetime(document.get("expires_in")), refresh if isinstance(refresh, str) else "")


def _lifetime(expires_in: Any) -> float:
    if isinstance(expires_in, int) and not isinstance(expires_in, bool):
        return min(max(float(expires_in), _SHORTEST_LIFE_S), 24 * 3600.0)
    return _SHORTEST_LIFE_S


def refresh_margin_s(lifetime_s: float) -> float:
    """How long before its end a token is no longer used: a tenth of its life, at least ten seconds."""
    return max(10.0, lifetime_s / 10)
