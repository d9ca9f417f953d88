"""Options of third-party tools: a `ToolOptions` or a pydantic model, read, merged and shown like built-in ones."""

from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

from bakery.config import resolved
from bakery.config.schema.json_schema import project_schema
from bakery.config.schema.options import ToolOptions
from bakery.config.schema.options_registry import OptionsRegistry
from tests.config import parsing


class StructLines(ToolOptions, frozen=True, rename="camel"):
    tool: Literal["lines"] = "lines"
    most_lines: int = 100
    files: tuple[str, ...] = ()


class ModelLines(BaseModel):
    tool: Literal["lines"] = "lines"
    most_lines: int = Field(100, alias="mostLines")
    files: tuple[str, ...] = ()


class UpdatingLines(ModelLines):
    def update(self, other):
        """Concatenate the files."""
        return self.model_copy(update={"files": (*other.files, *self.files)})


KINDS: list[type] = [StructLines, ModelLines, UpdatingLines]
TEXT = """
images:
  - name: app
    options:
      - tool: lines
        mostLines: '5'
        files: [a]
    variants:
      - name: v
        options:
          - tool: lines
            files: [b]
      - name: w
  - name: other
"""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_the_options_of_a_plugin_are_read_and_merged_field_by_field(kind):
    first, second = parsing.project(TEXT, options=OptionsRegistry([kind])).images
    assert (first.options["lines"].most_lines, first.options["lines"].files) == (5, ("a",))
    assert first.variants[1].options["lines"] == first.options["lines"]
    assert second.options["lines"].most_lines == 100
    over = first.variants[0].options["lines"]
    wanted = (100, ("a", "b")) if kind is UpdatingLines else (5, ("b",))
    assert (over.most_lines, over.files) == wanted


def test_an_error_in_options_is_reported_with_its_place(kind):
    with pytest.raises(Exception, match=r"bakery\.yaml:7:20: error: images\[0\]\.options\[0\]\.mostLines"):
        parsing.project(TEXT.replace("'5'", "many"), options=OptionsRegistry([kind]))


def test_an_unknown_key_in_options_is_a_warning(kind):
    project = parsing.project(TEXT.replace("mostLines", "mostLine"), options=OptionsRegistry([kind]))
    assert any("`mostLine`" in problem.message and "mostLines" in problem.hint for problem in project.problems)


def test_options_are_shown_with_the_origin_of_every_field(kind):
    tree = resolved.resolved(parsing.project(TEXT, options=OptionsRegistry([kind])))
    shown = tree["images"][0]["options"]["lines"]
    assert shown["mostLines"].value == 5
    assert shown["mostLines"].origin == "bakery.yaml:7"
    assert tree["images"][1]["options"]["lines"]["mostLines"].origin == "default"


def test_options_are_in_the_json_schema(kind):
    schema = project_schema(OptionsRegistry([kind]))
    entry = schema["$defs"][kind.__name__]
    assert set(entry["properties"]) == {"tool", "mostLines", "files"}
    assert entry["properties"]["tool"] == {"const": "lines"}
    assert entry["required"] == ["tool"]
    assert entry["additionalProperties"] is False


class Bare(ToolOptions, frozen=True, kw_only=True):
    tool: Literal["bare"] = "bare"
    needed: int


class Unnamed(ToolOptions, frozen=True):
    wait: int = 0


class UnnamedModel(BaseModel):
    wait: int = 0


class Unread(ToolOptions, frozen=True):
    tool: Literal["unread"] = "unread"
    when: bytes = b""


class Plain:
    tool: ClassVar = "plain"


def test_an_unusable_class_is_refused_with_a_reason():
    registry = OptionsRegistry([])
    with pytest.raises(TypeError, match="unsupported type"):
        registry.register(Unread)
    for options, reason in [
        (Unnamed, "no field `tool`"), (UnnamedModel, "no field `tool`"), (Plain, "is not a ToolOptions"),
        (Bare, "no default for needed"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            registry.register(options)
    assert not registry


@pytest.mark.parametrize("options", [Unnamed, UnnamedModel])
def test_a_class_without_a_tool_is_registered_under_the_name_of_its_plugin(options):
    registry = OptionsRegistry([])
    assert not registry.register(options, fallback="mine")
    project = parsing.project("images: [{name: a, options: [{tool: mine, wait: 3}]}]", options=registry)
    assert project.images[0].options["mine"].wait == 3


def test_registering_another_class_for_a_tool_reports_the_replacement():
    registry = OptionsRegistry()
    assert not registry.register(StructLines)
    assert not registry.register(StructLines)
    assert registry.register(ModelLines)


def test_options_that_were_not_read_override_with_the_fields_that_differ_from_the_defaults():
    assert StructLines(files=("x",)).update(StructLines(most_lines=7)) == StructLines(files=("x",), most_lines=7)
