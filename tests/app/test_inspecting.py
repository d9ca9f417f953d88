"""`bakery imagetools inspect` as a function."""

from __future__ import annotations

from typing import Any

import pytest

from bakery.app.inspecting import inspect
from bakery.errors import BakeryError
from bakery.retry import SystemClock


def test_a_look_at_an_image_ends_after_a_minute_at_the_latest(monkeypatch: pytest.MonkeyPatch):
    limits: list[float] = []

    def make_client(*_: object, deadline: float, lag_limit_s: float, **__: Any) -> None:
        limits.extend((deadline - SystemClock().now(), lag_limit_s))
        raise BakeryError("stop here")

    monkeypatch.setattr("bakery.app.engine.make_client", make_client)
    with pytest.raises(BakeryError, match="stop here"):
        inspect("registry.example/acme/app:1", environment={})
    assert limits == [pytest.approx(60, abs=5), 5]
