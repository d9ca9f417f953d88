"""The types of fields in bakery.yaml that are more than a plain type: each with its check and its JSON Schema.

`declarations` uses them; `reader` calls the function of each. A wrong value raises `WrongValue`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args

from msgspec import Meta

from bakery.config.schema.mismatch import WrongValue
from bakery.config.schema.person import Person, person
from bakery.config.schema.url import download_url, http_url
from bakery.config.yaml.problem import shown
from bakery.errors import BadDocument
from bakery.oci.platform import Platform


def version_texts(value: Any) -> Any:
    """Return versions from a text with commas or a list of texts. The version texts themselves are not checked."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple):
        raise WrongValue(f'expected a version in quotes ("1.9") or a list of versions, got {shown(value)}')
    if not all(isinstance(part, str) for part in value):
        return value  # the reader reports each item at its place
    if not value or not all(value):
        raise WrongValue("expected at least one version, and no empty ones")
    return tuple(value)


def bound(value: Any) -> Any:
    """Return a version as text. Only here is a number accepted as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def platform(value: Any) -> Any:
    """Return the text of a platform. Whether its words are known is checked by the rules."""
    if not isinstance(value, str):
        return value  # the reader reports it
    try:
        Platform.parse(value)
    except BadDocument as error:
        raise WrongValue(f"{error.why}, such as linux/arm64, got {shown(value)}") from None
    return value


def doc(description: str, *, deprecated: bool = False) -> Meta:
    """What a key is for, as editors show it."""
    return Meta(description=description, extra_json_schema={"deprecated": True} if deprecated else None)


def in_order(words: Any) -> Meta:
    """The words of a Literal in the order in which it lists them: msgspec returns them sorted."""
    return Meta(extra={"words": get_args(words)})


def _text(pattern: str, allowed: str) -> Meta:
    """Text that matches a pattern from end to end. allowed: what the pattern allows, for messages."""
    return Meta(pattern=pattern, extra={"allowed": allowed})


def _read_by(function: Callable[[Any], Any], schema: dict[str, Any] | None = None) -> Meta:
    """Values that a function converts. schema: their JSON Schema, if it is not that of the type."""
    return Meta(extra={"reads": function, "schema": schema})


HttpUrl = Annotated[str, _read_by(http_url)]
DownloadUrl = Annotated[str, _read_by(download_url)]
PersonField = Annotated[
    Person,
    _read_by(
        person,
        {
            "anyOf": [
                {"type": "string", "description": "`Name <address>` or an address"},
                {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "email": {"type": "string"}},
                    "required": ["name", "email"],
                },
            ]
        },
    ),
]
Versions = Annotated[
    tuple[str, ...],
    _read_by(version_texts, {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
PLATFORM_PATTERN = r"^[A-Za-z0-9_-]+(\([A-Za-z0-9_.-]+\))?/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$"
PlatformText = Annotated[str, _read_by(platform, {"type": "string", "pattern": PLATFORM_PATTERN})]
Bound = Annotated[str, _read_by(bound, {"anyOf": [{"type": "string"}, {"type": "number"}]})]
Axis = str | tuple[str, ...]
"""A value of a matrix: a text, or a list of texts that makes an axis."""
Extension = Annotated[str, _text("^[A-Za-z0-9_-]+$", "letters, digits, `_` and `-`")]
TagName = Annotated[str, _text("^[A-Za-z0-9_.-]+$", "letters, digits, `_`, `.` and `-`")]
FilledText = Annotated[str, Meta(min_length=1)]
TagPatternText = Annotated[
    str,
    # Everything between the first {{ and the last }} is left to Jinja2.
    _text(
        r"^(?:[a-z0-9._-]+|[a-z0-9._-]*\{\{.*\}\}[a-z0-9._-]*)$",
        "lower-case letters, digits, `-`, `_`, `.` and `{{ … }}`",
    ),
]
LabelNamespace = Annotated[
    str,
    _text(
        r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$",
        "names of lower-case letters, digits and `-`, joined by `.`, such as org.example.image",
    ),
]
SecretId = Annotated[
    str, _text("^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "letters, digits, `_`, `.` and `-`, not starting with `.` or `-`")
]
EnvironmentName = Annotated[
    str, _text("^[A-Za-z_][A-Za-z0-9_]*$", "letters, digits and `_`, not starting with a digit")
]
