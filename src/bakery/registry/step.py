"""The steps that the plans of uploads and of manifests have in common, besides their requests."""

from __future__ import annotations

from msgspec import Struct

from bakery.errors import BakeryError


class LookUp(Struct, frozen=True):
    """HEAD the content. settle: repeat for as long as this host is known to lag, or else look once.

    because: the failure that raised the doubt. It is reported before the look.
    """

    settle: bool
    because: BakeryError | None = None


class Backoff(Struct, frozen=True):
    """Wait before the next attempt, or raise the failure if there is no time or attempt left."""

    because: BakeryError
