"""Who may do what: Basic, or bearer tokens with an endpoint that gives them. Pure but for random tokens and the clock.

Source: the distribution project's token specification (GET) and its OAuth2 form (POST). Every user may do everything
that is asked for; what is simulated here is the protocol, not a permission system.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct, field

from bakery.rehearsal.answers import Answer, document, failure
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.http import Head
from bakery.rehearsal.routes import Found, Route

_SERVICE: Final = "bakery-embedded-registry"


class Scheme(Enum):
    """How a client shows who it is."""

    BEARER = auto()
    BASIC = auto()


class Access(Struct, frozen=True, kw_only=True):
    """The rules of entry. users: name to password. refresh_tokens: token to the user it stands for.

    second_port: the token endpoint has an address of its own. takes_post: else anything but GET is 405 (Harbor).
    knows_repositories: a scope that only pulls, from a repository that is not there, fails the whole request (Hub).
    refused_actions: a scope with one of them fails the whole request (Quay: delete). one_scope: only the first scope is
    looked at (old Harbor). challenges_at_ping_only: a 401 elsewhere does not say where to ask (GCR).
    """

    users: Mapping[str, str]
    scheme: Scheme = Scheme.BEARER
    anonymous_pull: bool = False
    lifetime_s: float = 300.0
    tells_lifetime: bool = True
    takes_post: bool = True
    second_port: bool = False
    refresh_tokens: Mapping[str, str] = field(default_factory=dict)
    knows_repositories: bool = False
    refused_actions: frozenset[str] = frozenset()
    one_scope: bool = False
    challenges_at_ping_only: bool = False


class TokenRequest(Struct, frozen=True):
    """One request to the token endpoint, as it was answered. user is "" for an anonymous one."""

    method: str
    scopes: tuple[str, ...]
    user: str
    status: int


class _Grant(Struct, frozen=True):
    user: str
    actions: Mapping[str, frozenset[str]]  # by `repository:NAME`
    expires_at: float


_ANY = frozenset({"*"})
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "GET": ("pull",),
    "HEAD": ("pull",),
    "POST": ("pull", "push"),
    "PATCH": ("pull", "push"),
    "PUT": ("pull", "push"),
    "DELETE": ("delete",),
}


class Guard:
    """Checks requests and gives tokens. requests: the token endpoint's log. names: gives the repositories there are."""

    def __init__(self, access: Access, clock: Clock, names: Callable[[], Collection[str]]) -> None:
        self.access, self._clock, self._names = access, clock, names
        self.requests: list[TokenRequest] = []
        self._grants: dict[str, _Grant] = {}

    # Requests to the registry.

    def refusal(self, found: Found, head: Head, realm: str) -> Answer | None:
        """The answer to a request that may not pass, or None. realm: the token endpoint's URL."""
        if self.access.scheme is Scheme.BASIC:
            user = self._basic_user(head)
            return None if user or self._anonymous(found, head) else _challenge('Basic realm="bakery"')
        return self._bearer_refusal(found, head, realm)

    def _anonymous(self, found: Found, head: Head) -> bool:
        named = head.headers.get("authorization") is not None
        return self.access.anonymous_pull and not named and head.method in ("GET", "HEAD") and found.repository != ""

    def _bearer_refusal(self, found: Found, head: Head, realm: str) -> Answer | None:
        resource, actions = _resource(found), _NEEDED.get(head.method, ("*",))
        if found.route is Route.UPLOAD and head.method == "DELETE":
            actions = ("push",)  # cancelling one's own upload
        grant, problem = self._grant(head), ""
        if grant is not None:
            held = grant.actions.get(resource, frozenset())
            if not resource or held >= set(actions) or held >= _ANY:
                return None
            problem = "insufficient_scope"
        elif "authorization" in head.headers:
            problem = "invalid_token"
        if self.access.challenges_at_ping_only and found.route is not Route.BASE:
            return failure("UNAUTHORIZED")
        told = {"realm": realm, "service": _SERVICE}
        told |= {"scope": f"{resource}:{','.join(actions)}"} if resource else {}
        told |= {"error": problem} if problem else {}
        return _challenge("Bearer " + ",".join(f'{key}="{value}"' for key, value in told.items()))

    def may_pull(self, head: Head, repository: str) -> bool:
        """Whether this request's credentials let it read that repository: the source of a mount."""
        if self.access.scheme is Scheme.BASIC:
            return True
        grant = self._grant(head)
        held = grant.actions.get(f"repository:{repository}", frozenset()) if grant else frozenset()
        return bool(held & {"pull", "*"})

    def _grant(self, head: Head) -> _Grant | None:
        scheme, _, token = head.headers.get("authorization", "").partition(" ")
        grant = self._grants.get(token.strip()) if scheme.lower() == "bearer" else None
        return grant if grant is not None and self._clock.now() < grant.expires_at else None

    def expire(self, head: Head) -> bool:
        """Let the token of this request end now. Gives whether it was good before."""
        good = self._grant(head) is not None
        self._grants.pop(head.headers.get("authorization", "").partition(" ")[2].strip(), None)
        return good

    def expire_all(self) -> None:
        """Let every token end now."""
        self._grants.clear()

    # Requests to the token endpoint.

    def token(self, head: Head, form: bytes) -> Answer:
        """Answer a token request, GET or POST."""
        if head.method == "GET":
            scopes = tuple(scope for key, value in head.query() if key == "scope" for scope in value.split())
            named = head.headers.get("authorization") is not None
            user = self._basic_user(head)
            answer = self._given(user, scopes, named=named, offline=("offline_token", "true") in head.query())
        elif head.method == "POST" and self.access.takes_post:
            fields = dict(parse_qsl(form.decode("utf-8", "replace")))
            scopes = tuple(fields.get("scope", "").split())
            user = self._form_user(fields)
            answer = self._given(user, scopes, named=True, offline=fields.get("access_type") == "offline")
        else:
            return failure("UNSUPPORTED")
        self.requests.append(TokenRequest(head.method, scopes, user, answer.status))
        return answer

    def _given(self, user: str, scopes: tuple[str, ...], *, named: bool, offline: bool) -> Answer:
        if not user and (named or not self.access.anonymous_pull):
            return failure("UNAUTHORIZED")
        actions: dict[str, frozenset[str]] = {}
        for scope in scopes[:1] if self.access.one_scope else scopes:
            resource, _, wished = scope.rpartition(":")
            if self._refused(resource, wished):
                return failure("DENIED", detail={"scope": scope[:300]})
            allowed = frozenset(wished.split(",")) if user else frozenset(wished.split(",")) & {"pull"}
            actions[resource] = actions.get(resource, frozenset()) | allowed
        now = self._clock.now()
        self._grants = {token: grant for token, grant in self._grants.items() if grant.expires_at > now}
        token = secrets.token_urlsafe(32)
        self._grants[token] = _Grant(user, actions, now + self.access.lifetime_s)
        reply: dict[str, object] = {"token": token, "access_token": token}
        if self.access.tells_lifetime:
            reply["expires_in"] = int(self.access.lifetime_s)
        if offline:
            owned = [token for token, owner in self.access.refresh_tokens.items() if owner == user]
            reply |= {"refresh_token": owned[0]} if owned else {}
        return document(200, reply)

    def _refused(self, resource: str, wished: str) -> bool:
        if self.access.refused_actions & set(wished.split(",")):
            return True
        kind, _, name = resource.partition(":")
        reads_only = kind == "repository" and wished == "pull"
        return self.access.knows_repositories and reads_only and name not in self._names()

    def _form_user(self, fields: Mapping[str, str]) -> str:
        if fields.get("grant_type") == "refresh_token":
            return self.access.refresh_tokens.get(fields.get("refresh_token", ""), "")
        return self._known(fields.get("username", ""), fields.get("password", ""))

    def _basic_user(self, head: Head) -> str:
        scheme, _, encoded = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        user, _, password = text.partition(":")
        return self._known(user, password)

    def _known(self, user: str, password: str) -> str:
        right = self.access.users.get(user)
        return user if right is not None and secrets.compare_digest(right.encode(), password.encode()) else ""


def _resource(found: Found) -> str:
    if found.route is Route.CATALOG:
        return "registry:catalog"
    return f"repository:{found.repository}" if found.repository else ""


def _challenge(text: str) -> Answer:
    return failure("UNAUTHORIZED", headers=(("WWW-Authenticate", text),))
