"""The index that replaces the referrers API on registries without it: its tag and its entries. Pure.

Source: OCI distribution-spec 1.1, "Referrers Tag Schema". All referrers of a manifest share the tag, and no registry
offers compare-and-set: existing entries are kept, and after a write the index is read again.
"""

from __future__ import annotations

from collections.abc import Sequence

from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import Index, Manifest
from bakery.oci.reference import DigestReference, TagReference


def tag_of(subject: DigestReference) -> TagReference:
    """Return the tag of the index that lists the referrers of this manifest: `sha256-9f86…`."""
    return subject.repository.with_tag(f"{subject.digest.algorithm[:32]}-{subject.digest.hex[:64]}")


def entry_for(descriptor: Descriptor, view: Manifest | Index) -> Descriptor:
    """Return the entry for a manifest with a subject: with annotations and artifact type, as the API would list it."""
    artifact_type = view.artifact_type
    if not artifact_type and isinstance(view, Manifest):
        artifact_type = view.config.media_type
    return Descriptor(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        annotations=dict(view.annotations),
        artifact_type=artifact_type,
    )


def with_entry(entries: Sequence[Descriptor], new: Descriptor) -> tuple[Descriptor, ...]:
    """Return these entries and the new one, each digest once."""
    return tuple({entry.digest: entry for entry in (*entries, new)}.values())
