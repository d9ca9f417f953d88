"""The handlers of blobs that are there: whole, in part, and gone.

Source: OCI distribution-spec 1.1, "Pulling blobs" and "Deleting Blobs".
"""

from __future__ import annotations

from typing import Final

from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.ranges import NotSatisfiable, wanted
from bakery.rehearsal.registry import Call, Registry

_OCTETS: Final = "application/octet-stream"


async def get_blob(registry: Registry, call: Call) -> Answer:
    digest = call.found.digest
    assert digest is not None
    content = registry.storage.blob(call.found.repository, digest)
    if content is None:
        return failure("BLOB_UNKNOWN", detail={"digest": str(digest)})
    headers = (
        ("Content-Type", _OCTETS),
        ("Docker-Content-Digest", str(digest)),
        ("Accept-Ranges", "bytes"),
        ("ETag", f'"{digest}"'),
    )
    size = content.size or 0
    asked = call.head.headers.get("range")
    if asked and call.head.method == "GET":
        try:
            part = wanted(asked, size)
        except NotSatisfiable:
            refusal = failure("SIZE_INVALID", message="no byte of it is in that range", status=416)
            return refusal.with_header("Content-Range", f"bytes */{size}")
        if part is not None:
            start, length = part
            span = ("Content-Range", f"bytes {start}-{start + length - 1}/{size}")
            return Answer(206, (*headers, span), content, start, length)
    return Answer(200, headers, content)


async def delete_blob(registry: Registry, call: Call) -> Answer:
    assert call.found.digest is not None
    if not registry.traits.delete_blobs:
        return failure("UNSUPPORTED")
    if not registry.storage.drop_blob(call.found.repository, call.found.digest):
        return failure("BLOB_UNKNOWN", detail={"digest": str(call.found.digest)})
    return Answer(202)
