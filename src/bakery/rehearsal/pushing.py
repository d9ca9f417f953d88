"""The handlers that take blobs: upload sessions, the single POST, mounts. What a session is, uploads.py knows.

Source: OCI distribution-spec 1.1, "Pushing blobs"; where registries differ, a Trait says so.
"""

from __future__ import annotations

from bakery.errors import BadDigest
from bakery.oci import manifest as oci
from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.manifests import whole
from bakery.rehearsal.registry import Call, Registry
from bakery.rehearsal.routes import is_name
from bakery.rehearsal.storage import Repository
from bakery.rehearsal.traits import MIB
from bakery.rehearsal.uploads import Placement, Upload, placement, told_range


class _TooLong(Exception):
    """A chunk is longer than this registry takes."""


async def start_upload(registry: Registry, call: Call) -> Answer:
    name = call.found.repository
    if registry.traits.repositories_must_exist and registry.known(name) is None:
        return failure("NAME_UNKNOWN", detail={"name": name})
    if call.parameter("mount"):
        mounted = _mount(registry, call)
        if mounted is not None:
            return mounted
    algorithm = call.parameter("digest-algorithm") or "sha256"
    text = call.parameter("digest")
    try:
        digest = Digest.parse(text) if text else None
        upload = Upload(name, registry.storage.incoming(), digest.algorithm if digest else algorithm)
    except BadDigest:
        return failure("DIGEST_INVALID", detail={"digest": text[:300], "digest-algorithm": algorithm[:100]})
    if digest is not None and registry.traits.single_post:
        try:
            return await _take_last(registry, call, upload, digest)
        except BaseException:
            upload.incoming.discard()  # no session will come back for it
            raise
    if digest is not None:
        async for _ in call.body.pieces():
            pass  # thrown away, as distribution 2.8.2 does
    registry.uploads.add(upload)
    least = registry.traits.min_chunk_bytes
    answer = _session(registry, call, upload, 202)
    return answer.with_header("OCI-Chunk-Min-Length", str(least)) if least else answer


def _mount(registry: Registry, call: Call) -> Answer | None:
    """The answer to a mount that works, or to one that is malformed. None: an ordinary upload begins."""
    name, source = call.found.repository, call.parameter("from")
    try:
        digest = Digest.parse(call.parameter("mount"))
    except BadDigest:
        return failure("DIGEST_INVALID", detail={"digest": call.parameter("mount")[:300]})
    if source and not is_name(source):
        return failure("NAME_INVALID", detail={"name": source[:300]})
    if not registry.traits.mount:
        return None
    sources = [source] if source else registry.storage.names() if registry.traits.mount_without_source else []
    there = any(registry.storage.blob(each, digest) is not None and call.may_pull(each) for each in sources)
    if not there or (registry.traits.mount_needs_manifest and not _named(registry, source, digest)):
        return None
    registry.storage.hold_blob(name, digest)
    return registry.made(call, "blobs", digest)


def _named(registry: Registry, repository: str, digest: Digest) -> bool:
    """Whether a manifest of this repository names this blob."""
    for held in (registry.storage.repository(repository) or Repository()).manifests:
        found = registry.storage.manifest(repository, held)
        view = oci.parse(whole(found[1])) if found else None
        if isinstance(view, oci.Manifest) and any(blob.digest == digest for blob in view.blobs):
            return True
    return False


async def patch_upload(registry: Registry, call: Call) -> Answer:
    upload = _upload(registry, call)
    if isinstance(upload, Answer):
        return upload
    refusal = _misplaced(registry, call, upload)
    if refusal is not None:
        return refusal
    # Only chunks that say where they go: clients that stream a blob by one bare PATCH do push layers to GHCR.
    limit = registry.traits.max_patch_bytes if "content-range" in call.head.headers else None
    try:
        with upload.chunk():
            async for piece in call.body.pieces():
                upload.write(piece)
                if limit is not None and call.body.received > limit:
                    raise _TooLong
    except _TooLong:
        return _unfitting(registry, call, upload, f"chunk exceeds {(limit or 0) / MIB:.2f}MiB")
    return _session(registry, call, upload, registry.traits.patch_status)


