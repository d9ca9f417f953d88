"""The registry config from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.errors import UsageError, message
from bakery.registry.config import RegistryConfig
from bakery.registry.http.config import Proxies
from bakery.registry.http.url import Origin
from bakery.values import Overlaid


def test_all_variables_are_read(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("x")
    config = RegistryConfig.from_environment(
        {
            "BAKERY_PLAIN_HTTP": "Reg.lan:5000, other.lan,",
            "BAKERY_CA_FILE": str(tmp_path / "ca.pem"),
            "BAKERY_TRUSTED_REALMS": "https://sso.example, http://127.0.0.1:5001, keycloak.example:8443",
            "HTTPS_PROXY": "proxy.example:3128",
        }
    )
    assert config.plain_http == {"reg.lan:5000", "other.lan"}
    assert config.ca_file == tmp_path / "ca.pem"
    origins = ("https://sso.example", "http://127.0.0.1:5001", "https://keycloak.example:8443")
    assert config.trusted_realms == {Origin.parse(text) for text in origins}
    assert config.proxies.https is not None
    assert str(config.proxies.https.origin) == "http://proxy.example:3128"


def test_the_defaults_are_safe():
    config = RegistryConfig.from_environment({})
    assert (config.plain_http, config.ca_file, config.trusted_realms) == (frozenset(), None, frozenset())
    assert config.proxies == Proxies()


@pytest.mark.parametrize(
    "environment",
    [
        {"BAKERY_CA_FILE": "/nowhere/ca.pem"},
        {"BAKERY_TRUSTED_REALMS": "https://user@sso.example"},
        {"BAKERY_TRUSTED_REALMS": "https://sso.example/token"},
        {"HTTPS_PROXY": "socks4://proxy.example:1080"},
        {"HTTP_PROXY": "http://user:canary@bad host"},
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_variable(environment):
    with pytest.raises(UsageError, match=next(iter(environment))) as caught:
        RegistryConfig.from_environment(environment)
    assert "canary" not in str(caught.value)


def test_an_option_that_replaced_a_variable_is_named_in_its_place(tmp_path):
    (tmp_path / "text.pem").write_text("words")
    for variable, option, text in (
        ("BAKERY_CA_FILE", "--ca-file", "/nowhere/ca.pem"),
        ("BAKERY_CLIENT_CERT", "--client-cert", "/nowhere/cert.pem"),
        ("BAKERY_CLIENT_CERT", "--client-cert", str(tmp_path / "text.pem")),
        ("BAKERY_CLIENT_KEY", "--client-key", str(tmp_path / "text.pem")),
        ("BAKERY_TRUSTED_REALMS", "--trusted-realm", "https://user@sso.example"),
    ):
        with pytest.raises(UsageError) as caught:
            RegistryConfig.from_environment(Overlaid({variable: text}, {variable: option}))
        shown = message(caught.value)
        assert (option in shown, "BAKERY_" in shown) == (True, False), shown
