"""Reads `WWW-Authenticate`: what a server wants before it answers. Decides nothing about trust.

Source: RFC 9110 section 11.6.1: several header lines, several challenges in one line, quoted strings with escapes,
scheme and parameter names in any case, token68, schemes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from bakery.errors import InvalidContent

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*)"')
_SPACE = re.compile(r"[ \t]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MAX_HEADER = 16 * 1024  # characters; realms are URLs, no more


class BadChallenge(InvalidContent):
    """A WWW-Authenticate header that breaks the grammar. What it says cannot be known, so nothing is sent on it."""


class Challenge(Struct, frozen=True):
    """One way in: the scheme in lower case, its parameters with names in lower case, or its token68."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    token68: str = ""

    @property
    def realm(self) -> str:
        return self.parameters.get("realm", "")


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of these header lines, in order. Raises BadChallenge."""
    return tuple(challenge for header in headers for challenge in _parse_line(header))


def preferred(challenges: Iterable[Challenge]) -> Challenge | None:
    """The challenge that we can answer: Bearer before Basic, others never."""
    by_scheme = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
    bearer = by_scheme.get("bearer")
    return bearer if bearer is not None and bearer.realm else by_scheme.get("basic")


def _parse_line(header: str) -> list[Challenge]:
    if len(header) > _MAX_HEADER:
        raise BadChallenge("reading WWW-Authenticate", why=f"longer than {_MAX_HEADER} characters")
    found: list[Challenge] = []
    at = _skip(header, 0)
    while at < len(header):
        scheme = _TOKEN.match(header, at)
        if scheme is None:
            raise _bad(header, at)
        at = _SPACE.match(header, scheme.end()).end()  # type: ignore[union-attr]  # it matches the empty text too
        token68 = _TOKEN68.match(header, at) if at > scheme.end() else None
        if token68 is not None:
            found.append(Challenge(scheme.group().lower(), token68=token68.group()))
            at = _after_item(header, token68.end())
            continue
        parameters: dict[str, str] = {}
        alone = at == scheme.end()
        at = _after_item(header, at) if alone else _parse_parameters(header, at, parameters)
        found.append(Challenge(scheme.group().lower(), parameters))
    return found


def _parse_parameters(header: str, at: int, into: dict[str, str]) -> int:
    """Read `name=value, name=value` up to the next scheme or the end; give the position there."""
    while at < len(header):
        name = _TOKEN.match(header, at)
        if name is None:
            if header[at] == "," and not into:  # a scheme alone, then a comma
                return _after_item(header, at)
            raise _bad(header, at)
        equals = _SPACE.match(header, name.end()).end()  # type: ignore[union-attr]  # it matches the empty text too
        if not header.startswith("=", equals):
            if into:
                return at  # this token is the next scheme
            raise _bad(header, equals)
        at = _SPACE.match(header, equals + 1).end()  # type: ignore[union-attr]  # it matches the empty text too
        quoted, plain = _QUOTED.match(header, at), _TOKEN.match(header, at)
        if quoted is not None:
            value, at = _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
        elif plain is not None:
            value, at = plain.group(), plain.end()
        else:
            raise _bad(header, at)
        key = name.group().lower()
        if key in into:
            raise BadChallenge("reading WWW-Authenticate", why=f"{key!r} is given twice")
        into[key] = value
        at = _after_item(header, at)
    return at


def _skip(header: str, at: int) -> int:
    while at < len(header) and header[at] in ", \t":
        at += 1
    return at


def _after_item(header: str, at: int) -> int:
    """The position after the comma that must follow an item, or the end."""
    at = _SPACE.match(header, at).end()  # type: ignore[union-attr]  # it matches the empty text too
    if at < len(header) and header[at] != ",":
        raise _bad(header, at)
    return _skip(header, at)


def _bad(header: str, at: int) -> BadChallenge:
    return BadChallenge("reading WWW-Authenticate", why=f"malformed at character {at} of {len(header)}")
