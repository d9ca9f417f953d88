"""A folder of digests, the pattern of Docker's documentation: each runner leaves an empty file named by what it pushed.

Source: https://docs.docker.com/build/ci/github-actions/multi-platform/, "Distribute build across multiple runners".
kaniko (`--digest-file`) and ko (`--image-refs`) write the digest into a file instead; that is read too.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from bakery.errors import MetadataError, NothingSelected, UsageError
from bakery.files import MISSING, cannot_find, files_below, is_folder, read_regular
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.plan import Source

_NAME: Final = re.compile(r"(?:sha256[:_-])?([0-9a-f]{64})(?:\.(?:txt|digest))?")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_BYTES: Final = 64 * 1024  # of a file that holds digests
_WHAT: Final = "cannot read digests"
_HINT: Final = "each build leaves an empty file named by the digest that it pushed, without `sha256:`"


def read_digests(place: Path, repository: Repository) -> tuple[Source, ...]:
    """Return the builds that the files of a folder name, in the order of their digests; each once.

    place: a folder, searched with all its folders, as artifacts that were downloaded without being merged; or a file.
    Hidden files are ignored. Raises MetadataError for a file that names no digest, NothingSelected for an empty folder.
    """
    if why := cannot_find(place):
        raise MetadataError(_WHAT, about=place, why=why, hint=_HINT if why == MISSING else "")
    found = {digest for file in _files_of(place) for digest in _digests_of(file)}
    if not found:
        raise NothingSelected("nothing to publish", why=f"{place} has no file that is named by a digest", hint=_HINT)
    return tuple(Source(repository.with_digest(Digest.parse(digest))) for digest in sorted(found))


def folders_of_images(folder: Path, names: Collection[str], *, must_split: bool = False) -> tuple[Path, ...]:
    """Return the folders in a folder, if each of these names is that of one, and there are at least two.

    must_split: one is enough, and it is wrong usage if there are several names, and some have no folder.
    """
    found = tuple(folder / name for name in sorted(names))
    missing = [path.name for path in found if not is_folder(path)]
    if must_split and missing and len(found) > 1:
        why = f"{folder} has no folder named {', '.join(missing)}, and the tags are for {', '.join(sorted(names))}"
        hint = "name each folder as the repository of its tags ends, or repeat --digests and --from"
        raise UsageError("cannot assign the digests to images", why=why, hint=hint)
    return found if not missing and len(found) > (not must_split) else ()


def _files_of(place: Path) -> list[Path]:
    """Return the files of a folder. Raises MetadataError for a folder that cannot be listed: it may have builds."""
    if not is_folder(place):
        return [place]
    try:
        return files_below(place)
    except OSError as error:
        raise MetadataError(_WHAT, about=error.filename, why=error.strerror or str(error)) from error


def _digests_of(file: Path) -> list[str]:
    name = _NAME.fullmatch(file.name)
    if name is not None:
        return [f"sha256:{name[1]}"]
    try:
        text = read_regular(file, limit_bytes=_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise MetadataError(_WHAT, about=file, why=error.strerror or str(error)) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    digests = [_DIGEST.search(line) for line in lines]
    if not lines or not all(digests):
        why = "neither its name nor its content is a digest"
        raise MetadataError(_WHAT, about=file, why=why, hint=_HINT)
    return [match[0] for match in digests if match is not None]
