"""How a manifest is put, decided step by step. Knows no network and no clock: yields steps, receives their results.

An acknowledged write is never repeated. If the response was lost, the manifest is looked for before it is sent again.
A manifest that is refused for content that this run pushed is lag; other missing content is the caller's to push.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final

from msgspec import Struct

from bakery.errors import BakeryError, DigestMismatch, RegistryError
from bakery.oci.digest import Digest
from bakery.registry.answers import (
    Meaning,
    Purpose,
    error_for,
    is_immutable_tag,
    may_be_immutable_tag,
    meaning_of,
    missing_digests,
)
from bakery.registry.failure import ConditionFailed, ContentMissing
from bakery.registry.http.failure import NotConnected
from bakery.registry.http.message import HttpResponse
from bakery.registry.step import Backoff, LookUp

_CONFLICTS: Final = 3  # a tag for which a 409 is repeated so often, and which names other content, is immutable
PUSH: Final = "push manifest"
MOVE: Final = "move tag"
ASCII_HINT: Final = "use only ASCII characters in labels and annotations: this registry rewrites others"


class Put(Struct, frozen=True):
    """PUT the manifest."""


class AwaitContent(Struct, frozen=True):
    """Wait until content that this run pushed may have appeared. The result is False if patience is exhausted."""

    because: BakeryError


class FindMissing(Struct, frozen=True):
    """HEAD each of these. The result is those that are not there."""

    digests: tuple[Digest, ...]


Step = Put | LookUp | Backoff | AwaitContent | FindMissing
Result = HttpResponse | BakeryError | Digest | bool | Sequence[Digest] | None


def put(  # long: every response to one PUT, in the order of the decisions
    digest: Digest,
    *,
    about: str,
    is_tag: bool,
    names: Callable[[], Sequence[Digest]],
    ours: Callable[[Digest], bool],
    is_ascii: bool = True,
    is_conditional: bool = False,
) -> Generator[Step, Result, HttpResponse | None]:
    """Return the response that acknowledged the manifest, or None if it was found in place.

    names: returns the digests that the manifest names. ours: whether this run pushed one, or knows that it is there.
    is_ascii: whether the manifest has only ASCII characters: some registries alter others. is_conditional: whether the
    PUT has If-Match; then a 412 raises ConditionFailed.
    Raises ContentMissing with the content that must be pushed again, RegistryError if the manifest is refused.
    """
    action, conflicts = MOVE if is_tag else PUSH, 0
    while True:
        result = yield Put()
        if isinstance(result, HttpResponse) and result.status in (200, 201, 202, 204):
            if _is_acknowledged(result, digest, action, about, is_ascii):
                return result
            # A web server responds 200 to everything: only a look proves that the manifest is there.
            if (yield LookUp(settle=result.status == 202)) == digest:
                return result
            why = f"the registry responded {result.status}, but the manifest is not there"
            raise RegistryError(f"cannot {action}", about=about, status=result.status, why=why)
        if isinstance(result, HttpResponse):
            error = error_for(result, action, about, purpose=Purpose.PUT_MANIFEST)
            meaning = meaning_of(result, Purpose.PUT_MANIFEST)
            if is_tag and may_be_immutable_tag(result):
                named, conflicts = (yield LookUp(settle=False)), conflicts + 1
                if named == digest:
                    return None
                if is_conditional and result.status == 412:
                    found = named if isinstance(named, Digest) else None
                    raise ConditionFailed(f"cannot {action}", about=about, found=found)
                # 409 may be a conflict with a request that is not finished. Only if the tag names other content, and
                # the registry does not change its mind, is it certain that the tag must not move.
                is_refused = named is not None and (result.status == 412 or conflicts >= _CONFLICTS)
                if is_immutable_tag(result) or is_refused:
                    raise _immutable(result, error, named, about)
            elif not is_ascii and meaning is Meaning.REFUSED and b"DIGEST_INVALID" in result.body:
                error.hint = ASCII_HINT
            if meaning is Meaning.CONTENT_MISSING:
                missing = missing_digests(result) or tuple(names())
                if all(ours(one) for one in missing) and (yield AwaitContent(error)) is True:
                    continue
                absent = yield FindMissing(missing)
                # If HEAD finds all of them and yet the manifest is refused, all are pushed again.
                again = absent if isinstance(absent, tuple) and absent else missing
                raise _missing(result, error, again, about, action)
        elif isinstance(result, BakeryError):
            error, meaning = result, Meaning.AMBIGUOUS
        else:
            raise ValueError("the result of a put is a response or an error")
        if not error.transient:
            raise error
        is_lost = meaning is Meaning.AMBIGUOUS and not isinstance(error, NotConnected)
        # After a 500 there is a response, so one look is enough; without any, the registry may still be at work.
        settle = not isinstance(result, HttpResponse) or result.status != 500
        if is_lost and (yield LookUp(settle, error)) == digest:
            return None
        yield Backoff(error)


def _is_acknowledged(response: HttpResponse, digest: Digest, action: str, about: str, is_ascii: bool) -> bool:
    """Return whether this response proves that the manifest was stored. Raises DigestMismatch."""
    stored = response.header("Docker-Content-Digest").strip().lower()  # in upper case, it is the same digest
    if stored.partition(":")[0] == digest.algorithm and stored != str(digest):
        raise DigestMismatch(
            f"cannot {action}",
            about=about,
            why=f"the registry stored {stored[:80]!r}, expected {digest}",
            hint="check for a proxy that alters requests" if is_ascii else ASCII_HINT,
        )
    return response.status in (201, 204) or bool(stored)


def _immutable(response: HttpResponse, error: BakeryError, named: Result, about: str) -> RegistryError:
    return RegistryError(
        f"cannot {MOVE}",
        about=about,
        status=response.status,
        code=getattr(error, "code", ""),
        why=f"the tag is immutable and names {named or 'nothing that can be read'} ({error.why})",
        hint="publish under another tag",
        error_code="registry/immutable-tag",
    )


def _missing(
    response: HttpResponse, error: BakeryError, digests: tuple[Digest, ...], about: str, action: str
) -> ContentMissing:
    code = getattr(error, "code", "")
    return ContentMissing(f"cannot {action}", about=about, status=response.status, code=code, digests=digests)
