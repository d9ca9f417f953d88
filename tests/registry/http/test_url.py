"""Origins and URLs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.url import Origin, Url

BASE = Url.parse("https://reg.example/v2/acme/app/blobs/uploads/?x=1")
LOCATIONS = {
    "absolute": ("https://Other.example:8443/a?b=c", "https://other.example:8443/a?b=c"),
    "the default port of the scheme": ("https://reg.example:443/a", "https://reg.example/a"),
    "an absolute path": ("/v2/x?_state=a%2Fb%3D&c", "https://reg.example/v2/x?_state=a%2Fb%3D&c"),
    "a relative path": ("abc?d=e", "https://reg.example/v2/acme/app/blobs/uploads/abc?d=e"),
    "dots": ("../blobs/x", "https://reg.example/v2/acme/app/blobs/blobs/x"),
    "a query": ("?y=2", "https://reg.example/v2/acme/app/blobs/uploads/?y=2"),
    "no scheme": ("//cdn.example/a", "https://cdn.example/a"),
    "a fragment": ("/a#frag", "https://reg.example/a"),
    "no path": ("https://reg.example", "https://reg.example/"),
    "nothing is quoted again": ("/a%7eb/~+x?s=%41%2b+&t=a%20b", "https://reg.example/a%7eb/~+x?s=%41%2b+&t=a%20b"),
    "bytes that are not ASCII": ("/\xc3\xa4?s=\xff%20", "https://reg.example/%C3%A4?s=%FF%20"),
    "bytes of UTF-8 that look like controls": ("https://cdn.example/\xc3\x80", "https://cdn.example/%C3%80"),
    "IPv6": ("https://[2001:DB8:0::1]/a", "https://[2001:db8::1]/a"),
}


@pytest.mark.parametrize(("location", "expected"), LOCATIONS.values(), ids=LOCATIONS)
def test_a_location_is_resolved_against_the_url_of_its_response(location, expected):
    assert str(BASE.resolve(location)) == expected


REASONS = {
    "x": "expected an absolute URL",
    "https://user:pw@x/": "it contains a user name",
    "https://x:65536/": "the port must be between 1 and 65535",
    "https://[1:2]/": "the host is malformed",
    "https://x/a b": "it contains characters that are not allowed in a URL",
}


@pytest.mark.parametrize(("text", "why"), REASONS.items())
def test_a_refused_url_has_its_reason(text, why):
    with pytest.raises(UnsafeTarget, match=why):
        Url.parse(text)


def test_the_longest_names_and_the_last_port_are_allowed():
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(host) == 253
    assert Url.parse(f"https://{host}:65535/").origin == Origin("https", host, 65535)


def test_an_origin_has_no_path():
    assert Origin.parse("https://x/") == Origin("https", "x", 443)
    with pytest.raises(UnsafeTarget, match="an origin has no path"):
        Origin.parse("https://x/y")


UNSAFE = [
    "",
    "ftp://x/",
    "javascript:alert(1)",
    "https://user@x/",
    "https://user:pw@x/",
    "https://x\\@y/",
    "https://x:99999/",
    "https://x:0/",
    "https:///a",
    "https://x..y/",
    "https://[::1/",
    "https://[zz]/",
    "/a b",
    "/a\r\nHost: x",
    "/a\x00",
    "/a\x7f",
    "/a\t\xe4",
    "/\u0142",
    "https://ä.example/",
    "https://\xc3\xa4.example/",
    "h\xc3\xa4ttps://x/",
    "\xc3\xa4:x",
    "https://-x/",
]


@pytest.mark.parametrize("location", UNSAFE)
def test_anything_but_a_plain_url_is_refused(location):
    with pytest.raises(UnsafeTarget):
        BASE.resolve(location)


def test_a_digest_is_appended_to_the_query_unchanged():
    assert Url.parse("https://x/u").with_query("digest=sha256:a").target == "/u?digest=sha256:a"
    assert Url.parse("https://x/u?_s=%2F").with_query("digest=sha256:a").target == "/u?_s=%2F&digest=sha256:a"


def test_only_parameters_that_hold_no_secret_are_shown():
    url = Url.parse("https://x/u?_state=secret&digest=sha256:a&X-Amz-Signature=secret")
    assert url.redacted == "https://x/u?digest=sha256:a&…"
    assert "secret" not in repr(url)
    assert Url.parse("https://x/u?sig=secret").redacted == "https://x/u?…"
    assert Url.parse("https://x/u?digest=sha256:a").redacted == "https://x/u?digest=sha256:a"


@given(st.text(max_size=100))
def test_any_location_is_either_refused_or_a_well_formed_url(text):
    with contextlib.suppress(UnsafeTarget):
        url = BASE.resolve(text)
        assert url.target.startswith("/")
        assert url.target.isascii()
        assert " " not in str(url)
        assert Url.parse(str(url)) == url
