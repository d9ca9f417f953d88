"""What is known of repositories besides what registries list. A value; `app.known` reads it from files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from bakery.oci.digest import Digest
from bakery.oci.reference import Repository


class Known(Struct, frozen=True):
    """Manifests by repository, each with the newest time that a file states, or None.

    kept: those of them that must stay: they are known, so that nothing that they need is deleted. leftovers: those that
    an earlier clean-up was about to delete.
    """

    manifests: Mapping[Repository, Mapping[Digest, datetime | None]] = field(default_factory=dict)
    kept: frozenset[Digest] = frozenset()
    leftovers: frozenset[Digest] = frozenset()

    def of(self, repository: Repository) -> Mapping[Digest, datetime | None]:
        """Return the manifests of one repository."""
        return self.manifests.get(repository, {})

    def within(self, prefix: str) -> Known:
        """Return what is in a registry, or below a path of one. "" is everywhere."""
        base = prefix.rstrip("/")
        return Known(
            {
                repository: found
                for repository, found in self.manifests.items()
                if not base or f"{repository}/".startswith(f"{base}/")
            },
            self.kept,
            self.leftovers,
        )
