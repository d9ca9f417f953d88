"""The handlers of manifests and tags. The bytes that came are the bytes that go: nothing is written anew.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Deleting Manifests"; where registries differ, a Trait
says so.
"""

from __future__ import annotations

from typing import Any

from bakery.errors import InvalidContent
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer, Content, failure, failures
from bakery.rehearsal.connection import Body
from bakery.rehearsal.registry import Call, Registry
from bakery.rehearsal.routes import is_tag
from bakery.rehearsal.storage import Repository, Stored
from bakery.rehearsal.traits import Immutable


async def get_manifest(registry: Registry, call: Call) -> Answer:
    name, digest = call.found.repository, call.found.digest
    if digest is None:
        tag = registry.storage.tag(name, call.found.reference)
        if tag is None:
            return _no_manifest(registry, call)
        digest = tag.digest
    return manifest_answer(registry, call, digest)


def manifest_answer(registry: Registry, call: Call, digest: Digest) -> Answer:
    """The manifest of this digest, as the answer to the call."""
    found = registry.storage.manifest(call.found.repository, digest)
    if found is None:
        return _no_manifest(registry, call)
    stored, content = found
    if registry.traits.accept_must_match and stored.media_type not in call.head.headers.get("accept", ""):
        return _no_manifest(registry, call)
    headers = (
        ("Content-Type", stored.media_type),
        ("Docker-Content-Digest", str(digest)),
        ("ETag", f'"{digest}"'),
    )
    return Answer(200, (*headers, *registry.traits.manifest_headers), whole(content))


def _no_manifest(registry: Registry, call: Call) -> Answer:
    if registry.traits.absent_manifest_is_denied:
        return failure("DENIED", detail={"reference": call.found.reference})
    if registry.known(call.found.repository) is None:
        return failure("NAME_UNKNOWN", detail={"name": call.found.repository})
    return failure("MANIFEST_UNKNOWN", detail={"reference": call.found.reference})


async def put_manifest(registry: Registry, call: Call) -> Answer:
    name, digest = call.found.repository, call.found.digest
    if registry.traits.repositories_must_exist and registry.known(name) is None:
        return failure("NAME_UNKNOWN", detail={"name": name})
    raw = await _read_limited(call.body, registry.traits.max_manifest_bytes)
    if raw is None:
        return failure("MANIFEST_INVALID", message="the manifest is too large", status=413)
    try:
        view = oci.parse(raw, media_type=call.head.headers.get("content-type", ""))
    except InvalidContent as error:
        return failure("MANIFEST_INVALID", detail=str(error))
    if registry.traits.media_type_required and not view.document.get("mediaType"):
        return failure("UNSUPPORTED", message="Invalid JSON syntax: the manifest states no mediaType", status=400)
    computed = Digest.of(raw, digest.algorithm if digest else "sha256")
    if digest is not None and computed != digest:
        return failure("DIGEST_INVALID", detail={"digest": str(digest)})
    absent = _absent(registry, name, view) if registry.traits.children_must_exist else []
    if absent:
        return failures("MANIFEST_BLOB_UNKNOWN", [{"digest": str(child)} for child in absent])
    # The specification has the parameter for pushes by digest alone.
    asked = digest is not None and registry.traits.tag_parameter
    by_parameter = [value for key, value in call.query if key == "tag"] if asked else []
    tags = by_parameter if digest else [call.found.reference]
    refusal = _refused_tag(registry, name, tags, computed)
    if refusal is not None:
        return refusal
    registry.storage.keep_manifest(name, computed, raw, stored(view, computed, raw, registry.clock.now()), tags)
    headers = [("OCI-Tag", tag) for tag in by_parameter]
    if view.subject is not None and registry.traits.referrers:
        headers.append(("OCI-Subject", str(view.subject.digest)))
    return registry.made(call, "manifests", computed, *headers)


def _refused_tag(registry: Registry, name: str, tags: list[str], digest: Digest) -> Answer | None:
    for tag in tags:
        if not is_tag(tag):
            return failure("TAG_INVALID", detail={"tag": tag[:300]})
        old = registry.storage.tag(name, tag)
        immutable = registry.traits.immutable
        if old is not None and (
            immutable is Immutable.PUSHES or (immutable is Immutable.MOVES and old.digest != digest)
        ):
            message = f"the tag '{tag}' already exists in '{name}' and is immutable"
            return failure("TAG_INVALID", message=message, detail={"tag": tag})
    return None


def _absent(registry: Registry, name: str, view: oci.Manifest | oci.Index) -> list[Digest]:
    repository = registry.storage.repository(name) or Repository()
    if isinstance(view, oci.Index):
        children = (child.digest for child in view.manifests)
        return [child for child in children if child not in repository.manifests and child not in repository.blobs]
    needed = (blob for blob in view.blobs if blob.media_type not in mt.NONDISTRIBUTABLE and not blob.urls)
    return [blob.digest for blob in needed if blob.digest not in repository.blobs]


def stored(view: oci.Manifest | oci.Index, digest: Digest, raw: bytes, now: float) -> Stored:
    """What is remembered of a manifest that came at this time."""
    if view.subject is None:
        return Stored(view.media_type, len(raw), now)
    descriptor: dict[str, Any] = {"mediaType": view.media_type, "digest": str(digest), "size": len(raw)}
    artifact_type = view.artifact_type
    if not artifact_type and isinstance(view, oci.Manifest):
        artifact_type = view.config.media_type
    if artifact_type:
        descriptor["artifactType"] = artifact_type
    if view.annotations:
        descriptor["annotations"] = dict(view.annotations)
    return Stored(view.media_type, len(raw), now, view.subject.digest, descriptor)


async def delete_manifest(registry: Registry, call: Call) -> Answer:
    name, digest = call.found.repository, call.found.digest
    allowed = registry.traits.delete_tags if digest is None else registry.traits.delete_manifests
    if not allowed:
        return failure("UNSUPPORTED")
    if digest is None:
        dropped = registry.storage.drop_tag(name, call.found.reference)
    else:
        dropped = registry.storage.drop_manifest(name, digest)
    return Answer(202) if dropped else _no_manifest(registry, call)


def whole(content: Content) -> bytes:
    """A manifest's bytes: small by rule, so sent in one piece with its head."""
    try:
        return bytes(content.read(0, content.size or 0))
    finally:
        content.close()


async def _read_limited(body: Body, limit: int) -> bytes | None:
    """The whole body, or None where it is longer than `limit`; then the rest is left unread."""
    if body.left is not None and body.left > limit:
        return None
    pieces: list[bytes] = []
    async for piece in body.pieces():
        pieces.append(piece)
        if body.received > limit:
            return None
    return b"".join(pieces)
