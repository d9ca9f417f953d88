"""The JSON summary of a run as a format: what is written, what is read, and what its JSON Schema describes. Pure.

One declaration serves the three: `report.summary` fills it in, `report.reading` reads it from a file, and
`docs/schemas` has the schema that is made from it. Every member has a default, since a summary may be older than it.
An unknown size is null, never 0. Source: pipeline.md 6.2.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from bakery.oci.descriptor import MAX_SIZE

FORMAT: Final = 2  # incremented when members are added or change their meaning

Count = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
Bytes = Annotated[int, Meta(ge=0, le=MAX_SIZE, description="bytes")]
Seconds = Annotated[float, Meta(ge=0, le=1e9, description="seconds")]
DigestText = Annotated[str, Meta(description="algorithm:hex")]


class TagRecord(Struct, frozen=True, kw_only=True):
    """A tag at one destination. previous: the digest that it named before the run; null if it was new or is unknown.

    state: published, unchanged, moved (not verified), unsure (possibly moved), restored, taken (moved by something else
    after this run), refused (by the tag policy), failed or stopped. problem: why it could not be restored.
    """

    tag: str = ""
    state: str = ""
    previous: DigestText | None = None
    problem: str | None = None


class ArtifactRecord(Struct, frozen=True, kw_only=True):
    """Something that belongs to an image: a signature, an attachment, a copied referrer. subject: the digest it is for.

    kind: signature, referrer, cosign.sig, cosign.att, cosign.sbom, or the media type of an attachment. digest: null if
    the program that made it does not report it.
    """

    subject: DigestText = ""
    kind: str = ""
    digest: DigestText | None = None


class DestinationRecord(Struct, frozen=True, kw_only=True):
    """One repository of a target, its tags in the order of writing, and the artifacts that belong to its image."""

    repository: str = ""
    state: str = ""
    tags: tuple[TagRecord, ...] = ()
    artifacts: tuple[ArtifactRecord, ...] = ()


class ErrorRecord(Struct, frozen=True, kw_only=True):
    """A failure of a target. code: of the error (docs/errors); "" in summaries of older versions.

    destination: the repository; null if it is not of one destination.
    """

    step: str = ""
    code: str = ""
    destination: str | None = None
    message: str = ""
    hint: str | None = None


class SkippedRecord(Struct, frozen=True, kw_only=True):
    """A target that was named but not published, and why."""

    uid: str = ""
    reason: str = ""


class TargetRecord(Struct, frozen=True, kw_only=True):
    """One target of a run.

    state: published, repaired, unchanged, refused, failed, stopped or built; null in summaries of tools without states.
    tags: full references that name `digest` now. registry_size, layers: of all platforms together.
    """

    uid: str = ""
    image_name: str | None = None
    version: str | None = None
    os: str | None = None
    variant: str | None = None
    state: str | None = None
    digest: DigestText | None = None
    platforms: tuple[str, ...] = ()
    platform_digests: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    layers: Count | None = None
    registry_size: Bytes | None = None
    local_size: Bytes | None = None
    cache_ref: str | None = None
    cache_size: Bytes | None = None
    destinations: tuple[DestinationRecord, ...] = ()
    errors: tuple[ErrorRecord, ...] = ()
    notes: tuple[str, ...] = ()
    elapsed_s: Seconds = 0.0


class StageRecord(Struct, frozen=True, kw_only=True):
    """When a stage was at work: from the start of its first step to the end of its last, since the start of the run.

    busy_s: of all its steps together, which run side by side.
    """

    stage: str = ""
    start_s: Seconds = 0.0
    end_s: Seconds = 0.0
    busy_s: Seconds = 0.0
    steps: Count = 0


class CauseRecord(Struct, frozen=True, kw_only=True):
    """Why requests to a registry were repeated or held back. count: how often; waited_s: the waits added up.

    pauses: how many of them the registry asked of every request.
    """

    reason: str = ""
    count: Count = 0
    pauses: Count = 0
    waited_s: Seconds = 0.0


class RegistryRecord(Struct, frozen=True, kw_only=True):
    """The traffic with one registry. bytes_in, bytes_out: of bodies received and sent.

    reused: blobs that were there already; mounted: blobs that the registry took from another repository.
    """

    host: str = ""
    requests: Count = 0
    bytes_in: Bytes = 0
    bytes_out: Bytes = 0
    reused: Count = 0
    reused_bytes: Bytes = 0
    mounted: Count = 0
    mounted_bytes: Bytes = 0
    retries: Count = 0
    waited_s: Seconds = 0.0
    causes: tuple[CauseRecord, ...] = ()


class Summary(Struct, frozen=True, kw_only=True):
    """A run. kind: publish, rehearse, build; "" if unknown. started: RFC 3339, UTC; null if unknown.

    requests_saved: requests that were not sent, because another target needed the same content.
    """

    format: Count = FORMAT
    kind: str = ""
    started: str | None = None
    build_targets: Count = 0
    platform_builds: Count = 0
    registry_tags: Count = 0
    registry_size_bytes: Bytes | None = None
    local_size_bytes: Bytes | None = None
    cache_size_bytes: Bytes | None = None
    interrupted: bool = False
    exit_code: Count = 0
    elapsed_s: Seconds = 0.0
    requests_saved: Count = 0
    stages: tuple[StageRecord, ...] = ()
    registries: tuple[RegistryRecord, ...] = ()
    targets: tuple[TargetRecord, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()
    warnings: tuple[str, ...] = ()
