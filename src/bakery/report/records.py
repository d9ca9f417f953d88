"""Records of a format as JSON values. Pure.

A format is declared once, as frozen structs; its schema is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct


def members(record: Struct) -> dict[str, Any]:
    """Return a record of a format as a JSON value.

    Not by msgspec's encoder: it refuses surrogates, which foreign text may contain, and `to_builtins` keeps tuples.
    """
    return _object(record)


def _object(record: Struct) -> dict[str, Any]:
    return {name: _value(getattr(record, name)) for name in record.__struct_fields__}


def _value(value: Any) -> Any:
    if isinstance(value, Struct):
        return _object(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    return [_value(item) for item in value] if isinstance(value, tuple) else value
