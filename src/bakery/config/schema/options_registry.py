"""Every options class that bakery.yaml may use, by its tool, and how a variant's entry goes over its image's.

Discovery happens at the top (`cli`); the registry is passed into `config.load`. A class is a `ToolOptions`, or a
pydantic model, which plugins of others may have; pydantic is imported for those only. Source: config.md 12,
pipeline.md 7.
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
    """One field of some options: its key in bakery.yaml, all keys that it may have there, and its value."""

    key: str
    spellings: tuple[str, ...]
    value: Any


class OptionsClass(Protocol):
    """The options of a tool as a class that a plugin offers, whatever library the class is made with."""

    options: type
    tool: str  # "" where the class names none
    keys: frozenset[str]  # every key that an entry may have

    def read(self, entry: Mapping[Any, Any], place: Keys) -> tuple[Any, list[Finding]]:
        """The options that an entry of bakery.yaml means, or None and what is wrong with it."""
        ...

    def default(self) -> Any:
        """Options of which nothing is written."""
        ...

    def over(self, upper: Any, lower: Any) -> Any:
        """What is written in `upper`, and for the rest what is written in `lower`."""
        ...

    def fields_of(self, options: Any) -> Iterator[OptionField]:
        """All fields of some options but `tool`."""
        ...

    def json_schema(self) -> tuple[str, dict[str, Any]]:
        """The name of the class, and definitions of it and of what it refers to."""
        ...


class StructOptions:
    """A subclass of `ToolOptions`."""

    def __init__(self, options: type[ToolOptions], fallback: str) -> None:
        self.options = options
        self._fields = {one.name: one for one in fields(options)}
        bare = [one.encode_name for name, one in self._fields.items() if one.required and name != "tool"]
        if bare:
            raise ValueError(f"{options.__name__} has no default for {', '.join(bare)}")
        self.tool = _discriminator(self._fields["tool"]) or fallback
        self.keys = frozenset(options.__struct_encode_fields__).union(options.spellings)

    def read(self, entry: Mapping[Any, Any], place: Keys) -> tuple[ToolOptions | None, list[Finding]]:
        taken = dict(entry)
        spelled: dict[Any, str] = {}
        for other, key in self.options.spellings.items():
            if other in entry:
                if key in entry:
                    return None, [Finding(place, f"`{key}` and `{other}` are one field; keep one of them")]
                taken[key], spelled[key] = taken.pop(other), other
        values, faults = read_fields(taken, self.options, place)
        at = len(place)
        told = [
            replace(one, path=(*place, spelled.get(one.path[at], one.path[at]), *one.path[at + 1 :])) for one in faults
        ]
        return None if values is None else self.options.of(values), told

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
        from bakery.config.schema.definitions import definitions  # only who prints the schema needs it

        name, defined = self.options.__name__, definitions(self.options)
        properties = defined[name]["properties"]
        properties["tool"] = {"const": self.tool}
        properties |= {other: properties[key] for other, key in self.options.spellings.items()}
        defined[name]["required"] = ["tool"]
        return name, defined


def _discriminator(field: FieldInfo) -> str:
    """The one literal that the field `tool` allows, or ""."""
    if isinstance(field.default, str):
        return field.default
    declared = inspect.type_info(field.type)
    only = declared.values if isinstance(declared, inspect.LiteralType) and len(declared.values) == 1 else ("",)
    return str(only[0])


class OptionsRegistry(Mapping[str, OptionsClass]):
    """Options classes by the `tool` they are for. Filled once at the top, then only read."""

    def __init__(self, classes: Iterable[type] = BUILT_IN) -> None:
        self._classes: dict[str, OptionsClass] = {}
        for options in classes:
            made = _options_class(options)
            self._classes[made.tool] = made

    def register(self, options: type, fallback: str = "") -> bool:
        """Add a class under its discriminator, or under `fallback` where the field names none.

        True where it took the place of another class: the caller warns. Raises ValueError for what cannot be used.
        """
        made = _options_class(options, fallback)
        if not made.tool:
            raise ValueError(f"{options.__name__} has no literal field `tool`")
        made.read({"tool": made.tool}, ())  # a field of a kind that nothing reads shows now, not in somebody's file
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
    """The options of a target for every tool: the variant's entry over the image's, field by field, then defaults."""
    merged: dict[str, Any] = {}
    for tool, options in registry.items():
        upper, lower = variant.get(tool), image.get(tool)
        if upper is not None and lower is not None:
            merged[tool] = options.over(upper, lower)
        else:
            merged[tool] = upper or lower or options.default()
    return merged


def option_fields(options: Any) -> Iterator[OptionField]:
    """All fields of some options but `tool`."""
    return _options_class(type(options)).fields_of(options)


def _options_class(options: type, fallback: str = "") -> OptionsClass:
    if issubclass(options, ToolOptions):
        return StructOptions(options, fallback)
    from bakery.config.schema.pydantic_options import PydanticOptions

    return PydanticOptions(options, fallback)
