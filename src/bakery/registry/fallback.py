"""The index that stands in for the referrers API where a registry has none: its tag, its entries. Pure.

Source: OCI distribution-spec 1.1, "Referrers Tag Schema". The tag is shared by all who refer to a manifest, and no
registry compares and sets: what was there is kept, and whoever writes reads it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest


def tag_of(subject: Digest) -> str:
    """`sha256-9f86…`: the tag of the index that lists what refers to this manifest."""
    return f"{subject.algorithm[:32]}-{subject.hex[:64]}"


def entry_for(descriptor: Descriptor, view: Manifest | Index) -> Descriptor:
    """How a manifest with a subject is listed: with its annotations and its artifact type, as the API would."""
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
    """These entries and the new one, each digest once."""
    return tuple({entry.digest: entry for entry in (*entries, new)}.values())
