"""Helpers for frozen records, which are msgspec Structs (decision 0015)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct


def repr_without(*hidden: str) -> Callable[[Any], str]:
    """Return a `__repr__` that omits these fields: secrets, and content that would fill the screen."""

    def shown(self: Struct) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in hidden)
        return f"{type(self).__name__}({fields})"

    return shown
