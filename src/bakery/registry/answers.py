"""What a registry's response means: absent, throttled, transient, refused, or content that it does not find yet.

Pure. Decides by status, OCI error code, the purpose of the operation, and whether the content is ours; the text of a
message counts only if a registry hides a rate limit in it. Source: registry.md 3, 4 and 6; pipeline.md 3.2.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from bakery.errors import AuthError, BadDigest, BakeryError, NotFound, RegistryError, Unavailable
from bakery.oci.digest import Digest
from bakery.registry.failure import Conflict, ContentMissing
from bakery.registry.http.message import HttpResponse
from bakery.registry.reasons import MAX_ERROR_BYTES, Known, known_reason, words_of

MAX_RETRY_AFTER_S: Final = 600.0
SECONDARY_LIMIT_WAIT_S: Final = 60.0  # GHCR says "wait a few minutes", without a number
_LEAST_TEXT_WAIT_S: Final = 1.0  # GHCR's own "10.48ms" only makes the next request fail as well


class Purpose(Enum):
    """What a request was for, as far as that changes what its response means."""

    READ = "read"
    OPEN_UPLOAD = "open upload"
    SEND_BLOB = "send blob"
    PUT_MANIFEST = "put manifest"
    DELETE = "delete"


class Meaning(Enum):
    """What an unsuccessful response means for the client."""

    ABSENT = "absent"  # only the caller knows whether that may change
    LAG = "lag"  # it was pushed, so it must appear: wait
    CONTENT_MISSING = "content missing"  # a manifest names content that the registry does not find
    SESSION_LOST = "session lost"  # look for the blob, then open a new upload
    THROTTLED = "throttled"  # all requests to this host wait
    NOT_TAKEN = "not taken"  # transient, and the request was not carried out
    AMBIGUOUS = "ambiguous"  # transient, and the request may have been carried out
    LOGIN = "login"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    CONFLICT = "conflict"  # with a request of another client, or with an earlier one that is not finished
    FULL = "full"  # the disk or the quota: only people can change that
    REFUSED = "refused"


NO_HEAD: Final = frozenset({400, 403, 405, 406, 501})  # statuses of registries that support or allow only GET
TRANSIENT: Final = frozenset({Meaning.THROTTLED, Meaning.NOT_TAKEN, Meaning.AMBIGUOUS})


class OciError(Struct, frozen=True):
    """One entry of the `errors` list of a response."""

    code: str
    message: str = ""
    detail: Any = None


_LOGIN_CODES: Final = frozenset({"UNAUTHORIZED"})
_MISSING_CODES: Final = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_SESSION_CODES: Final = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})
_THROTTLE_CODES: Final = frozenset({"TOOMANYREQUESTS", "THROTTLINGEXCEPTION", "TOO_MANY_REQUESTS"})
_IMMUTABLE_CODES: Final = frozenset({"TAG_INVALID", "TAG_IMMUTABLE", "IMAGE_TAG_ALREADY_EXISTS"})
_NOT_TAKEN: Final = frozenset({425, 503})
_AMBIGUOUS: Final = frozenset({408, 499, 500, 502, 504, *range(520, 525)})
_RATE_LIMIT_TEXT: Final = re.compile(
    rb"secondary rate limit|rate limit exceeded|too many requests|toomanyrequests", re.IGNORECASE
)
_WAIT_TEXT: Final = re.compile(
    r"retry[- ]after[:=]?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|milliseconds?|m(?:in(?:utes?)?)?\b|s|)", re.IGNORECASE
)
_DISK_HINT: Final = "free disk space at the registry, then run the command again"
_QUOTA_HINT: Final = "delete content that is not needed or raise the limit, then run the command again"
_CONFLICT_HINT: Final = "run the command again once no other client writes there"
_SHORT_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def oci_errors(body: bytes) -> tuple[OciError, ...]:
    """Return the errors that a body lists, or none if it is not such JSON. Never raises."""
    if not body.lstrip().startswith(b"{"):
        return ()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    entries = document.get("errors") if isinstance(document, dict) else None
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        code, message = entry.get("code"), entry.get("message")
        code = code if isinstance(code, str) and _SHORT_CODE.fullmatch(code) else ""
        found.append(OciError(code.upper(), message if isinstance(message, str) else "", entry.get("detail")))
    return tuple(found)


def meaning_of(response: HttpResponse, purpose: Purpose, *, ours: bool = False) -> Meaning:
    """Return what an unsuccessful response means. ours: this run pushed the content that was not found."""
    status, codes = response.status, {error.code for error in oci_errors(response.body)}
    if is_throttled(response):
        return Meaning.THROTTLED
    if status == 401 or codes & _LOGIN_CODES:
        return Meaning.LOGIN
    if known_reason(response) in (Known.DISK_FULL, Known.QUOTA):
        return Meaning.FULL
    if purpose is Purpose.PUT_MANIFEST and status in (409, 412):
        return Meaning.CONFLICT
    if purpose in (Purpose.OPEN_UPLOAD, Purpose.SEND_BLOB) and status == 409:
        return Meaning.CONFLICT
    if status in _NOT_TAKEN or "UNAVAILABLE" in codes:
        return Meaning.NOT_TAKEN
    if purpose is Purpose.PUT_MANIFEST and status == 500 and codes & _MISSING_CODES:
        return Meaning.CONTENT_MISSING  # distribution, if it finds several problems with one manifest
    if status in _AMBIGUOUS:
        return Meaning.AMBIGUOUS
    if status == 403:
        return Meaning.UNSUPPORTED if known_reason(response) is Known.READ_ONLY else Meaning.DENIED
    if purpose is Purpose.PUT_MANIFEST and (codes & _MISSING_CODES or (status == 404 and not codes)):
        return Meaning.CONTENT_MISSING
    if purpose is Purpose.SEND_BLOB and (status == 404 or codes & _SESSION_CODES):
        return Meaning.SESSION_LOST
    if status in (404, 410):
        return Meaning.LAG if ours else Meaning.ABSENT
    if status in (405, 501) or "UNSUPPORTED" in codes:
        return Meaning.UNSUPPORTED
    return Meaning.REFUSED


def is_throttled(response: HttpResponse) -> bool:
    """Return whether this is a rate limit in any spelling: GHCR's secondary one is a 403 with a sentence."""
    if response.status == 429:
        return True
    if response.status == 403:
        has_wait = bool(response.header("Retry-After"))
        return has_wait or _RATE_LIMIT_TEXT.search(response.body[:MAX_ERROR_BYTES]) is not None
    return response.status >= 400 and any(error.code in _THROTTLE_CODES for error in oci_errors(response.body))


