"""RegistryConfig from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.errors import UsageError
from bakery.registry.config import RegistryConfig
from bakery.registry.http.config import Proxies
from bakery.registry.http.url import Origin


def test_all_variables_are_read(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("x")
    settings = RegistryConfig.from_environment(
        {
            "BAKERY_PLAIN_HTTP": "Reg.lan:5000, other.lan,",
            "BAKERY_CA_FILE": str(tmp_path / "ca.pem"),
            "BAKERY_TRUSTED_REALMS": "https://sso.example, http://127.0.0.1:5001, keycloak.example:8443",
            "HTTPS_PROXY": "proxy.example:3128",
        }
    )
    assert settings.plain_http == {"reg.lan:5000", "other.lan"}
    assert settings.ca_file == tmp_path / "ca.pem"
    origins = ("https://sso.example", "http://127.0.0.1:5001", "https://keycloak.example:8443")
    assert settings.trusted_realms == {Origin.parse(text) for text in origins}
    assert settings.proxies.https is not None
    assert str(settings.proxies.https.origin) == "http://proxy.example:3128"


def test_nothing_set_is_safe():
    settings = RegistryConfig.from_environment({})
    assert (settings.plain_http, settings.ca_file, settings.trusted_realms) == (frozenset(), None, frozenset())
    assert settings.proxies == Proxies()


@pytest.mark.parametrize(
    "environment",
    [
        {"BAKERY_CA_FILE": "/nowhere/ca.pem"},
        {"BAKERY_TRUSTED_REALMS": "https://user@sso.example"},
        {"BAKERY_TRUSTED_REALMS": "https://sso.example/token"},
        {"HTTPS_PROXY": "socks5://proxy.example:1080"},
        {"HTTP_PROXY": "http://user:canary@bad host"},
    ],
)
def test_a_value_that_makes_no_sense_is_named(environment):
    with pytest.raises(UsageError, match=next(iter(environment))) as caught:
        RegistryConfig.from_environment(environment)
    assert "canary" not in str(caught.value)


PROXIED = {
    "no list": ("", "https://reg.example", True),
    "the host": ("reg.example", "https://reg.example", False),
    "below the host": ("example", "https://reg.example", False),
    "a suffix": (".example", "https://reg.example", False),
    "a suffix is not the name itself": (".reg.example", "https://reg.example", True),
    "a star": ("*.example", "https://reg.example", False),
    "all": ("*", "https://reg.example", False),
    "another name that ends so": ("g.example", "https://reg.example", True),
    "with this port": ("reg.example:443", "https://reg.example", False),
    "with another port": ("reg.example:5000", "https://reg.example", True),
    "an address": ("10.0.0.1", "https://10.0.0.1", False),
    "a network": ("10.0.0.0/8", "https://10.9.9.9", False),
    "another network": ("10.0.0.0/8", "https://11.0.0.1", True),
    "a list": ("a.example, reg.example", "https://reg.example", False),
    "loopback, always": ("", "http://localhost:5000", False),
    "plain http has no proxy here": ("", "http://reg.example", False),
}


@pytest.mark.parametrize(("bypass", "origin", "proxied"), PROXIED.values(), ids=PROXIED)
def test_who_goes_through_the_proxy(bypass, origin, proxied):
    found = Proxies.from_environment({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": bypass})
    assert (found.for_origin(Origin.parse(origin)) is not None) is proxied


def test_a_cgi_process_does_not_take_its_proxy_from_a_request_header():
    assert Proxies.from_environment({"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}).http is None


def test_a_proxys_password_is_not_printed():
    proxies = Proxies.from_environment({"HTTPS_PROXY": "http://robot:can%40ary@proxy:3128"})
    assert proxies.https is not None
    assert proxies.https.authorization.startswith("Basic ")
    assert proxies.https.authorization not in repr(proxies)
    assert "can" not in repr(proxies)
