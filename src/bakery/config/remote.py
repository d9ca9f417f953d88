"""What the address of a git remote suggests for a new project: its web address, registry and names. Pure.

Source: commands.md 3.1.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from bakery.config.schema.mismatch import WrongValue
from bakery.config.schema.url import http_url

_SHORT_FORM: Final = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)")  # git@github.com:acme/app.git
_SCHEMES: Final = ("http", "https", "ssh", "git", "git+ssh")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_NOT_IN_NAME: Final = re.compile(r"[^a-z0-9]+")
# Registries that belong to a forge. owner: the first part of the repository's path; path: all of it.
_REGISTRY_OF_FORGE: Final = {
    "github.com": "ghcr.io/{owner}",
    "gitlab.com": "registry.gitlab.com/{path}",
    "codeberg.org": "codeberg.org/{owner}",
}


def web_address(remote: str) -> str:
    """Return the web address of a git remote, without login, port of SSH and `.git`, or "" if it does not have one."""
    short = _SHORT_FORM.fullmatch(remote)
    text = f"ssh://{short[1]}/{short[2]}" if short else remote if "://" in remote else f"https://{remote}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    path = parts.path.strip("/").removesuffix(".git")
    if parts.scheme not in _SCHEMES or not path or re.search(r"\s", path):
        return ""
    if not host[:1].isalnum() or not ("." in host or remote.startswith(("http://", "https://"))):
        return ""  # a path on disk, or a short name of ssh's configuration
    scheme = "http" if parts.scheme == "http" else "https"
    place = f"{host}:{port}" if port is not None and parts.scheme in ("http", "https") else host
    try:
        return http_url(f"{scheme}://{place}/{path}")
    except WrongValue:
        return ""


def registry_of_forge(url: str) -> str:
    """Return the registry that belongs to the host of a repository, with a namespace, or "" if none is known."""
    parts = urlsplit(url)
    path = parts.path.strip("/").lower()
    host = parts.hostname or ""
    form = f"containers.{host}/{{owner}}" if host.endswith(".ghe.com") else _REGISTRY_OF_FORGE.get(host, "")
    known = form if path else ""
    return known.format(owner=path.partition("/")[0], path=path)


def image_name(url: str, folder: str) -> str:
    """Return a valid name for the first image: from the repository's name, or else from that of the folder."""
    for text in (urlsplit(url).path.rpartition("/")[2], folder):
        if name := _as_name(text):
            return name
    return "app"


def label_namespace(url: str) -> str:
    """Return a prefix for labels: the reversed host of the repository and its owner, such as com.github.acme."""
    parts = urlsplit(url)
    names = (*reversed((parts.hostname or "").split(".")), _as_name(parts.path.strip("/").partition("/")[0]))
    return ".".join(name for name in names if _NAME.fullmatch(name)) or "image"


def _as_name(text: str) -> str:
    return _NOT_IN_NAME.sub("-", text.lower()).strip("-")
