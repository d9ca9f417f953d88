"""A preview of one target: converted as it will be, and waited for no longer than the run would wait."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bakery.config.schema.options import SociOptions
from bakery.errors import NotFound
from bakery.publish.pipeline import PipelineOptions
from bakery.publish.preview import preview
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, target


@pytest.mark.parametrize("limits", [{"wait_limit_s": 1.0}, {"time_budget_s": 1.0}])
async def test_a_missing_source_is_waited_for_as_long_as_either_limit_allows(limits):
    clock, absent = JumpingClock(), build(add_image(DictionaryEngine(), "linux/amd64"))
    with pytest.raises(NotFound):
        await preview(target([absent]), DictionaryEngine(), options=PipelineOptions(**limits), clock=clock)
    assert clock.time <= 1


@pytest.mark.parametrize("soci", [None, SociOptions()])
async def test_an_image_is_converted_only_if_its_target_says_so(monkeypatch, soci):
    engine = DictionaryEngine()

    async def convert(image, options, *, towards):
        return replace(image, notes=("converted",))

    monkeypatch.setattr(engine, "convert", convert)
    made = [build(add_image(engine, name)) for name in ("linux/amd64", "linux/arm64")]
    found = await preview(target(made, soci=soci), engine, options=PipelineOptions(), clock=JumpingClock())
    assert found.image.notes == (("converted",) if soci else ())
