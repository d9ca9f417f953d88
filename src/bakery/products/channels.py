"""What a channel of a product offers for an operating system: a version and its download URL. Source: config.md 10."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from bakery.config.systems import BuildSystem
from bakery.products.pages import Pages, unexpected
from bakery.targets.catalog import LookupFailed

DOWNLOADS = "https://posit.co/wp-content/uploads/downloads.json"
CONNECT_DAILY = "https://cdn.posit.co/connect/latest-packages.json"
PPM_MAIN = "https://cdn.posit.co/package-manager/deb/amd64/rstudio-pm-main-latest.txt"
PPM_RC = "https://cdn.posit.co/package-manager/deb/amd64/rstudio-pm-rc-latest.txt"
_PPM = "https://cdn.posit.co/package-manager"
_RELEASES: dict[str, tuple[str, ...]] = {
    "connect": ("connect", "installer"),
    "package-manager": ("rspm", "installer"),
    "workbench": ("rstudio", "pro", "stable", "server", "installer"),
    "workbench-session": ("rstudio", "pro", "stable", "session", "installer"),
}
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_ARCHITECTURES = re.compile(r"amd64|x86_64")


def dailies(branch: str) -> str:
    """Return the URL of the list of a branch's daily builds."""
    return f"https://dailies.rstudio.com/rstudio/{quote(branch, safe='')}/index.json"


class PinRefused(LookupFailed):
    """A version is pinned that does not exist."""

    error_code = "product/pin"


class Offer(Struct, frozen=True):
    """A version of a product, and the URL of its package for one system."""

    version: str
    url: str


def manifest_url(product: str, channel: str, branch: str = "latest") -> str | None:
    """Return the URL that describes a channel, or None if the product has no such channel."""
    if channel == "release":
        return DOWNLOADS
    if product == "connect":
        return CONNECT_DAILY if channel == "daily" else None
    if product == "package-manager":
        return PPM_RC if channel == "preview" else PPM_MAIN
    return dailies(branch)


def architecture(system: BuildSystem) -> str:
    """Return the name of the amd64 architecture in packages for a system."""
    return "x86_64" if system.family == "rhel" else "amd64"


def installer_key(product: str, system: BuildSystem) -> str:
    """Return the key of a system in the lists of installers."""
    number = int(system.major) if system.major.isdigit() else 0
    if system.family == "rhel":
        if product == "connect":
            return "redhat8" if number == 8 else f"rhel{number}"
        if product == "package-manager":
            return "fedora28" if number == 8 else f"rhel{number}"
        return f"rhel{system.version}"
    if product == "package-manager" and (
        (system.name == "ubuntu" and number > 22) or (system.name == "debian" and number > 11)
    ):
        return "ubuntu64"
    if system.name == "ubuntu" and system.codename:
        return system.codename
    return {("debian", 12): "noble", ("debian", 11): "jammy"}.get((system.name, number), "multi")


def offer(product: str, channel: str, system: BuildSystem, pages: Pages, branch: str = "latest") -> Offer | None:
    """Return what a channel offers for a system, or None if it offers nothing. Raises LookupFailed."""
    url = manifest_url(product, channel, branch)
    if url is None:
        return None
    if channel == "release":
        return _entry(url, _walk(pages.json(url), (*_RELEASES[product], installer_key(product, system))), "url")
    if product == "connect":
        return _connect_daily(url, pages, system)
    if product == "package-manager":
        version = pages.text(url)
        return package_manager(version, system)
    name = "session" if product == "workbench-session" else "workbench"
    key = f"{installer_key(product, system)}-{architecture(system)}"
    return _entry(url, _walk(pages.json(url), ("products", name, "platforms", key)), "link")


def package_manager(version: str, system: BuildSystem) -> Offer | None:
    """Return the package of a Package Manager version. Its URL follows from the version."""
    suffix, word = system.package_suffix, architecture(system)
    if not suffix:
        return None
    before, after = ("-", ".") if system.family == "rhel" else ("_", "_")
    quoted = quote(version, safe="")
    return Offer(version, f"{_PPM}/{suffix}/{word}/rstudio-pm{before}{quoted}{after}{word}.{suffix}")


def pinned(published: Offer, version: str) -> Offer:
    """Return the URL of the published package with another version in it. Raises PinRefused if it has no version."""
    forms = (lambda text: text, lambda text: quote(text, safe=""), lambda text: text.replace("+", "-"))
    for form in forms:
        if form(published.version) in published.url:
            return Offer(version, published.url.replace(form(published.version), form(version)))
    raise PinRefused(
        "cannot pin version", about=version,
        why=f"the URL of {published.version} does not contain its version: {published.url}",
        hint="run without --dev-spec, or name a version of another channel",
    )  # fmt: skip


def for_platforms(url: str, platforms: tuple[str, ...]) -> str:
    """Return a URL for builds of these platforms, with `$TARGETARCH` as architecture unless only amd64 is built."""
    return url if platforms == ("linux/amd64",) else _ARCHITECTURES.sub("$TARGETARCH", url)


def _connect_daily(url: str, pages: Pages, system: BuildSystem) -> Offer | None:
    number = int(system.major) if system.major.isdigit() else 0
    if system.family == "rhel":
        name = f"el{number}"
    elif system.name == "debian":
        name = f"ubuntu{2 * number}"
    else:
        name = f"{system.name}{system.major}"
    platform = f"{name}/{architecture(system)}"
    packages = _walk(pages.json(url), ("packages",))
    if not isinstance(packages, list):
        raise unexpected(url, "it has no list `packages`")
    entry = next((one for one in packages if isinstance(one, Mapping) and one.get("platform") == platform), None)
    return _entry(url, entry, "url")


def _walk(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _entry(url: str, entry: Any, link: str) -> Offer | None:
    if entry is None:
        return None
    version, target = _walk(entry, ("version",)), _walk(entry, (link,))
    if not isinstance(version, str) or not isinstance(target, str):
        raise unexpected(url, f"an entry has no strings `version` and `{link}`")
    return Offer(version, target)
