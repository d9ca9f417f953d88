"""The layouts that go to `soci convert` and come back from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bakery.errors import BadDocument
from bakery.oci import manifest as views
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import Index, Manifest, RawManifest, is_attestation
from bakery.oci.reference import Repository
from bakery.publish.image import AssembledImage, Child
from bakery.transfer.layout import REF_NAME, Layout, open_layout

_ACTION = "cannot read the output of 'soci convert'"


def keep_only_tagged(layout: Path) -> None:
    """Remove the entries without a tag from a layout's index.json.

    `oras cp --to-oci-layout` lists the children too (1.3.6), and `soci convert` then takes them for images without a
    platform: "manifest should have proper platform".
    """
    file = layout / "index.json"
    document: dict[str, Any] = json.loads(file.read_bytes())
    document["manifests"] = [entry for entry in document["manifests"] if REF_NAME in entry.get("annotations", {})]
    file.write_text(json.dumps(document))


def read_converted(path: Path, home: Repository, before: AssembledImage) -> AssembledImage:
    """Return the image that soci wrote to a layout. home: the repository to which it is pushed."""
    with open_layout(path) as layout:
        root = layout.top().manifests[0].bare()
        raw = _content(layout, root)
        index = views.parse(raw, media_type=root.media_type, about=root.digest)
        if not isinstance(index, Index):
            raise BadDocument(_ACTION, about=root.digest, why="it is not an index")
        children = []
        for entry in index.manifests:
            document = _content(layout, entry)
            manifest = views.parse(document, media_type=entry.media_type, about=entry.digest)
            if not isinstance(manifest, Manifest):
                raise BadDocument(_ACTION, about=entry.digest, why="it is not an image manifest")
            children.append(Child(RawManifest(entry, document), manifest, home))
    notes = before.notes
    if any(is_attestation(child.descriptor) for child in before.children):
        notes = (*notes, "soci drops the annotations of attestations; the native engine keeps them")
    return AssembledImage(RawManifest(root, raw), tuple(children), notes=notes)


def _content(layout: Layout, descriptor: Descriptor) -> bytes:
    raw = layout.document(descriptor)
    if raw is None:
        raise BadDocument(_ACTION, about=descriptor.digest, why="it is not in the layout")
    return raw
