"""The kinds of text that bakery.yaml holds: URLs, people, versions, name parts. Each with its rule and its JSON Schema.

The kinds are used in `declarations`; `reader` calls the function of each. A wrong value raises
`WrongValue`, whose message says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, get_args

from msgspec import Meta, Struct

_NORMAL_URL = re.compile(
    r"https?://(?![^/]*xn--)(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?"
    r"(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?)"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(
    r"(?P<local>[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*)@"
    r"(?P<domain>(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_](?:[\w-]*[^\W_])?)"
)
_NAMED = re.compile(r'\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^<>"]*?))\s*<(?P<address>[^<>]*)>\s*')
_LONGEST_PERSON = 500  # characters; an address has at most 254
_LONGEST_URL = 2083  # characters; what the original takes


class WrongValue(ValueError):
    """A value that its kind does not allow. The message says what is allowed."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def http_url(value: Any) -> str:
    """An http or https URL in normal form; text without a scheme gets `https://` in front."""
    if not isinstance(value, str):
        raise WrongValue(f"{_shown(value)} is no text; an http or https URL is allowed")
    text = value.strip()
    if not text.lower().startswith(("http://", "https://")):
        if _SCHEME.match(text):
            raise WrongValue(f"{_shown(value)} has a scheme that is not allowed; allowed are http and https")
        text = f"https://{text}"
    if len(text) > _LONGEST_URL:
        raise WrongValue(f"the URL is longer than {_LONGEST_URL} characters")
    plain = _NORMAL_URL.fullmatch(text)
    if plain is not None:
        return text if plain["path"] else f"{text}/"
    from pydantic_core import Url, ValidationError  # heavy, and most URLs are in normal form already

    try:
        parsed = Url(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].rpartition(", ")[2]
        raise WrongValue(f"{_shown(value)} is no http or https URL: {reason}") from error
    if not parsed.host:
        raise WrongValue(f"{_shown(value)} is no http or https URL: it names no host")
    return str(parsed)


def download_url(value: Any) -> str:
    """An http or https URL in which `$NAME` and `${NAME}` stand for anything. Kept as written."""
    if not isinstance(value, str):
        raise WrongValue(f"{_shown(value)} is no text; an http or https URL is allowed")
    filled = _VARIABLE.sub("1", value)
    if not filled.lower().startswith(("http://", "https://")) and not _VARIABLE.match(value):
        raise WrongValue(f"{_shown(value)} must start with http:// or https://")
    if _VARIABLE.match(value) and "://" not in filled:
        filled = f"https://{filled}"
    elif _VARIABLE.match(value):
        filled = "https" + filled[filled.index("://") :]
    http_url(filled)
    return value


class Person(Struct, frozen=True):
    """Somebody with a mail address."""

    name: str
    email: str

    def __str__(self) -> str:
        return f'"{self.name}" <{self.email}>' if "@" in self.name else f"{self.name} <{self.email}>"


def person(value: Any) -> Person:
    """`Name <address>`, a bare address, or a mapping with `name` and `email`."""
    if isinstance(value, dict):
        for key in ("name", "email"):
            if not isinstance(value.get(key), str):
                what = f"`{key}` is missing" if key not in value else f"`{key}` must be text"
                raise WrongValue(f"{what}; a person is {{name: …, email: …}} or `Name <address>`")
        return Person(value["name"], value["email"])
    if not isinstance(value, str):
        raise WrongValue(f"{_shown(value)} is no person; allowed: `Name <address>`, an address, {{name, email}}")
    if len(value) > _LONGEST_PERSON:
        raise WrongValue(f"the text is longer than {_LONGEST_PERSON} characters; write `Name <name@example.org>`")
    named = _NAMED.fullmatch(value)
    address = _ADDRESS.fullmatch((named["address"] if named else value).strip())
    if address is None:
        raise WrongValue(f"{_shown(value)} holds no valid mail address; write `Name <name@example.org>`")
    local, domain = address["local"], address["domain"].lower()
    name = (named["quoted"] or named["plain"]) if named else ""
    return Person(name or local, f"{local}@{domain}")


def version_texts(value: Any) -> Any:
    """Versions as one text with commas, or as a list of texts. Version texts themselves are not checked."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple):
        raise WrongValue(f'{_shown(value)} is no version text; write text in quotes ("1.9") or a list of texts')
    if not all(isinstance(part, str) for part in value):
        return value  # told of each item, where it stands
    if not value or not all(value):
        raise WrongValue("at least one version is needed, and none may be empty")
    return tuple(value)


def bound(value: Any) -> Any:
    """A version as text; the one place where a number is taken for text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


_NOT_IN_EXTENSION = re.compile(r"[^a-z0-9_-]")
_NOT_IN_TAG_NAME = re.compile(r"[^a-z0-9_.-]")


@lru_cache(maxsize=4096)
def default_extension(name: str) -> str:
    """`Ubuntu 24.04` → `ubuntu2404`."""
    return _NOT_IN_EXTENSION.sub("", name.lower())


@lru_cache(maxsize=4096)
def default_tag_name(name: str) -> str:
    """`Ubuntu 24.04` → `ubuntu-24.04`."""
    return _NOT_IN_TAG_NAME.sub("-", name.lower())


def said(description: str, *, deprecated: bool = False) -> Meta:
    """What a key is for, as editors show it."""
    return Meta(description=description, extra_json_schema={"deprecated": True} if deprecated else None)


def in_order(words: Any) -> Meta:
    """The words of a Literal as they are listed in it, and so in messages: msgspec gives them back sorted."""
    return Meta(extra={"words": get_args(words)})


def _text(pattern: str, allowed: str) -> Meta:
    """Text that a pattern must match from end to end; `allowed` says it in words."""
    return Meta(pattern=pattern, extra={"allowed": allowed})


def _read_by(function: Callable[[Any], Any], schema: dict[str, Any] | None = None) -> Meta:
    """Values that a function takes as they are written; `schema` is their JSON Schema where it is not the type's."""
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
Bound = Annotated[str, _read_by(bound, {"anyOf": [{"type": "string"}, {"type": "number"}]})]
Axis = str | tuple[str, ...]
"""A matrix value: one text, or a list of texts that makes an axis."""
Extension = Annotated[str, _text("^[A-Za-z0-9_-]+$", "letters, digits, _ and -")]
TagName = Annotated[str, _text("^[A-Za-z0-9_.-]+$", "letters, digits, _ . and -")]
FilledText = Annotated[str, Meta(min_length=1)]
TagPatternText = Annotated[
    str,
    # All that stands between the first {{ and the last }} is one text for Jinja2, whatever it holds.
    _text(
        r"^(?:[a-z0-9._-]+|[a-z0-9._-]*\{\{.*\}\}[a-z0-9._-]*)$",
        "lower-case letters, digits, - _ . and {{ … }}, and not nothing",
    ),
]
SecretId = Annotated[
    str, _text("^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "letters, digits, _ . and -, beginning with none of . and -")
]
EnvironmentName = Annotated[str, _text("^[A-Za-z_][A-Za-z0-9_]*$", "letters, digits and _, not beginning with a digit")]
