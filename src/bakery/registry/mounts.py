"""Mounts: blobs that a repository takes over from another one of the same registry.

A mount that fails is never a failure of the publish: the blob is uploaded instead. A registry that acknowledges every
mount would get broken images, so its mounts are proven once per run: one of a digest that no registry can have must
not succeed. Without the proof, a mount counts only after a HEAD.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from bakery.errors import BakeryError
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.registry import upload_plan as plan
from bakery.registry.answers import Purpose
from bakery.registry.http.message import HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.links import session_in
from bakery.registry.operation import Operation
from bakery.registry.retries import ClientState, Retries
from bakery.registry.verify import names_blob

_log = logging.getLogger(__name__)

_TRIES: Final = 2  # then the blob is uploaded
_MOUNT: Final = "mount blob"
Look = Callable[[Descriptor], Awaitable[bool]]


class Mounts:
    """The mounts into one repository. look: returns whether a HEAD finds a blob there."""

    def __init__(self, state: ClientState, repository: Repository, look: Look) -> None:
        self._state, self._repository, self._look = state, repository, look
        self._endpoint = state.endpoint(repository)
        self.sessions: dict[Digest, Url] = {}  # left open by mounts that were not carried out

    async def mount(self, blob: Descriptor, source: Repository, action: str = _MOUNT) -> bool:
        """Mount the blob from another repository of this registry. False if that did not succeed, for any reason.

        Only a 201 counts. A session that the registry opens instead is kept for the upload that follows. A mount from
        the same repository shows whether the blob exists, but not on every host.
        """
        self._state.will_write(self._repository)
        operation = self._operation(blob, source, action)
        retries = Retries(self._state, operation)
        try:
            for number in range(1, _TRIES + 1):
                try:
                    if number > 1 and await self._look(blob):
                        break  # the response was lost, the mount was not
                    response = await self._endpoint.send(operation)
                    if response.status == 201:
                        if await self._counts(response, blob, source):
                            break
                        return False
                    self._keep_session(response, blob)
                    refusal = await self._endpoint.refusal(response, operation) if response.status >= 400 else None
                    if refusal is None or not refusal.transient or number == _TRIES:
                        return False
                    await retries.pause(refusal)
                except BakeryError as error:
                    if not error.transient or number == _TRIES:
                        raise
                    await retries.pause(error)
        except BakeryError as error:
            # Harbor, Hub and GitLab refuse the login for a source that it may not read: then the blob is uploaded.
            _log.debug("not mounted: %s", error)
            return False
        self._state.acknowledge(self._repository, blob.digest)
        return True

    async def tells(self, pushed: Descriptor | None) -> bool:
        """Return whether a mount from the repository itself shows if a blob exists on this host; try it once.

        It does on distribution. A host that mounts nothing (ECR) opens a session for existing blobs as well, and they
        would be sent again. So the trial is a blob that was just pushed; until there is one, the result is False.
        """
        manners, stray = self._endpoint.manners, None
        if manners.mount_tells is None and pushed is not None:
            async with self._endpoint.mount_trial:
                if manners.mount_tells is None:
                    manners.mount_tells, stray = await self._try(pushed)
            if stray is not None:
                await self._abandon(pushed, stray)
        return manners.mount_tells is True

    async def _try(self, pushed: Descriptor) -> tuple[bool, Url | None]:
        """Return whether the host reports a blob that exists, and the session that it opened if it does not."""
        try:
            response = await self._endpoint.send(self._operation(pushed, self._repository, _MOUNT))
            if response.status == 201 and names_blob(response, pushed):
                return await self._prove(self._repository), None
            return False, self._session_of(response)
        except BakeryError as error:  # HEAD stays in use, and nothing is lost
            _log.debug("mounts do not show whether a blob exists: %s", error)
            return False, None

    async def _counts(self, response: HttpResponse, blob: Descriptor, source: Repository) -> bool:
        """Return whether a 201 means that the blob is there."""
        manners = self._endpoint.manners
        if manners.mounts_are_proven is None:
            async with self._endpoint.mount_trial:
                if manners.mounts_are_proven is None:
                    await self._prove(source)
        if manners.mounts_are_proven and names_blob(response, blob):
            return True
        return await self._look(blob)

    async def _prove(self, source: Repository) -> bool:
        """Mount a digest that no registry can have, and note whether the host refuses that. Hold `mount_trial`."""
        manners = self._endpoint.manners
        if manners.mounts_are_proven is None:
            nothing = Descriptor("application/octet-stream", Digest("sha256", secrets.token_hex(32)), 1)
            try:
                response = await self._endpoint.send(self._operation(nothing, source, "check mounts with"))
                manners.mounts_are_proven = response.status != 201 and response.status < 500
                if (stray := self._session_of(response)) is not None:
                    await self._abandon(nothing, stray)
            except BakeryError as error:
                _log.debug("mounts are not proven: %s", error)
                manners.mounts_are_proven = False
            if not manners.mounts_are_proven:
                _log.debug("%s: mounts count only after a HEAD", self._repository.registry)
        return manners.mounts_are_proven

    def _operation(self, blob: Descriptor, source: Repository, action: str) -> Operation:
        return self._state.operation(
            "POST",
            self._repository,
            f"blobs/uploads/?mount={blob.digest}&from={source.path}",
            action,
            f"{self._repository}@{blob.digest}",
            scopes=self._state.scopes(self._repository, mount_from=source),
            purpose=Purpose.OPEN_UPLOAD,
            body=b"",
        )

    def _session_of(self, response: HttpResponse) -> Url | None:
        return session_in(response, self._repository, self._endpoint.origin) if response.status == 202 else None

    def _keep_session(self, response: HttpResponse, blob: Descriptor) -> None:
        session = self._session_of(response)
        # A session elsewhere is left alone: a mount that fails in whatever way must not end the upload after it.
        if session is not None and session.origin == self._endpoint.origin:
            plan.note_chunk_size(response, self._endpoint.manners)
            self.sessions[blob.digest] = session

    async def _abandon(self, blob: Descriptor, session: Url) -> None:
        """Close a session that nothing will be sent to. It would expire anyway, so failures do not matter.

        Some registries require the right to delete for it: no such login is requested. Other origins are left alone.
        """
        if session.origin != self._endpoint.origin:
            return
        about = f"{self._repository}@{blob.digest}"
        try:
            await self._endpoint.send(
                self._state.operation(
                    "DELETE",
                    self._repository,
                    session,
                    "close upload for",
                    about,
                    purpose=Purpose.DELETE,
                    insists=False,
                )
            )
        except BakeryError as error:
            _log.debug("left open: %s", error)
