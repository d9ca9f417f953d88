"""Proxies from the environment."""

from __future__ import annotations

import pytest

from bakery.errors import UsageError
from bakery.registry.http.config import Proxies
from bakery.registry.http.url import Origin

PROXIED = {
    "empty": ("", "https://reg.example", True),
    "the host": ("reg.example", "https://reg.example", False),
    "below the host": ("example", "https://reg.example", False),
    "a suffix": (".example", "https://reg.example", False),
    "a suffix does not cover the name itself": (".reg.example", "https://reg.example", True),
    "a star": ("*.example", "https://reg.example", False),
    "everything": ("*", "https://reg.example", False),
    "another name with the same ending": ("g.example", "https://reg.example", True),
    "with this port": ("reg.example:443", "https://reg.example", False),
    "with another port": ("reg.example:5000", "https://reg.example", True),
    "a suffix with this port": (".example:443", "https://reg.example", False),
    "below the host, with this port": ("example:443", "https://reg.example", False),
    "a suffix with another port": (".example:5000", "https://reg.example", True),
    "an IPv6 address with this port": ("[2001:db8::1]:443", "https://[2001:db8::1]", False),
    "an address": ("10.0.0.1", "https://10.0.0.1", False),
    "a network": ("10.0.0.0/8", "https://10.9.9.9", False),
    "another network": ("10.0.0.0/8", "https://11.0.0.1", True),
    "a list": ("a.example, reg.example", "https://reg.example", False),
    "loopback, always": ("", "http://localhost:5000", False),
    "no proxy for plain HTTP": ("", "http://reg.example", False),
}


@pytest.mark.parametrize(("bypass", "origin", "proxied"), PROXIED.values(), ids=PROXIED)
def test_no_proxy_is_honoured_by_host_suffix_port_and_network(bypass, origin, proxied):
    found = Proxies.from_environment({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": bypass})
    assert (found.for_origin(Origin.parse(origin)) is not None) is proxied


def test_a_cgi_process_ignores_the_proxy_in_a_request_header():
    assert Proxies.from_environment({"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}).http is None


def test_the_password_of_a_proxy_is_not_printed():
    proxies = Proxies.from_environment({"HTTPS_PROXY": "http://robot:can%40ary@proxy:3128"})
    assert proxies.https is not None
    assert proxies.https.authorization.startswith("Basic ")
    assert proxies.https.authorization not in repr(proxies)
    assert "can" not in repr(proxies)


@pytest.mark.parametrize("scheme", ["socks", "SOCKS4", "socks4a"])
def test_a_proxy_of_an_older_socks_is_refused_by_name(scheme):
    with pytest.raises(UsageError, match=r"HTTPS_PROXY.*not supported"):
        Proxies.from_environment({"HTTPS_PROXY": f"{scheme}://proxy:1080"})
