"""What the files of earlier runs say about repositories: build metadata, JSON summaries and journals.

A registry lists no manifest without a tag. Builds are pushed by digest, and what a tag named before has lost it: the
files of the run have both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bakery.clean.known import Known
from bakery.errors import BakeryError, MetadataError
from bakery.oci.annotation import parse_time
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository, parse_reference

_MAX_BYTES: Final = 256 * 1024 * 1024


def with_leftovers(known: Known, journal: Path) -> Known:
    """Return the same, with what earlier clean-ups of this journal were about to delete. It need not exist."""
    from bakery.files import read_regular

    try:
        lines = _documents(read_regular(journal, limit_bytes=_MAX_BYTES))
    except FileNotFoundError:
        return known
    except OSError as error:
        raise MetadataError("cannot read", about=journal, why=error.strerror or str(error)) from error
    manifests = {repository: dict(found) for repository, found in known.manifests.items()}
    leftovers = set(known.leftovers)
    for line in lines:
        if line.get("event") == "ManifestDeleting":
            for repository, digest, _ in _named(line.get("repository"), line.get("digest"), None):
                manifests.setdefault(repository, {}).setdefault(digest, None)
                leftovers.add(digest)
    return Known(manifests, known.kept, frozenset(leftovers))


def read_known(arguments: Sequence[str], base: Path) -> Known:
    """Read files and glob patterns. Raises MetadataError for a file that cannot be read or is of no known kind."""
    from bakery.files import read_regular
    from bakery.targets.metadata import find_files

    found: dict[Repository, dict[Digest, datetime | None]] = defaultdict(dict)
    for file in find_files(arguments, base):
        try:
            raw = read_regular(file, limit_bytes=_MAX_BYTES)
        except OSError as error:
            raise MetadataError("cannot read", about=file, why=error.strerror or str(error)) from error
        for repository, digest, time in _named_in(raw, file):
            before = found[repository].get(digest)
            found[repository][digest] = time if before is None or (time is not None and time > before) else before
    return Known(found)


_Named = tuple[Repository, Digest, datetime | None]


def _named_in(raw: bytes, file: Path) -> Iterator[_Named]:
    documents = _documents(raw)
    if documents and all("event" in one for one in documents):
        yield from _in_journal(documents)
    elif len(documents) == 1 and isinstance(documents[0].get("targets"), list):
        yield from _in_summary(documents[0])
    else:
        from bakery.targets.metadata import read_metadata

        for results in read_metadata([file], flat=True).results.values():
            for result in results:
                yield result.reference.repository, result.reference.digest, result.created


def _documents(raw: bytes) -> list[dict[str, Any]]:
    """Return the objects in a file: one, or one per line. A line that a kill cut off is left out."""
    try:
        whole = json.loads(raw)
        return [whole] if isinstance(whole, dict) else []
    except (ValueError, RecursionError):
        pass
    found = []
    for line in raw.splitlines():
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            found.append(document)
    return found


def _in_journal(lines: Iterable[Mapping[str, Any]]) -> Iterator[_Named]:
    for line in lines:
        time = parse_time(line.get("time"))
        for name in ("digest", "previous"):
            text = line.get("reference")
            yield from _named(str(text).rpartition(":")[0] if isinstance(text, str) else text, line.get(name), time)


def _in_summary(summary: Mapping[str, Any]) -> Iterator[_Named]:
    for target in _objects(summary["targets"]):
        platforms = target.get("platform_digests")
        own = [target.get("digest"), *(platforms.values() if isinstance(platforms, Mapping) else ())]
        for place in _objects(target.get("destinations")):
            tags = [tag.get("previous") for tag in _objects(place.get("tags"))]
            for digest in (*own, *tags):
                yield from _named(place.get("repository"), digest, None)


def _objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list; none of anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _named(repository: object, digest: object, time: datetime | None) -> Iterator[_Named]:
    """Yield what these two texts name, if they are a repository and a digest."""
    if not (isinstance(repository, str) and isinstance(digest, str) and digest):
        return
    try:
        reference = parse_reference(f"{repository}@{digest}")
    except BakeryError:
        return
    yield reference.repository, Digest.parse(digest), time
