"""References: where content lives. Repository, and a tag or a digest in it. Knows no URL scheme and no credentials.

Source: OCI distribution-spec 1.1, "Pulling manifests" (names and tags); Docker Hub's short names as docker has them.
What does not fit the patterns is refused and never repaired: these texts become URLs (registry.md 7, rows 22, 23).
"""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct

from bakery.errors import BadReference
from bakery.oci.digest import Digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")
_HUB = "docker.io"
_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_MAX_NAME = 255  # characters; what registries take for host and path together


def _refuse(text: str, rule: str) -> BadReference:
    return BadReference(
        "reading a reference", about=repr(text[:300]), why=rule, hint="expected host/path[:tag][@digest]"
    )


class Repository(Struct, frozen=True, order=True):
    """A repository in a registry: `ghcr.io` and `acme/app`. The registry's name is lower case.

    Raises BadReference where registry or path break the distribution spec's patterns.
    """

    registry: str  # host or host:port, as users write it; docker.io for Docker Hub
    path: str

    def __post_init__(self) -> None:
        if _HOST.fullmatch(self.registry) is None:
            raise _refuse(str(self), "the registry is no host[:port]")
        if _PATH.fullmatch(self.path) is None:
            raise _refuse(
                str(self), "a repository path has lower-case letters, digits, and single . _ - / between them"
            )
        if len(str(self)) > _MAX_NAME:
            raise _refuse(str(self), f"the name is longer than {_MAX_NAME} characters")
        _, colon, port = self.registry.rpartition(":")
        if colon and port.isdigit() and not 0 < int(port) < 65536:
            raise _refuse(str(self), "no such port")

    @classmethod
    def parse(cls, text: str) -> Self:
        """`host/path`, or a Docker Hub short name such as `alpine`."""
        first, slash, rest = text.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            registry, path = _HUB, text
        else:
            registry, path = first.lower(), rest
        if registry in _HUB_ALIASES:
            registry = _HUB
            if "/" not in path:
                path = f"library/{path}"
        return cls(registry, path)

    def with_tag(self, tag: str) -> Reference:
        """The reference to this tag of the repository."""
        return Reference(self, tag=tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The reference to this content of the repository."""
        return Reference(self, digest=digest)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


class Reference(Struct, frozen=True):
    """A repository and what is meant in it: a tag, a digest, or a tag that should be that digest.

    Raises BadReference for a tag that the distribution spec does not allow.
    """

    repository: Repository
    tag: str = ""
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if self.tag and _TAG.fullmatch(self.tag) is None:
            raise _refuse(
                f"{self.repository}:{self.tag}",
                "a tag has at most 128 letters, digits, _ . - and starts with neither . nor -",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """`host/path[:tag][@digest]`; neither is filled in where it is missing."""
        name, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, ""
        elif not tag:
            raise _refuse(text, "the tag is empty")
        return cls(Repository.parse(head), tag, digest)

    @property
    def target(self) -> str:
        """What goes into a manifest URL: the digest where there is one, else the tag."""
        return str(self.digest) if self.digest else self.tag

    def digest_only(self) -> Self:
        """The same content without the tag, where a digest is known."""
        return type(self)(self.repository, "", self.digest) if self.digest else self

    def __str__(self) -> str:
        text = str(self.repository)
        if self.tag:
            text += f":{self.tag}"
        return f"{text}@{self.digest}" if self.digest else text
