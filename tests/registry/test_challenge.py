"""The WWW-Authenticate parser."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.registry.challenge import BadChallenge, Challenge, parse, preferred

REALM = {"realm": "x"}
BEARER = Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "x"})
READ = {
    "bearer": (
        'Bearer realm="https://a/t",service="s",scope="repository:x:pull"',
        [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull"})],
    ),
    "names in any case": ('BEARER Realm="https://a/t"', [Challenge("bearer", {"realm": "https://a/t"})]),
    "an unquoted URL": (
        "Bearer realm=https://a/t,service=s",
        [Challenge("bearer", {"realm": "https://a/t", "service": "s"})],
    ),
    "several scopes": (
        'Bearer realm="x",scope="repository:a:pull",scope="repository:a:push"',
        [Challenge("bearer", {"realm": "x", "scope": "repository:a:pull repository:a:push"})],
    ),
    "unquoted value": ("Bearer realm=x", [Challenge("bearer", REALM)]),
    "escapes": (r'Basic realm="a \"b\" \\c"', [Challenge("basic", {"realm": r'a "b" \c'})]),
    "a scheme without parameters": ("Negotiate", [Challenge("negotiate")]),
    "a scheme without parameters, then another": (
        'Negotiate, Basic realm="x"',
        [Challenge("negotiate"), Challenge("basic", REALM)],
    ),
    "two with parameters": (
        'Digest realm="d", nonce="n", Bearer realm="b", service="s"',
        [Challenge("digest", {"realm": "d", "nonce": "n"}), Challenge("bearer", {"realm": "b", "service": "s"})],
    ),
    "token68": (
        "Negotiate abc+/==, Basic realm=x",
        [Challenge("negotiate", {}, "abc+/=="), Challenge("basic", REALM)],
    ),
    "a parameter without a value is a token68": ("Bearer realm=", [Challenge("bearer", {}, "realm=")]),
    "empty list items": (' , Basic realm="x" ,, ', [Challenge("basic", REALM)]),
    "a comma in quotes": ('Bearer realm="a,b"', [Challenge("bearer", {"realm": "a,b"})]),
    "spaces around the equals sign": ('Basic realm = "x"', [Challenge("basic", REALM)]),
    "an unquoted realm of two words": ("Basic realm=Registry Realm", [Challenge("basic", {"realm": "Registry"})]),
    "Basic with a semicolon": ('Basic;realm="x"', [Challenge("basic")]),
    "Basic with an open quote": ('Basic realm="x', [Challenge("basic")]),
    "parameters separated by blanks": ('Bearer realm="https://a/t" service="s"\tscope="x"', [BEARER]),
    "parameters separated by semicolons": ('Bearer realm="https://a/t";service="s" ; scope="x"', [BEARER]),
    "a semicolon at the end": ('Bearer realm="https://a/t"; service="s", scope="x";', [BEARER]),
    "unquoted values, separated by blanks": ("Bearer realm=https://a/t service=s scope=x", [BEARER]),
    "unquoted values, separated by a semicolon and a blank": ("Bearer realm=https://a/t; service=s; scope=x", [BEARER]),
    "blanks around every equals sign": ('Bearer realm = "https://a/t" service\t=\ts ; scope = "x"', [BEARER]),
    "blanks between the parameters of one of two": (
        'Bearer realm="https://a/t" service="s", scope="x", Basic realm="x"',
        [BEARER, Challenge("basic", REALM)],
    ),
    "a semicolon in an unquoted URL": (
        "Bearer realm=https://a/t;v=1",
        [Challenge("bearer", {"realm": "https://a/t;v=1"})],
    ),
    "a semicolon in quotes": ('Bearer realm="a; b=c"', [Challenge("bearer", {"realm": "a; b=c"})]),
    "a semicolon at the end of an unquoted URL": (
        "Bearer realm=https://a/t;",
        [Challenge("bearer", {"realm": "https://a/t;"})],
    ),
    "a blank before the comma after a scheme": (
        'Negotiate , Basic realm="x"',
        [Challenge("negotiate"), Challenge("basic", REALM)],
    ),
    "a name that Basic repeats": (
        'Basic realm="x", realm="y", Bearer realm="x"',
        [Challenge("basic", REALM), Challenge("bearer", REALM)],
    ),
    "empty": ("", []),
}
MALFORMED = [
    'Bearer realm="open',
    "Bearer service=a, realm=",
    'Bearer realm="a" junk here',
    '"quoted"',
    "Negotiate/abc",
    'Bearer "quoted"',
    'Bearer"quoted"',
    "Bearer junk here",
    'Bearer realm="a",realm="b"',
    'Bearer realm="a" realm="b"',
    'Bearer realm="a";realm="b"',
    'Bearer realm="a"; Basic',
    'Bearer realm="a" Basic realm="b"',
    'Bearer realm="a"; Basic realm="b"',
    'Bearer realm="a"service="s"',
    'Bearer realm="a";;service="s"',
    'Bearer realm="a" service=',
    'Bearer realm="a" service==',
    "Bearer realm=My Realm,service=s",
    "Bearer realm=a\x00b",
    'Bearer realm="a\r\nX: y"',
]


@pytest.mark.parametrize(("header", "expected"), READ.values(), ids=READ)
def test_challenges_are_parsed_by_the_grammar(header, expected):
    assert list(parse([header])) == expected


@pytest.mark.parametrize("header", MALFORMED)
def test_a_malformed_challenge_is_an_error_not_a_guess(header):
    with pytest.raises(BadChallenge):
        parse([header])


def test_bearer_is_preferred_and_unknown_schemes_are_skipped():
    lines = ["Negotiate", 'Basic realm="b"', 'Bearer realm="https://t"']
    assert preferred(parse(lines)) == Challenge("bearer", {"realm": "https://t"})
    assert preferred(parse(lines[:2])) == Challenge("basic", {"realm": "b"})
    assert preferred(parse(lines[:1])) is None


def test_a_bearer_without_a_realm_is_skipped():
    assert preferred(parse(['Bearer service="s"', 'Basic realm="b"'])) == Challenge("basic", {"realm": "b"})


def test_a_header_of_more_than_16_kib_is_not_read():
    header = f'Basic realm="{"x" * (16 * 1024 - 14)}"'
    assert [found.scheme for found in parse([header])] == ["basic"]
    with pytest.raises(BadChallenge, match="longer than 16384 characters"):
        parse([f"{header} "])


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_text_breaks_the_parser(lines):
    with contextlib.suppress(BadChallenge):
        parse(lines)


TOKENS = st.text(alphabet="abcXYZ019-_.", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(st.lists(st.tuples(TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES, min_size=1, max_size=4)), max_size=4))
def test_a_header_written_by_the_grammar_is_parsed_back(challenges):
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    line = ", ".join(f"{scheme} " + ", ".join(f"{k}={quoted(v)}" for k, v in p.items()) for scheme, p in challenges)
    assert [(c.scheme, dict(c.parameters)) for c in parse([line])] == [(s.lower(), p) for s, p in challenges]
