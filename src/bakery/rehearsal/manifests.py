"""Handlers for manifests and tags. The received bytes are stored and returned unchanged.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Deleting Manifests"; where registries differ, a trait
decides.
"""

from __future__ import annotations

from typing import Any

from bakery.errors import InvalidContent
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal.connection import RequestBody
from bakery.rehearsal.responses import Response, StoredContent, error_response
from bakery.rehearsal.routes import is_tag
from bakery.rehearsal.state import Call, RegistryState
from bakery.rehearsal.storage import StoredManifest, StoredRepository
from bakery.rehearsal.traits import Immutable


async def get_manifest(registry: RegistryState, call: Call) -> Response:
    name, digest = call.resource.repository, call.resource.digest
    if digest is None:
        tag = registry.storage.tag(name, call.resource.reference)
        if tag is None:
            return _no_manifest(registry, call)
        digest = tag.digest
    return manifest_response(registry, call, digest)


def manifest_response(registry: RegistryState, call: Call, digest: Digest) -> Response:
    """Return the response to a read of this manifest."""
    found = registry.storage.manifest(call.resource.repository, digest)
    if found is None:
        return _no_manifest(registry, call)
    manifest, content = found
    if registry.traits.accept_must_match and manifest.media_type not in call.head.headers.get("accept", ""):
        return _no_manifest(registry, call)
    own = registry.traits.manifest_headers
    etag = () if any(name == "ETag" for name, _ in own) else (("ETag", f'"{digest}"'),)
    headers = (("Content-Type", manifest.media_type), *etag, *registry.read_headers(digest))
    return Response(200, (*headers, *own), read_all(content))


def _no_manifest(registry: RegistryState, call: Call) -> Response:
    if registry.traits.absent_manifest_is_denied:
        return error_response("DENIED", {"reference": call.resource.reference})
    if registry.known(call.resource.repository) is None:
        return error_response("NAME_UNKNOWN", {"name": call.resource.repository})
    return error_response("MANIFEST_UNKNOWN", {"reference": call.resource.reference})


async def put_manifest(registry: RegistryState, call: Call) -> Response:
    name, digest, traits = call.resource.repository, call.resource.digest, registry.traits
    if traits.repositories_must_exist and registry.known(name) is None:
        return error_response("NAME_UNKNOWN", {"name": name})
    raw = await _read_limited(call.body, traits.max_manifest_bytes)
    if raw is None:
        return error_response("MANIFEST_INVALID", message="the manifest is too large", status=413)
    try:
        view = oci.parse(raw, media_type=call.head.headers.get("content-type", ""))
    except InvalidContent as error:
        return error_response("MANIFEST_INVALID", str(error))
    if traits.media_type_required and not view.document.get("mediaType"):
        return error_response("UNSUPPORTED", message="Invalid JSON syntax: mediaType is missing", status=400)
    computed = Digest.of(raw, digest.algorithm if digest else "sha256")
    if digest is not None and computed != digest:
        return error_response("DIGEST_INVALID", {"digest": str(digest)})
    absent = _absent(registry, name, view) if traits.children_must_exist else []
    if absent:
        return error_response("MANIFEST_BLOB_UNKNOWN", *({"digest": str(child)} for child in absent))
    # The specification defines the parameter only for pushes by digest.
    with_parameter = digest is not None and traits.tag_parameter
    by_parameter = [value for key, value in call.query if key == "tag"] if with_parameter else []
    tags = by_parameter if digest else [call.resource.reference]
    refusal = _refused_tag(registry, name, tags, computed) or _failed_condition(registry, call)
    if refusal is not None:
        return refusal
    manifest = stored_manifest(view, computed, raw, registry.clock.now())
    registry.storage.keep_manifest(name, computed, raw, manifest, tags)
    headers = [("OCI-Tag", tag) for tag in by_parameter]
    if view.subject is not None and traits.referrers:
        headers.append(("OCI-Subject", str(view.subject.digest)))
    return registry.created_response(call, "manifests", computed, *headers)


def _failed_condition(registry: RegistryState, call: Call) -> Response | None:
    """Return a 412 if the request has If-Match, and what it replaces has another ETag (RFC 9110, 13.1.1)."""
    wanted = call.head.headers.get("if-match")
    if not registry.traits.conditional_writes or wanted is None:
        return None
    old = registry.storage.tag(call.resource.repository, call.resource.reference)
    if old is not None and wanted == f'"{old.digest}"':
        return None
    return error_response("DENIED", message="the tag has changed", status=412)


def _refused_tag(registry: RegistryState, name: str, tags: list[str], digest: Digest) -> Response | None:
    for tag in tags:
        if not is_tag(tag):
            return error_response("TAG_INVALID", {"tag": tag[:300]})
        old = registry.storage.tag(name, tag)
        immutable = registry.traits.immutable
        if old is not None and (
            immutable is Immutable.PUSHES or (immutable is Immutable.MOVES and old.digest != digest)
        ):
            message = f"the tag '{tag}' already exists in '{name}' and is immutable"
            return error_response("TAG_INVALID", {"tag": tag}, message=message)
    return None


def _absent(registry: RegistryState, name: str, view: oci.Manifest | oci.Index) -> list[Digest]:
    repository = registry.storage.repository(name) or StoredRepository()
    if isinstance(view, oci.Index):
        children = (child.digest for child in view.manifests)
        return [child for child in children if child not in repository.manifests and child not in repository.blobs]
    needed = (blob for blob in view.blobs if blob.media_type not in mt.NONDISTRIBUTABLE and not blob.urls)
    return [blob.digest for blob in needed if blob.digest not in repository.blobs]


def stored_manifest(view: oci.Manifest | oci.Index, digest: Digest, raw: bytes, now: float) -> StoredManifest:
    """Return what the storage records about a manifest received at this time."""
    if view.subject is None:
        return StoredManifest(view.media_type, len(raw), now)
    descriptor: dict[str, Any] = {"mediaType": view.media_type, "digest": str(digest), "size": len(raw)}
    artifact_type = view.artifact_type
    if not artifact_type and isinstance(view, oci.Manifest):
        artifact_type = view.config.media_type
    if artifact_type:
        descriptor["artifactType"] = artifact_type
    if view.annotations:
        descriptor["annotations"] = dict(view.annotations)
    return StoredManifest(view.media_type, len(raw), now, view.subject.digest, descriptor)


async def delete_manifest(registry: RegistryState, call: Call) -> Response:
    name, digest = call.resource.repository, call.resource.digest
    allowed = registry.traits.delete_tags if digest is None else registry.traits.delete_manifests
    if not allowed:
        return error_response("UNSUPPORTED")
    if digest is None:
        dropped = registry.storage.drop_tag(name, call.resource.reference)
    else:
        dropped = registry.storage.drop_manifest(name, digest)
    return Response(202) if dropped else _no_manifest(registry, call)


def read_all(content: StoredContent) -> bytes:
    """Return all bytes and close the content. For manifests, whose size is limited."""
    try:
        return bytes(content.read(0, content.size or 0))
    finally:
        content.close()


async def _read_limited(body: RequestBody, limit: int) -> bytes | None:
    """Return the whole body, or None if it is longer than `limit`; then the rest is not read."""
    if body.left is not None and body.left > limit:
        return None
    pieces: list[bytes] = []
    async for piece in body.pieces():
        pieces.append(piece)
        if body.received > limit:
            return None
    return b"".join(pieces)
