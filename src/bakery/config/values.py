"""The kinds of text that bakery.yaml holds: URLs, people, versions, name parts. Each with its rule and its JSON Schema.

Read by `bakery.config.schema`. A wrong value raises PydanticCustomError whose message says what is allowed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

from msgspec import Struct
from pydantic import BeforeValidator, Discriminator, PlainValidator, StringConstraints, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError, Url
from pydantic_core import ValidationError as CoreError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(
    r"(?P<local>[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*)@"
    r"(?P<domain>(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_](?:[\w-]*[^\W_])?)"
)
_NAMED = re.compile(r'\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^<>"]*?))\s*<(?P<address>[^<>]*)>\s*')
_LONGEST_PERSON = 500  # characters; an address has at most 254
_LONGEST_URL = 2083  # characters; what the original takes


def _bad(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{text}", {"text": message})


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def http_url(value: Any) -> str:
    """An http or https URL in normal form; text without a scheme gets `https://` in front."""
    if not isinstance(value, str):
        raise _bad("url", f"{_shown(value)} is no text; an http or https URL is allowed")
    text = value.strip()
    if not text.lower().startswith(("http://", "https://")):
        if _SCHEME.match(text):
            raise _bad("url", f"{_shown(value)} has a scheme that is not allowed; allowed are http and https")
        text = f"https://{text}"
    if len(text) > _LONGEST_URL:
        raise _bad("url", f"the URL is longer than {_LONGEST_URL} characters")
    try:
        parsed = Url(text)
    except CoreError as error:
        reason = error.errors()[0]["msg"].rpartition(", ")[2]
        raise _bad("url", f"{_shown(value)} is no http or https URL: {reason}") from error
    if not parsed.host:
        raise _bad("url", f"{_shown(value)} is no http or https URL: it names no host")
    return str(parsed)


def download_url(value: Any) -> str | None:
    """An http or https URL in which `$NAME` and `${NAME}` stand for anything. Kept as written."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _bad("url", f"{_shown(value)} is no text; an http or https URL is allowed")
    filled = _VARIABLE.sub("1", value)
    if not filled.lower().startswith(("http://", "https://")) and not _VARIABLE.match(value):
        raise _bad("url", f"{_shown(value)} must start with http:// or https://")
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
    if isinstance(value, Person):
        return value
    if isinstance(value, dict):
        for key in ("name", "email"):
            if not isinstance(value.get(key), str):
                what = f"`{key}` is missing" if key not in value else f"`{key}` must be text"
                raise _bad("person", f"{what}; a person is {{name: …, email: …}} or `Name <address>`")
        return Person(value["name"], value["email"])
    if not isinstance(value, str):
        raise _bad("person", f"{_shown(value)} is no person; allowed: `Name <address>`, an address, {{name, email}}")
    if len(value) > _LONGEST_PERSON:
        raise _bad("person", f"the text is longer than {_LONGEST_PERSON} characters; write `Name <name@example.org>`")
    named = _NAMED.fullmatch(value)
    address = _ADDRESS.fullmatch((named["address"] if named else value).strip())
    if address is None:
        raise _bad("person", f"{_shown(value)} holds no valid mail address; write `Name <name@example.org>`")
    local, domain = address["local"], address["domain"].lower()
    name = (named["quoted"] or named["plain"]) if named else ""
    return Person(name or local, f"{local}@{domain}")


def version_texts(value: Any) -> Any:
    """Versions as one text with commas, or as a list of texts. Version texts themselves are not checked."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple):
        raise _bad("versions", f'{_shown(value)} is no version text; write text in quotes ("1.9") or a list of texts')
    if not all(isinstance(part, str) for part in value):
        return value  # told of each item, where it stands
    if not value or not all(value):
        raise _bad("versions", "at least one version is needed, and none may be empty")
    return tuple(value)


def bound(value: Any) -> Any:
    """A version as text; the one place where a number is taken for text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def _axis_kind(value: Any) -> str:
    """A matrix value is one text, or a list of texts that makes an axis; each item is told where it stands."""
    return "<list>" if isinstance(value, list | tuple) else "<text>"


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


_TEXT_OR_TEXTS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_PERSON_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "`Name <address>` or an address"},
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "email": {"type": "string"}},
            "required": ["name", "email"],
        },
    ]
}

HttpUrl = Annotated[str, BeforeValidator(http_url), WithJsonSchema({"type": "string"})]
DownloadUrl = Annotated[
    str | None, PlainValidator(download_url), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
]
PersonField = Annotated[Person, PlainValidator(person), WithJsonSchema(_PERSON_SCHEMA)]
Versions = Annotated[tuple[str, ...], BeforeValidator(version_texts), WithJsonSchema(_TEXT_OR_TEXTS)]
Bound = Annotated[str, BeforeValidator(bound), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})]
Axis = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[tuple[str, ...], Tag("<list>")],
    Discriminator(_axis_kind),
    WithJsonSchema(_TEXT_OR_TEXTS),
]
Extension = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]
TagName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
FilledText = Annotated[str, StringConstraints(min_length=1)]
TagPatternText = Annotated[str, StringConstraints(pattern=r"^(?:\{\{.*?\}\}|[a-z0-9._-])+$")]
SecretId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

ALLOWED_TEXT = {
    r"^[A-Za-z0-9_-]+$": "letters, digits, _ and -",
    r"^[A-Za-z0-9_.-]+$": "letters, digits, _ . and -",
    r"^(?:\{\{.*?\}\}|[a-z0-9._-])+$": "lower-case letters, digits, - _ . and {{ … }}, and not nothing",
    r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$": "letters, digits, _ . and -, beginning with none of . and -",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and _, not beginning with a digit",
}
"""What each pattern allows, in words."""
