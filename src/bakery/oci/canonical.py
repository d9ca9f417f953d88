"""JSON as the container world writes it: strict reading, and the one encoding that gives the same digest everywhere.

Reading refuses what could be read in two ways (doubled keys, NaN) and keeps numbers as they were written.
Writing follows soci.md, "JSON bytes": Go's compact encoding, known members in a fixed order, unknown ones after them.
The bytes of a manifest that somebody else wrote are never re-encoded to be compared, copied or pushed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from bakery.errors import BadDocument

MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024  # OCI distribution-spec: registries take at least this much, many no more

_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_ESCAPED = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')


class RawNumber(str):
    """A JSON number that Python would print otherwise: kept as written (`1.50`, `1e3`, `-0`)."""

    __slots__ = ()


class Shape(Struct, frozen=True):
    """How one kind of object is written.

    order: its known members, in order. always: those written even when empty. children: the shapes of members that
    are objects, or lists of them. sorted_maps: members that are maps, written with sorted keys.
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
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # the idiom for "first repeated"
        raise ValueError(f"the key {doubled!r} occurs twice in one object")
    return members


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def parse_json(raw: bytes, *, about: object = "", limit_bytes: int = MAX_MANIFEST_BYTES) -> Any:
    """Read JSON strictly: UTF-8, no doubled keys, no NaN. Integers of up to 19 digits are `int`, others `RawNumber`.

    Raises BadDocument, naming `about` (file, URL or reference), for everything that is not such JSON or is longer
    than `limit_bytes`.
    """
    doing = "reading JSON"
    if len(raw) > limit_bytes:
        raise BadDocument(doing, about=about, why=f"{len(raw)} bytes, more than the {limit_bytes} allowed")
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=RawNumber,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise BadDocument(doing, about=about, why="nested too deeply") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise BadDocument(doing, about=about, why=str(error)[:300]) from None


def parse_object(raw: bytes, *, about: object = "", limit_bytes: int = MAX_MANIFEST_BYTES) -> dict[str, Any]:
    """As parse_json, for documents whose top must be an object."""
    document = parse_json(raw, about=about, limit_bytes=limit_bytes)
    if not isinstance(document, dict):
        raise BadDocument("reading JSON", about=about, why=f"the top is {type(document).__name__}, not an object")
    return document


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"  # Go replaces what is no Unicode
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
        return (
            sorted(value.items(), key=lambda item: item[0].encode("utf-8", "replace")) if sort_keys else value.items()
        )
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
    """The one encoding of this object (soci.md, "JSON bytes"). The same value gives the same bytes, always."""
    out: list[str] = []
    _write(value, shape, False, out)
    return "".join(out).encode("utf-8")
