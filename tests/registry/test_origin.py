"""Origins, URLs and addresses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.registry.http.address import Reach, is_loopback_name, literal_reach, reach_of
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.redirect import allowed_reach, check_hop
from bakery.registry.http.url import Origin, Url
from bakery.registry.origin import api_origin

BASE = Url.parse("https://reg.example/v2/acme/app/blobs/uploads/?x=1")
LOCATIONS = {
    "absolute": ("https://Other.example:8443/a?b=c", "https://other.example:8443/a?b=c"),
    "the scheme's own port": ("https://reg.example:443/a", "https://reg.example/a"),
    "an absolute path": ("/v2/x?_state=a%2Fb%3D&c", "https://reg.example/v2/x?_state=a%2Fb%3D&c"),
    "a relative path": ("abc?d=e", "https://reg.example/v2/acme/app/blobs/uploads/abc?d=e"),
    "dots": ("../blobs/x", "https://reg.example/v2/acme/app/blobs/blobs/x"),
    "a query": ("?y=2", "https://reg.example/v2/acme/app/blobs/uploads/?y=2"),
    "no scheme": ("//cdn.example/a", "https://cdn.example/a"),
    "a fragment": ("/a#frag", "https://reg.example/a"),
    "no path": ("https://reg.example", "https://reg.example/"),
    "nothing is quoted again": ("/a%7eb/~+x?s=%41%2b+&t=a%20b", "https://reg.example/a%7eb/~+x?s=%41%2b+&t=a%20b"),
    "IPv6": ("https://[2001:DB8:0::1]/a", "https://[2001:db8::1]/a"),
}


@pytest.mark.parametrize(("location", "expected"), LOCATIONS.values(), ids=LOCATIONS)
def test_locations_are_resolved_against_the_url_that_answered(location, expected):
    assert str(BASE.resolve(location)) == expected


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
    "/ä",
    "https://ä.example/",
    "https://-x/",
]


@pytest.mark.parametrize("location", UNSAFE)
def test_what_is_no_plain_url_is_refused(location):
    with pytest.raises(UnsafeTarget):
        BASE.resolve(location)


def test_a_digest_is_appended_to_the_query_as_it_stands():
    assert Url.parse("https://x/u").with_query("digest=sha256:a").target == "/u?digest=sha256:a"
    assert Url.parse("https://x/u?_s=%2F").with_query("digest=sha256:a").target == "/u?_s=%2F&digest=sha256:a"


def test_of_a_query_only_what_holds_no_secret_is_shown():
    url = Url.parse("https://x/u?_state=secret&digest=sha256:a&X-Amz-Signature=secret")
    assert url.redacted == "https://x/u?digest=sha256:a&…"
    assert "secret" not in repr(url)
    assert Url.parse("https://x/u?sig=secret").redacted == "https://x/u?…"
    assert Url.parse("https://x/u?digest=sha256:a").redacted == "https://x/u?digest=sha256:a"


ORIGINS = {
    "https by default": ("ghcr.io", (), "https://ghcr.io"),
    "Docker Hub": ("docker.io", (), "https://registry-1.docker.io"),
    "a port": ("reg.example:5000", (), "https://reg.example:5000"),
    "localhost": ("localhost:5000", (), "http://localhost:5000"),
    "a name below localhost": ("reg.localhost:5000", (), "http://reg.localhost:5000"),
    "loopback": ("127.0.0.1:5000", (), "http://127.0.0.1:5000"),
    "all of loopback": ("127.9.9.9", (), "http://127.9.9.9"),
    "IPv6 loopback": ("[::1]:5000", (), "http://[::1]:5000"),
    "IPv6 loopback without a port": ("[::1]", (), "http://[::1]"),
    "configured": ("reg.lan:5000", ("reg.lan:5000",), "http://reg.lan:5000"),
    "configured for all ports": ("reg.lan:5000", ("reg.lan",), "http://reg.lan:5000"),
    "configured for another port": ("reg.lan:5001", ("reg.lan:5000",), "https://reg.lan:5001"),
    "a private address is not loopback": ("10.0.0.5:5000", (), "https://10.0.0.5:5000"),
    "a name that only begins so": ("localhost.example", (), "https://localhost.example"),
}


@pytest.mark.parametrize(("registry", "plain", "expected"), ORIGINS.values(), ids=ORIGINS)
def test_plain_http_is_for_loopback_and_what_was_configured(registry, plain, expected):
    assert str(api_origin(registry, frozenset(plain))) == expected


REACHES = {
    "8.8.8.8": Reach.PUBLIC,
    "2001:4860:4860::8888": Reach.PUBLIC,
    "10.1.2.3": Reach.PRIVATE,
    "172.16.0.1": Reach.PRIVATE,
    "192.168.1.1": Reach.PRIVATE,
    "100.64.0.1": Reach.PRIVATE,
    "fd12::1": Reach.PRIVATE,
    "127.0.0.1": Reach.LOOPBACK,
    "127.8.8.8": Reach.LOOPBACK,
    "::1": Reach.LOOPBACK,
    "::ffff:127.0.0.1": Reach.LOOPBACK,
    "64:ff9b::7f00:1": Reach.LOOPBACK,
    "2002:7f00:1::": Reach.LOOPBACK,
    "::ffff:10.0.0.1": Reach.PRIVATE,
    "169.254.169.254": Reach.FORBIDDEN,
    "::ffff:169.254.169.254": Reach.FORBIDDEN,
    "fe80::1": Reach.FORBIDDEN,
    "fe80::1%eth0": Reach.FORBIDDEN,
    "fd00:ec2::254": Reach.FORBIDDEN,
    "100.100.100.200": Reach.FORBIDDEN,
    "0.0.0.0": Reach.FORBIDDEN,
    "0.1.2.3": Reach.FORBIDDEN,
    "::": Reach.FORBIDDEN,
    "224.0.0.1": Reach.FORBIDDEN,
    "255.255.255.255": Reach.FORBIDDEN,
    "240.0.0.1": Reach.FORBIDDEN,
}


@pytest.mark.parametrize(("address", "expected"), REACHES.items())
def test_addresses_are_told_apart_by_where_they_can_be_reached_from(address, expected):
    assert reach_of(address) is expected


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0x7f000001", "1.2.3.4.5", "a.0x1"])
def test_numbers_that_some_resolvers_read_as_addresses_are_forbidden(host):
    assert literal_reach(host) is Reach.FORBIDDEN


@pytest.mark.parametrize("host", ["example.com", "1password.example", "x-0.example", "0x.example"])
def test_names_are_no_literals(host):
    assert literal_reach(host) is None


def test_inner_addresses_are_for_inner_servers():
    assert Reach.LOOPBACK not in allowed_reach(Reach.PUBLIC, https=True)
    assert Reach.LOOPBACK not in allowed_reach(Reach.PRIVATE, https=True)
    assert Reach.PRIVATE not in allowed_reach(Reach.PUBLIC, https=False)
    assert allowed_reach(Reach.LOOPBACK, https=False) == {Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK}
    for own in Reach:
        assert Reach.FORBIDDEN not in allowed_reach(own, https=True)


def test_https_is_never_left():
    secure, plain = Origin.parse("https://a.example"), Origin.parse("http://a.example")
    with pytest.raises(UnsafeTarget):
        check_hop(secure, Url.parse("http://a.example/"), Reach.PUBLIC)
    check_hop(plain, Url.parse("https://a.example/"), Reach.PUBLIC)


def test_loopback_is_known_by_name():
    assert is_loopback_name("localhost")
    assert is_loopback_name("[::1]")
    assert not is_loopback_name("localhost.evil.example")


@given(st.text(max_size=100))
def test_no_location_breaks_the_resolution_and_what_passes_has_an_origin(text):
    with contextlib.suppress(UnsafeTarget):
        url = BASE.resolve(text)
        assert url.target.startswith("/")
        assert url.target.isascii()
        assert " " not in str(url)
        assert Url.parse(str(url)) == url
