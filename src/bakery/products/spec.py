"""`--dev-spec`: a development version that is named instead of found. Source: config.md 10, "Pinning"."""

from __future__ import annotations

import json
from typing import Self

from msgspec import Struct

from bakery.config.schema.declarations import CHANNELS
from bakery.errors import UsageError
from bakery.products.channels import VERSION

_KEYS = ("version", "channel", "release_branch")
_EXAMPLE = '{"version": "2026.04.0-dev+3", "channel": "daily"}'


class DevSpec(Struct, frozen=True):
    """Which version or branch, and of which channel. At least one of `version` and `release_branch` is there."""

    version: str | None = None
    channel: str | None = None
    release_branch: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The JSON of the option. Raises UsageError that says what is allowed."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise _wrong(text, f"this is no JSON: {error}") from error
        if not isinstance(raw, dict):
            raise _wrong(text, "a JSON object is expected")
        unknown = [key for key in raw if key not in _KEYS]
        if unknown:
            raise _wrong(text, f"unknown: {', '.join(unknown)}; allowed: {', '.join(_KEYS)}")
        for key, value in raw.items():
            if value is not None and not isinstance(value, str):
                raise _wrong(text, f"`{key}` must be text")
        spec = cls(*(raw.get(key) or None for key in _KEYS))
        if spec.version is None and spec.release_branch is None:
            raise _wrong(text, "`version` or `release_branch` is needed")
        if spec.version is not None and VERSION.fullmatch(spec.version) is None:
            raise _wrong(text, f"`version` {spec.version!r} must look like N.N.N[-pre][+build]")
        if spec.channel is not None and spec.channel not in CHANNELS:
            raise _wrong(text, f"`channel` {spec.channel!r} is not allowed; allowed: {', '.join(CHANNELS)}")
        return spec

    def channel_filter(self, dev_channel: str | None) -> str | None:
        """The value of `--dev-channel` that goes with this. Raises UsageError where the two differ."""
        if self.channel is None or dev_channel in (None, self.channel):
            return self.channel or dev_channel
        raise UsageError(
            "reading --dev-spec", about=self.channel, why=f"--dev-channel says {dev_channel}",
            hint="leave out --dev-channel, or name the same channel in both",
        )  # fmt: skip

    @property
    def dailies_branch(self) -> str:
        """The branch of daily builds that the version or branch is in: `YYYY.MM` of a version."""
        if self.release_branch is not None:
            return self.release_branch
        assert self.version is not None
        return ".".join(self.version.split(".")[:2])


def _wrong(text: str, answer: str) -> UsageError:
    return UsageError("reading --dev-spec", about=repr(text[:200]), why=answer, hint=f"write it like {_EXAMPLE}")
