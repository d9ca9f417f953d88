"""Handlers that receive blobs: upload sessions, single POSTs, mounts. uploads.py defines what a session is.

Source: OCI distribution-spec 1.1, "Pushing blobs"; where registries differ, a trait decides.
"""

from __future__ import annotations

from bakery.errors import BadDigest
from bakery.oci import manifest as oci
from bakery.oci.digest import Digest
from bakery.rehearsal.manifests import read_all
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.routes import is_name
from bakery.rehearsal.state import Call, RegistryState
from bakery.rehearsal.storage import StoredRepository
from bakery.rehearsal.traits import MIB, UploadWay
from bakery.rehearsal.uploads import Placement, Upload, placement, range_header


class _ChunkTooLarge(Exception):
    """A chunk is larger than this registry allows."""


async def start_upload(registry: RegistryState, call: Call) -> Response:
    name = call.resource.repository
    if registry.traits.repositories_must_exist and registry.known(name) is None:
        return error_response("NAME_UNKNOWN", {"name": name})
    if call.parameter("mount"):
        mounted = _mount(registry, call)
        if mounted is not None:
            return mounted
    algorithm = call.parameter("digest-algorithm") or "sha256"
    text = call.parameter("digest")
    try:
        digest = Digest.parse(text) if text else None
        upload = Upload(name, registry.storage.writer(), digest.algorithm if digest else algorithm)
    except BadDigest:
        return error_response("DIGEST_INVALID", {"digest": text[:300], "digest-algorithm": algorithm[:100]})
    if digest is not None and registry.traits.single_post:
        try:
            return await _finish(registry, call, upload, digest)
        except BaseException:
            upload.writer.discard()  # no request can continue this session
            raise
    if digest is not None:
        async for _ in call.body.pieces():
            pass  # ignored, as by distribution 2.8.2
    registry.uploads.add(upload)
    minimum = registry.traits.min_chunk_bytes
    response = _session_response(registry, call, upload, 202)
    return response.with_header("OCI-Chunk-Min-Length", str(minimum)) if minimum else response


def _mount(registry: RegistryState, call: Call) -> Response | None:
    """Return the response to a mount that succeeds or is malformed, or None to start an upload instead."""
    name, source = call.resource.repository, call.parameter("from")
    try:
        digest = Digest.parse(call.parameter("mount"))
    except BadDigest:
        return error_response("DIGEST_INVALID", {"digest": call.parameter("mount")[:300]})
    if source and not is_name(source):
        return error_response("NAME_INVALID", {"name": source[:300]})
    if not registry.traits.mount:
        return None
    sources = [source] if source else registry.storage.names() if registry.traits.mount_without_source else []
    found = any(registry.storage.blob(each, digest) is not None and call.may_pull(each) for each in sources)
    if not found or (registry.traits.mount_needs_manifest and not _is_named(registry, source, digest)):
        return None
    registry.storage.hold_blob(name, digest)
    return registry.created_response(call, "blobs", digest)


def _is_named(registry: RegistryState, repository: str, digest: Digest) -> bool:
    """Return whether a manifest of this repository names this blob."""
    for held in (registry.storage.repository(repository) or StoredRepository()).manifests:
        found = registry.storage.manifest(repository, held)
        view = oci.parse(read_all(found[1])) if found else None
        if isinstance(view, oci.Manifest) and any(blob.digest == digest for blob in view.blobs):
            return True
    return False


async def patch_upload(registry: RegistryState, call: Call) -> Response:
    if registry.traits.upload_way is UploadWay.MONOLITHIC:
        return error_response("UNSUPPORTED", message="this registry accepts a blob in one PUT only")
    upload = _find_upload(registry, call)
    if isinstance(upload, Response):
        return upload
    refusal = _misplaced(registry, call, upload)
    if refusal is not None:
        return refusal
    # Only for chunks with Content-Range: clients do push large layers to GHCR with one PATCH without it.
    limit = registry.traits.max_patch_bytes if "content-range" in call.head.headers else None
    try:
        with upload.chunk():
            async for piece in call.body.pieces():
                upload.write(piece)
                if limit is not None and call.body.received > limit:
                    raise _ChunkTooLarge
    except _ChunkTooLarge:
        return _unfitting(registry, call, upload, f"chunk exceeds {(limit or 0) / MIB:.2f}MiB")
    return _session_response(registry, call, upload, registry.traits.patch_status)


