"""What an answer of a registry means: absent, throttled, passing, refused, or content that it does not see yet.

Pure and table-tested. Decides by status, OCI error code, what was being done, and whether the content is ours; the text
of a message counts only where a registry hides a rate limit in it. Source: registry.md 3, 4 and 6; pipeline.md 3.2.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from msgspec import Struct, field

from bakery.errors import AuthError, BadDigest, BakeryError, NotFound, RegistryError, Unavailable
from bakery.oci.digest import Digest
from bakery.registry.faults import ContentMissing
from bakery.values import repr_without

MAX_ERROR_BYTES: Final = 64 * 1024
MAX_RETRY_AFTER_S: Final = 600.0
SECONDARY_LIMIT_WAIT_S: Final = 60.0  # GHCR says "wait a few minutes" and no number
_LEAST_TEXT_WAIT_S: Final = 1.0  # GHCR's own "10.48ms" only makes the next request fail as well


class Fields:
    """Header fields of an answer, found in any case."""

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def getall(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return self._values.get(name.lower(), [])

    def get(self, name: str, default: str = "") -> str:
        """A field's first value."""
        values = self._values.get(name.lower())
        return values[0] if values else default


class Reply(Struct, frozen=True):
    """One answer, its body read (and cut at a limit). `url` is where it came from, redacted."""

    status: int
    headers: Fields = field(default_factory=Fields)
    body: bytes = b""
    url: str = ""

    __repr__ = repr_without("headers", "body")

    def header(self, name: str) -> str:
        """A header's first value, or ""."""
        return self.headers.get(name)


class Doing(Enum):
    """What a request was for, as far as that changes what its answer means."""

    READ = "read"
    OPEN_UPLOAD = "open an upload"
    SEND_BLOB = "send a blob"
    PUT_MANIFEST = "put a manifest"
    DELETE = "delete"


class Verdict(Enum):
    """What to do about an answer that is no success."""

    ABSENT = "absent"  # it is not there; only the caller knows whether that may change
    LAG = "lag"  # it must be there, since it was pushed: wait
    CONTENT_MISSING = "content missing"  # a manifest names what the registry does not see
    SESSION_LOST = "session lost"  # look whether the blob is there, else open a new upload
    THROTTLED = "throttled"  # everybody to this host waits
    NOT_TAKEN = "not taken"  # passing, and the request was not carried out
    AMBIGUOUS = "ambiguous"  # passing, and the request may have been carried out
    LOGIN = "login"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"


class OciError(Struct, frozen=True):
    """One entry of the `errors` list of an answer."""

    code: str
    message: str = ""
    detail: Any = None


_LOGIN_CODES: Final = frozenset({"UNAUTHORIZED"})
_MISSING_CODES: Final = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_SESSION_CODES: Final = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})
_THROTTLE_CODES: Final = frozenset({"TOOMANYREQUESTS", "THROTTLINGEXCEPTION", "TOO_MANY_REQUESTS"})
_THROTTLED: Final = frozenset({429})
_NOT_TAKEN: Final = frozenset({425, 503})
_AMBIGUOUS: Final = frozenset({408, 499, 500, 502, 504, *range(520, 525)})
_RATE_LIMIT_TEXT = re.compile(
    rb"secondary rate limit|rate limit exceeded|too many requests|toomanyrequests", re.IGNORECASE
)
_WAIT_TEXT = re.compile(
    r"retry[- ]after[:=]?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|milliseconds?|m(?:in(?:utes?)?)?\b|s|)", re.IGNORECASE
)
_SHORT_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def oci_errors(body: bytes) -> tuple[OciError, ...]:
    """The errors that a body names; none where it is no such JSON. Never raises."""
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


def verdict(reply: Reply, doing: Doing, *, ours: bool = False) -> Verdict:
    """What an unsuccessful answer means. ours: we pushed, in this run, what it does not find."""
    status, codes = reply.status, {error.code for error in oci_errors(reply.body)}
    if is_throttled(reply):
        return Verdict.THROTTLED
    if status == 401 or codes & _LOGIN_CODES:
        return Verdict.LOGIN
    if status in _NOT_TAKEN or "UNAVAILABLE" in codes:
        return Verdict.NOT_TAKEN
    if doing is Doing.PUT_MANIFEST and status == 500 and codes & _MISSING_CODES:
        return Verdict.CONTENT_MISSING  # distribution, where it finds several things wrong with one manifest
    if status in _AMBIGUOUS:
        return Verdict.AMBIGUOUS
    if status == 403:
        return Verdict.DENIED
    if doing is Doing.PUT_MANIFEST and (codes & _MISSING_CODES or (status == 404 and not codes)):
        return Verdict.CONTENT_MISSING
    if doing is Doing.SEND_BLOB and (status == 404 or codes & _SESSION_CODES):
        return Verdict.SESSION_LOST
    if status in (404, 410):
        return Verdict.LAG if ours else Verdict.ABSENT
    if status in (405, 501) or "UNSUPPORTED" in codes:
        return Verdict.UNSUPPORTED
    return Verdict.REFUSED


