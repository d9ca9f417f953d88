"""`--dev-spec`: a development version that is pinned instead of looked up. Source: config.md 10, "Pinning"."""

from __future__ import annotations

import json
from typing import Self

from msgspec import Struct

from bakery.config.schema.declarations import CHANNELS
from bakery.config.yaml.problem import alternatives
from bakery.errors import UsageError
from bakery.products.channels import VERSION
from bakery.text import json_problem

_KEYS = ("version", "channel", "release_branch")
_EXAMPLE = '{"version": "2026.04.0-dev+3", "channel": "daily"}'


class DevSpec(Struct, frozen=True):
    """A version or branch, and its channel. At least one of `version` and `release_branch` is set."""

    version: str | None = None
    channel: str | None = None
    release_branch: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the JSON of the option. Raises UsageError."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise _wrong(text, f"invalid JSON: {json_problem(error)}") from error
        except RecursionError:
            raise _wrong(text, "the JSON is nested too deeply") from None
        if not isinstance(raw, dict):
            raise _wrong(text, "expected a JSON object")
        unknown = [key for key in raw if key not in _KEYS]
        if unknown:
            raise _wrong(text, f"unknown key {', '.join(unknown)}: expected {alternatives(_KEYS)}")
        for key, value in raw.items():
            if value is not None and not isinstance(value, str):
                raise _wrong(text, f"expected a string for `{key}`")
        spec = cls(*(raw.get(key) or None for key in _KEYS))
        if spec.version is None and spec.release_branch is None:
            raise _wrong(text, "`version` or `release_branch` is required")
        if spec.version is not None and VERSION.fullmatch(spec.version) is None:
            raise _wrong(text, f"expected a `version` like N.N.N[-pre][+build], got {spec.version!r}")
        if spec.channel is not None and spec.channel not in CHANNELS:
            raise _wrong(text, f"expected {alternatives(CHANNELS)} for `channel`, got {spec.channel!r}")
        return spec

    def channel_filter(self, dev_channel: str | None) -> str | None:
        """Return the channel for `--dev-channel`. Raises UsageError if it differs from that of the spec."""
        if self.channel is None or dev_channel in (None, self.channel):
            return self.channel or dev_channel
        raise UsageError(
            "conflicting channels", why=f"--dev-spec has {self.channel}, --dev-channel is {dev_channel}",
            hint="remove --dev-channel, or name the same channel in both",
        )  # fmt: skip

    @property
    def dailies_branch(self) -> str:
        """The branch of daily builds: `release_branch`, or `YYYY.MM` of the version."""
        if self.release_branch is not None:
            return self.release_branch
        assert self.version is not None
        return ".".join(self.version.split(".")[:2])


def _wrong(text: str, why: str) -> UsageError:
    return UsageError("invalid --dev-spec", about=repr(text[:200]), why=why, hint=f"write it like {_EXAMPLE}")
