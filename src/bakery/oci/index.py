"""Index documents: the JSON of an OCI index, written in one place.

Reading an index is `manifest.parse`. Source: OCI image-spec 1.1, image-index.md; soci.md, "JSON bytes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bakery.oci import canonical
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import RawManifest


def index_document(
    entries: Iterable[Mapping[str, Any]],
    members: Mapping[str, Any] | None = None,
    *,
    media_type: str = mt.OCI_INDEX,
) -> dict[str, Any]:
    """Return the JSON object of an index. entries: its manifests, as descriptors in JSON, in order.

    members: further members such as `annotations`, or all members of the index that this one replaces.
    """
    fixed = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}
    return {**(members or {}), **fixed}


def encode_index(
    entries: Iterable[Descriptor | Mapping[str, Any]],
    members: Mapping[str, Any] | None = None,
    *,
    media_type: str = mt.OCI_INDEX,
) -> RawManifest:
    """Return an index of these entries in canonical JSON: the same arguments give the same digest.

    An entry may be JSON, to keep members of a descriptor that this program does not know. members: see index_document.
    """
    listed = (entry.to_json() if isinstance(entry, Descriptor) else entry for entry in entries)
    document = index_document(listed, members, media_type=media_type)
    return RawManifest.of(canonical.encode(document, canonical.INDEX), media_type)
