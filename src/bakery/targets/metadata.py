"""Build metadata files: which digest belongs to which target. Reads and checks them; asks no registry.

A file is one JSON object: target uid → what buildx reports (pipeline.md 4). Several files may speak of one target, one
per platform: their entries add up. The provenance's platform is the *builder's* and is never used.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bakery.errors import BadDocument, BakeryError, MetadataError
from bakery.oci.annotation import CREATED, parse_time
from bakery.oci.canonical import parse_object
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, repository_in

_JSON_NAMES: Final = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
MOST_PROBLEMS: Final = 50  # told at once
MAX_METADATA_BYTES: Final = 64 * 1024 * 1024  # a provenance with many materials is large; more is no metadata file


class BuildResult(Struct, frozen=True):
    """One entry: a platform's build of one target. `platform` and `created` are None where the file does not say."""

    uid: str
    reference: DigestReference
    platform: Platform | None
    created: datetime | None
    file: Path


class Metadata(Struct, frozen=True):
    """All that the files say. `incomplete` are entries without name or digest, told as text."""

    files: tuple[Path, ...]
    results: Mapping[str, tuple[BuildResult, ...]]  # by uid, each in the order of files
    incomplete: Mapping[str, tuple[str, ...]]  # uid → why an entry is of no use

    @property
    def uids(self) -> tuple[str, ...]:
        """Every uid that the files name, in the order of first appearance."""
        return tuple(dict.fromkeys((*self.results, *self.incomplete)))


def is_pattern(argument: str, base: Path) -> bool:
    """Whether this is to be expanded: it has a wildcard, and no file has just this name."""
    return any(character in argument for character in "*?[") and not (base / argument).exists()


def unmatched(arguments: Iterable[str], base: Path) -> tuple[str, ...]:
    """The patterns that match nothing."""
    return tuple(one for one in arguments if is_pattern(one, base) and not find_files([one], base))


def find_files(arguments: Iterable[str], base: Path) -> tuple[Path, ...]:
    """The files that these paths and patterns name, absolute, each once. A pattern that matches nothing gives none.

    What names a file that is there is that file, whatever characters it has: the shell may have expanded it.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        if is_pattern(argument, base):
            # sorted: the shell would have done so, and the order of files must not depend on the file system
            matches = sorted(glob.glob(argument, root_dir=base, recursive=True))  # noqa: PTH207  # takes absolute patterns too
            paths = [base / match for match in matches]
        else:
            paths = [base / argument]
        found.update(dict.fromkeys(path.resolve() for path in paths))
    return tuple(found)


def read_metadata(files: Sequence[Path]) -> Metadata:
    """Read every file. Raises one MetadataError that tells all that is wrong in any of them."""
    problems: list[str] = []
    results: dict[str, list[BuildResult]] = {}
    incomplete: dict[str, list[str]] = {}
    for file in files:
        try:
            raw = file.read_bytes()
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
            continue
        try:
            entries = parse_object(raw, about=file, limit_bytes=MAX_METADATA_BYTES)
        except BadDocument as error:
            problems.append(f"{file}: {error.why}")
            continue
        for uid, entry in entries.items():
            if "." in uid:
                continue  # buildx's own keys, such as buildx.build.warnings; a uid never has a dot
            try:
                result = _read_entry(uid, entry, file)
            except BakeryError as error:
                problems.append(f"{file}:{_line_of(raw, uid)}: {uid}: {error}")
                continue
            if isinstance(result, str):
                incomplete.setdefault(uid, []).append(f"{file}:{_line_of(raw, uid)}: {result}")
            else:
                results.setdefault(uid, []).append(result)
    if problems:
        raise MetadataError(
            "reading build metadata",
            why=_told(problems),
            hint="pass the files that `docker buildx bake --metadata-file` wrote",
        )
    return Metadata(
        tuple(files),
        {uid: tuple(_unique(found)) for uid, found in results.items()},
        {uid: tuple(reasons) for uid, reasons in incomplete.items()},
    )


def _told(problems: Sequence[str]) -> str:
    """One problem on the line that it ends, several on a line each; a flood is cut."""
    if len(problems) == 1:
        return problems[0]
    shown = list(problems[:MOST_PROBLEMS])
    if len(problems) > MOST_PROBLEMS:
        shown.append(f"and {len(problems) - MOST_PROBLEMS} more")
    return "\n  ".join((f"{len(problems)} problems:", *shown))


def _read_entry(uid: str, entry: object, file: Path) -> BuildResult | str:
    """The entry as a value, or a text that says what it lacks. Raises BakeryError where it is malformed."""
    if not isinstance(entry, Mapping):
        raise MetadataError("reading an entry", why=f"it is {_named(entry)}, not an object")
    names = _text(entry, "image.name")
    digest_text = _text(entry, "containerimage.digest")
    name = names.partition(",")[0].strip()
    if not name:
        return "it has no image.name, so nobody knows where the build lies"
    if not digest_text:
        return "it has no containerimage.digest, so nobody knows which build is meant"
    descriptor = entry.get("containerimage.descriptor") or {}
    if not isinstance(descriptor, Mapping):
        raise MetadataError("reading containerimage.descriptor", why="it is no object")
    platform = descriptor.get("platform")
    return BuildResult(
        uid,
        repository_in(name).with_digest(Digest.parse(digest_text)),
        None if platform is None else Platform.from_json(platform),
        _created(entry, descriptor),
        file,
    )


def _named(value: object) -> str:
    return _JSON_NAMES.get(type(value), "a number")


def _text(entry: Mapping[str, Any], key: str) -> str:
    found = entry.get(key, "")
    if not isinstance(found, str):
        raise MetadataError(f"reading {key}", why=f"it is {_named(found)}, not text")
    return found


def _created(entry: Mapping[str, Any], descriptor: Mapping[str, Any]) -> datetime | None:
    """The descriptor's annotation, else the label that the provenance records; a time without zone is UTC."""
    annotations = descriptor.get("annotations")
    value = annotations.get(CREATED) if isinstance(annotations, Mapping) else None
    place: Any = entry.get("buildx.build.provenance")
    for key in ("invocation", "parameters", "args", f"label:{CREATED}"):
        place = place.get(key) if isinstance(place, Mapping) else None
    return parse_time(value) or parse_time(place)


def _unique(results: Iterable[BuildResult]) -> Iterable[BuildResult]:
    """Each reference once: the same file twice, or the same build in two files, says nothing new."""
    seen: dict[DigestReference, BuildResult] = {}
    for result in results:
        seen.setdefault(result.reference, result)
    return seen.values()


def _line_of(raw: bytes, uid: str) -> int:
    """The line where this key stands (1-based); 1 where it is written with escapes."""
    place = raw.find(f'"{uid}"'.encode())
    return raw.count(b"\n", 0, max(place, 0)) + 1
