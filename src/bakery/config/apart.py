"""How patterns that may cost any amount of time and memory are rendered, if the caller has a way to limit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Render = Callable[[str, Mapping[str, Any]], str]
_render: list[Render] = []


def use(render: Render | None) -> None:
    """Have costly patterns rendered by this function; None: as all others."""
    _render[:] = [render] if render is not None else []


def renderer() -> Render | None:
    """Return the function that `use` was given."""
    return _render[0] if _render else None
