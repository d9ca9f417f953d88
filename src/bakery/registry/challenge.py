"""Parses `WWW-Authenticate`: what a server requires before it responds. Decides nothing about trust.

Source: RFC 9110 section 11.6.1: several header lines, several challenges in one line, quoted strings with escapes,
scheme and parameter names in any case, token68, schemes without parameters. Besides, some servers send URLs without
quotes, and separate parameters by semicolons or only by blanks: read where nothing else can be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from bakery.errors import InvalidContent

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))")
_UNQUOTED: Final = re.compile(r'[^\s,"\x00-\x1f\x7f]+')  # some servers send the URL of a realm like this
# The name of a parameter, and the first character of its value.
_PARAMETER: Final = re.compile(rf"{_TOKEN.pattern}[ \t]*=[ \t]*[^\s,;=\x00-\x1f\x7f]")
_QUOTED: Final = re.compile(r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*)"')
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MAX_HEADER: Final = 16 * 1024  # characters; realms are URLs


class BadChallenge(InvalidContent):
    """A malformed WWW-Authenticate header. Its meaning cannot be known, so no credentials are sent for it."""


class Challenge(Struct, frozen=True):
    """One way to log in: a scheme with its parameters (names in lower case), or with a token68."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    token68: str = ""

    @property
    def realm(self) -> str:
        return self.parameters.get("realm", "")


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Return all challenges of these header lines, in order. Raises BadChallenge."""
    return tuple(challenge for header in headers for challenge in _parse_line(header))


def preferred(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the challenge that the client can respond to: Bearer before Basic, no other."""
    by_scheme = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
    bearer = by_scheme.get("bearer")
    return bearer if bearer is not None and bearer.realm else by_scheme.get("basic")


def _parse_line(header: str) -> list[Challenge]:
    if len(header) > _MAX_HEADER:
        raise BadChallenge("invalid WWW-Authenticate header", why=f"longer than {_MAX_HEADER} characters")
    found: list[Challenge] = []
    at = _skip(header, 0, ", \t")
    while at < len(header):
        scheme = _TOKEN.match(header, at)
        if scheme is None:
            raise _bad(header, at)
        at = _skip(header, scheme.end())
        token68 = _TOKEN68.match(header, at) if at > scheme.end() else None
        if token68 is not None:
            found.append(Challenge(scheme.group().lower(), token68=token68.group()))
            at = _after_item(header, token68.end())
            continue
        parameters: dict[str, str] = {}
        has_none = at == scheme.end()
        is_basic = scheme.group().lower() == "basic"
        try:
            at = _after_item(header, at) if has_none else _parse_parameters(header, at, parameters, is_lax=is_basic)
        except BadChallenge:
            if not is_basic:
                raise
            at = len(header)  # for Basic, no parameter decides anything
        found.append(Challenge(scheme.group().lower(), parameters))
    return found


def _parse_parameters(header: str, at: int, into: dict[str, str], *, is_lax: bool) -> int:
    """Read `name=value, name=value` up to the next scheme or the end. Return the position there.

    is_lax: accept repeated names. For Basic this is safe: no value decides anything. Several scopes are one list.
    """
    while at < len(header):
        name = _TOKEN.match(header, at)
        if name is None:
            if header[at] == ",":  # a scheme without parameters, then a comma
                return _after_item(header, at)
            raise _bad(header, at)
        equals = _skip(header, name.end())
        if not header.startswith("=", equals):
            if into:
                return at  # this token is the next scheme
            raise _bad(header, equals)
        at = _skip(header, equals + 1)
        quoted, plain = _QUOTED.match(header, at), _UNQUOTED.match(header, at)
        if quoted is not None:
            value, at = _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
        elif plain is not None:
            value, at = plain.group(), plain.end()
            if value.endswith(";") and header.startswith((" ", "\t"), at):  # elsewhere, it may be part of the URL
                value, at = value[:-1], at - 1
        else:
            raise _bad(header, at)
        key = name.group().lower()
        if key == "scope" and key in into:
            into[key] = f"{into[key]} {value}"
        elif key in into and not is_lax:
            raise BadChallenge("invalid WWW-Authenticate header", why=f"{key!r} occurs twice")
        into.setdefault(key, value)
        at = _after_parameter(header, at)
    return at


def _skip(header: str, at: int, characters: str = " \t") -> int:
    """Return the position of the next character that is not one of these."""
    while at < len(header) and header[at] in characters:
        at += 1
    return at


def _after_item(header: str, at: int) -> int:
    """Return the position after the comma that must follow an item, or the end."""
    at = _skip(header, at)
    if at < len(header) and header[at] != ",":
        raise _bad(header, at)
    return _skip(header, at, ", \t")


def _after_parameter(header: str, at: int) -> int:
    """Return the position after what ends a parameter: a comma or the end; or blanks or a semicolon, then a parameter.

    Without a comma, only a further parameter can follow: a scheme there would be a guess.
    """
    ends = _skip(header, at)
    if ends == len(header) or header[ends] == ",":
        return _after_item(header, at)
    following = _skip(header, ends + 1) if header[ends] == ";" else ends
    if following > at and (following == len(header) or _PARAMETER.match(header, following)):
        return following
    raise _bad(header, ends)


def _bad(header: str, at: int) -> BadChallenge:
    return BadChallenge("invalid WWW-Authenticate header", why=f"malformed at character {at} of {len(header)}")