def retry_after_s(response: HttpResponse, *, now: datetime | None = None) -> float | None:
    """Return how long the registry asks the client to wait, capped; None if it does not, or not sensibly.

    Reads seconds and HTTP dates, and the text of the message, where GHCR puts it ("retry-after: 10.48ms").
    """
    header = response.header("Retry-After").strip()
    found = _header_wait_s(header, now or datetime.now(UTC)) if header else None
    if found is None and is_throttled(response):
        match = _WAIT_TEXT.search(response.body[:MAX_ERROR_BYTES].decode("utf-8", "replace"))
        if match is not None:
            unit = match[2].lower()
            factor = 0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("m") else 1.0
            found = max(float(match[1]) * factor, _LEAST_TEXT_WAIT_S)
        elif response.status == 403:
            found = SECONDARY_LIMIT_WAIT_S
    return None if found is None else min(found, MAX_RETRY_AFTER_S)


def _header_wait_s(text: str, now: datetime) -> float | None:
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    from email.utils import parsedate_to_datetime  # dates are rare

    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def missing_digests(response: HttpResponse) -> tuple[Digest, ...]:
    """Return the digests that a response to a manifest reports as unknown, each once."""
    found: dict[Digest, None] = {}
    for error in oci_errors(response.body):
        if error.code not in _MISSING_CODES:
            continue
        detail = error.detail.values() if isinstance(error.detail, dict) else [error.detail]
        for text in detail:
            with contextlib.suppress(BadDigest):
                found[Digest.parse(text)] = None
    return tuple(found)


