"""Options classes that are pydantic models: third-party plugins may have them. Bakery's own are `ToolOptions`.

`options_registry` imports this module only for such a class, since importing pydantic is slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bakery.config.schema.options_registry import OptionField
from bakery.config.yaml.problem import Finding, Keys


class PydanticOptions:
    """A pydantic model with a field `tool`. Its method `update(other)` is called if it has one."""

    def __init__(self, options: type, fallback: str) -> None:
        if not issubclass(options, BaseModel):
            raise ValueError(f"{options.__name__} is not a ToolOptions or a pydantic model")
        self.options = options
        self._model: type[BaseModel] = options
        self.tool = _discriminator(options) or fallback
        self.keys = frozenset(field.alias or name for name, field in options.model_fields.items())

    def read(self, entry: Mapping[Any, Any], place: Keys) -> tuple[BaseModel | None, list[Finding]]:
        try:
            return self._model.model_validate(entry), []
        except ValidationError as error:
            return None, [
                Finding((*place, *one["loc"]), f"{one['msg'][:1].lower()}{one['msg'][1:]}")
                for one in error.errors(include_url=False)
            ]

    def default(self) -> BaseModel:
        return self._model.model_construct()

    def over(self, upper: Any, lower: Any) -> Any:
        if callable(getattr(upper, "update", None)):
            result = upper.update(lower)
            return result if isinstance(result, BaseModel) else upper  # some update in place and return None
        values = {name: getattr(lower, name) for name in lower.model_fields_set}
        values |= {name: getattr(upper, name) for name in upper.model_fields_set}
        return type(upper).model_construct(_fields_set=set(values), **values)

    def fields_of(self, options: BaseModel) -> Iterator[OptionField]:
        values = options.model_dump(mode="json")
        for name, field in self._model.model_fields.items():
            if name != "tool":
                key = field.alias or name
                yield OptionField(key, tuple(dict.fromkeys((key, name))), values[name])

    def json_schema(self) -> tuple[str, dict[str, Any]]:
        name = self._model.__name__
        schema = self._model.model_json_schema(ref_template="#/$defs/{model}")
        definitions = {**schema.pop("$defs", {}), name: schema}
        for one in definitions.values():
            if "properties" in one:
                one["additionalProperties"] = False
        schema["properties"]["tool"] = {"const": self.tool}
        schema["required"] = sorted({*schema.get("required", ()), "tool"})
        return name, definitions


def _discriminator(options: type[BaseModel]) -> str:
    """Return the only literal that the field `tool` allows, or ""."""
    field = options.model_fields.get("tool")
    if field is None:
        return ""
    if isinstance(field.default, str):
        return field.default
    literals = get_args(field.annotation)
    return literals[0] if len(literals) == 1 and isinstance(literals[0], str) else ""
