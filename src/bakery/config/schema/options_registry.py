"""The options classes that bakery.yaml may use, by tool, and how entries of a variant and its image are merged.

Plugins are discovered at the top; the registry is passed into `config.load`. A class is a `ToolOptions` or a pydantic
model, which third-party plugins may have; pydantic is imported only for those. Source: config.md 12, pipeline.md 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import inspect, to_builtins
from msgspec.structs import FieldInfo, fields, replace

from bakery.config.schema.options import BUILT_IN, ToolOptions
from bakery.config.schema.reader import read_fields
from bakery.config.yaml.problem import Finding, Keys


class OptionField(NamedTuple):
    """A field of some options: its key in bakery.yaml, every key that it may have there, and its value."""

    key: str
    spellings: tuple[str, ...]
    value: Any


class OptionsClass(Protocol):
    """A class for the options of a tool, whichever library it is made with."""

    options: type
    tool: str  # "" if the class does not name one
    keys: frozenset[str]  # that an entry may have

    def read(self, entry: Mapping[Any, Any], place: Keys) -> tuple[Any, list[Finding]]:
        """Return the options in an entry of bakery.yaml, or None and its faults."""
        ...

    def default(self) -> Any:
        """Return options in which nothing was set."""
        ...

    def over(self, upper: Any, lower: Any) -> Any:
        """Return `lower` with the fields that were set in `upper`."""
        ...

    def fields_of(self, options: Any) -> Iterator[OptionField]:
        """Yield all fields of some options except `tool`."""
        ...

    def json_schema(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the class, and the definitions of it and of everything that it refers to."""
        ...


class StructOptions:
    """A class that is a subclass of `ToolOptions`."""

    def __init__(self, options: type[ToolOptions], fallback: str) -> None:
        self.options = options
        self._fields = {one.name: one for one in fields(options)}
        required = [one.encode_name for name, one in self._fields.items() if one.required and name != "tool"]
        if required:
            raise ValueError(f"{options.__name__} has no default for {', '.join(required)}")
        self.tool = _discriminator(self._fields["tool"]) or fallback
        self.keys = frozenset(options.__struct_encode_fields__).union(options.spellings)

    def read(self, entry: Mapping[Any, Any], place: Keys) -> tuple[ToolOptions | None, list[Finding]]:
        renamed = dict(entry)
        spelled: dict[Any, str] = {}
        for other, key in self.options.spellings.items():
            if other in entry:
                if key in entry:
                    return None, [Finding(place, f"`{key}` and `{other}` are the same field", "remove one of them")]
                renamed[key], spelled[key] = renamed.pop(other), other
        values, faults = read_fields(renamed, self.options, place)
        at = len(place)
        findings = [
            replace(one, path=(*place, spelled.get(one.path[at], one.path[at]), *one.path[at + 1 :])) for one in faults
        ]
        return None if values is None else self.options.of(values), findings

    def default(self) -> ToolOptions:
        return self.options(tool=self.tool)

    def over(self, upper: ToolOptions, lower: ToolOptions) -> ToolOptions:
        return upper.update(lower)

    def fields_of(self, options: ToolOptions) -> Iterator[OptionField]:
        values = to_builtins(options)
        others = {key: other for other, key in self.options.spellings.items()}
        for name, one in self._fields.items():
            if name != "tool":
                key = one.encode_name
                yield OptionField(key, (key, others[key]) if key in others else (key,), values[key])

    def json_schema(self) -> tuple[str, dict[str, Any]]:
        from bakery.config.schema.definitions import definitions  # needed only to print the schema

        name, defined = self.options.__name__, definitions(self.options)
        properties = defined[name]["properties"]
        properties["tool"] = {"const": self.tool}
        properties |= {other: properties[key] for other, key in self.options.spellings.items()}
        defined[name]["required"] = ["tool"]
        return name, defined


def _discriminator(field: FieldInfo) -> str:
    """Return the only literal that the field `tool` allows, or ""."""
    if isinstance(field.default, str):
        return field.default
    declared = inspect.type_info(field.type)
    only = declared.values if isinstance(declared, inspect.LiteralType) and len(declared.values) == 1 else ("",)
    return str(only[0])


class OptionsRegistry(Mapping[str, OptionsClass]):
    """Options classes by tool. Filled once at the top, then only read."""

    def __init__(self, classes: Iterable[type] = BUILT_IN) -> None:
        self._classes: dict[str, OptionsClass] = {}
        for options in classes:
            made = _options_class(options)
            self._classes[made.tool] = made

    def register(self, options: type, fallback: str = "") -> bool:
        """Add a class under its discriminator, or under `fallback` if it has none.

        Returns True if it replaced another class: the caller warns. Raises ValueError or TypeError if the class cannot
        be used.
        """
        made = _options_class(options, fallback)
        if not made.tool:
            raise ValueError(f"{options.__name__} has no field `tool` with a literal")
        made.read({"tool": made.tool}, ())  # a field of an unsupported type fails here, not when a file is read
        replaced = self._classes.get(made.tool)
        self._classes[made.tool] = made
        return replaced is not None and replaced.options is not options

    def __getitem__(self, tool: str) -> OptionsClass:
        return self._classes[tool]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def effective(registry: OptionsRegistry, image: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a target for every tool: the variant's fields, else the image's, else the defaults."""
    merged: dict[str, Any] = {}
    for tool, options in registry.items():
        upper, lower = variant.get(tool), image.get(tool)
        if upper is not None and lower is not None:
            merged[tool] = options.over(upper, lower)
        else:
            merged[tool] = upper or lower or options.default()
    return merged


def option_fields(options: Any) -> Iterator[OptionField]:
    """Yield all fields of some options except `tool`."""
    return _options_class(type(options)).fields_of(options)


def _options_class(options: type, fallback: str = "") -> OptionsClass:
    if issubclass(options, ToolOptions):
        return StructOptions(options, fallback)
    from bakery.config.schema.pydantic_options import PydanticOptions

    return PydanticOptions(options, fallback)
