"""What a project leaves open: names for labels, and the placeholders that `bakery init` writes. Pure.

Only `bakery check` reports it, and never as an error. Source: config.md 2, commands.md 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from bakery.config.project import Project
from bakery.config.yaml.problem import Finding

PLACEHOLDER_HOST: Final = "replace-me.example"  # RFC 2606 reserves .example: nothing can be published there
_PLACEHOLDER_NAMESPACE: Final = ".".join(reversed(PLACEHOLDER_HOST.split(".")))


def unfinished(project: Project) -> Iterator[Finding]:
    """Yield a warning for each placeholder, and for each name that no label can be made of."""
    repository, place = project.repository, ("repository",)
    if urlsplit(repository.url).hostname == PLACEHOLDER_HOST:
        hint = "write the URL of the repository that has the Containerfiles"
        yield Finding((*place, "url"), "this is a placeholder", hint, warning=True)
    if repository.label_namespace.startswith(_PLACEHOLDER_NAMESPACE):
        hint = "write a domain of yours in reverse, such as com.acme.image"
        yield Finding((*place, "labelNamespace"), "this is a placeholder", hint, warning=True)
    for index, registry in enumerate(project.registries):
        if registry.host == PLACEHOLDER_HOST:
            hint = "write the host and the namespace of your registry, such as ghcr.io and acme"
            yield Finding(("registries", index, "host"), "this is a placeholder", hint, warning=True)
    for key, value in (("vendor", repository.vendor), ("maintainer", repository.maintainer)):
        if not value:
            yield Finding(place, f"images get no label for the {key}", f"add `{key}`", warning=True)
