"""How a build runs: the options of `bakery build`. Pure. Source: commands.md 1.1 and 1.6."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

Strategy = Literal["bake", "build"]


class BuildOptions(Struct, frozen=True):
    """What to do with the selected targets, and how.

    strategy: bake, one command for all targets; build, one command per target. load: None means on if nothing is
    pushed. retry: how often a failed target is built again. jobs: targets at once; None means no limit for a bake, and
    BAKERY_MAX_CONCURRENCY otherwise. clean: whether the plan is removed afterwards. temp_registry: with `push`,
    builds are pushed there by digest, untagged. builder: a builder of buildx, "" for its current one. attest,
    provenance, sbom: passed to buildx as they are; "" or no entry means buildx's default.
    """

    strategy: Strategy = "bake"
    push: bool = False
    load: bool | None = None
    pull: bool = False
    cache: bool = True
    cache_registry: str = ""
    temp_registry: str = ""
    fail_fast: bool = False
    retry: int = 0
    jobs: int | None = None
    clean: bool = True
    metadata_file: Path | None = None
    builder: str = ""
    attest: tuple[str, ...] = ()
    provenance: str = ""
    sbom: str = ""

    @property
    def loads(self) -> bool:
        """Whether images are loaded into Docker."""
        return not self.push if self.load is None else self.load

    @property
    def by_digest(self) -> bool:
        """Whether builds are pushed by digest, untagged, to the temporary registry."""
        return self.push and bool(self.temp_registry)
