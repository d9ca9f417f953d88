"""Whether two host names belong to one owner: whether they share a registrable domain.

Source: the Public Suffix List (publicsuffix.org), from the package publicsuffixlist. Knows nothing of tokens.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

# Below these names too, each customer has a host, but their owners have not entered them in the Public Suffix List.
# A test fails once the list has one of them: it is then removed here.
_UNLISTED: Final = frozenset(
    {
        "amazonaws.com",
        "azure.com",
        "azurecr.io",
        "cloudsmith.io",
        "icr.io",
        "jfrog.io",
        "nip.io",
        "ocir.io",
        "oraclecloud.com",
        "ovh.net",
        "pkg.dev",
        "scw.cloud",
        "sslip.io",
        "vultrcr.com",
    }
)


def same_owner(one: str, other: str) -> bool:
    """Return whether two lower-case host names share a registrable domain. IP addresses never do."""
    # Without the last two labels in common they cannot, and the list need not be read, which takes 20 ms.
    if one.rstrip(".").split(".")[-2:] != other.rstrip(".").split(".")[-2:]:
        return False
    domain = registrable_domain(one)
    return bool(domain) and domain == registrable_domain(other)


def registrable_domain(host: str) -> str:
    """Return the public suffix and one label more, or "" for an IP address, a suffix, or a name of one label."""
    name = host.rstrip(".")
    if name.startswith("[") or name.rpartition(".")[2].isdigit():
        return ""
    domain: str = _suffixes(is_encoded="xn--" in name).privatesuffix(name) or ""
    return "" if domain in _UNLISTED else domain


@lru_cache(maxsize=2)
def _suffixes(*, is_encoded: bool) -> PublicSuffixList:
    """Read the list. With the xn-- form of its names this takes five times as long."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_encoded_idn=is_encoded)
