"""What a download has received: counted, hashed and kept. Knows no network."""

from __future__ import annotations

from bakery.errors import DigestMismatch
from bakery.extent import Keep
from bakery.oci.descriptor import Descriptor


class Intake:
    """What a download has received so far: counted, hashed and kept, in whatever thread it arrives."""

    def __init__(self, blob: Descriptor, keep: Keep) -> None:
        self.blob, self._keep, self._hasher = blob, keep, blob.digest.hasher()
        self.size = 0
        self.skip = 0  # how many of the next bytes are known already

    def take(self, piece: memoryview) -> None:
        """Accept the next bytes."""
        if self.skip:
            passed = min(self.skip, len(piece))
            self.skip, piece = self.skip - passed, piece[passed:]
        if self.size + len(piece) <= self.blob.size:  # longer content is not kept
            self._hasher.update(piece)
            self._keep(piece, self.size)
        self.size += len(piece)

    def check(self, about: str) -> None:
        """Raise DigestMismatch if this is not the content that the descriptor names."""
        if self.size != self.blob.size or self._hasher.hexdigest() != self.blob.digest.hex:
            raise DigestMismatch(
                "cannot read blob",
                about=about,
                why=f"expected {self.blob.size} bytes of {self.blob.digest}, "
                f"got {self.size} with {self._hasher.hexdigest()}",
                hint="build and push the image again: the source or a proxy altered the content",
            )
