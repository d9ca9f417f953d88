"""Helpers for frozen records, which are msgspec Structs (decision 0015), and for the variables of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct


def repr_without(*hidden: str) -> Callable[[Any], str]:
    """Return a `__repr__` that omits these fields: secrets, and content that would fill the screen."""

    def shown(self: Struct) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in hidden)
        return f"{type(self).__name__}({fields})"

    return shown


class Overlaid(dict[str, str]):
    """Environment variables, some of them with the value of an option. options: that option, by variable."""

    def __init__(self, variables: Mapping[str, str], options: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.options = dict(options)


def setting(environment: Mapping[str, str], variable: str) -> str:
    """Return what the user calls a setting: the option that gave its value, else the variable."""
    return environment.options.get(variable, variable) if isinstance(environment, Overlaid) else variable


def advice(name: str, what: str) -> str:
    """Return the advice to use something as a setting: `pass --ca-file with …` or `set BAKERY_CA_FILE to …`."""
    return f"pass {name} with {what}" if name.startswith("-") else f"set {name} to {what}"
