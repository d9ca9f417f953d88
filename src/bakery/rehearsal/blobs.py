"""Handlers for blobs: download, partial download, delete.

Source: OCI distribution-spec 1.1, "Pulling blobs" and "Deleting Blobs".
"""

from __future__ import annotations

from bakery.rehearsal.ranges import NotSatisfiable, requested_range
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.state import Call, RegistryState


async def get_blob(registry: RegistryState, call: Call) -> Response:
    digest = call.resource.digest
    assert digest is not None
    content = registry.storage.blob(call.resource.repository, digest)
    if content is None:
        return error_response("BLOB_UNKNOWN", {"digest": str(digest)})
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("ETag", f'"{digest}"'),
        *registry.read_headers(digest),
        *((("Accept-Ranges", "bytes"),) if registry.traits.ranges else ()),
    )
    size = content.size or 0
    header = call.head.headers.get("range")
    if header and registry.traits.ranges and call.head.method == "GET":
        try:
            part = requested_range(header, size)
        except NotSatisfiable:
            refusal = error_response("SIZE_INVALID", message="no byte is in that range", status=416)
            return refusal.with_header("Content-Range", f"bytes */{size}")
        if part is not None:
            start, length = part
            content_range = ("Content-Range", f"bytes {start}-{start + length - 1}/{size}")
            return Response(206, (*headers, content_range), content, start, length)
    return Response(200, headers, content)


async def delete_blob(registry: RegistryState, call: Call) -> Response:
    assert call.resource.digest is not None
    if not registry.traits.delete_blobs:
        return error_response("UNSUPPORTED")
    if not registry.storage.drop_blob(call.resource.repository, call.resource.digest):
        return error_response("BLOB_UNKNOWN", {"digest": str(call.resource.digest)})
    return Response(202)
