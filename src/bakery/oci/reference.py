"""References: a repository, and a tag or a digest in it. Knows no URL scheme and no credentials.

A tag can move and a digest cannot, so the two are separate types: code that needs fixed content takes a
`DigestReference`, code that moves tags a `TagReference`, and code that reads either takes `Reference`.
Source: OCI distribution-spec 1.1, "Pulling manifests" (names and tags); Docker Hub's short names as docker has them.
Text that does not match the patterns is refused, never repaired: it becomes part of URLs (registry.md 7, rows 22, 23).
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
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1035: at most 63 characters
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")
_HUB = "docker.io"
_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_MAX_NAME = 255  # characters; the limit of registries for host and path together


def _invalid(text: str, why: str) -> BadReference:
    return BadReference("invalid reference", about=repr(text[:300]), why=why)


class Repository(Struct, frozen=True, order=True):
    """A repository in a registry: `ghcr.io` and `acme/app`. The registry name is lower case.

    Raises BadReference if the registry or the path does not match the patterns of the distribution spec.
    """

    registry: str  # host or host:port, as users write it; docker.io for Docker Hub
    path: str

    def __post_init__(self) -> None:
        if _HOST.fullmatch(self.registry) is None:
            raise _invalid(str(self), "the registry must be host or host:port, with at most 63 characters between dots")
        if _PATH.fullmatch(self.path) is None:
            raise _invalid(
                str(self), "a repository path consists of lower-case letters and digits, separated by single . _ - or /"
            )
        if len(str(self)) > _MAX_NAME:
            raise _invalid(str(self), f"the name is longer than {_MAX_NAME} characters")
        _, colon, port = self.registry.rpartition(":")
        if colon and port.isdigit() and not 0 < int(port) < 65536:
            raise _invalid(str(self), "the port must be between 1 and 65535")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host/path`, or a Docker Hub short name such as `alpine`."""
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

    def with_tag(self, tag: str) -> TagReference:
        """Return the reference to this tag of the repository."""
        return TagReference(self, tag)

    def with_digest(self, digest: Digest) -> DigestReference:
        """Return the reference to this content of the repository."""
        return DigestReference(self, digest)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


class TagReference(Struct, frozen=True):
    """A tag of a repository. Raises BadReference for a tag that the distribution spec does not allow."""

    repository: Repository
    tag: str

    def __post_init__(self) -> None:
        if _TAG.fullmatch(self.tag) is None:
            raise _invalid(
                str(self), "a tag has 1 to 128 characters (letters, digits, _ . -) and does not start with . or -"
            )

    @property
    def identifier(self) -> str:
        """The part of a manifest URL that names the content."""
        return self.tag

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


class DigestReference(Struct, frozen=True):
    """Content of a repository, by digest."""

    repository: Repository
    digest: Digest

    @property
    def identifier(self) -> str:
        """The part of a manifest URL that names the content."""
        return str(self.digest)

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


Reference = TagReference | DigestReference
"""Either kind, for code that reads what a user named."""


class LayoutPath(Struct, frozen=True, order=True):
    """An OCI image layout on disk, as a place where content is: a folder, or a tar of one. The path is absolute."""

    path: str

    def with_digest(self, digest: Digest) -> LayoutReference:
        """Return the reference to this content of the layout."""
        return LayoutReference(self, str(digest))

    def __str__(self) -> str:
        return f"oci-layout://{self.path}"


class LayoutReference(Struct, frozen=True):
    """An image of a layout. select: its digest or its reference name; "" for the only one."""

    layout: LayoutPath
    select: str = ""

    def __str__(self) -> str:
        mark = "@" if self.select.startswith(("sha256:", "sha512:")) else ":" if self.select else ""
        return f"{self.layout}{mark}{self.select}"


SourcePlace = Repository | LayoutPath
"""A place that content is read from. A destination is always a Repository."""

SourceReference = Reference | LayoutReference
"""What an index may be made from."""


def parse_reference(text: str) -> Reference:
    """Read `host/path:tag`, `host/path@digest`, or both; then the digest counts and the tag is only checked.

    Raises BadReference for any other text, also for a repository alone, and BadDigest.
    """
    repository, tag, digest = _split(text)
    if digest is not None:
        return DigestReference(repository, digest)
    if tag is None:
        raise _invalid(text, "a tag or a digest is missing")
    return tag


def repository_in(text: str) -> Repository:
    """Read the repository of `host/path[:tag][@digest]`. All of the text must be valid."""
    return _split(text)[0]


def _split(text: str) -> tuple[Repository, TagReference | None, Digest | None]:
    name, at, digest_text = text.partition("@")
    digest = Digest.parse(digest_text) if at else None
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return Repository.parse(name), None, digest
    if not tag:
        raise _invalid(text, "the tag is empty")
    repository = Repository.parse(head)
    return repository, TagReference(repository, tag), digest