def is_throttled(reply: Reply) -> bool:
    """Whether this is a rate limit, however it is spelled: GHCR's secondary one is a 403 with a sentence."""
    if reply.status in _THROTTLED:
        return True
    if reply.status == 403:
        return bool(reply.header("Retry-After")) or _RATE_LIMIT_TEXT.search(reply.body[:MAX_ERROR_BYTES]) is not None
    return reply.status >= 400 and any(error.code in _THROTTLE_CODES for error in oci_errors(reply.body))


def is_passing(reply: Reply) -> bool:
    """Whether the same request may succeed later."""
    return verdict(reply, Doing.READ) in (Verdict.THROTTLED, Verdict.NOT_TAKEN, Verdict.AMBIGUOUS)


def retry_after_s(reply: Reply, *, now: datetime | None = None) -> float | None:
    """How long the registry asks us to stay away, capped; None where it says nothing that makes sense.

    Reads seconds and HTTP dates, and the message text, where GHCR has it ("retry-after: 10.48ms").
    """
    header = reply.header("Retry-After").strip()
    found = _header_wait_s(header, now or datetime.now(UTC)) if header else None
    if found is None and is_throttled(reply):
        match = _WAIT_TEXT.search(reply.body[:MAX_ERROR_BYTES].decode("utf-8", "replace"))
        if match is not None:
            unit = match[2].lower()
            factor = 0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("m") else 1.0
            found = max(float(match[1]) * factor, _LEAST_TEXT_WAIT_S)
        elif reply.status == 403:
            found = SECONDARY_LIMIT_WAIT_S
    return None if found is None else min(found, MAX_RETRY_AFTER_S)


def _header_wait_s(text: str, now: datetime) -> float | None:
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    from email.utils import parsedate_to_datetime  # registries that answer with a date are rare

    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def missing_digests(reply: Reply) -> tuple[Digest, ...]:
    """The digests that an answer to a manifest names as unknown, each once; empty where it names none."""
    found: dict[Digest, None] = {}
    for error in oci_errors(reply.body):
        if error.code not in _MISSING_CODES:
            continue
        detail = error.detail.values() if isinstance(error.detail, dict) else [error.detail]
        for text in detail:
            try:
                found[Digest.parse(text)] = None
            except BadDigest:
                continue
    return tuple(found)


def is_immutable_tag(reply: Reply) -> bool:
    """Whether a tag was refused because it must not move: ECR and others say so even for an equal digest."""
    if reply.status == 412 or reply.status == 409:
        return True
    errors = oci_errors(reply.body)
    return 400 <= reply.status < 500 and any(
        error.code in ("TAG_INVALID", "TAG_IMMUTABLE") or "immutable" in error.message.lower() for error in errors
    )


def tell(reply: Reply) -> tuple[str, str]:
    """The OCI code, and the answer as one line for people: status, codes, first messages. No secret is in it."""
    errors = oci_errors(reply.body)
    named = [error.code for error in errors if error.code]
    code = next((code for code in named if code != "UNKNOWN"), named[0] if named else "")
    message = next((_plain(error.message) for error in errors if error.message), "")
    if not errors:
        content_type = reply.header("Content-Type").partition(";")[0]
        message = f"({len(reply.body)} bytes of {content_type[:40]})" if reply.body and content_type else ""
    return code, f"{reply.status} {code}".strip() + (f": {message}" if message else "")


def _plain(message: str) -> str:
    """A registry's sentence, safe to show: one line, cut, without what looks like a token or a signed URL."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    line = re.sub(r"(https?://[^\s?\"']*)\?[^\s\"']*", r"\1?…", line)
    line = re.sub(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9\-._~+/=]{8,}", r"\1 …", line)
    line = re.sub(r"(?<![A-Za-z0-9:])(?!sha(?:256|512):)[A-Za-z0-9\-_+/]{20,}\.[A-Za-z0-9\-_+/.]{20,}=*", "…", line)
    return line[:300]


def failure(reply: Reply, doing: str, about: object, *, phase: Doing = Doing.READ, hint: str = "") -> BakeryError:
    """The error for an unsuccessful answer: the class says what a caller can do about it."""
    code, answer = tell(reply)
    match verdict(reply, phase):
        case Verdict.THROTTLED | Verdict.NOT_TAKEN | Verdict.AMBIGUOUS:
            return Unavailable(
                doing, about=about, status=reply.status, code=code, why=answer, retry_after_s=retry_after_s(reply)
            )
        case Verdict.LOGIN | Verdict.DENIED:
            return AuthError(
                doing,
                about=about,
                status=reply.status,
                code=code,
                why=answer,
                hint=hint or "check the login and what it may do on this registry",
            )
        case Verdict.ABSENT | Verdict.LAG:
            return NotFound(doing, about=about, status=reply.status, code=code, why=answer, hint=hint)
        case Verdict.CONTENT_MISSING:
            return ContentMissing(doing, about=about, status=reply.status, code=code, digests=missing_digests(reply))
        case Verdict.UNSUPPORTED:
            hint = hint or "see whether this registry, or this repository, is read-only"
            return RegistryError(doing, about=about, status=reply.status, code=code, why=answer, hint=hint)
        case _:
            hint = hint or "asking again changes nothing: see what the registry's log says of it"
            return RegistryError(doing, about=about, status=reply.status, code=code, why=answer, hint=hint)
