"""The JSON summary of a build as a format: what is written, and what its JSON Schema describes. Pure.

The members of the tool that Bakery replaces keep their names and types, so that scripts can read both: `platforms` and
`tags` are numbers. Lists and everything else have names of their own. An unknown size is null, never 0.
`report.reading` reads it as well. Source: commands.md 2.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bakery.report.summary_format import Bytes, Count, Seconds


class BuildError(Struct, frozen=True, kw_only=True):
    """Why a target was not built. message begins with file and line of the Containerfile, if the builder names them."""

    step: str
    message: str
    file: str | None
    line: Count | None


class BuiltTarget(Struct, frozen=True, kw_only=True):
    """One target of a build.

    os, variant: "" without one. platforms: how many were built, those in platform_list. tags: how many the target has,
    those in tag_list, also if the build was pushed to a temporary registry. layers: of one platform. state: built,
    failed or stopped. digest: what was built. elapsed_s: from its first step to its last. cache_hit_ratio: the share
    of its steps that came from the cache, from 0 to 1. warnings: of its Containerfile.
    """

    uid: str
    image_name: str
    version: str
    os: str
    variant: str
    platforms: Count
    tags: Count
    layers: Count | None
    registry_size: Bytes | None
    local_size: Bytes | None
    cache_ref: str | None
    cache_size: Bytes | None
    platform_list: tuple[str, ...]
    tag_list: tuple[str, ...]
    state: str
    digest: str | None
    elapsed_s: Seconds
    attempts: Count
    cache_hit_ratio: Annotated[float, Meta(ge=0, le=1)] | None
    warnings: Count | None
    errors: tuple[BuildError, ...]


class BuildSummary(Struct, frozen=True, kw_only=True):
    """A build. kind: build. Sizes are sums of the known ones; a cache that several targets share counts once."""

    format: Count
    kind: str
    build_targets: Count
    platform_builds: Count
    registry_tags: Count
    registry_size_bytes: Bytes | None
    local_size_bytes: Bytes | None
    cache_size_bytes: Bytes | None
    interrupted: bool
    exit_code: Count
    elapsed_s: Seconds
    targets: tuple[BuiltTarget, ...]
