"""The registry client: every operation on every registry of one run. It retries; nothing below it does, nor above.

Reads give verified bytes. An acknowledged write is never repeated; one whose answer was lost is looked for first.
Importing this module imports all that speaks to the network, so callers do it when they need it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from functools import cached_property
from typing import Any, Final, Self, TypeVar

from bakery.errors import AuthError, BadDigest, BakeryError, DigestMismatch, InvalidContent, NotFound, RegistryError
from bakery.events import Emit, ignore
from bakery.extent import Keep, OpenBody
from bakery.oci import manifest as manifests
from bakery.oci import media_type as mt
from bakery.oci.canonical import MAX_MANIFEST_BYTES
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.reference import DigestReference, Reference, Repository, TagReference
from bakery.registry import fallback, put_plan
from bakery.registry.answers import Doing, Reply, Verdict, verdict
from bakery.registry.blobs import Blobs
from bakery.registry.endpoint import Ask
from bakery.registry.faults import TagTaken
from bakery.registry.http.pool import Lookup, system_lookup
from bakery.registry.http.transport import Stats, Transport
from bakery.registry.listing import Lists
from bakery.registry.operation import Operations
from bakery.registry.origin import Reach, reach_of
from bakery.registry.settings import Settings
from bakery.registry.token import scope_of
from bakery.retry import Clock, RetryPolicy, SystemClock

_log = logging.getLogger(__name__)
T = TypeVar("T")

# distribution answers 404 where Accept lacks the stored type, so all types are named, on HEAD as well.
_ACCEPT: Final = {"Accept": ", ".join(mt.ALL_MANIFESTS)}
_MERGES: Final = 5  # how often a fallback index is written before others are left to win
_CONTENT_PATIENCE_S: Final = 30.0  # how long content that we pushed may be unknown before it counts as lost


class Client:
    """One client per run, for every registry host. Use it as an async context manager.

    deadline: the clock's time at which the run's budget ends; None gives half an hour from now. lookup and classify
    say where names lead and what kind of address that is; only tests have reasons to pass others.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        policy: RetryPolicy,
        clock: Clock | None = None,
        emit: Emit = ignore,
        deadline: float | None = None,
        lookup: Lookup = system_lookup,
        classify: Callable[[str], Reach] = reach_of,
    ) -> None:
        self.stats = Stats()
        self._clock = clock or SystemClock()
        self._transport = Transport(settings, self.stats, lookup=lookup, classify=classify)
        self._operations = Operations(
            settings=settings,
            policy=policy,
            clock=self._clock,
            emit=emit,
            deadline=deadline,
            transport=self._transport,
            stats=self.stats,
        )
        self._blobs, self._lists = Blobs(self._operations), Lists(self._operations)
        self._fallback_locks: dict[TagReference, asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    def announce_writes(self, repositories: Iterable[Repository]) -> None:
        """Say beforehand where this run will push: one token with pull and push is asked for instead of two."""
        for repository in repositories:
            self._operations.will_write(repository)

    # Manifests and tags

    async def head_manifest(self, reference: Reference) -> Descriptor | None:
        """What a tag or digest names: type, digest and size. None where the registry does not have it.

        Where this run writes, a 403 means no more than that: Artifactory's virtual repositories say so of what is not
        there, and whoever really lacks the right is told so by the write.
        """
        try:
            return await self._attempt(reference, "looking for a manifest", lambda: self._head(reference))
        except AuthError as error:
            if error.status != 403 or not self._operations.writes_to(reference.repository):
                raise
            _log.debug("taken for absent: %s", error)
            return None

    async def _head(self, reference: Reference) -> Descriptor | None:
        endpoint = self._operations.endpoint(reference.repository)
        ask = self._ask("HEAD", reference, "looking for a manifest", headers=_ACCEPT)
        reply = await endpoint.send(ask)
        if reply.status == 200:
            found = _from_headers(reply)
            if found is not None:
                _check_asked(reference, found.digest, ask)
                return found
        elif verdict(reply, Doing.READ) is Verdict.ABSENT:
            return None
        elif reply.status not in (403, 405):
            raise await endpoint.refusal(reply, ask)
        # No usable headers, no HEAD, or a 403 without a body to say why: GHCR's may be a rate limit.
        got = await self._get(reference, ask.doing)
        return got[0] if got is not None else None

    async def get_manifest(
        self,
        reference: Reference,
        *,
        must_exist: bool = False,
        within_s: float | None = None,
        expected: Descriptor | None = None,
    ) -> tuple[Descriptor, bytes]:
        """The manifest's own bytes, checked, and what describes them. Raises NotFound where there is none.

        must_exist: a 404 is lag, and is waited for during `within_s` seconds or what is left of the budget.
        expected: the descriptor that led here; type, size and digest must be as it says.
        """
        doing = "reading a manifest"
        repository = reference.repository

        async def look() -> tuple[Descriptor, bytes] | None:
            return await self._get(reference, doing, expected)

        if not must_exist:
            found = await self._attempt(reference, doing, look)
        else:
            limit_s = self._operations.left_s if within_s is None else within_s
            found = await self._operations.poll(
                repository, doing, str(reference), look, within_s=limit_s, key=_digest_in(reference)
            )
        if found is None:
            hint = "it was waited for; see whether it was pushed" if must_exist else "check the name, and push it first"
            raise NotFound(doing, about=reference, status=404, why="the registry does not have it", hint=hint)
        return found

    async def await_manifest(self, reference: DigestReference, *, within_s: float | None = None) -> Descriptor:
        """Look until a manifest that we pushed can be read. A 404 is lag, until `within_s` or the budget ends it."""
        doing, began = "reading a manifest back", self._clock.now()
        limit_s = self._operations.left_s if within_s is None else within_s
        found = await self._operations.poll(
            reference.repository,
            doing,
            str(reference),
            lambda: self._head(reference),
            within_s=limit_s,
            key=reference.digest,
        )
        if found is None:
            waited_s = self._clock.now() - began
            hint = "the registry lags, or somebody deleted it; run it again"
            raise NotFound(doing, about=reference, status=404, why=f"after {waited_s:.0f} s still absent", hint=hint)
        return found

    async def _get(
        self, reference: Reference, doing: str, expected: Descriptor | None = None
    ) -> tuple[Descriptor, bytes] | None:
        endpoint = self._operations.endpoint(reference.repository)
        ask = self._ask("GET", reference, doing, headers=_ACCEPT, limit_bytes=MAX_MANIFEST_BYTES)
        reply = await endpoint.send(ask)
        if reply.status != 200:
            if verdict(reply, Doing.READ) is Verdict.ABSENT:
                return None
            raise await endpoint.refusal(reply, ask)
        return self._verified(reply, reference, ask, expected)

    def _verified(
        self, reply: Reply, reference: Reference, ask: Ask, expected: Descriptor | None
    ) -> tuple[Descriptor, bytes]:
        raw = reply.body
        asked = _digest_in(reference)
        algorithm = asked.algorithm if asked is not None else "sha256"
        digest = Digest.of(raw, algorithm)
        _check_asked(reference, digest, ask)
        told = reply.header("Docker-Content-Digest")
        if told and told.partition(":")[0] == algorithm and told != str(digest):
            answer = f"its header says {told[:80]!r}, its bytes are {digest}"
            if asked is not None:
                raise DigestMismatch(ask.doing, about=reference, why=answer)
            _log.warning("%s: %s", reference, answer)  # many registries get this wrong for tags; the bytes decide
        content_type = mt.essence(reply.header("Content-Type"))
        stated = content_type if content_type in mt.ALL_MANIFESTS else ""
        if expected is not None:
            if stated and expected.media_type in mt.ALL_MANIFESTS and stated != expected.media_type:
                raise DigestMismatch(
                    ask.doing, about=reference, why=f"it is served as {stated}, expected {expected.media_type}"
                )
            expected.check(raw, about=str(reference))
            stated = expected.media_type
        found = manifests.parse(raw, media_type=stated, about=reference)
        return Descriptor(found.media_type, digest, len(raw)), raw

    async def put_manifest(
        self,
        reference: Reference,
        descriptor: Descriptor,
        raw: bytes,
        *,
        known: Collection[Digest] = (),
    ) -> None:
        """Put a manifest under its digest, or move a tag to it. Once it returns, the registry has acknowledged it.

        known: content that was found in place before. Raises ContentMissing, naming what to push again, where the
        registry does not see what the manifest names.
        """
        repository, is_tag = reference.repository, isinstance(reference, TagReference)
        if len(raw) > MAX_MANIFEST_BYTES:
            raise InvalidContent(
                "pushing a manifest",
                about=reference,
                why=f"{len(raw)} bytes, more than the {MAX_MANIFEST_BYTES} allowed",
            )
        descriptor.check(raw, about=str(reference))
        operations = self._operations
        operations.will_write(repository)
        endpoint = operations.endpoint(repository)
        named = _Named(raw, descriptor.media_type)
        flow = put_plan.put(
            descriptor.digest,
            about=str(reference),
            is_tag=is_tag,
            names=named.digests,
            ours=lambda digest: operations.is_ours(repository, digest) or digest in known,
        )
        ask = self._ask(
            "PUT",
            reference,
            "moving a tag" if is_tag else "pushing a manifest",
            phase=Doing.PUT_MANIFEST,
            headers={"Content-Type": descriptor.media_type},
            body=raw,
        )
        began: float | None = None
        step = next(flow)
        try:
            while True:
                answer: put_plan.Result = None
                match step:
                    case put_plan.Put():
                        try:
                            answer = await endpoint.send(ask)
                        except BakeryError as error:
                            if not error.transient:
                                raise
                            answer = error
                    case put_plan.Look(settle):
                        answer = await self._settle(reference, descriptor.digest, settle=settle)
                    case put_plan.Pause(failures, because):
                        await operations.pause(repository, ask.doing, ask.about, failures, because)
                    case put_plan.AwaitContent(rounds, because):
                        began = self._clock.now() if began is None else began
                        answer = self._clock.now() - began < max(_CONTENT_PATIENCE_S, endpoint.longest_lag_s)
                        if answer:
                            await operations.wait_for_lag(
                                repository, ask.doing, ask.about, min(0.25 * 1.5**rounds, 5.0), because
                            )
                    case put_plan.WhatLacks(digests):
                        answer = await self._lacking(repository, named, digests)
                step = flow.send(answer)
        except StopIteration as done:
            operations.acknowledge(repository, descriptor.digest)
            if isinstance(reference, TagReference):
                operations.acknowledge(repository, reference.tag)
            reply: Reply | None = done.value
        except AuthError as error:
            error.hint = await endpoint.hint(repository)
            raise
        finally:
            flow.close()
        if named.may_have_subject and (reply is None or not reply.header("OCI-Subject")):
            await self._list_by_tag(repository, descriptor, named.view)

    async def _settle(self, reference: Reference, digest: Digest, *, settle: bool) -> Digest | None:
        """What the reference names now; with `settle`, watched until it names `digest` or has lagged long enough."""
        last: Digest | None = None

        async def look() -> Digest | None:
            nonlocal last
            found = await self._head(reference)
            last = found.digest if found is not None else None
            return last if last == digest else None

        within_s = self._operations.endpoint(reference.repository).longest_lag_s if settle else 0.0
        found = await self._operations.poll(
            reference.repository, "looking for a manifest", str(reference), look, within_s=within_s
        )
        return found or last

    async def _lacking(self, repository: Repository, named: _Named, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        lacking = []
        for digest in digests:
            descriptor = named.of(digest)
            if named.is_manifest(digest):
                there = await self.head_manifest(repository.with_digest(digest)) is not None
            elif descriptor is not None:
                there = await self.has_blob(repository, descriptor)
            else:
                there = True  # the manifest does not name it, so nobody could push it
            if not there:
                lacking.append(digest)
        return tuple(lacking)

    async def await_tag(
        self,
        reference: TagReference,
        digest: Digest,
        *,
        previous: Digest | None,
        within_s: float | None = None,
    ) -> Digest:
        """Watch a tag that was moved until it reads as `digest`. Absent or still at `previous` is lag.

        Raises TagTaken where it names a third thing, NotFound or RegistryError where time runs out.
        """
        began = self._clock.now()
        last: Digest | None = None

        async def look() -> Digest | None:
            nonlocal last
            found = await self._head(reference)
            last = found.digest if found is not None else None
            if last is not None and last not in (digest, previous):
                raise TagTaken("reading a tag back", about=reference, found=last)
            return last if last == digest else None

        limit_s = self._operations.left_s if within_s is None else within_s
        found = await self._operations.poll(
            reference.repository, "reading a tag back", str(reference), look, within_s=limit_s, key=reference.tag
        )
        waited_s = self._clock.now() - began
        if found is None:
            raise NotFound(
                "reading a tag back",
                about=reference,
                status=404 if last is None else 200,
                why=f"after {waited_s:.0f} s it still names {last or 'nothing'}, expected {digest}",
                hint="the registry lags, or another run moved the tag back; run it again",
            )
        return found

    async def delete_manifest(self, reference: Reference) -> bool:
        """Delete a tag, or a manifest by digest. False where the registry does not allow it. Gone already is True."""
        doing, repository = "deleting", reference.repository
        endpoint = self._operations.endpoint(repository)

        async def once() -> bool:
            # No one scope suits all: Quay refuses `delete`, IBM demands it, older distributions want `*`.
            for actions in ("pull,push,delete", "*"):
                ask = self._ask("DELETE", reference, doing, phase=Doing.DELETE)
                ask = ask.with_scopes((scope_of(repository, actions),))
                try:
                    reply = await endpoint.send(ask)
                except RegistryError as error:
                    if error.transient:
                        raise
                    _log.debug("%s", error)
                    continue
                if reply.status in (200, 202, 204, 404):
                    return True
                refused = await endpoint.refusal(reply, ask)
                if refused.transient:
                    raise refused
                _log.debug("%s", refused)
                if reply.status not in (401, 403):
                    return False
            return False

        return await self._attempt(reference, doing, once)

    async def list_tags(self, repository: Repository) -> list[str]:
        """All tags of a repository, in the registry's order. Raises NotFound where it does not exist."""
        return await self._lists.tags(repository)

    async def tag_names(self, repository: Repository) -> frozenset[str] | None:
        """The names of all tags, where one request tells them; None where it does not and each must be asked for."""
        return await self._lists.tag_names(repository)

    async def referrers(self, repository: Repository, digest: Digest) -> list[Descriptor]:
        """What refers to this manifest: by the referrers API, or by the fallback tag where there is no such API."""
        listed = await self._lists.referrers(repository, digest)
        return await self._referrers_by_tag(repository, digest) if listed is None else listed

    async def _referrers_by_tag(self, repository: Repository, digest: Digest) -> list[Descriptor]:
        reference = repository.with_tag(fallback.tag_of(digest))
        try:
            _, raw = await self.get_manifest(reference)
        except NotFound:
            return []
        found = manifests.parse(raw, about=reference)
        return list(found.manifests) if isinstance(found, manifests.Index) else []

    async def _list_by_tag(
        self, repository: Repository, descriptor: Descriptor, view: manifests.Manifest | manifests.Index
    ) -> None:
        """Where the registry does not list referrers itself: read the fallback index, add to it, write, read again."""
        subject = view.subject
        if subject is None or await self._lists.referrers(repository, subject.digest) is not None:
            return
        new, reference = fallback.entry_for(descriptor, view), repository.with_tag(fallback.tag_of(subject.digest))
        kept: tuple[Descriptor, ...] = ()
        async with self._fallback_locks.setdefault(reference, asyncio.Lock()):
            for _ in range(_MERGES):
                found = await self._referrers_by_tag(repository, subject.digest)
                kept = fallback.with_entry((*kept, *found), new)
                if {entry.digest for entry in found} >= {entry.digest for entry in kept}:
                    return
                index = encode_index(kept)
                await self.put_manifest(reference, index.descriptor, index.raw)
                # Others may write the same tag, and reads of it were seen to lag: what is there now is looked at again.
                await self._settle(reference, index.descriptor.digest, settle=True)
        _log.warning("%s: others keep rewriting the referrers of %s", repository, subject.digest)

    # Blobs

    async def has_blob(self, repository: Repository, descriptor: Descriptor, *, else_push: bool = False) -> bool:
        """Whether the registry has this blob now. else_push: it will be pushed if not, so the question may begin it."""
        return await self._blobs.has(repository, descriptor, else_push=else_push)

    def read_blob(
        self, repository: Repository, descriptor: Descriptor, *, must_exist: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The blob's bytes as they come, checked before the last ones are given out; goes on after a break.

        Close it (`contextlib.aclosing`) where it may be left early: it holds one of the host's slots.
        """
        return self._blobs.read(repository, descriptor, must_exist=must_exist)

    def fetch_blob(
        self, repository: Repository, descriptor: Descriptor, keep: Keep, *, must_exist: bool = False
    ) -> AsyncGenerator[int, None]:
        """The same, for a blob that need not pass through the event loop: `keep` gets its pieces in threads.

        Gives how much is kept, as it grows; the last step only once the whole was checked.
        """
        return self._blobs.fetch(repository, descriptor, keep, must_exist=must_exist)

    async def push_blob(
        self, repository: Repository, descriptor: Descriptor, open_body: OpenBody, *, small: bytes | None = None
    ) -> None:
        """Upload a blob; return once it is acknowledged or found. `open_body` gives a fresh reader per attempt."""
        await self._blobs.push(repository, descriptor, open_body, small=small)

    async def mount_blob(self, repository: Repository, descriptor: Descriptor, source: Repository) -> bool:
        """Take a blob over from another repository of the same registry. False where the registry will not."""
        return await self._blobs.mount(repository, descriptor, source)

    # What they share

    def _ask(self, method: str, reference: Reference, doing: str, **others: Any) -> Ask:
        repository = reference.repository
        endpoint = self._operations.endpoint(repository)
        url = endpoint.url(repository, f"manifests/{reference.identifier}")
        return Ask(method, url, repository, self._operations.scopes(repository), doing, str(reference), **others)

    async def _attempt(self, reference: Reference, doing: str, work: Callable[[], Awaitable[T]]) -> T:
        return await self._operations.attempt(reference.repository, doing, str(reference), work)


class _Named:
    """What a manifest names. Read only where that matters: few manifests have a subject, few puts are refused."""

    def __init__(self, raw: bytes, media_type: str) -> None:
        self._raw, self._media_type = raw, media_type

    @cached_property
    def view(self) -> manifests.Manifest | manifests.Index:
        return manifests.parse(self._raw, media_type=self._media_type)

    @property
    def may_have_subject(self) -> bool:
        return b'"subject"' in self._raw

    def digests(self) -> tuple[Digest, ...]:
        return (*self._blobs, *self._manifests)

    def of(self, digest: Digest) -> Descriptor | None:
        return self._blobs.get(digest) or self._manifests.get(digest)

    def is_manifest(self, digest: Digest) -> bool:
        return digest in self._manifests

    @cached_property
    def _blobs(self) -> dict[Digest, Descriptor]:
        blobs = () if isinstance(self.view, manifests.Index) else self.view.blobs
        return {blob.digest: blob for blob in blobs if blob.media_type not in mt.NONDISTRIBUTABLE}

    @cached_property
    def _manifests(self) -> dict[Digest, Descriptor]:
        subject = () if self.view.subject is None else (self.view.subject,)
        children = self.view.manifests if isinstance(self.view, manifests.Index) else ()
        return {child.digest: child for child in (*children, *subject)}


def _from_headers(reply: Reply) -> Descriptor | None:
    """The descriptor that a HEAD's headers give, or None where one is missing or odd."""
    media_type, length = mt.essence(reply.header("Content-Type")), reply.header("Content-Length")
    try:
        digest = Digest.parse(reply.header("Docker-Content-Digest"))
    except BadDigest:
        return None
    if media_type not in mt.ALL_MANIFESTS or not length.isdigit() or len(length) > 18:
        return None
    return Descriptor(media_type, digest, int(length))


def _digest_in(reference: Reference) -> Digest | None:
    return reference.digest if isinstance(reference, DigestReference) else None


def _check_asked(reference: Reference, found: Digest, ask: Ask) -> None:
    asked = _digest_in(reference)
    if asked is not None and asked.algorithm == found.algorithm and asked != found:
        raise DigestMismatch(
            ask.doing,
            about=reference,
            why=f"the registry answers with {found}",
            hint="the registry or a proxy before it alters content; pull it with another tool and compare",
        )
