"""Where people look at a repository: the web page that a registry has for it. Pure.

Known are GHCR, Docker Hub, Quay and the public gallery of ECR. Other registries do not have public pages.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_NAME: Final = re.compile(r"[a-z0-9._/-]+")


def page_of(repository: str, tag: str = "") -> str:
    """Return the URL of the page of a repository such as `ghcr.io/acme/hello`, or "" if none is known.

    tag: the page shows this tag, if the registry has such pages. GHCR finds the package by itself, wherever its
    owner keeps it, but has no page by tag.
    """
    host, _, path = repository.partition("/")
    if not _NAME.fullmatch(path):
        return ""
    named = quote(tag, safe="")
    match host:
        case "ghcr.io":
            return f"https://ghcr.io/{path}"
        case "docker.io" | "index.docker.io" | "registry-1.docker.io":
            namespace, _, name = path.rpartition("/")
            place = f"_/{name}" if namespace in ("", "library") else f"r/{path}"
            return f"https://hub.docker.com/{place}/tags{f'?name={named}' if tag else ''}"
        case "quay.io":
            return f"https://quay.io/repository/{path}{f'?tab=tags&tag={named}' if tag else ''}"
        case "public.ecr.aws":
            return f"https://gallery.ecr.aws/{path}"
        case _:
            return ""
