"""Registrable domains decide whether a token service is trusted with a login (registry.md 1.5 c)."""

import subprocess
import sys

import pytest
from publicsuffixlist import PublicSuffixList

from bakery.registry import domains

OWNERS = {  # name: (one, other, same owner?)
    "two hosts of one domain": ("registry.acme.com", "auth.acme.com", True),
    "a domain and a host of it": ("acme.com", "auth.acme.com", True),
    "two domains of one top-level domain": ("registry.acme.com", "registry.evil.com", False),
    "one domain below a country's second level": ("reg.acme.co.uk", "git.acme.co.uk", True),
    "two domains below a country's second level": ("acme.co.uk", "evil.co.uk", False),
    "a wildcard rule": ("a.one.ck", "b.one.ck", False),
    "an exception from a wildcard rule": ("a.www.ck", "b.www.ck", True),
    "two customers of a host in the list's private section": ("acme.github.io", "evil.github.io", False),
    "two hosts of one customer": ("a.acme.github.io", "b.acme.github.io", True),
    "two customers of a registry that is not listed": ("acme.azurecr.io", "evil.azurecr.io", False),
    "an unknown top-level domain": ("registry.acme.internal", "auth.acme.internal", True),
    "an encoded domain": ("a.xn--55qx5d.cn", "b.xn--55qx5d.cn", False),
    "a trailing dot": ("registry.acme.com.", "auth.acme.com", True),
    "names of one label": ("registry", "registry", False),
    "a public suffix": ("co.uk", "co.uk", False),
    "IPv4 addresses": ("10.0.0.1", "10.9.0.1", False),
    "IPv4 addresses within IPv6": ("[::ffff:1.2.3.4]", "[::ffff:9.9.3.4]", False),
    "IPv6 addresses": ("[2001:db8::1]", "[2001:db8::1]", False),
}


@pytest.mark.parametrize(("one", "other", "same"), OWNERS.values(), ids=OWNERS)
def test_hosts_have_one_owner_if_they_share_a_registrable_domain(one, other, same):
    assert domains.same_owner(one, other) is same
    assert domains.same_owner(other, one) is same


@pytest.mark.parametrize("name", sorted(domains._UNLISTED))
def test_a_name_is_kept_here_only_while_the_public_list_lacks_it(name):
    assert not PublicSuffixList().is_public(name)


def test_the_list_is_not_read_for_hosts_that_differ_in_their_last_two_labels():
    code = (
        "import sys; from bakery.registry.domains import same_owner\n"
        "assert not same_owner('ghcr.io', 'auth.example.com'); assert 'publicsuffixlist' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
