"""Where a server may send the client."""

from __future__ import annotations

import pytest

from bakery.registry.http.address import Reach
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.message import Fields
from bakery.registry.http.redirect import allowed_reach, check_hop, next_hop
from bakery.registry.http.url import Origin, Url


def test_only_internal_servers_may_name_internal_addresses():
    assert Reach.LOOPBACK not in allowed_reach(Reach.PUBLIC, https=True)
    assert Reach.LOOPBACK not in allowed_reach(Reach.PRIVATE, https=True)
    assert Reach.PRIVATE not in allowed_reach(Reach.PUBLIC, https=False)
    assert allowed_reach(Reach.LOOPBACK, https=False) == {Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK}
    for own in Reach:
        assert Reach.FORBIDDEN not in allowed_reach(own, https=True)


def test_a_private_address_needs_an_internal_server_or_a_certificate():
    here = Origin.parse("http://a.example")
    assert allowed_reach(Reach.PRIVATE, https=False) == {Reach.PUBLIC, Reach.PRIVATE}
    assert check_hop(here, Url.parse("http://b.example/"), Reach.PUBLIC) == {Reach.PUBLIC}
    assert check_hop(here, Url.parse("https://b.example/"), Reach.PUBLIC) == {Reach.PUBLIC, Reach.PRIVATE}
    assert check_hop(here, Url.parse("https://10.0.0.1/"), Reach.PRIVATE) == {Reach.PUBLIC, Reach.PRIVATE}
    with pytest.raises(UnsafeTarget, match="redirects to a private address"):
        check_hop(here, Url.parse("https://10.0.0.1/"), Reach.PUBLIC)


def test_a_redirect_never_leads_from_https_to_http():
    secure, plain = Origin.parse("https://a.example"), Origin.parse("http://a.example")
    with pytest.raises(UnsafeTarget):
        check_hop(secure, Url.parse("http://a.example/"), Reach.PUBLIC)
    check_hop(plain, Url.parse("https://a.example/"), Reach.PUBLIC)


def test_a_redirect_needs_a_location_and_ends_after_ten_hops():
    here = Url.parse("https://a.example/x")
    assert str(next_hop(here, Fields({"Location": "/y"}), 10)) == "https://a.example/y"
    with pytest.raises(UnsafeTarget, match="no Location"):
        next_hop(here, Fields(), 1)
    with pytest.raises(UnsafeTarget, match="more than 10 redirects"):
        next_hop(here, Fields({"Location": "/y"}), 11)
