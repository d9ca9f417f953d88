"""Classes of addresses."""

from __future__ import annotations

import pytest

from bakery.registry.http.address import Reach, is_loopback_name, literal_reach, reach_of

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
    "2001:0:808:808:8000:63bf:f5ff:fffe": Reach.PRIVATE,  # Teredo, of 10.0.0.1
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
def test_addresses_are_classified_by_where_they_can_be_reached_from(address, expected):
    assert reach_of(address) is expected


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0x7f000001", "1.2.3.4.5", "a.0x1"])
def test_numbers_that_some_resolvers_read_as_addresses_are_forbidden(host):
    assert literal_reach(host) is Reach.FORBIDDEN


@pytest.mark.parametrize("host", ["example.com", "1password.example", "x-0.example", "0x.example"])
def test_names_are_not_literals(host):
    assert literal_reach(host) is None


def test_loopback_is_recognized_by_name():
    assert is_loopback_name("localhost")
    assert is_loopback_name("[::1]")
    assert not is_loopback_name("localhost.evil.example")
