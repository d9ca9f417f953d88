"""The formats of `--output json`, but for the summaries: what is written, and what their JSON Schemas describe. Pure.

Each document has a format number of its own. Every member is always written; what is unknown is null.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

from bakery.clean.outcome import Fate
from bakery.errors import code_of, hint_of, reason
from bakery.publish.forecast import Change
from bakery.publish.outcome import State
from bakery.publish.rolled_back import Found
from bakery.report.summary_format import Bytes, Count, DigestText, Seconds, SkippedRecord

PLAN_FORMAT: Final = 2
DOCTOR_FORMAT: Final = 1
VERIFY_FORMAT: Final = 1
ROLLBACK_FORMAT: Final = 1
CLEAN_FORMAT: Final = 1
IMAGES_FORMAT: Final = 1
DELIVERIES_FORMAT: Final = 1


class Health(StrEnum):
    """How a check ended. UNKNOWN: it could not be made, or there is nothing to judge."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Problem(Struct, frozen=True, kw_only=True):
    """Why something cannot be done. code: of the error (docs/errors)."""

    code: str
    message: str
    hint: str | None


def problem(error: Exception) -> Problem:
    """Return an error as documents have it."""
    return Problem(code=code_of(error), message=reason(error), hint=hint_of(error) or None)


class PlannedSource(Struct, frozen=True, kw_only=True):
    """A build of a target. platform, created: null if only the registry knows them."""

    reference: str
    platform: str | None
    created: str | None


class PlannedTag(Struct, frozen=True, kw_only=True):
    """What becomes of a tag. now, then: the digests that it names and will name; null for none or an unknown one.

    change: new, moves, equal, refused (by the tag policy), stays (where it is, by the tag policy or because another
    part of its set would fail), or unknown.
    """

    tag: str
    change: Change
    now: DigestText | None
    then: DigestText | None
    reason: str | None


class PlannedDestination(Struct, frozen=True, kw_only=True):
    """A repository of a target. tags: in the order of writing. Everything after them is null without a survey.

    blobs_lacking, manifests_lacking: how many would be written. error: why it cannot be published to.
    """

    repository: str
    tags: tuple[str, ...]
    changes: tuple[PlannedTag, ...] | None
    blobs_lacking: Count | None
    manifests_lacking: Count | None
    error: Problem | None


class PlannedTargetRecord(Struct, frozen=True, kw_only=True):
    """A target. platforms: that it must have. Everything after `soci` is null without a survey.

    digest: of the index that would be published; null if it cannot be assembled, or is converted to SOCI first.
    platforms_found: what its builds have. error: why it cannot be published.
    """

    uid: str
    image_name: str
    version: str
    os: str | None
    variant: str | None
    platforms: tuple[str, ...]
    sources: tuple[PlannedSource, ...]
    destinations: tuple[PlannedDestination, ...]
    annotations: dict[str, str]
    soci: bool
    digest: DigestText | None
    platforms_found: tuple[str, ...] | None
    platforms_missing: tuple[str, ...] | None
    error: Problem | None
    notes: tuple[str, ...] | None


class RefusedRecord(Struct, frozen=True, kw_only=True):
    """A target that cannot be published, known without a registry. code: of the error (docs/errors)."""

    uid: str
    code: str
    reason: str
    hint: str | None


class SurveyRecord(Struct, frozen=True, kw_only=True):
    """What the run would cost. would_fail: as things are now. estimated_s: without waits for builds and throttling."""

    would_fail: bool
    send_bytes: Bytes
    send_blobs: Count
    mount_blobs: Count
    requests: Count
    estimated_s: Seconds


class PlanDocument(Struct, frozen=True, kw_only=True):
    """What a publish would do (`--dry-run --output json`). survey: null with --offline."""

    format: Count = PLAN_FORMAT
    targets: tuple[PlannedTargetRecord, ...]
    refused: tuple[RefusedRecord, ...]
    skipped: tuple[SkippedRecord, ...]
    warnings: tuple[str, ...]
    survey: SurveyRecord | None


class CheckRecord(Struct, frozen=True, kw_only=True):
    """One check. area: a registry, "this machine" or "programs". about: what was checked.

    health: ok, warning, failed, or unknown (it could not be checked, or there is nothing to judge).
    """

    area: str
    about: str
    health: Health
    text: str
    hint: str | None
    code: str | None