def is_immutable_tag(response: HttpResponse) -> bool:
    """Return whether the words of a refusal say that a tag must not move. ECR says so even for an equal digest."""
    if not 400 <= response.status < 500:
        return False
    codes = {error.code for error in oci_errors(response.body)}
    return bool(codes & _IMMUTABLE_CODES) or known_reason(response) is Known.IMMUTABLE


def may_be_immutable_tag(response: HttpResponse) -> bool:
    """Return whether a refusal may be about an immutable tag: then only what the tag names now can prove it."""
    return response.status in (409, 412) or is_immutable_tag(response)


def summary_of(response: HttpResponse, *, json_only: bool = False) -> tuple[str, str]:
    """Return the OCI code, and the response as one line without secrets: status, code, words (see `words_of`)."""
    named = [error.code for error in oci_errors(response.body) if error.code]
    code = next((code for code in named if code != "UNKNOWN"), named[0] if named else "")
    words = words_of(response, json_only=json_only)
    return code, f"{response.status} {code}".strip() + (f": {words}" if words else "")


def error_for(
    response: HttpResponse,
    action: str,
    about: object,
    *,
    purpose: Purpose = Purpose.READ,
    hint: str = "",
    json_only: bool = False,
) -> BakeryError:
    """Return the error for an unsuccessful response; its class says what a caller can do. action: a verb phrase."""
    code, why = summary_of(response, json_only=json_only)
    what, status = f"cannot {action}", response.status
    meaning = meaning_of(response, purpose)
    if meaning in TRANSIENT:
        wait_s = retry_after_s(response)
        kind = "registry/rate-limit" if meaning is Meaning.THROTTLED else ""
        return Unavailable(what, about=about, status=status, code=code, why=why, error_code=kind, retry_after_s=wait_s)
    if meaning is Meaning.CONTENT_MISSING:
        return ContentMissing(what, about=about, status=status, code=code, digests=missing_digests(response))
    if meaning in (Meaning.ABSENT, Meaning.LAG):
        kind = (
            "registry/no-repository" if known_reason(response) is Known.NO_REPOSITORY or code == "NAME_UNKNOWN" else ""
        )
        return NotFound(what, about=about, status=status, code=code, why=why, hint=hint, error_code=kind)
    if meaning in (Meaning.LOGIN, Meaning.DENIED):
        hint = hint or "check the login for this registry and its permissions"
        kind = "auth/login" if meaning is Meaning.LOGIN else ""
        return AuthError(what, about=about, status=status, code=code, why=why, hint=hint, error_code=kind)
    if meaning is Meaning.FULL:
        is_disk = known_reason(response) is Known.DISK_FULL
        state = "the registry's disk is full" if is_disk else "a limit of the account or project is reached"
        hint = _DISK_HINT if is_disk else _QUOTA_HINT
        kind = "registry/disk-full" if is_disk else "registry/quota"
        why = f"{state}: {why}"
        return RegistryError(what, about=about, status=status, code=code, why=why, hint=hint, error_code=kind)
    if meaning is Meaning.CONFLICT:
        return Conflict(what, about=about, status=status, code=code, why=why, hint=hint or _CONFLICT_HINT)
    if meaning is Meaning.UNSUPPORTED:
        hint = hint or "check whether the registry or the repository is read-only"
        if known_reason(response) is Known.READ_ONLY:
            hint = "run the command again once the registry accepts writes"  # not after a login, as for other 403s
    if status == 413:
        hint = hint or "raise the limit for request bodies of the registry, or of the proxy in front of it"
    hint = hint or "check the registry's log; retrying will not help"
    kind = "registry/unsupported" if meaning is Meaning.UNSUPPORTED else ""
    return RegistryError(what, about=about, status=status, code=code, why=why, hint=hint, error_code=kind)
