"""The JSON Schema of bakery.yaml, generated from the models and from the options classes that are registered.

Editors use it: it refuses unknown keys, which loading only warns about. Rules that compare values are not in it.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, to_builtins
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from bakery.config.options import OptionsRegistry, SociOptions, keys_of
from bakery.config.schema import ProjectPart

_FLAG = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "string", "pattern": "^([Yy]([Ee][Ss])?|[Nn][Oo]?|[Oo]([Nn]|[Ff][Ff])|[Tt]([Rr][Uu][Ee])?|"
         "[Ff]([Aa][Ll][Ss][Ee])?|[01])$"},
        {"enum": [0, 1]},
    ]
}  # fmt: skip
_WHOLE = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}]}


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        return to_builtins(dft) if isinstance(dft, Struct) else super().encode_default(dft)


def project_schema(options: OptionsRegistry | None = None) -> dict[str, Any]:
    """The schema, with the options of these tools; of the built-in ones by default."""
    registry = options if options is not None else OptionsRegistry()
    classes = list(registry.values())
    models: list[tuple[type[BaseModel], Literal["validation"]]] = [(ProjectPart, "validation")]
    models += [(options_class, "validation") for options_class in classes]
    _, defined = models_json_schema(models, by_alias=True, schema_generator=_Generator)
    definitions: dict[str, Any] = defined["$defs"]
    for tool, options_class in registry.items():
        _tool(definitions[options_class.__name__], tool, options_class)
    entries = {"oneOf": [{"$ref": f"#/$defs/{options_class.__name__}"} for options_class in classes]}
    for holder in ("ImagePart", "VariantPart"):
        definitions[holder]["properties"]["options"]["items"] = entries
    for definition in definitions.values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    top = definitions.pop("ProjectPart")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bakery.yaml",
        "description": "A Bakery project: which container images are built and where they go.",
        **{key: value for key, value in top.items() if key not in ("title", "description")},
        "$defs": dict(sorted(definitions.items())),
    }
    tidied: dict[str, Any] = _tidy(schema)
    return tidied


def _tool(definition: dict[str, Any], tool: str, options_class: type[BaseModel]) -> None:
    properties = definition["properties"]
    properties["tool"] = {"const": tool}
    definition["required"] = sorted({*definition.get("required", ()), "tool"})
    if options_class is SociOptions:
        spelled = {key.replace("_", "").lower(): value for key, value in properties.items()}
        for key in sorted(keys_of(options_class) - properties.keys()):
            properties[key] = spelled[key.lower()]


def _tidy(value: Any, key: str = "") -> Any:
    """Without the titles of properties; with every spelling that loading takes for a bool or a number."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if not (name == "title" and isinstance(item, str) and key)}
    tidied = {name: _tidy(item, name) for name, item in kept.items()}
    if key != "properties":
        for kind, spellings in (("boolean", _FLAG), ("integer", _WHOLE)):
            if tidied.get("type") == kind:
                tidied = {name: item for name, item in tidied.items() if name not in ("type", "exclusiveMinimum")}
                tidied = {**spellings, **tidied}
    return tidied
