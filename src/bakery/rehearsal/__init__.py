"""The embedded registry: a whole OCI registry in this process, which can be told to misbehave as real ones do.

It imports nothing that the client uses but the OCI vocabulary, so that the two cannot share one misreading.
"""

from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.tokens import Access, Scheme
from bakery.rehearsal.traits import Immutable, Traits

__all__ = ["Access", "EmbeddedRegistry", "Immutable", "Scheme", "Traits"]
