"""Manifests and tags: put, move, delete, list as referrers. They are read in `reads`. put_plan and answers decide.

An acknowledged write is never repeated; if its response was lost, it is looked for first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from typing import Final

from bakery.errors import AuthError, BakeryError, InvalidContent, NotFound
from bakery.events import Noted
from bakery.oci import manifest as views
from bakery.oci.canonical import MAX_MANIFEST_BYTES
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.reference import DigestReference, Reference, Repository, TagReference
from bakery.polling import poll_delays
from bakery.registry import fallback, put_plan
from bakery.registry.answers import Purpose
from bakery.registry.blobs import Blobs
from bakery.registry.deletion import Deletions
from bakery.registry.failure import ConditionFailed
from bakery.registry.http.message import HttpResponse
from bakery.registry.listing import Listings
from bakery.registry.operation import Operation
from bakery.registry.reads import LOOK, Reads
from bakery.registry.retries import ClientState, Retries
from bakery.registry.step import Backoff, LookUp
from bakery.registry.verify import Named

_log = logging.getLogger(__name__)

_CONTENT_PATIENCE_S: Final = 30.0  # how long content that this run pushed may be unknown before it counts as lost
_LAG_SHARE: Final = 1.25  # how far the lag of a tag may exceed what was seen on the host, and by how much more
_LAG_MARGIN_S: Final = 0.75
_MERGES: Final = 5  # how often a fallback index is rewritten before giving way to other writers
_REFERRERS_S: Final = 60.0  # the longest time that listing a referrer may delay a release


class Manifests(Reads):
    """The manifests and tags of every registry of a run."""

    def __init__(self, state: ClientState, blobs: Callable[[Repository], Blobs], listings: Listings) -> None:
        super().__init__(state)
        self._blobs, self._listings = blobs, listings
        self._deletions = Deletions(state)
        self._fallback_locks: dict[TagReference, asyncio.Lock] = {}

    async def put(
        self,
        reference: Reference,
        manifest: RawManifest,
        *,
        known: Collection[Digest] = (),
        replacing: Digest | None = None,
    ) -> None:
        """Put a manifest under its digest, or move a tag to it. Return once the registry has acknowledged it.

        known: content that was found in place before. Raises ContentMissing, which names what to push again, if the
        registry does not find what the manifest names.
        replacing: what the tag must name for the move to happen, where the registry's ETags allow such a condition;
        raises ConditionFailed if it names something else by then.
        """
        manners = self._state.endpoint(reference.repository).manners
        condition = {"If-Match": f'"{replacing}"'} if replacing is not None and manners.etags_are_digests else {}
        try:
            await self._put(reference, manifest, known, condition)
        except ConditionFailed as error:
            if error.found != replacing:
                raise
            # The condition holds, so this registry does not mean what RFC 9110 does: it gets none any more.
            manners.etags_are_digests = False
            await self._put(reference, manifest, known, {})

    async def _put(
        self, reference: Reference, manifest: RawManifest, known: Collection[Digest], condition: Mapping[str, str]
    ) -> None:
        descriptor, raw, state = manifest.descriptor, manifest.raw, self._state
        repository, is_tag = reference.repository, isinstance(reference, TagReference)
        action = put_plan.MOVE if is_tag else put_plan.PUSH
        if len(raw) > MAX_MANIFEST_BYTES:
            why = f"{len(raw)} bytes, more than the {MAX_MANIFEST_BYTES} allowed"
            raise InvalidContent(f"cannot {action}", about=reference, why=why)
        descriptor.check(raw, about=str(reference))
        state.will_write(repository)
        named = Named(raw, descriptor.media_type)
        flow = put_plan.put(
            descriptor.digest,
            about=str(reference),
            is_tag=is_tag,
            names=named.digests,
            ours=lambda digest: digest in known or state.acknowledged_at(repository, digest) is not None,
            is_ascii=raw.isascii(),
            is_conditional=bool(condition),
        )
        headers = {"Content-Type": descriptor.media_type, **condition}
        operation = self._operation("PUT", reference, action, purpose=Purpose.PUT_MANIFEST, headers=headers, body=raw)
        try:
            response = await self._carry_out(flow, operation, reference, named, descriptor.digest)
        except (AuthError, NotFound) as error:
            error.hint = await state.endpoint(repository).hint_for(error, repository)
            raise
        state.acknowledge(repository, descriptor.digest)
        if isinstance(reference, TagReference):
            state.acknowledge(repository, reference.tag)
        if named.may_have_subject and (response is None or not response.header("OCI-Subject")):
            await self._list_referrer(reference.repository, descriptor, named.view)

    async def _carry_out(
        self,
        flow: Generator[put_plan.Step, put_plan.Result, HttpResponse | None],
        operation: Operation,
        reference: Reference,
        named: Named,
        digest: Digest,
    ) -> HttpResponse | None:
        state, endpoint = self._state, self._state.endpoint(reference.repository)
        retries, delays = Retries(state, operation), poll_delays()
        patience_until: float | None = None
        step = next(flow)
        try:
            while True:
                result: put_plan.Result = None
                match step:
                    case put_plan.Put():
                        try:
                            result = await endpoint.send(operation)
                        except BakeryError as error:
                            if not error.transient:
                                raise
                            result = error
                    case LookUp(settle, doubt):
                        retries.report(doubt)
                        result = await self._settle(reference, digest, settle=settle, is_harmless=True)
                    case Backoff(because):
                        await retries.pause(because)
                    case put_plan.AwaitContent(because):
                        if patience_until is None:
                            patience_until = state.clock.now() + max(_CONTENT_PATIENCE_S, endpoint.longest_lag_s)
                        result = state.clock.now() < patience_until
                        if result:
                            await retries.wait_for_lag(next(delays), because)
                    case put_plan.FindMissing(digests):
                        result = await self._missing(reference.repository, named, digests)
                step = flow.send(result)
        except StopIteration as done:
            response: HttpResponse | None = done.value
            return response
        finally:
            flow.close()

    async def delete(self, reference: Reference) -> bool:
        """Delete a tag, or a manifest by digest. False if the registry does not allow it; already absent is True."""
        return await self._deletions.delete(reference)

    async def remove(self, reference: Reference) -> BakeryError | None:
        """Delete a tag, or a manifest by digest. Return None, or why it was not deleted (see `Deletions.remove`)."""
        return await self._deletions.remove(reference)

    async def referrers(self, reference: DigestReference) -> list[Descriptor]:
        """Return what refers to a manifest: by the referrers API, or by the fallback tag if it lacks that API."""
        listed = await self._listings.referrers(reference)
        return await self._referrers_by_tag(fallback.tag_of(reference)) if listed is None else listed

    async def _referrers_by_tag(self, tag: TagReference) -> list[Descriptor]:
        try:
            index = await self.get(tag)
        except NotFound:
            return []
        found = views.parse(index.raw, about=tag)
        return list(found.manifests) if isinstance(found, Index) else []

    async def _list_referrer(self, repository: Repository, descriptor: Descriptor, view: Manifest | Index) -> None:
        """Make a manifest known as a referrer of its subject. A failure is only a warning: the manifest is there."""
        if view.subject is None:
            return
        subject = repository.with_digest(view.subject.digest)
        try:
            async with asyncio.timeout(_REFERRERS_S):
                if not await self._listings.has_referrers_api(subject):
                    await self._list_by_tag(subject, descriptor, view)
        except (BakeryError, TimeoutError) as error:
            why = str(error) or f"no result after {_REFERRERS_S:.0f} s"
            self._state.emit(Noted("", f"{descriptor.digest} may not be listed as a referrer of {subject}: {why}"))

    async def _list_by_tag(self, subject: DigestReference, descriptor: Descriptor, view: Manifest | Index) -> None:
        """Add a manifest to the fallback index of its subject."""
        new, tag = fallback.entry_for(descriptor, view), fallback.tag_of(subject)
        kept: tuple[Descriptor, ...] = ()
        async with self._fallback_locks.setdefault(tag, asyncio.Lock()):
            for _ in range(_MERGES):
                found = await self._referrers_by_tag(tag)
                kept = fallback.with_entry((*kept, *found), new)
                if {entry.digest for entry in found} >= {entry.digest for entry in kept}:
                    return
                index = encode_index(kept)
                await self.put(tag, index)
                # Other runs may write the same tag, and reads of it may lag: what it names now is read again.
                await self._settle(tag, index.descriptor.digest, settle=True)
        _log.warning("other runs keep rewriting the referrers of %s", subject)

    async def _settle(
        self, reference: Reference, digest: Digest, *, settle: bool, is_harmless: bool = False
    ) -> Digest | None:
        """Return what the reference names; with `settle`, once it names `digest` or has lagged long enough.

        is_harmless: whether writing it again changes nothing, should the look end too early. For a tag it does not,
        and a run waits for its last tag: once the lag of the host is known, the look is not much longer than that.
        """
        last: Digest | None = None

        async def look() -> Digest | None:
            nonlocal last
            found = await self._head(reference)
            last = found.digest if found is not None else None
            return last if last == digest else None

        endpoint = self._state.endpoint(reference.repository)
        within_s = endpoint.longest_lag_s if settle else 0.0
        if is_harmless and isinstance(reference, TagReference) and endpoint.sure_lag_s:
            within_s = min(within_s, _LAG_SHARE * endpoint.sure_lag_s + _LAG_MARGIN_S)
        return await self._retries("HEAD", reference, LOOK).poll(look, within_s=within_s) or last

    async def _missing(self, repository: Repository, named: Named, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """Return those of these digests that the repository does not have."""
        absent = []
        for digest in digests:
            blob = named.blobs.get(digest)
            if digest in named.manifests:
                is_there = await self.head(repository.with_digest(digest)) is not None
            elif blob is not None:
                is_there = await self._blobs(repository).has(blob)
            else:
                is_there = True  # the manifest does not name it, so it cannot be pushed
            if not is_there:
                absent.append(digest)
        return tuple(absent)
