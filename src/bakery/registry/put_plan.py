"""How a manifest is put, decided step by step. Knows no network and no clock: yields steps, takes what came of them.

An acknowledged write is never repeated. One whose answer was lost is looked for before it is sent again. A manifest
that is refused for content that we pushed is lag; content that we did not push is the caller's to push.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from msgspec import Struct

from bakery.errors import BakeryError, DigestMismatch, RegistryError
from bakery.oci.digest import Digest
from bakery.registry.answers import (
    Doing,
    Reply,
    Verdict,
    failure,
    is_immutable_tag,
    missing_digests,
    verdict,
)
from bakery.registry.faults import ContentMissing, NotConnected


class Put(Struct, frozen=True):
    """PUT the manifest."""


class Look(Struct, frozen=True):
    """Read what the target names now. settle: keep looking for as long as this host has lagged; else once."""

    settle: bool


class Pause(Struct, frozen=True):
    """Wait before the next attempt; whoever carries it out ends the flow when time is up."""

    failures: int
    because: BakeryError


class AwaitContent(Struct, frozen=True):
    """Wait a little for what we pushed to be seen. Answered by whether there is patience left."""

    rounds: int
    because: BakeryError


class WhatLacks(Struct, frozen=True):
    """HEAD each of these; answered by those that are not there."""

    digests: tuple[Digest, ...]


Step = Put | Look | Pause | AwaitContent | WhatLacks
Result = Reply | BakeryError | Digest | bool | Sequence[Digest] | None


def put(
    digest: Digest, *, about: str, is_tag: bool, names: Callable[[], Sequence[Digest]], ours: Callable[[Digest], bool]
) -> Generator[Step, Result, Reply | None]:
    """Return the reply that acknowledged it, or None where it was found in place.

    names: gives what the manifest names. ours: whether we pushed that, or know it to be there. Raises ContentMissing
    with what must be pushed again, RegistryError where it is refused.
    """
    doing = "moving a tag" if is_tag else "pushing a manifest"
    failures = rounds = 0
    while True:
        result = yield Put()
        if isinstance(result, Reply) and result.status in (200, 201, 202, 204):
            told = result.header("Docker-Content-Digest")
            if told and told.partition(":")[0] == digest.algorithm and told != str(digest):
                raise DigestMismatch(
                    doing, about=about, why=f"the registry stored {told[:80]!r}", hint="a proxy alters what is sent"
                )
            if result.status in (201, 204) or told:
                return result
            # A web server says 200 to everything: only a look proves that the manifest is there.
            if (yield Look(settle=False)) == digest:
                return result
            raise RegistryError(doing, about=about, status=result.status, why=f"{result.status}, but it is not there")
        if isinstance(result, BakeryError):
            error, judged = result, Verdict.AMBIGUOUS
        elif isinstance(result, Reply):
            error, judged = failure(result, doing, about, phase=Doing.PUT_MANIFEST), verdict(result, Doing.PUT_MANIFEST)
            if is_tag and is_immutable_tag(result):
                named = yield Look(settle=False)
                if named == digest:
                    return None
                raise RegistryError(
                    doing,
                    about=about,
                    status=result.status,
                    code=getattr(error, "code", ""),
                    why=f"the tag is immutable and names {named or 'nothing that can be read'}",
                    hint="publish under another tag",
                )
        else:
            raise ValueError("a put is answered by a reply or an error")
        if judged is Verdict.CONTENT_MISSING and isinstance(result, Reply):
            rounds += 1
            missing = missing_digests(result) or tuple(names())
            if all(ours(one) for one in missing) and (yield AwaitContent(rounds, error)) is True:
                continue
            lacking = yield WhatLacks(missing)
            named_missing = (
                tuple(one for one in lacking if isinstance(one, Digest)) if isinstance(lacking, tuple) else ()
            )
            raise ContentMissing(
                doing,
                about=about,
                status=result.status,
                code=getattr(error, "code", ""),
                digests=named_missing or missing,  # seen by HEAD and yet refused: all of them are pushed again
            )
        if not error.transient:
            raise error
        if judged is Verdict.AMBIGUOUS and not isinstance(error, NotConnected) and (yield Look(settle=True)) == digest:
            return None
        failures += 1
        yield Pause(failures, error)
