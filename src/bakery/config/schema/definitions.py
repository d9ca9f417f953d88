"""The JSON Schema of msgspec Structs: the same declarations that `bakery.config.schema.reader` reads.

msgspec's own schema lacks the words that are accepted for a boolean, and the functions that read people, versions and
bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any

from msgspec import NODEFAULT, UNSET, Struct, inspect, to_builtins

_FLAG = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "string", "pattern": "^([Yy]([Ee][Ss])?|[Nn][Oo]?|[Oo]([Nn]|[Ff][Ff])|[Tt]([Rr][Uu][Ee])?|"
         "[Ff]([Aa][Ll][Ss][Ee])?|[01])$"},
        {"enum": [0, 1]},
    ]
}  # fmt: skip
_WHOLE = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}]}

Schema = dict[str, Any]


def definitions(part: type[Struct]) -> dict[str, Schema]:
    """Return the schemas of a Struct and of all Structs in it, by class name."""
    defined: dict[str, Schema] = {}
    _schema(inspect.type_info(part), defined)
    return defined


def _schema(declared: inspect.Type, defined: dict[str, Schema]) -> Schema:
    """Return the schema of a type. The Structs in it are added to `defined`."""
    match declared:
        case inspect.Metadata(type=inner, extra_json_schema=described, extra=extra):
            match extra or {}:
                case {"schema": dict(own)}:
                    return {**own, **(described or {})}
                case {"words": words}:
                    return {"enum": list(words), "type": "string", **(described or {})}
            return {**_schema(inner, defined), **(described or {})}
        case inspect.StructType():
            return _reference(declared, defined)
        case inspect.UnionType(types=types):
            return {"anyOf": [_schema(one, defined) for one in types]}
        case inspect.LiteralType(values=(only,)):
            return {"const": only}
        case inspect.LiteralType(values=values):
            return {"enum": list(values), "type": "string"}
        case inspect.StrType():
            return _kept({"type": "string", "minLength": declared.min_length, "pattern": declared.pattern})
        case inspect.VarTupleType() | inspect.ListType():
            items = _schema(declared.item_type, defined)
            return _kept({"type": "array", "items": items, "minItems": declared.min_length})
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema(declared.value_type, defined) or True}
        case inspect.BoolType():
            return dict(_FLAG)
        case inspect.IntType():
            return dict(_WHOLE)
        case inspect.FloatType():
            return {"type": "number"}
        case inspect.NoneType():
            return {"type": "null"}
    return {}


def _reference(declared: inspect.StructType, defined: dict[str, Schema]) -> Schema:
    name = declared.cls.__name__
    if name not in defined:
        properties: Schema = {}
        required = [one.encode_name for one in declared.fields if one.required]
        defined[name] = {}  # reserved, in case it contains itself
        if declared.tag_field is not None:
            properties[declared.tag_field] = {"const": declared.tag}
            required.insert(0, declared.tag_field)
        for one in declared.fields:
            default = one.default_factory() if one.default_factory is not NODEFAULT else one.default
            shown = {} if default in (NODEFAULT, UNSET) else {"default": to_builtins(default)}
            properties[one.encode_name] = {**_schema(one.type, defined), **shown}
        defined[name] |= _kept(
            {
                "title": name,
                "description": cleandoc(declared.cls.__doc__ or ""),
                "type": "object",
                "properties": properties,
                "required": required or None,
                "additionalProperties": False,
            }
        )
    return {"$ref": f"#/$defs/{name}"}


def _kept(schema: Mapping[str, Any]) -> Schema:
    return {key: value for key, value in schema.items() if value is not None}
