"""Sources as users write them: references, digests, and OCI layouts on disk.

Only the existence of paths is checked. Source: commands.md 9 ("SOURCE"); the texts of layouts are those of buildx
(`oci-layout://DIR:tag`, `oci-layout://DIR@digest`) and skopeo (`oci:DIR:tag`, `oci-archive:FILE:tag`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bakery.errors import BadReference, MetadataError
from bakery.files import cannot_find, is_there
from bakery.oci.digest import Digest
from bakery.oci.reference import LayoutPath, LayoutReference, Repository, parse_reference
from bakery.publish.plan import Source

_PREFIXES: Final = ("oci-layout://", "oci-layout:", "oci-archive:", "oci:")


def is_layout(text: str) -> bool:
    """Return whether a text names a layout on disk."""
    return text.startswith(_PREFIXES)


def is_source(text: str) -> bool:
    """Return whether a text names a layout, or content of a registry by digest, and not a file."""
    return is_layout(text) or "@sha256:" in text or "@sha512:" in text


def parse_source(text: str, base: Path, *, repository: Repository | None = None) -> Source:
    """Return the source that a text names. base: the folder of relative paths. repository: that of a digest alone.

    Raises BadReference or BadDigest, and MetadataError for a layout that does not exist.
    """
    if is_layout(text):
        layout = parse_layout(text, base)
        check_there(Path(layout.layout.path))
        return Source(layout)
    if repository is not None and text.startswith(("sha256:", "sha512:")):
        return Source(repository.with_digest(Digest.parse(text)))
    return Source(parse_reference(text))


def check_there(layout: Path) -> None:
    """Raise MetadataError if nothing can be found at the path of a layout."""
    if why := cannot_find(layout):
        hint = "check the path, and that the build which writes it has succeeded"
        code = "content/layout"
        raise MetadataError("cannot open image layout", about=layout, why=why, hint=hint, error_code=code)


def parse_layout(text: str, base: Path) -> LayoutReference:
    """Return the image of a layout: `PREFIX PATH`, then `@DIGEST`, or `:` and the name of an image, or nothing.

    A path may contain colons: the longest one that exists is taken, else all up to the first colon.
    """
    prefix = next(one for one in _PREFIXES if text.startswith(one))
    rest = text.removeprefix(prefix)
    if not rest:
        raise BadReference("invalid reference", about=repr(text), why="the path of the layout is missing")
    head, at, digest = rest.rpartition("@")
    if at and digest.startswith(("sha256:", "sha512:")):
        return _layout(base, head, str(Digest.parse(digest)))
    if is_there(base / rest):
        return _layout(base, rest, "")
    ends = [place for place, character in enumerate(rest) if character == ":"]
    for end in reversed(ends):
        if is_there(base / rest[:end]):
            return _layout(base, rest[:end], rest[end + 1 :])
    path, _, name = rest.partition(":")
    return _layout(base, path, name)


def _layout(base: Path, path: str, select: str) -> LayoutReference:
    return LayoutReference(LayoutPath(str((base / path).absolute())), select)
