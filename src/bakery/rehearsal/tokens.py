"""Authentication: Basic, or bearer tokens with a token endpoint. Pure but for random tokens and the clock.

Source: the token specification of the distribution project (GET) and its OAuth2 variant (POST). Every user may do
everything: this simulates the protocol, not a permission system.
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

from bakery.rehearsal.http import RequestHead
from bakery.rehearsal.responses import Response, error_response, json_response
from bakery.rehearsal.routes import ApiRoute, Resource
from bakery.rehearsal.time_source import TimeSource

_SERVICE: Final = "bakery-embedded-registry"


class Scheme(Enum):
    """How clients authenticate."""

    BEARER = auto()
    BASIC = auto()


class Access(Struct, frozen=True, kw_only=True):
    """Who may use the registry, and how. users: password by name. refresh_tokens: user by token.

    second_port: the token endpoint has its own port. accepts_post: otherwise anything but GET gets 405 (Harbor).
    knows_repositories: a pull-only scope for a missing repository fails the whole request (Hub).
    refused_actions: a scope with one of these fails the whole request (Quay: delete). first_scope_only: all other
    scopes are ignored (old Harbor). challenges_at_base_only: a 401 elsewhere names no token endpoint (GAR).
    """

    users: Mapping[str, str]
    scheme: Scheme = Scheme.BEARER
    anonymous_pull: bool = False
    lifetime_s: float = 300.0
    sends_lifetime: bool = True
    accepts_post: bool = True
    second_port: bool = False
    refresh_tokens: Mapping[str, str] = field(default_factory=dict)
    knows_repositories: bool = False
    refused_actions: frozenset[str] = frozenset()
    first_scope_only: bool = False
    challenges_at_base_only: bool = False


class LoggedTokenRequest(Struct, frozen=True):
    """One request to the token endpoint and the status of its response. user: "" for an anonymous request."""

    method: str
    scopes: tuple[str, ...]
    user: str
    status: int


class _Grant(Struct, frozen=True):
    user: str
    actions: Mapping[str, frozenset[str]]  # by `repository:NAME`
    expires_at: float


_ANY = frozenset({"*"})
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "GET": ("pull",),
    "HEAD": ("pull",),
    "POST": ("pull", "push"),
    "PATCH": ("pull", "push"),
    "PUT": ("pull", "push"),
    "DELETE": ("delete",),
}


class Guard:
    """Authenticates requests and issues tokens. requests: the log of the token endpoint.

    names: returns the names of the existing repositories.
    """

    def __init__(self, access: Access, clock: TimeSource, names: Callable[[], Collection[str]]) -> None:
        self.access, self._clock, self._names = access, clock, names
        self.requests: list[LoggedTokenRequest] = []
        self._grants: dict[str, _Grant] = {}

    # Requests to the registry.

    def refusal(self, resource: Resource, head: RequestHead, realm: str) -> Response | None:
        """Return the response to an unauthorized request, or None. realm: the URL of the token endpoint."""
        if self.access.scheme is Scheme.BASIC:
            allowed = self._basic_user(head) or self._is_anonymous_pull(resource, head)
            return None if allowed else _challenge('Basic realm="bakery"')
        return self._bearer_refusal(resource, head, realm)

    def _is_anonymous_pull(self, resource: Resource, head: RequestHead) -> bool:
        is_read = head.method in ("GET", "HEAD") and resource.repository != ""
        return self.access.anonymous_pull and is_read and "authorization" not in head.headers

    def _bearer_refusal(self, resource: Resource, head: RequestHead, realm: str) -> Response | None:
        name, actions = _scope_name(resource), _REQUIRED.get(head.method, ("*",))
        if resource.route is ApiRoute.UPLOAD and head.method == "DELETE":
            actions = ("push",)  # a client may cancel its own upload
        grant, problem = self._grant(head), ""
        if grant is not None:
            granted = grant.actions.get(name, frozenset())
            if not name or granted >= set(actions) or granted >= _ANY:
                return None
            problem = "insufficient_scope"
        elif "authorization" in head.headers:
            problem = "invalid_token"
        if self.access.challenges_at_base_only and resource.route is not ApiRoute.BASE:
            return error_response("UNAUTHORIZED")
        parameters = {"realm": realm, "service": _SERVICE}
        parameters |= {"scope": f"{name}:{','.join(actions)}"} if name else {}
        parameters |= {"error": problem} if problem else {}
        return _challenge("Bearer " + ",".join(f'{key}="{value}"' for key, value in parameters.items()))

    def may_pull(self, head: RequestHead, repository: str) -> bool:
        """Return whether the credentials of this request allow reading that repository: the source of a mount."""
        if self.access.scheme is Scheme.BASIC:
            return True
        grant = self._grant(head)
        granted = grant.actions.get(f"repository:{repository}", frozenset()) if grant else frozenset()
        return bool(granted & {"pull", "*"})

    def _grant(self, head: RequestHead) -> _Grant | None:
        scheme, _, token = head.headers.get("authorization", "").partition(" ")
        grant = self._grants.get(token.strip()) if scheme.lower() == "bearer" else None
        return grant if grant is not None and self._clock.now() < grant.expires_at else None

    def expire(self, head: RequestHead) -> bool:
        """Expire the token of this request. Return whether it was valid."""
        was_valid = self._grant(head) is not None
        self._grants.pop(head.headers.get("authorization", "").partition(" ")[2].strip(), None)
        return was_valid

    def expire_all(self) -> None:
        """Expire every token."""
        self._grants.clear()

    # Requests to the token endpoint.

    def token(self, head: RequestHead, form: bytes) -> Response:
        """Respond to a token request, GET or POST."""
        if head.method == "GET":
            scopes = tuple(scope for key, value in head.query() if key == "scope" for scope in value.split())
            named = "authorization" in head.headers
            user = self._basic_user(head)
            response = self._issue(user, scopes, named=named, offline=("offline_token", "true") in head.query())
        elif head.method == "POST" and self.access.accepts_post:
            fields = dict(parse_qsl(form.decode("utf-8", "replace")))
            scopes = tuple(fields.get("scope", "").split())
            user = self._form_user(fields)
            response = self._issue(user, scopes, named=True, offline=fields.get("access_type") == "offline")
        else:
            return error_response("UNSUPPORTED")
        self.requests.append(LoggedTokenRequest(head.method, scopes, user, response.status))
        return response

    def _issue(self, user: str, scopes: tuple[str, ...], *, named: bool, offline: bool) -> Response:
        """Return a new token for these scopes. named: the client sent credentials, valid or not."""
        if not user and (named or not self.access.anonymous_pull):
            return error_response("UNAUTHORIZED")
        actions: dict[str, frozenset[str]] = {}
        for scope in scopes[:1] if self.access.first_scope_only else scopes:
            name, _, requested = scope.rpartition(":")
            if self._is_refused(name, requested):
                return error_response("DENIED", {"scope": scope[:300]})
            allowed = frozenset(requested.split(",")) if user else frozenset(requested.split(",")) & {"pull"}
            actions[name] = actions.get(name, frozenset()) | allowed
        now = self._clock.now()
        self._grants = {token: grant for token, grant in self._grants.items() if grant.expires_at > now}
        token = secrets.token_urlsafe(32)
        self._grants[token] = _Grant(user, actions, now + self.access.lifetime_s)
        document: dict[str, object] = {"token": token, "access_token": token}
        if self.access.sends_lifetime:
            document["expires_in"] = int(self.access.lifetime_s)
        if offline:
            owned = [token for token, owner in self.access.refresh_tokens.items() if owner == user]
            document |= {"refresh_token": owned[0]} if owned else {}
        return json_response(200, document)

    def _is_refused(self, name: str, requested: str) -> bool:
        if self.access.refused_actions & set(requested.split(",")):
            return True
        kind, _, repository = name.partition(":")
        reads_only = kind == "repository" and requested == "pull"
        return self.access.knows_repositories and reads_only and repository not in self._names()

    def _form_user(self, fields: Mapping[str, str]) -> str:
        if fields.get("grant_type") == "refresh_token":
            return self.access.refresh_tokens.get(fields.get("refresh_token", ""), "")
        return self._verified(fields.get("username", ""), fields.get("password", ""))

    def _basic_user(self, head: RequestHead) -> str:
        scheme, _, encoded = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        user, _, password = text.partition(":")
        return self._verified(user, password)

    def _verified(self, user: str, password: str) -> str:
        """Return the user if the password is right, else ""."""
        expected = self.access.users.get(user)
        return user if expected is not None and secrets.compare_digest(expected.encode(), password.encode()) else ""


def _scope_name(resource: Resource) -> str:
    if resource.route is ApiRoute.CATALOG:
        return "registry:catalog"
    return f"repository:{resource.repository}" if resource.repository else ""


def _challenge(text: str) -> Response:
    return error_response("UNAUTHORIZED", headers=(("WWW-Authenticate", text),))
