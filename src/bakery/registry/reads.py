"""Manifests and tags as registries have them: looked for, read verified, and read back after a write.

A look is a HEAD where the registry responds to it: cheaper, and Docker Hub does not count it. Where a HEAD is refused,
lacks headers or denies what a GET finds, a GET decides.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bakery.errors import AuthError, DigestMismatch, NotFound, RegistryError
from bakery.oci import media_type as mt
from bakery.oci.canonical import MAX_MANIFEST_BYTES
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, Reference, TagReference
from bakery.registry.answers import NO_HEAD, Meaning, Purpose, meaning_of
from bakery.registry.failure import TagTaken
from bakery.registry.http.message import HttpResponse
from bakery.registry.operation import Operation
from bakery.registry.retries import ClientState, Retries
from bakery.registry.verify import check_requested, descriptor_in, verified

_log = logging.getLogger(__name__)

# distribution responds 404 if Accept lacks the stored type, so all types are listed, for HEAD as well.
_ACCEPT: Final = {"Accept": ", ".join(mt.ALL_MANIFESTS)}
LOOK: Final = "look for manifest"
_READ: Final = "read manifest"


class Reads:
    """Reads the manifests and tags of every registry of a run."""

    def __init__(self, state: ClientState) -> None:
        self._state = state

    async def head(self, reference: Reference) -> Descriptor | None:
        """Return type, digest and size of what a reference names, or None if the registry does not have it.

        In a repository that this run writes to, a 403 means no more than that: Artifactory's virtual repositories send
        it for absent content, and if the permission is really missing, the write reports it.
        """
        try:
            return await self._retries("HEAD", reference, LOOK).attempt(partial(self._head, reference))
        except AuthError as error:
            if error.status != 403 or not self._state.writes_to(reference.repository):
                raise
            _log.debug("regarded as absent: %s", error)
            return None

    async def find(self, reference: Reference) -> Descriptor | None:
        """Return type, digest and size of what a reference names that should exist. If HEAD denies it, GET decides."""
        found = await self.head(reference)
        if found is None:
            found = await self._retries("GET", reference, LOOK).attempt(partial(self._despite_head, reference))
        return found

    async def _head(self, reference: Reference) -> Descriptor | None:
        endpoint = self._state.endpoint(reference.repository)
        if endpoint.manners.heads_are_wrong:
            return await self._got(reference)
        operation = self._operation("HEAD", reference, LOOK, headers=_ACCEPT)
        response = await endpoint.send(operation)
        if response.status == 200:
            found = descriptor_in(response)
            if found is not None:
                check_requested(reference, found.digest, operation)
                if endpoint.manners.etags_are_digests is None and (etag := response.header("ETag")):
                    endpoint.manners.etags_are_digests = etag == f'"{found.digest}"'
                return found
        elif meaning_of(response, Purpose.READ) is Meaning.ABSENT:
            return None
        elif response.status not in NO_HEAD:
            raise await endpoint.refusal(response, operation)
        # No usable headers, no HEAD, or a 403 without a body that states the reason: GHCR's may be a rate limit.
        return await self._got(reference)

    async def _got(self, reference: Reference) -> Descriptor | None:
        got = await self._get(reference, LOOK)
        return got.descriptor if got is not None else None

    async def get(
        self,
        reference: Reference,
        *,
        must_exist: bool = False,
        within_s: float | None = None,
        expected: Descriptor | None = None,
    ) -> RawManifest:
        """Return a manifest, verified. Raises NotFound if it is missing.

        must_exist: a 404 is lag, and is waited for during `within_s` seconds, or as long as the client's limit.
        expected: the descriptor that led here; type, size and digest must match it.
        """
        retries = self._retries("GET", reference, _READ)
        look = partial(self._get, reference, _READ, expected)
        if must_exist:
            within_s = self._state.patience_s if within_s is None else within_s
            digest = reference.digest if isinstance(reference, DigestReference) else None
            found = await retries.poll(look, within_s=within_s, key=digest)
        else:
            found = await retries.attempt(look)
        if found is None:
            hint = "check that it was pushed" if must_exist else "check the name"
            raise NotFound(f"cannot {_READ}", about=reference, status=404, why="not found", hint=hint)
        return found

    async def await_manifest(self, reference: DigestReference, *, within_s: float | None = None) -> Descriptor:
        """Look until a manifest that this run pushed can be read. A 404 is lag until `within_s` ends.

        A HEAD that keeps denying it does not decide: a GET does.
        """
        began, retries = self._state.clock.now(), self._retries("HEAD", reference, "read back manifest")
        found = await retries.poll(
            self._look_back(reference),
            within_s=self._state.patience_s if within_s is None else within_s,
            key=reference.digest,
        )
        found = found or await retries.attempt(partial(self._despite_head, reference))
        if found is None:
            raise NotFound(
                "cannot read back manifest",
                about=reference,
                status=404,
                why=f"still absent after {self._state.clock.now() - began:.0f} s",
                hint="run the command again: the registry lags, or the manifest was deleted",
            )
        return found

    async def await_tag(
        self, reference: TagReference, digest: Digest, *, previous: Digest | None, within_s: float | None = None
    ) -> Digest:
        """Look until a tag that this run moved reads as `digest`. Absent, or still at `previous`, is lag.

        A HEAD that keeps saying so does not decide: a GET does. Raises TagTaken if the tag names a third digest,
        NotFound if time runs out.
        """
        began, retries = self._state.clock.now(), self._retries("HEAD", reference, "read back tag")
        last: Digest | None = None

        def judged(found: Descriptor | None) -> Digest | None:
            nonlocal last
            last = found.digest if found is not None else None
            if last is not None and last not in (digest, previous):
                raise TagTaken("cannot read back tag", about=reference, found=last)
            return last if last == digest else None

        look_back = self._look_back(reference)

        async def look() -> Digest | None:
            return judged(await look_back())

        limit_s = self._state.patience_s if within_s is None else within_s
        found = await retries.poll(look, within_s=limit_s, key=reference.tag)
        if found is None and (got := await retries.attempt(partial(self._despite_head, reference))) is not None:
            found = judged(got)
        if found is None:
            waited_s = self._state.clock.now() - began
            raise NotFound(
                "cannot read back tag",
                about=reference,
                status=404 if last is None else 200,
                why=f"it still names {last or 'nothing'} after {waited_s:.0f} s, expected {digest}",
                hint="run the command again: the registry lags, or another run moved the tag back",
            )
        return found

    def _look_back(self, reference: Reference) -> Callable[[], Awaitable[Descriptor | None]]:
        """Return a look for what this run wrote: by HEAD, and once by GET when lag should have ended."""
        clock, endpoint = self._state.clock, self._state.endpoint(reference.repository)
        doubted_at: float | None = clock.now() + endpoint.longest_lag_s

        async def look() -> Descriptor | None:
            nonlocal doubted_at
            found = await self._head(reference)
            if found is None and doubted_at is not None and clock.now() >= doubted_at:
                found = await self._despite_head(reference)
                doubted_at = None
            return found

        return look

    async def _despite_head(self, reference: Reference) -> Descriptor | None:
        """Return what a GET finds although a HEAD did not. If the next HEAD does not either, the host gets no more."""
        manners = self._state.endpoint(reference.repository).manners
        if manners.heads_are_wrong:
            return None  # the looks were GETs already
        try:
            got = await self._got(reference)
        except RegistryError as error:
            if error.transient:
                raise
            _log.debug("regarded as absent: %s", error)
            return None
        if got is not None:
            found = await self._head(reference)
            manners.heads_are_wrong = found is None or found.digest != got.digest  # else it was only lag
        return got

    async def _get(
        self, reference: Reference, action: str, expected: Descriptor | None = None, *, is_second: bool = False
    ) -> RawManifest | None:
        endpoint = self._state.endpoint(reference.repository)
        operation = self._operation("GET", reference, action, headers=_ACCEPT, limit_bytes=MAX_MANIFEST_BYTES)
        response = await endpoint.send(operation)
        if response.status != 200:
            if meaning_of(response, Purpose.READ) is Meaning.ABSENT:
                return None
            raise await endpoint.refusal(response, operation)
        try:
            return verified(response, reference, operation, expected)
        except DigestMismatch as error:
            if is_second or not _is_other(response, reference):
                raise
            _log.warning("%s: %s; it is read once more", reference, error.why)
            return await self._get(reference, action, expected, is_second=True)

    def _operation(self, method: str, reference: Reference, action: str, **others: object) -> Operation:
        target = f"manifests/{reference.identifier}"
        return self._state.operation(method, reference.repository, target, action, reference, **others)  # type: ignore[arg-type]  # by name

    def _retries(self, method: str, reference: Reference, action: str) -> Retries:
        return Retries(self._state, self._operation(method, reference, action))


def _is_other(response: HttpResponse, reference: Reference) -> bool:
    """Return whether these are not the bytes that the digest names: a cache on the way may be wrong once."""
    digest = reference.digest if isinstance(reference, DigestReference) else None
    return digest is not None and Digest.of(response.body, digest.algorithm) != digest