async def put_upload(registry: Registry, call: Call) -> Answer:
    upload = _upload(registry, call)
    if isinstance(upload, Answer):
        return upload
    text = call.parameter("digest")
    try:
        digest = Digest.parse(text)
    except BadDigest:
        return failure("DIGEST_INVALID", detail={"digest": text[:300]})
    return _misplaced(registry, call, upload) or await _take_last(registry, call, upload, digest)


async def _take_last(registry: Registry, call: Call, upload: Upload, digest: Digest) -> Answer:
    with upload.chunk():
        async for piece in call.body.pieces():
            upload.write(piece)
    _end(registry, upload, discard=False)
    if not upload.names(digest):
        upload.incoming.discard()
        return failure("DIGEST_INVALID", detail={"digest": str(digest)})
    registry.bodies[digest] += 1
    registry.storage.keep_blob(upload.repository, digest, upload.incoming)
    return registry.made(call, "blobs", digest)


async def upload_status(registry: Registry, call: Call) -> Answer:
    upload = _upload(registry, call)
    return upload if isinstance(upload, Answer) else _session(registry, call, upload, 204)


async def cancel_upload(registry: Registry, call: Call) -> Answer:
    upload = _upload(registry, call)
    if isinstance(upload, Answer):
        return upload
    _end(registry, upload)
    return Answer(204)


def _end(registry: Registry, upload: Upload, *, discard: bool = True) -> None:
    registry.uploads.end(upload)
    if discard:
        upload.incoming.discard()


def _upload(registry: Registry, call: Call) -> Upload | Answer:
    upload = registry.uploads.find(call.found.repository, call.found.reference)
    if upload is None:
        return failure("BLOB_UPLOAD_UNKNOWN", detail={"upload": call.found.reference[:100]})
    if upload.busy:
        return failure("BLOB_UPLOAD_INVALID", message="another request is writing to this upload")
    if registry.traits.one_use_locations and call.parameter("_state") != f"{upload.name}.{upload.step}":
        return failure("BLOB_UPLOAD_INVALID", message="this Location is not the newest one", status=404)
    return upload


def _misplaced(registry: Registry, call: Call, upload: Upload) -> Answer | None:
    if registry.traits.one_chunk_only and upload.step and call.body.left != 0:
        return failure("UNSUPPORTED", message="this registry takes a blob in one chunk only", status=400)
    least = registry.traits.least_part_bytes
    if least is not None and 0 < upload.last_length < least and call.body.left != 0:
        return failure("SIZE_INVALID", message=f"the part before this one is smaller than {least} bytes")
    content_range = call.head.headers.get("content-range")
    if content_range is None or not registry.traits.ranges_checked:
        return None
    where = placement(content_range, upload.offset, call.head.length)
    if where is Placement.NEXT:
        return None
    if where is Placement.MALFORMED:
        return failure("SIZE_INVALID", message="Content-Range does not fit the body", status=400)
    return _unfitting(registry, call, upload, "this chunk is not the next one")


def _unfitting(registry: Registry, call: Call, upload: Upload, message: str) -> Answer:
    refusal = failure("BLOB_UPLOAD_INVALID", message=message, status=416)
    return Answer(416, (*refusal.headers, *_session(registry, call, upload, 416).headers), refusal.body)


def _session(registry: Registry, call: Call, upload: Upload, status: int) -> Answer:
    extra = [f"_state={upload.name}.{upload.step}"] if registry.traits.one_use_locations else []
    extra += [f"upload={'A%2B' * (registry.traits.location_padding // 4)}"] if registry.traits.location_padding else []
    query = f"?{'&'.join(extra)}" if extra else ""
    arrived = upload.first_end if registry.traits.stuck_range else upload.offset
    return Answer(
        status,
        (
            ("Location", registry.url(call, f"/v2/{upload.repository}/blobs/uploads/{upload.name}{query}")),
            ("Range", told_range(arrived)),
            ("Docker-Upload-UUID", upload.name),
        ),
    )
