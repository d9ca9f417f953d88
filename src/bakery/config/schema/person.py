"""People in bakery.yaml: `Name <address>`, an address, or a mapping. Source: config.md 2."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from bakery.config.schema.mismatch import WrongValue
from bakery.config.yaml.problem import shown

_ADDRESS = re.compile(
    r"(?P<local>[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*)@"
    r"(?P<domain>(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_](?:[\w-]*[^\W_])?)"
)
_NAMED = re.compile(r'\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^<>"]*?))\s*<(?P<address>[^<>]*)>\s*')
_MAX_TEXT = 500  # characters; an address has at most 254
_EXPECTED = "expected `Name <address>`, an address, or a mapping with `name` and `email`"


class Person(Struct, frozen=True):
    """A person with an email address."""

    name: str
    email: str

    def __str__(self) -> str:
        return f'"{self.name}" <{self.email}>' if "@" in self.name else f"{self.name} <{self.email}>"


def person(value: Any) -> Person:
    """Return the person that a text or mapping describes. Raises WrongValue."""
    if isinstance(value, dict):
        for key in ("name", "email"):
            if key not in value:
                raise WrongValue(f"`{key}` is missing: {_EXPECTED}")
            if not isinstance(value[key], str):
                raise WrongValue(f"expected a string for `{key}`, got {shown(value[key])}")
        return Person(value["name"], value["email"])
    if not isinstance(value, str):
        raise WrongValue(f"{_EXPECTED}, got {shown(value)}")
    if len(value) > _MAX_TEXT:
        raise WrongValue(f"the text is longer than {_MAX_TEXT} characters: {_EXPECTED}")
    named = _NAMED.fullmatch(value)
    address = _ADDRESS.fullmatch((named["address"] if named else value).strip())
    if address is None:
        raise WrongValue(f"{shown(value)} contains no valid email address: {_EXPECTED}")
    local, domain = address["local"], address["domain"].lower()
    name = (named["quoted"] or named["plain"]) if named else ""
    return Person(name or local, f"{local}@{domain}")
