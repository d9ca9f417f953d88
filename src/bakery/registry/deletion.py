"""Deleting manifests and tags. Source: OCI distribution-spec 1.1, "Content Management"; scopes: registry.md 1.3."""

from __future__ import annotations

import logging
from typing import Final

from bakery.errors import BakeryError, NotFound, RegistryError
from bakery.oci.reference import Reference
from bakery.registry.answers import Purpose
from bakery.registry.operation import Operation
from bakery.registry.retries import ClientState, Retries
from bakery.registry.token import scope_of

_log = logging.getLogger(__name__)

_ACTION: Final = "delete"
_ACTIONS: Final = ("pull,push,delete", "*")  # no scope suits all: Quay refuses `delete`, older distributions need `*`


class Deletions:
    """Deletes from the registries of a run."""

    def __init__(self, state: ClientState) -> None:
        self._state = state

    async def remove(self, reference: Reference) -> BakeryError | None:
        """Delete a tag, or a manifest by digest. Return None if it was deleted, else why not.

        NotFound: it was absent already, or an earlier attempt whose response was lost deleted it. Any other result is
        the refusal of the registry. Raises only what is still transient after all retries.
        """
        repository = reference.repository
        endpoint = self._state.endpoint(repository)

        async def once() -> BakeryError | None:
            refusal: BakeryError | None = None
            for actions in _ACTIONS:
                operation = self._operation(reference, (scope_of(repository, actions),))
                try:
                    response = await endpoint.send(operation)
                except RegistryError as error:
                    if error.transient:
                        raise
                    _log.debug("%s", error)
                    refusal = refusal or error
                    continue
                if response.status in (200, 202, 204):
                    return None
                refused = await endpoint.refusal(response, operation)
                if refused.transient:
                    raise refused
                _log.debug("%s", refused)
                if response.status not in (401, 403):
                    return refused
                refusal = refused
            return refusal

        return await Retries(self._state, self._operation(reference, ())).attempt(once)

    async def delete(self, reference: Reference) -> bool:
        """Delete a tag, or a manifest by digest. False if the registry does not allow it; already absent is True."""
        refusal = await self.remove(reference)
        return refusal is None or isinstance(refusal, NotFound)

    def _operation(self, reference: Reference, scopes: tuple[str, ...]) -> Operation:
        target = f"manifests/{reference.identifier}"
        return self._state.operation(
            "DELETE", reference.repository, target, _ACTION, reference, purpose=Purpose.DELETE, scopes=scopes
        )