async def put_upload(registry: RegistryState, call: Call) -> Response:
    upload = _find_upload(registry, call)
    if isinstance(upload, Response):
        return upload
    text = call.parameter("digest")
    try:
        digest = Digest.parse(text)
    except BadDigest:
        return error_response("DIGEST_INVALID", {"digest": text[:300]})
    return _misplaced(registry, call, upload) or await _finish(registry, call, upload, digest)


async def _finish(registry: RegistryState, call: Call, upload: Upload, digest: Digest) -> Response:
    with upload.chunk():
        async for piece in call.body.pieces():
            upload.write(piece)
    registry.uploads.end(upload)
    if not upload.has_digest(digest):
        upload.writer.discard()
        return error_response("DIGEST_INVALID", {"digest": str(digest)})
    registry.bodies[digest] += 1
    registry.storage.keep_blob(upload.repository, digest, upload.writer)
    return registry.created_response(call, "blobs", digest)


async def upload_status(registry: RegistryState, call: Call) -> Response:
    upload = _find_upload(registry, call)
    return upload if isinstance(upload, Response) else _session_response(registry, call, upload, 204)


async def cancel_upload(registry: RegistryState, call: Call) -> Response:
    upload = _find_upload(registry, call)
    if isinstance(upload, Response):
        return upload
    registry.uploads.end(upload)
    upload.writer.discard()
    return Response(204)


def _find_upload(registry: RegistryState, call: Call) -> Upload | Response:
    upload = registry.uploads.find(call.resource.repository, call.resource.reference)
    if upload is None:
        return error_response("BLOB_UPLOAD_UNKNOWN", {"upload": call.resource.reference[:100]})
    if upload.busy:
        return error_response("BLOB_UPLOAD_INVALID", message="another request is writing to this upload")
    if registry.traits.single_use_locations and call.parameter("_state") != f"{upload.name}.{upload.step}":
        return error_response("BLOB_UPLOAD_INVALID", message="this Location is not the newest one", status=404)
    return upload


def _misplaced(registry: RegistryState, call: Call, upload: Upload) -> Response | None:
    """Return the refusal of a chunk that this registry does not accept at this point, or None."""
    traits = registry.traits
    if traits.upload_way is UploadWay.CHUNKED and call.head.method == "PUT" and not upload.step and call.body.left != 0:
        return error_response("UNSUPPORTED", message="this registry accepts a blob in chunks only")
    if traits.one_chunk_only and upload.step and call.body.left != 0:
        return error_response("UNSUPPORTED", message="this registry accepts a blob in one chunk only", status=400)
    minimum = traits.min_part_bytes
    if minimum is not None and 0 < upload.last_length < minimum and call.body.left != 0:
        return error_response("SIZE_INVALID", message=f"the previous part is smaller than {minimum} bytes")
    content_range = call.head.headers.get("content-range")
    if content_range is None or not traits.ranges_checked:
        return None
    where = placement(content_range, upload.offset, call.head.length)
    if where is Placement.NEXT:
        return None
    if where is Placement.MALFORMED:
        return error_response("SIZE_INVALID", message="Content-Range does not match the body", status=400)
    return _unfitting(registry, call, upload, "this chunk is not the next one")


def _unfitting(registry: RegistryState, call: Call, upload: Upload, message: str) -> Response:
    refusal = error_response("BLOB_UPLOAD_INVALID", message=message, status=416)
    return Response(416, (*refusal.headers, *_session_response(registry, call, upload, 416).headers), refusal.body)


def _session_response(registry: RegistryState, call: Call, upload: Upload, status: int) -> Response:
    traits = registry.traits
    extra = [f"_state={upload.name}.{upload.step}"] if traits.single_use_locations else []
    extra += [f"upload={'A%2B' * (traits.location_padding // 4)}"] if traits.location_padding else []
    query = f"?{'&'.join(extra)}" if extra else ""
    return Response(
        status,
        (
            ("Location", registry.url(call, f"/v2/{upload.repository}/blobs/uploads/{upload.name}{query}")),
            ("Range", range_header(upload.first_end if traits.stuck_range else upload.offset)),
            ("Docker-Upload-UUID", upload.name),
        ),
    )
