"""Build metadata files: which digest belongs to which target. Files are read and checked; no registry is queried.

A file is a JSON object: target uid → what buildx reports (pipeline.md 4). Several files may have entries for one
target, one per platform. The platform in the provenance is that of the *builder* and is never used.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bakery.errors import BakeryError, MetadataError
from bakery.files import is_there, read_regular, real_path
from bakery.oci.annotation import CREATED, parse_time
from bakery.oci.canonical import parse_object
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, repository_in
from bakery.text import clean

_JSON_NAMES: Final = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
FLAT: Final = ""
_DIGEST: Final = "containerimage.digest"
_DESCRIPTOR: Final = "containerimage.descriptor"
_FLAT_HINT: Final = (
    "pass what `docker buildx bake --metadata-file` wrote; what `docker buildx build` wrote has no targets, and is "
    "published by `bakery publish --tag REPOSITORY:TAG FILE`"
)
MAX_PROBLEMS: Final = 50  # in one error
MAX_METADATA_BYTES: Final = 64 * 1024 * 1024  # a provenance with many materials is large


class BuildResult(Struct, frozen=True):
    """One entry: the build of a target for one platform. platform and created: None if the file does not have them."""

    uid: str
    reference: DigestReference
    platform: Platform | None
    created: datetime | None
    file: Path


class Metadata(Struct, frozen=True):
    """The entries of all files. incomplete: entries without a name or digest, as text that says so."""

    files: tuple[Path, ...]
    results: Mapping[str, tuple[BuildResult, ...]]  # by uid, in the order of the files
    incomplete: Mapping[str, tuple[str, ...]]  # by uid: why entries cannot be used

    @property
    def uids(self) -> tuple[str, ...]:
        """Every uid in the files, in the order of first appearance."""
        return tuple(dict.fromkeys((*self.results, *self.incomplete)))


def is_pattern(argument: str, base: Path) -> bool:
    """Return whether an argument is a pattern: it has a wildcard, and no file has exactly this name."""
    return any(character in argument for character in "*?[") and not is_there(base / argument)


def unmatched(arguments: Iterable[str], base: Path) -> tuple[str, ...]:
    """Return the patterns that match no file."""
    return tuple(one for one in arguments if is_pattern(one, base) and not find_files([one], base))


def find_files(arguments: Iterable[str], base: Path) -> tuple[Path, ...]:
    """Return the files that these paths and patterns refer to, absolute, each once.

    The name of an existing file is never a pattern, even with wildcards: the shell may have expanded it.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        if is_pattern(argument, base):
            # sorted, as a shell does: the order must not depend on the file system
            matches = sorted(glob.glob(argument, root_dir=base, recursive=True))  # noqa: PTH207  # accepts absolute patterns too
            paths = [base / match for match in matches]
        else:
            paths = [base / argument]
        found.update(dict.fromkeys(real_path(path) for path in paths))
    return tuple(found)


def read_metadata(files: Sequence[Path], *, flat: bool = False) -> Metadata:
    """Read every file. Raises one MetadataError with all problems of all files.

    flat: a file may also be one entry without a uid, as `docker buildx build` writes it; its uid is FLAT.
    """
    problems: list[str] = []
    results: dict[str, list[BuildResult]] = {}
    incomplete: dict[str, list[str]] = {}
    hint = "pass the files that `docker buildx bake --metadata-file` wrote"
    for file in files:
        try:
            raw, entries = _entries(file, flat=flat)
        except FileNotFoundError:
            problems.append(f"{file}: it does not exist")
            hint = "check the path, and that the build which writes it has succeeded" if len(files) == 1 else hint
            continue
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
            continue
        except BakeryError as error:
            problems.append(f"{file}: {error.why}")
            hint = error.hint or hint
            continue
        for uid, entry in entries.items():
            if "." in uid:
                continue  # buildx's own keys, such as buildx.build.warnings; a uid never has a dot
            try:
                result = _read_entry(uid, entry, file)
            except BakeryError as error:
                problems.append(f"{file}:{_line_of(raw, uid)}: {uid}{': ' if uid else ''}{error}")
                continue
            if isinstance(result, str):
                incomplete.setdefault(uid, []).append(f"{file}:{_line_of(raw, uid)}: {result}")
            else:
                results.setdefault(uid, []).append(result)
    if problems:
        raise MetadataError("cannot read build metadata", why=_listed(problems), hint=hint)
    return Metadata(
        tuple(files),
        {uid: tuple(_unique(found)) for uid, found in results.items()},
        {uid: tuple(reasons) for uid, reasons in incomplete.items()},
    )


