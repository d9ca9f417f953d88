"""What became of each tag in a rollback. Values only."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bakery.errors import BakeryError, ExitCode
from bakery.oci.digest import Digest
from bakery.publish.changes import Change


class Found(StrEnum):
    """What became of a tag, or would become of it."""

    RESTORE = "restore"  # only in a plan: it would be restored
    RESTORED = "restored"
    ALREADY = "already restored"
    LEFT = "left"  # something else moved it since
    FAILED = "failed"


class RolledBack(Struct, frozen=True):
    """One tag. named: what it named when it was read. error: of FAILED."""

    change: Change
    found: Found
    named: Digest | None = None
    error: BakeryError | None = None


class Rollback(Struct, frozen=True):
    """A rollback, or its plan."""

    tags: tuple[RolledBack, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 if a tag was left or failed; 4 if every such tag failed for the login."""
        failed = [one for one in self.tags if one.found in (Found.LEFT, Found.FAILED)]
        if not failed:
            return ExitCode.DONE
        codes = {one.error.exit_code if one.error else ExitCode.FAILED for one in failed}
        return codes.pop() if len(codes) == 1 else ExitCode.FAILED
