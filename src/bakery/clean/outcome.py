"""What a clean-up is going to do, and what became of it. Values only: reports read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field

from bakery.errors import AuthError, BakeryError, ExitCode
from bakery.oci.digest import Digest
from bakery.oci.reference import Reference, Repository


class Fate(StrEnum):
    """What became of something that was to be deleted."""

    PLANNED = "planned"
    DELETED = "deleted"
    GONE = "gone"  # another client deleted it
    REFUSED = "refused"  # the registry does not allow it
    KEPT = "kept"  # it became needed, or what it belongs to was refused
    FAILED = "failed"


class NotAllowed(BakeryError):
    """The registry does not allow any user to delete this. Not a failure of the clean-up."""

    error_code = "registry/unsupported"


class Deletion(Struct, frozen=True):
    """A manifest, or a tag of one that stays. size_bytes: of the manifest and its blobs.

    why: what selected it, or what it goes with. key: see Item. order: the round in which it goes; an index goes before
    its children. detail: why it was refused, kept or failed.
    """

    reference: Reference
    digest: Digest
    tags: tuple[str, ...]
    why: str
    size_bytes: int
    key: str = ""
    order: int = 0
    fate: Fate = Fate.PLANNED
    detail: str = ""


class KeptItem(Struct, frozen=True):
    """A manifest that the criteria select and that stays. why: what keeps it."""

    digest: Digest
    tags: tuple[str, ...]
    why: str


class RepositoryPlan(Struct, frozen=True):
    """One repository. stays: how many manifests are left. freed_bytes: an estimate.

    below: for each manifest that goes, what belongs to it: that goes only if its owner has gone. unread: why manifests
    that are selected stay: they could not be read, so that it is not known what they are.
    """

    repository: Repository
    deletions: tuple[Deletion, ...] = ()
    kept: tuple[KeptItem, ...] = ()
    stays: int = 0
    freed_bytes: int = 0
    notes: tuple[str, ...] = ()
    below: Mapping[Digest, Sequence[Digest]] = field(default_factory=dict)
    unread: tuple[BakeryError, ...] = ()


class RepositoryOutcome(Struct, frozen=True):
    """What became of one repository. exists: False if the registry does not have it: then nothing is to be done.

    failure: why nothing could be decided, so that nothing was deleted. errors: of single deletions.
    """

    plan: RepositoryPlan
    exists: bool = True
    failure: BakeryError | None = None
    errors: tuple[BakeryError, ...] = ()

    @property
    def all_errors(self) -> tuple[BakeryError, ...]:
        """Why anything that should have happened did not."""
        own = () if self.failure is None else (self.failure,)
        return (*own, *self.plan.unread, *self.errors)


class CleanOutcome(Struct, frozen=True):
    """A whole clean-up. is_plan: nothing was deleted, this is what would be."""

    repositories: tuple[RepositoryOutcome, ...]
    is_plan: bool = False

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        """Everything that is deleted, or was to be."""
        return tuple(one for place in self.repositories for one in place.plan.deletions)

    @property
    def exit_code(self) -> ExitCode:
        """0 done · 1 something failed · 4 every failure is one of authentication."""
        errors = [error for place in self.repositories for error in place.all_errors]
        if not errors:
            return ExitCode.DONE
        if all(isinstance(error, AuthError) for error in errors):
            return ExitCode.AUTHENTICATION
        return ExitCode.FAILED
