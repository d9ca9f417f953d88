"""The origin of a registry's API."""

from __future__ import annotations

import pytest

from bakery.errors import BadReference
from bakery.oci.reference import Repository
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.url import Url
from bakery.registry.origin import api_origin

ORIGINS = {
    "https by default": ("ghcr.io", (), "https://ghcr.io"),
    "Docker Hub": ("docker.io", (), "https://registry-1.docker.io"),
    "a port": ("reg.example:5000", (), "https://reg.example:5000"),
    "localhost": ("localhost:5000", (), "http://localhost:5000"),
    "a name below localhost": ("reg.localhost:5000", (), "http://reg.localhost:5000"),
    "loopback": ("127.0.0.1:5000", (), "http://127.0.0.1:5000"),
    "another loopback address": ("127.9.9.9", (), "http://127.9.9.9"),
    "IPv6 loopback": ("[::1]:5000", (), "http://[::1]:5000"),
    "IPv6 loopback without a port": ("[::1]", (), "http://[::1]"),
    "configured": ("reg.lan:5000", ("reg.lan:5000",), "http://reg.lan:5000"),
    "configured for all ports": ("reg.lan:5000", ("reg.lan",), "http://reg.lan:5000"),
    "configured for another port": ("reg.lan:5001", ("reg.lan:5000",), "https://reg.lan:5001"),
    "a private address is not loopback": ("10.0.0.5:5000", (), "https://10.0.0.5:5000"),
    "a name that only starts with localhost": ("localhost.example", (), "https://localhost.example"),
}


@pytest.mark.parametrize(("registry", "plain", "expected"), ORIGINS.values(), ids=ORIGINS)
def test_plain_http_is_used_for_loopback_and_configured_hosts_only(registry, plain, expected):
    assert str(api_origin(registry, frozenset(plain))) == expected


LONG_HOSTS = ("a" * 64 + ".test", "x." + "a" * 64, ".".join(["a" * 60] * 5))


@pytest.mark.parametrize("host", LONG_HOSTS)
def test_a_host_name_that_cannot_be_looked_up_is_refused_where_it_is_read(host):
    with pytest.raises(UnsafeTarget):
        Url.parse(f"http://{host}/x")
    with pytest.raises(BadReference):
        Repository.parse(f"{host}/x")