def _entries(file: Path, *, flat: bool) -> tuple[bytes, Mapping[str, Any]]:
    """Return the bytes of a file and its entries by uid. Raises OSError, and BakeryError for an unusable document."""
    raw = read_regular(file, limit_bytes=MAX_METADATA_BYTES)
    entries = parse_object(raw, about=file, limit_bytes=MAX_METADATA_BYTES)
    if _DIGEST not in entries and "image.name" not in entries:
        return raw, entries
    if not flat:
        raise MetadataError("", why="it is about one build and names no target", hint=_FLAT_HINT)
    return raw, {FLAT: entries}


def _listed(problems: Sequence[str]) -> str:
    """Return one problem as is, several on lines of their own. A long list is cut."""
    problems = [clean(problem) for problem in problems]
    if len(problems) == 1:
        return problems[0]
    shown = list(problems[:MAX_PROBLEMS])
    if len(problems) > MAX_PROBLEMS:
        shown.append(f"and {len(problems) - MAX_PROBLEMS} more")
    return "\n  ".join((f"{len(problems)} problems:", *shown))


def _read_entry(uid: str, entry: object, file: Path) -> BuildResult | str:
    """Return the entry as a value, or a text that says what is missing. Raises BakeryError if it is malformed."""
    if not isinstance(entry, Mapping):
        raise MetadataError(f"expected an object, got {_named(entry)}")
    names = _text(entry, "image.name")
    name = names.partition(",")[0].strip()
    if not name:
        return "`image.name` is missing, so the location of the build is unknown"
    descriptor = entry.get(_DESCRIPTOR) or {}
    if not isinstance(descriptor, Mapping):
        raise MetadataError(f"expected an object for `{_DESCRIPTOR}`, got {_named(descriptor)}")
    digest_text = _text(entry, _DIGEST) or _text(descriptor, "digest")  # `imagetools create` of buildx writes only that
    if not digest_text:
        return f"`{_DIGEST}` is missing, so the build cannot be identified"
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
        raise MetadataError(f"expected a string for `{key}`, got {_named(found)}")
    return found


def _created(entry: Mapping[str, Any], descriptor: Mapping[str, Any]) -> datetime | None:
    """Return the time in the descriptor's annotation, else in the provenance. A time without a zone is UTC."""
    annotations = descriptor.get("annotations")
    value = annotations.get(CREATED) if isinstance(annotations, Mapping) else None
    place: Any = entry.get("buildx.build.provenance")
    for key in ("invocation", "parameters", "args", f"label:{CREATED}"):
        place = place.get(key) if isinstance(place, Mapping) else None
    return parse_time(value) or parse_time(place)


def _unique(results: Iterable[BuildResult]) -> Iterable[BuildResult]:
    """Return each reference once: a file may be given twice, and a build may be in two files."""
    seen: dict[DigestReference, BuildResult] = {}
    for result in results:
        seen.setdefault(result.reference, result)
    return seen.values()


def _line_of(raw: bytes, uid: str) -> int:
    """Return the line of a key (1-based); 1 if it is written with escapes."""
    place = raw.find(f'"{uid}"'.encode(errors="replace"))  # a lone surrogate is written as an escape
    return raw.count(b"\n", 0, max(place, 0)) + 1
