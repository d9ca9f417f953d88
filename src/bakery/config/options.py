"""Options of tools: the classes, the registry that plugins fill, and how a variant's entry goes over its image's.

A plugin adds a tool by offering a subclass of `ToolOptions` whose field `tool` is a literal: the discriminator
(pipeline.md 7). Discovery happens at the top (`cli`); the registry is passed into `config.load`. Source: config.md 12.
"""

# No `from __future__ import annotations`: pydantic would have to compile every annotation from its text.
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

HADOLINT_IGNORED = ("DL3008", "DL3018", "DL3033", "DL3037", "DL3041")


class ToolOptions(BaseModel):
    """The options of one tool as bakery.yaml writes them. What was written is known by `model_fields_set`."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, defer_build=True)

    tool: str

    def update(self, other: Self) -> Self:
        """These options over `other`: a field that was written here wins, even where it equals the default."""
        written = self.model_fields_set
        values = {name: getattr(other, name) for name in other.model_fields_set}
        values |= {name: getattr(self, name) for name in written}
        return type(self).model_construct(_fields_set=set(values), **values)


class GossOptions(ToolOptions):
    """How dgoss runs the tests of an image."""

    tool: Literal["goss"] = "goss"
    runtime_options: str | None = Field(None, alias="runtimeOptions", description="More options of `docker run`.")
    command: str = Field("sleep infinity", description="What the container runs.")
    wait: int = Field(0, description="Seconds to wait before the tests.")
    timeout: int = Field(900, description="Seconds for all of it; 0 means no limit.")


class SociOptions(ToolOptions):
    """Whether and how an image gets a SOCI index."""

    tool: Literal["soci"] = "soci"
    enabled: bool = Field(False, description="Whether to convert the image.")
    span_size: int | None = Field(None, description="Bytes between two checkpoints; 4 MiB where not given.")
    min_layer_size: int | None = Field(None, description="Smaller layers get no ztoc; 10 MiB where not given.")
    prefetch_files: tuple[str, ...] = Field((), description="Files to fetch first.")
    optimizations: tuple[str, ...] = Field((), description="Known: xattr.")
    platforms: tuple[str, ...] | None = Field(None, description="Only these; all where not given.")

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, value: Any) -> Any:
        """camelCase is accepted beside the spelling of the tool's own options; both at once say two things."""
        if not isinstance(value, dict):
            return value
        taken = dict(value)
        for name in cls.model_fields:
            camel = _camel(name)
            if camel != name and camel in taken:
                if name in taken:
                    raise PydanticCustomError(
                        "two_spellings", "`{a}` and `{b}` are one field; keep one of them", {"a": name, "b": camel}
                    )
                taken[name] = taken.pop(camel)
        return taken


class HadolintOverride(BaseModel):
    """Rules by the severity they get."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    error: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    info: tuple[str, ...] = ()
    style: tuple[str, ...] = ()


class HadolintOptions(ToolOptions):
    """How hadolint reads a Containerfile."""

    tool: Literal["hadolint"] = "hadolint"
    failure_threshold: str = Field("error", alias="failureThreshold")
    ignored: tuple[str, ...] = Field(HADOLINT_IGNORED, description="Rules that do not count; [] clears the default.")
    label_schema: dict[str, str] | None = Field(None, alias="labelSchema")
    no_fail: bool = Field(False, alias="noFail")
    override: HadolintOverride | None = None
    strict_labels: bool = Field(False, alias="strictLabels")
    disable_ignore_pragma: bool = Field(False, alias="disableIgnorePragma")
    trusted_registries: tuple[str, ...] = Field((), alias="trustedRegistries")


class WizcliOptions(ToolOptions):
    """How wizcli scans an image."""

    tool: Literal["wizcli"] = "wizcli"
    projects: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    scan_os_managed_libraries: bool | None = Field(None, alias="scanOsManagedLibraries")
    scan_go_standard_library: bool | None = Field(None, alias="scanGoStandardLibrary")


BUILT_IN: tuple[type[ToolOptions], ...] = (GossOptions, SociOptions, HadolintOptions, WizcliOptions)


class OptionsRegistry(Mapping[str, type[BaseModel]]):
    """Options classes by the `tool` they are for. Filled once at the top, then only read."""

    def __init__(self, classes: Iterable[type[BaseModel]] = BUILT_IN) -> None:
        self._classes: dict[str, type[BaseModel]] = {}
        for options_class in classes:
            self.register(options_class)

    def register(self, options_class: type[BaseModel], fallback: str = "") -> bool:
        """Add a class under its discriminator, or under `fallback` where the field names none.

        True where it took the place of another class: the caller warns. Raises ValueError where there is no name.
        """
        name = discriminator(options_class) or fallback
        if not name:
            raise ValueError(f"{options_class.__name__} has no literal field `tool`")
        replaced = self._classes.get(name)
        self._classes[name] = options_class
        return replaced is not None and replaced is not options_class

    def __getitem__(self, tool: str) -> type[BaseModel]:
        return self._classes[tool]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def discriminator(options_class: type[BaseModel]) -> str:
    """The one literal that the class's field `tool` allows, or ""."""
    field = options_class.model_fields.get("tool")
    if field is None:
        return ""
    if isinstance(field.default, str):
        return field.default
    literals = get_args(field.annotation)
    return literals[0] if len(literals) == 1 and isinstance(literals[0], str) else ""


def keys_of(options_class: type[BaseModel]) -> set[str]:
    """Every key that an entry of this class may have in bakery.yaml."""
    keys: set[str] = set()
    for name, field in options_class.model_fields.items():
        keys.add(field.alias or name)
        if options_class is SociOptions:
            keys.add(_camel(name))
    return keys


def effective(
    registry: OptionsRegistry, image: Mapping[str, BaseModel], variant: Mapping[str, BaseModel]
) -> dict[str, BaseModel]:
    """The options of a target for every tool: the variant's entry over the image's, field by field, then defaults."""
    merged: dict[str, BaseModel] = {}
    for tool, options_class in registry.items():
        upper, lower = variant.get(tool), image.get(tool)
        if upper is not None and lower is not None:
            merged[tool] = _over(upper, lower)
        else:
            merged[tool] = upper or lower or options_class.model_construct()
    return merged


def _over(upper: BaseModel, lower: BaseModel) -> BaseModel:
    update = getattr(upper, "update", None)
    if callable(update):
        result = update(lower)
        return result if isinstance(result, BaseModel) else upper  # some update in place and give nothing back
    values = {name: getattr(lower, name) for name in lower.model_fields_set}
    values |= {name: getattr(upper, name) for name in upper.model_fields_set}
    return type(upper).model_construct(_fields_set=set(values), **values)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
