"""Canonical JSON: read strictly, and written in one encoding, so that the same value always has the same digest.

Reading refuses ambiguous JSON (duplicate keys, NaN) and keeps numbers as they were written. Writing follows soci.md,
"JSON bytes": Go's compact encoding, known members in a fixed order, then unknown ones. The bytes of an existing
manifest are never re-encoded to be compared, copied or pushed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from bakery.errors import BadDocument
from bakery.text import json_problem

MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024  # OCI distribution-spec: registries accept at least this much, many no more

_TYPES: Final = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
_MAX_DEPTH: Final = 128  # many times that of any manifest or metadata file
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF: Final = re.compile("[\ud800-\udfff]")
_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_ESCAPED = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')


class RawNumber(str):
    """A JSON number that Python would print differently: kept as written (`1.50`, `1e3`, `-0`)."""

    __slots__ = ()


class Shape(Struct, frozen=True):
    """How one kind of object is written.

    order: its known members, in order. always: those written even if empty. children: the shapes of members that are
    objects or lists of objects. sorted_maps: members that are maps, written with sorted keys.
    """

    order: tuple[str, ...]
    always: frozenset[str] = frozenset()
    children: Mapping[str, Shape] = field(default_factory=dict)
    sorted_maps: frozenset[str] = frozenset()


PLATFORM: Final = Shape(
    ("architecture", "os", "os.version", "os.features", "variant"), always=frozenset({"architecture", "os"})
)
DESCRIPTOR: Final = Shape(
    ("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"),
    always=frozenset({"mediaType", "digest", "size"}),
    children={"platform": PLATFORM},
    sorted_maps=frozenset({"annotations"}),
)
MANIFEST: Final = Shape(
    ("schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"),
    always=frozenset({"schemaVersion", "config", "layers"}),
    children={"config": DESCRIPTOR, "layers": DESCRIPTOR, "subject": DESCRIPTOR},
    sorted_maps=frozenset({"annotations"}),
)
INDEX: Final = Shape(
    ("schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"),
    always=frozenset({"schemaVersion", "manifests"}),
    children={"manifests": DESCRIPTOR, "subject": DESCRIPTOR},
    sorted_maps=frozenset({"annotations"}),
)


def _integer(text: str) -> int | RawNumber:
    if len(text) < 20 and str(int(text)) == text:
        return int(text)
    return RawNumber(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # the idiom for "first repeated"
        raise ValueError(f"the key {repeated!r} occurs twice in one object")
    return members


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise RecursionError


def _paired(value: Any) -> Any:
    """Return a value with U+FFFD in place of each half of a surrogate pair."""
    if isinstance(value, RawNumber):
        return value
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, dict):
        return _unique([(_HALF.sub("\ufffd", key), _paired(item)) for key, item in value.items()])
    return [_paired(item) for item in value] if isinstance(value, list) else value


def parse_json(raw: bytes, *, about: object = "", limit_bytes: int = MAX_MANIFEST_BYTES) -> Any:
    """Read JSON strictly: UTF-8, no duplicate keys, no NaN. Integers of up to 19 digits are `int`, others `RawNumber`.

    Half a surrogate pair (`\\ud800`) is read as U+FFFD, as Go does: it cannot be printed or written. It has at
    most 128 levels, so that readers may recurse. Raises BadDocument, naming `about` (a file, URL or reference), for
    anything else and for more than `limit_bytes`.
    """
    what = "invalid JSON in" if about else "invalid JSON"
    if len(raw) > limit_bytes:
        why = f"it has {len(raw)} bytes, more than the {limit_bytes} allowed"
        raise BadDocument(what, about=about, why=why)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=RawNumber,
            parse_constant=_refuse_constant,
        )
        if raw.count(b"{") + raw.count(b"[") > _MAX_DEPTH:
            _check_depth(value)
        return _paired(value) if _SURROGATE.search(raw) else value
    except RecursionError:
        raise BadDocument(what, about=about, why="it is nested too deeply") from None
    except ValueError as error:
        raise BadDocument(what, about=about, why=json_problem(error)) from None


def json_type(value: object) -> str:
    """Return the JSON type of a value with its article, such as "a list"."""
    return _TYPES.get(type(value), "a number")


def parse_object(raw: bytes, *, about: object = "", limit_bytes: int = MAX_MANIFEST_BYTES) -> dict[str, Any]:
    """Read JSON as `parse_json` does. Raises BadDocument if it is not an object."""
    document = parse_json(raw, about=about, limit_bytes=limit_bytes)
    if not isinstance(document, dict):
        raise BadDocument("invalid document", about=about, why=f"expected an object, got {json_type(document)}")
    return document


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"  # as Go does for invalid Unicode
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def _string(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _write(value: object, shape: Shape | None, sort_keys: bool, out: list[str]) -> None:
    if isinstance(value, RawNumber):
        out.append(value)
    elif isinstance(value, str):
        out.append(_string(value))
    elif value is None:
        out.append("null")
    elif isinstance(value, bool):
        out.append("true" if value else "false")
    elif isinstance(value, int):
        out.append(str(value))
    elif isinstance(value, Mapping):
        _write_members(_ordered(value, shape, sort_keys), shape, out)
    elif isinstance(value, list | tuple):
        out.append("[")
        for position, item in enumerate(value):
            if position:
                out.append(",")
            _write(item, shape, sort_keys, out)
        out.append("]")
    else:
        raise TypeError(f"cannot be written as JSON: {type(value).__name__}")


def _ordered(value: Mapping[str, Any], shape: Shape | None, sort_keys: bool) -> Iterable[tuple[str, Any]]:
    if shape is None:
        return sorted(value.items()) if sort_keys else value.items()  # by code points, as UTF-8 sorts
    known = [(key, value[key]) for key in shape.order if key in value and (value[key] or key in shape.always)]
    return known + [(key, member) for key, member in value.items() if key not in shape.order]


def _write_members(members: Iterable[tuple[str, Any]], shape: Shape | None, out: list[str]) -> None:
    out.append("{")
    for position, (key, member) in enumerate(members):
        if position:
            out.append(",")
        out.append(_string(key))
        out.append(":")
        _write(member, shape.children.get(key) if shape else None, shape is not None and key in shape.sorted_maps, out)
    out.append("}")


def encode(value: Mapping[str, Any], shape: Shape) -> bytes:
    """Return the canonical encoding of an object (soci.md, "JSON bytes")."""
    out: list[str] = []
    _write(value, shape, False, out)
    return "".join(out).encode("utf-8")
