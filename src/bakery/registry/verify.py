"""Checks of what a registry sends for a manifest or a blob: digest, size, media type, headers. Pure."""

from __future__ import annotations

import logging
from functools import cached_property

from bakery.errors import BadDigest, DigestMismatch
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.reference import DigestReference, Reference
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.operation import Operation
from bakery.registry.ranges import BadRange, check_resumed

_log = logging.getLogger(__name__)


class Named:
    """What a manifest names. Parsed only if needed: few manifests have a subject, few puts are refused."""

    def __init__(self, raw: bytes, media_type: str) -> None:
        self._raw, self._media_type = raw, media_type

    @cached_property
    def view(self) -> Manifest | Index:
        return views.parse(self._raw, media_type=self._media_type)

    @property
    def may_have_subject(self) -> bool:
        return b'"subject"' in self._raw

    def digests(self) -> tuple[Digest, ...]:
        return (*self.blobs, *self.manifests)

    @cached_property
    def blobs(self) -> dict[Digest, Descriptor]:
        blobs = () if isinstance(self.view, Index) else self.view.blobs
        return {blob.digest: blob for blob in blobs if blob.media_type not in mt.NONDISTRIBUTABLE}

    @cached_property
    def manifests(self) -> set[Digest]:
        subject = () if self.view.subject is None else (self.view.subject,)
        children = self.view.manifests if isinstance(self.view, Index) else ()
        return {child.digest for child in (*children, *subject)}


def verified(
    response: HttpResponse, reference: Reference, operation: Operation, expected: Descriptor | None
) -> RawManifest:
    """Return the manifest in a response, checked against the reference, the headers and the expected descriptor."""
    raw = response.body
    algorithm = reference.digest.algorithm if isinstance(reference, DigestReference) else "sha256"
    digest = Digest.of(raw, algorithm)
    check_requested(reference, digest, operation)
    stated = stated_digest(response)
    if stated.partition(":")[0] == algorithm and stated != str(digest):
        why = f"its header states {stated[:80]!r}, its bytes are {digest}"
        if isinstance(reference, DigestReference):
            raise DigestMismatch(operation.failed, about=reference, why=why)
        _log.warning("%s: %s", reference, why)  # many registries get this wrong for tags; the bytes decide
    content_type = mt.essence(response.header("Content-Type"))
    media_type = content_type if content_type in mt.ALL_MANIFESTS else ""
    if expected is not None:
        if media_type and expected.media_type in mt.ALL_MANIFESTS and media_type != expected.media_type:
            why = f"its media type is {media_type}, expected {expected.media_type}"
            raise DigestMismatch(operation.failed, about=reference, why=why)
        expected.check(raw, about=str(reference))
        media_type = expected.media_type
    found = views.parse(raw, media_type=media_type, about=reference)
    return RawManifest(Descriptor(found.media_type, digest, len(raw)), raw)


def descriptor_in(response: HttpResponse) -> Descriptor | None:
    """Return the descriptor in the headers of a HEAD response, or None if one is missing or odd."""
    media_type, length = mt.essence(response.header("Content-Type")), response.number("Content-Length")
    try:
        digest = Digest.parse(stated_digest(response))
    except BadDigest:
        return None
    if media_type not in mt.ALL_MANIFESTS or length is None:
        return None
    return Descriptor(media_type, digest, length)


def check_requested(reference: Reference, found: Digest, operation: Operation) -> None:
    requested = reference.digest if isinstance(reference, DigestReference) else None
    if requested is not None and requested.algorithm == found.algorithm and requested != found:
        raise DigestMismatch(
            operation.failed,
            about=reference,
            why=f"the registry responded with {found}",
            hint="pull it with another tool and compare: the registry or a proxy alters content",
        )


def stated_digest(response: HttpResponse) -> str:
    """Return the digest that a response states, or "". Some servers write it in upper case."""
    return response.header("Docker-Content-Digest").strip().lower()


def names_blob(response: HttpResponse, blob: Descriptor) -> bool:
    """Return whether a 201 names the blob, by header or Location. One that does not proves nothing."""
    text = str(blob.digest)
    location = response.header("Location").replace("%3A", ":").replace("%3a", ":")
    return stated_digest(response) == text or location.partition("?")[0].endswith(text)


def is_blob(response: HttpResponse, blob: Descriptor) -> bool:
    """Return whether a 200 proves that the registry has this blob. If not, the blob is uploaded.

    A web page responds 200 to everything; some registries state no length, no digest, or a wrong one.
    """
    stated, length = stated_digest(response), response.header("Content-Length")
    if length and length != str(blob.size):
        return False
    if stated.partition(":")[0] == blob.digest.algorithm:
        return stated == str(blob.digest)
    return bool(length) and not response.header("Content-Type").startswith("text/")


def check_start(status: int, headers: Fields, offset: int, blob: Descriptor, about: str) -> int:
    """Return how many bytes of this response to skip. Raises if it is not the requested rest of the blob."""
    length = headers.get("Content-Length")
    if status == 206 and offset:
        check_resumed(headers.getall("Content-Range"), offset=offset, size=blob.size)
        return 0
    if status != 200:
        raise BadRange("cannot read blob", about=about, why=f"unexpected status {status}")
    if length and length != str(blob.size):
        why = f"the registry offers {length[:20]} bytes, expected {blob.size}"
        raise DigestMismatch("cannot read blob", about=about, why=why)
    return offset  # the server ignores Range and sends everything: the digest at the end covers the seam
