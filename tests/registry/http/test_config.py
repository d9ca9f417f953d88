"""Proxies from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.defaults import CONNECT_TIMEOUT_S
from bakery.errors import UsageError
from bakery.registry.http.config import HttpConfig, Proxies
from bakery.registry.http.url import Origin
from bakery.text import clean, forget_secrets

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
    "a dot": (".", "https://reg.example.", True),
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


def test_the_password_of_a_proxy_is_hidden_wherever_it_is_quoted():
    try:
        Proxies.from_environment({"HTTPS_PROXY": "http://robot:canary%40password@proxy:3128"})
        assert clean("canary%40password and canary@password") == "*** and ***"
    finally:
        forget_secrets()


def test_an_invalid_address_of_a_proxy_is_an_error_without_its_password():
    with pytest.raises(UsageError, match=r"HTTPS_PROXY.*expected http://") as caught:
        Proxies.from_environment({"HTTPS_PROXY": "ftp://robot:canary@proxy"})
    assert "canary" not in str(caught.value)


def test_the_login_of_a_socks_proxy_has_at_most_255_bytes():
    login = "u" * 255 + ":" + "p" * 255
    found = Proxies.from_environment({"HTTPS_PROXY": f"socks5://{login}@[2001:db8::1]"}).https
    assert found is not None
    assert found.address == "socks5://[2001:db8::1]:1080"
    with pytest.raises(UsageError, match="at most 255 bytes"):
        Proxies.from_environment({"HTTPS_PROXY": f"socks5://u{login}@proxy"})


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "soon"])
def test_a_limit_of_time_is_a_number_above_0(text):
    with pytest.raises(UsageError, match=r"BAKERY_STALL_TIMEOUT.*above 0"):
        HttpConfig.from_environment({"BAKERY_STALL_TIMEOUT": text})


@pytest.mark.parametrize(("stall_s", "connect_s"), [(1.5, 1.5), (10_000.0, CONNECT_TIMEOUT_S)])
def test_a_connection_is_not_waited_for_longer_than_for_anything_else(stall_s, connect_s):
    found = HttpConfig.from_environment({"BAKERY_STALL_TIMEOUT": str(stall_s)})
    assert (found.stall_s, found.connect_s) == (stall_s, connect_s)


@pytest.mark.parametrize("has_settings", [True, False])
def test_certificates_are_found_where_docker_and_podman_have_them(tmp_path: Path, has_settings):
    settings = tmp_path / ("settings" if has_settings else ".config")
    folders = [settings / "docker", settings / "containers", tmp_path / ".docker", tmp_path / "elsewhere"]
    environment = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "elsewhere")}
    if has_settings:
        environment["XDG_CONFIG_HOME"] = str(settings)

    def found() -> list[Path]:
        config = HttpConfig.from_environment(environment)
        return [folder for folder in config.certificate_folders if folder.is_relative_to(tmp_path)]

    assert found() == []
    for folder in folders:
        (folder / "certs.d").mkdir(parents=True)
    assert found() == [folder / "certs.d" for folder in folders]


@pytest.mark.parametrize("scheme", ["socks", "SOCKS4", "socks4a"])
def test_a_proxy_of_an_older_socks_is_refused_by_name(scheme):
    with pytest.raises(UsageError, match=r"HTTPS_PROXY.*not supported"):
        Proxies.from_environment({"HTTPS_PROXY": f"{scheme}://proxy:1080"})
