"""The embedded registry: a complete OCI registry inside this process that can reproduce the faults of real ones.

It shares only the OCI vocabulary with the client, so that client and server cannot share one misreading of a spec.
"""

from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.tokens import Access, Scheme
from bakery.rehearsal.traits import Immutable, Redirects, Traits, UploadWay

__all__ = ["Access", "EmbeddedRegistry", "Immutable", "Redirects", "Scheme", "Traits", "UploadWay"]