class DoctorDocument(Struct, frozen=True, kw_only=True):
    """What `bakery doctor --output json` found."""

    format: Count = DOCTOR_FORMAT
    exit_code: Count
    checks: tuple[CheckRecord, ...]


class VerifiedRecord(Struct, frozen=True, kw_only=True):
    """One reference. digest: what it names; null if it does not exist or cannot be read. expected: null if any will do.

    state: ok, drift, or unknown (it could not be checked). manifests, blobs: how many were looked for.
    """

    reference: str
    state: Literal["ok", "drift", "unknown"]
    digest: DigestText | None
    expected: DigestText | None
    platforms: tuple[str, ...]
    attestations: Count
    signatures: Count
    manifests: Count
    blobs: Count
    problems: tuple[str, ...]
    error: Problem | None


class VerifyDocument(Struct, frozen=True, kw_only=True):
    """What `bakery verify --output json` found."""

    format: Count = VERIFY_FORMAT
    exit_code: Count
    references: tuple[VerifiedRecord, ...]


class RolledBackRecord(Struct, frozen=True, kw_only=True):
    """One tag. named: the digest when it was read. before: what it named before the run; null if it was new.

    state: restore (in a plan), restored, already restored, left (something else moved it since), or failed.
    """

    tag: str
    state: Found
    named: DigestText | None
    before: DigestText | None
    error: Problem | None


class RollbackDocument(Struct, frozen=True, kw_only=True):
    """A rollback, or its plan (`bakery rollback --output json`)."""

    format: Count = ROLLBACK_FORMAT
    exit_code: Count
    tags: tuple[RolledBackRecord, ...]


class DeletedRecord(Struct, frozen=True, kw_only=True):
    """A manifest or tag that is selected. bytes: of its manifest and blobs.

    state: planned, deleted, gone (already), refused (never allowed), kept (needed by now), or failed.
    """

    reference: str
    digest: DigestText
    tags: tuple[str, ...]
    why: str
    bytes: Bytes
    state: Fate
    detail: str | None


class KeptRecord(Struct, frozen=True, kw_only=True):
    """A manifest that the criteria select and that stays."""

    digest: DigestText
    tags: tuple[str, ...]
    kept_by: str


class CleanedRecord(Struct, frozen=True, kw_only=True):
    """A repository. bytes: without what other manifests need. stays: how many manifests are left."""

    repository: str
    exists: bool
    bytes: Bytes
    stays: Count
    versions: tuple[DeletedRecord, ...]
    kept: tuple[KeptRecord, ...]
    notes: tuple[str, ...]
    errors: tuple[Problem, ...]


class CleanDocument(Struct, frozen=True, kw_only=True):
    """A clean-up, or its plan (`bakery clean --output json`)."""

    format: Count = CLEAN_FORMAT
    dry_run: bool
    exit_code: Count
    bytes: Bytes
    repositories: tuple[CleanedRecord, ...]


class ImageRecord(Struct, frozen=True, kw_only=True):
    """One target. image: its first repository. tags: full references that were read back with the digest."""

    uid: str
    image: str | None
    state: State
    digest: DigestText | None
    tags: tuple[str, ...]
    platforms: tuple[str, ...]


class ImagesDocument(Struct, frozen=True, kw_only=True):
    """What a publish left (`--output json`)."""

    format: Count = IMAGES_FORMAT
    images: tuple[ImageRecord, ...]


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    """A target at one destination, in front of its first tag. digest: null if it was never assembled.

    platforms: the digest of each image. staged: everything is uploaded; if not, error says why, or why its set fails.
    """

    target: str
    image: str
    version: str
    repository: str
    tags: tuple[str, ...]
    digest: DigestText | None
    platforms: dict[str, DigestText]
    staged: bool
    error: str | None


class DeliveriesDocument(Struct, frozen=True, kw_only=True):
    """What the command of `--before-commit` reads on stdin. `engines.veto` writes it."""

    format: Count = DELIVERIES_FORMAT
    deliveries: tuple[DeliveryRecord, ...]
