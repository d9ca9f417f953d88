"""What a check of published tags expects and what it found (`bakery verify`). Values only."""

from __future__ import annotations

from msgspec import Struct

from bakery.errors import AuthError, BakeryError, ExitCode
from bakery.oci.digest import Digest
from bakery.oci.reference import Reference
from bakery.publish.outcome import ArtifactOutcome


class Drift(BakeryError):
    """What is published differs from what is expected."""

    error_code = "publish/drift"


class Expected(Struct, frozen=True):
    """A tag, or a digest, and what must hold for it.

    digest: what it must name; None if any image will do. platforms: that must be there, such as "linux/amd64". group:
    tags of one group must name the same digest and have the same attestations and signatures; "" is not compared.
    artifacts: signatures, attachments and referrers that must be in the repository.
    """

    reference: Reference
    digest: Digest | None = None
    platforms: tuple[str, ...] = ()
    group: str = ""
    artifacts: tuple[ArtifactOutcome, ...] = ()


class Attached(Struct, frozen=True):
    """How many signatures and attestations refer to a manifest."""

    signatures: int = 0
    attestations: int = 0


class Checked(Struct, frozen=True):
    """What was found at one reference. problems: in what it differs from what is expected; none if it is right.

    attestations: in the index, and cosign tags and referrers of the index. signatures: cosign tags and referrers of the
    index. blobs, manifests: how many were looked for. error: why it could not be checked.
    """

    expected: Expected
    digest: Digest | None = None
    platforms: tuple[str, ...] = ()
    attestations: int = 0
    signatures: int = 0
    manifests: int = 0
    blobs: int = 0
    problems: tuple[str, ...] = ()
    error: BakeryError | None = None

    @property
    def is_right(self) -> bool:
        """Whether everything is as expected."""
        return not self.problems and self.error is None


class Audit(Struct, frozen=True):
    """All references that were checked."""

    checked: tuple[Checked, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 if anything differs, 4 if nothing could be read for the lack of a login, else 0."""
        wrong = [one for one in self.checked if not one.is_right]
        if not wrong:
            return ExitCode.DONE
        if all(isinstance(one.error, AuthError) for one in wrong):
            return ExitCode.AUTHENTICATION
        return ExitCode.FAILED
