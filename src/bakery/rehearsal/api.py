"""The distribution API: what each request does to the storage, and what is answered.

Source: OCI distribution-spec 1.1; where registries differ, a Trait says so. Knows no sockets, no credentials
(tokens.py) and no faults (faults.py). The table at the end says which handler serves which method of which resource.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from bakery.errors import BadDigest, InvalidContent
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer, Content, document, failure, failures
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.connection import Body
from bakery.rehearsal.http import Head
from bakery.rehearsal.ranges import NotSatisfiable, wanted
from bakery.rehearsal.routes import Found, Route, is_name, is_tag
from bakery.rehearsal.storage import Repository, Storage, Stored
from bakery.rehearsal.traits import MIB, Immutable, Traits
from bakery.rehearsal.uploads import Placement, Upload, Uploads, placement, told_range

_OCTETS: Final = "application/octet-stream"


class _TooLong(Exception):
    """A chunk is longer than this registry takes."""


def _everything(_: str) -> bool:
    return True


@dataclass(slots=True)
class Call:
    """A request with its resource found. may_pull: whether the caller may read that other repository (mounts)."""

    found: Found
    head: Head
    body: Body
    may_pull: Callable[[str], bool] = _everything
    query: list[tuple[str, str]] = field(default_factory=list)

    def parameter(self, name: str) -> str:
        """The first query parameter of this name, or ""."""
        return next((value for key, value in self.query if key == name), "")


class Api:
    """The handlers. `bodies` counts upload bodies that arrived whole, by the digest they were sent for."""

    def __init__(self, storage: Storage, traits: Traits, clock: Clock) -> None:
        self.storage, self.traits, self._clock = storage, traits, clock
        self.uploads = Uploads()
        self.bodies: Counter[Digest] = Counter()
        self.created: set[str] = set()  # repositories that were made beforehand, where pushing does not make them

    async def answer(self, call: Call) -> Answer:
        """Serve one request. Raises ClientGone where the client leaves in the middle of its body."""
        methods = HANDLERS[call.found.route]
        handler = methods.get(call.head.method)
        if handler is None:
            return failure("UNSUPPORTED", headers=(("Allow", ", ".join(methods)),))
        return await handler(self, call)

    def close(self) -> None:
        """Give up the open sessions and the storage."""
        self.uploads.discard_all()
        self.storage.close()

    # The base, and lists.

    async def base(self, _: Call) -> Answer:
        return document(200, {})

    async def catalog(self, call: Call) -> Answer:
        if not self.traits.catalog:
            return failure("UNSUPPORTED", status=404)
        return self._page(call, "/v2/_catalog", self.storage.names(), lambda names: {"repositories": names})

    async def tags(self, call: Call) -> Answer:
        name = call.found.repository
        repository = self._known(name)
        if repository is None:
            return failure("NAME_UNKNOWN", detail={"name": name})
        tags = sorted(repository.tags)
        return self._page(call, f"/v2/{name}/tags/list", tags, lambda page: {"name": name, "tags": page})

    def _page(self, call: Call, path: str, entries: list[str], shape: Callable[[list[str]], object]) -> Answer:
        last, text, limit = call.parameter("last"), call.parameter("n"), self.traits.max_page
        if last:
            entries = [entry for entry in entries if entry > last]
        if text and not (text.isascii() and text.isdigit()):
            return failure("UNSUPPORTED", message="n is no number", status=400, detail={"n": text[:100]})
        count = int(text[:9]) if text else len(entries)
        count = count if limit is None else min(count, limit)
        page = entries[:count]
        if not page or len(page) == len(entries):
            return document(200, shape(page))
        link = f'<{path}?n={count}&last={quote(page[-1], safe="")}>; rel="next"'
        return document(200, shape(page), ("Link", link))

    async def referrers(self, call: Call) -> Answer:
        if not self.traits.referrers:
            return failure("MANIFEST_UNKNOWN")  # GHCR's words
        assert call.found.digest is not None
        found = self.storage.referrers(call.found.repository, call.found.digest)
        wish = call.parameter("artifactType")
        index = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": found}
        if wish:
            index["manifests"] = [entry for entry in found if entry.get("artifactType") == wish]
            return document(200, index, ("OCI-Filters-Applied", "artifactType"), content_type=mt.OCI_INDEX)
        return document(200, index, content_type=mt.OCI_INDEX)

    def _known(self, name: str) -> Repository | None:
        repository = self.storage.repository(name)
        return Repository() if repository is None and name in self.created else repository

    # Blobs.

    async def get_blob(self, call: Call) -> Answer:
        digest = call.found.digest
        assert digest is not None
        content = self.storage.blob(call.found.repository, digest)
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

    async def delete_blob(self, call: Call) -> Answer:
        assert call.found.digest is not None
        if not self.traits.delete_blobs:
            return failure("UNSUPPORTED")
        if not self.storage.drop_blob(call.found.repository, call.found.digest):
            return failure("BLOB_UNKNOWN", detail={"digest": str(call.found.digest)})
        return Answer(202)

    # Uploads.

    async def start_upload(self, call: Call) -> Answer:
        name = call.found.repository
        if self.traits.repositories_must_exist and self._known(name) is None:
            return failure("NAME_UNKNOWN", detail={"name": name})
        if call.parameter("mount"):
            mounted = self._mount(call)
            if mounted is not None:
                return mounted
        algorithm = call.parameter("digest-algorithm") or "sha256"
        text = call.parameter("digest")
        try:
            digest = Digest.parse(text) if text else None
            upload = Upload(name, self.storage.incoming(), digest.algorithm if digest else algorithm)
        except BadDigest:
            return failure("DIGEST_INVALID", detail={"digest": text[:300], "digest-algorithm": algorithm[:100]})
        if digest is not None and self.traits.single_post:
            try:
                return await self._take_last(call, upload, digest)
            except BaseException:
                upload.incoming.discard()  # no session will come back for it
                raise
        if digest is not None:
            async for _ in call.body.pieces():
                pass  # thrown away, as distribution 2.8.2 does
        self.uploads.add(upload)
        least = self.traits.min_chunk_bytes
        answer = self._session(call, upload, 202)
        return answer.with_header("OCI-Chunk-Min-Length", str(least)) if least else answer

    def _mount(self, call: Call) -> Answer | None:
        """The answer to a mount that works, or to one that is malformed. None: an ordinary upload begins."""
        name, source = call.found.repository, call.parameter("from")
        try:
            digest = Digest.parse(call.parameter("mount"))
        except BadDigest:
            return failure("DIGEST_INVALID", detail={"digest": call.parameter("mount")[:300]})
        if source and not is_name(source):
            return failure("NAME_INVALID", detail={"name": source[:300]})
        if not self.traits.mount:
            return None
        if source:
            there = self.storage.blob(source, digest) is not None and call.may_pull(source)
        else:
            there = self.traits.mount_without_source and any(
                self.storage.blob(other, digest) is not None and call.may_pull(other) for other in self.storage.names()
            )
        if not there or (self.traits.mount_needs_manifest and not self._named(source, digest)):
            return None
        self.storage.hold_blob(name, digest)
        return self._created(call, "blobs", digest)

    def _named(self, repository: str, digest: Digest) -> bool:
        """Whether a manifest of this repository names this blob."""
        for held in (self.storage.repository(repository) or Repository()).manifests:
            found = self.storage.manifest(repository, held)
            view = oci.parse(_whole(found[1])) if found else None
            if isinstance(view, oci.Manifest) and any(blob.digest == digest for blob in view.blobs):
                return True
        return False

    async def patch_upload(self, call: Call) -> Answer:
        upload = self._upload(call)
        if isinstance(upload, Answer):
            return upload
        refusal = self._misplaced(call, upload)
        if refusal is not None:
            return refusal
        # Only chunks that say where they go: clients that stream a blob by one bare PATCH do push layers to GHCR.
        limit = self.traits.max_patch_bytes if "content-range" in call.head.headers else None
        try:
            with upload.chunk():
                async for piece in call.body.pieces():
                    upload.write(piece)
                    if limit is not None and call.body.received > limit:
                        raise _TooLong
        except _TooLong:
            return self._unfitting(call, upload, f"chunk exceeds {(limit or 0) / MIB:.2f}MiB")
        return self._session(call, upload, self.traits.patch_status)

    async def put_upload(self, call: Call) -> Answer:
        upload = self._upload(call)
        if isinstance(upload, Answer):
            return upload
        text = call.parameter("digest")
        try:
            digest = Digest.parse(text)
        except BadDigest:
            return failure("DIGEST_INVALID", detail={"digest": text[:300]})
        return self._misplaced(call, upload) or await self._take_last(call, upload, digest)

    async def _take_last(self, call: Call, upload: Upload, digest: Digest) -> Answer:
        with upload.chunk():
            async for piece in call.body.pieces():
                upload.write(piece)
        self._end(upload, discard=False)
        if not upload.names(digest):
            upload.incoming.discard()
            return failure("DIGEST_INVALID", detail={"digest": str(digest)})
        self.bodies[digest] += 1
        self.storage.keep_blob(upload.repository, digest, upload.incoming)
        return self._created(call, "blobs", digest)

    async def upload_status(self, call: Call) -> Answer:
        upload = self._upload(call)
        return upload if isinstance(upload, Answer) else self._session(call, upload, 204)

    async def cancel_upload(self, call: Call) -> Answer:
        upload = self._upload(call)
        if isinstance(upload, Answer):
            return upload
        self._end(upload)
        return Answer(204)

    def _end(self, upload: Upload, *, discard: bool = True) -> None:
        self.uploads.end(upload)
        if discard:
            upload.incoming.discard()

    def _upload(self, call: Call) -> Upload | Answer:
        upload = self.uploads.find(call.found.repository, call.found.reference)
        if upload is None:
            return failure("BLOB_UPLOAD_UNKNOWN", detail={"upload": call.found.reference[:100]})
        if upload.busy:
            return failure("BLOB_UPLOAD_INVALID", message="another request is writing to this upload")
        if self.traits.one_use_locations and call.parameter("_state") != f"{upload.name}.{upload.step}":
            return failure("BLOB_UPLOAD_INVALID", message="this Location is not the newest one", status=404)
        return upload

    def _misplaced(self, call: Call, upload: Upload) -> Answer | None:
        least = self.traits.least_part_bytes
        if least is not None and 0 < upload.last_length < least and call.body.left != 0:
            return failure("SIZE_INVALID", message=f"the part before this one is smaller than {least} bytes")
        content_range = call.head.headers.get("content-range")
        if content_range is None or not self.traits.ranges_checked:
            return None
        where = placement(content_range, upload.offset, call.head.length)
        if where is Placement.NEXT:
            return None
        if where is Placement.MALFORMED:
            return failure("SIZE_INVALID", message="Content-Range does not fit the body", status=400)
        return self._unfitting(call, upload, "this chunk is not the next one")

    def _unfitting(self, call: Call, upload: Upload, message: str) -> Answer:
        refusal = failure("BLOB_UPLOAD_INVALID", message=message, status=416)
        return Answer(416, (*refusal.headers, *self._session(call, upload, 416).headers), refusal.body)

    def _session(self, call: Call, upload: Upload, status: int) -> Answer:
        state = f"?_state={upload.name}.{upload.step}" if self.traits.one_use_locations else ""
        arrived = upload.first_end if self.traits.stuck_range else upload.offset
        return Answer(
            status,
            (
                ("Location", self._url(call, f"/v2/{upload.repository}/blobs/uploads/{upload.name}{state}")),
                ("Range", told_range(arrived)),
                ("Docker-Upload-UUID", upload.name),
            ),
        )

    def _url(self, call: Call, path: str) -> str:
        return f"http://{call.head.headers.get('host', '')}{path}" if self.traits.absolute_locations else path

    def _created(self, call: Call, kind: str, digest: Digest, *headers: tuple[str, str]) -> Answer:
        place = self._url(call, f"/v2/{call.found.repository}/{kind}/{digest}")
        return Answer(201, (("Location", place), ("Docker-Content-Digest", str(digest)), *headers))

    # Manifests.

    async def get_manifest(self, call: Call) -> Answer:
        name, digest = call.found.repository, call.found.digest
        if digest is None:
            tag = self.storage.tag(name, call.found.reference)
            if tag is None:
                return self._no_manifest(call)
            digest = tag.digest
        return self.manifest_answer(call, digest)

    def manifest_answer(self, call: Call, digest: Digest) -> Answer:
        """The manifest of this digest, as the answer to the call."""
        found = self.storage.manifest(call.found.repository, digest)
        if found is None:
            return self._no_manifest(call)
        stored, content = found
        if self.traits.accept_must_match and stored.media_type not in call.head.headers.get("accept", ""):
            return self._no_manifest(call)
        headers = (
            ("Content-Type", stored.media_type),
            ("Docker-Content-Digest", str(digest)),
            ("ETag", f'"{digest}"'),
        )
        return Answer(200, (*headers, *self.traits.manifest_headers), _whole(content))

    def _no_manifest(self, call: Call) -> Answer:
        if self._known(call.found.repository) is None:
            return failure("NAME_UNKNOWN", detail={"name": call.found.repository})
        return failure("MANIFEST_UNKNOWN", detail={"reference": call.found.reference})

    async def put_manifest(self, call: Call) -> Answer:
        name, digest = call.found.repository, call.found.digest
        if self.traits.repositories_must_exist and self._known(name) is None:
            return failure("NAME_UNKNOWN", detail={"name": name})
        raw = await _read_limited(call.body, self.traits.max_manifest_bytes)
        if raw is None:
            return failure("MANIFEST_INVALID", message="the manifest is too large", status=413)
        try:
            view = oci.parse(raw, media_type=call.head.headers.get("content-type", ""))
        except InvalidContent as error:
            return failure("MANIFEST_INVALID", detail=str(error))
        if self.traits.media_type_required and not view.document.get("mediaType"):
            return failure("UNSUPPORTED", message="Invalid JSON syntax: the manifest states no mediaType", status=400)
        computed = Digest.of(raw, digest.algorithm if digest else "sha256")
        if digest is not None and computed != digest:
            return failure("DIGEST_INVALID", detail={"digest": str(digest)})
        absent = self._absent(name, view) if self.traits.children_must_exist else []
        if absent:
            return failures("MANIFEST_BLOB_UNKNOWN", [{"digest": str(child)} for child in absent])
        # The specification has the parameter for pushes by digest alone.
        asked = digest is not None and self.traits.tag_parameter
        by_parameter = [value for key, value in call.query if key == "tag"] if asked else []
        tags = by_parameter if digest else [call.found.reference]
        refusal = self._refused_tag(name, tags, computed)
        if refusal is not None:
            return refusal
        self.storage.keep_manifest(name, computed, raw, self.stored(view, computed, raw), tags)
        headers = [("OCI-Tag", tag) for tag in by_parameter]
        if view.subject is not None and self.traits.referrers:
            headers.append(("OCI-Subject", str(view.subject.digest)))
        return self._created(call, "manifests", computed, *headers)

    def _refused_tag(self, name: str, tags: list[str], digest: Digest) -> Answer | None:
        for tag in tags:
            if not is_tag(tag):
                return failure("TAG_INVALID", detail={"tag": tag[:300]})
            old = self.storage.tag(name, tag)
            immutable = self.traits.immutable
            if old is not None and (
                immutable is Immutable.PUSHES or (immutable is Immutable.MOVES and old.digest != digest)
            ):
                message = f"the tag '{tag}' already exists in '{name}' and is immutable"
                return failure("TAG_INVALID", message=message, detail={"tag": tag})
        return None

    def _absent(self, name: str, view: oci.Manifest | oci.Index) -> list[Digest]:
        repository = self.storage.repository(name) or Repository()
        if isinstance(view, oci.Index):
            children = (child.digest for child in view.manifests)
            return [child for child in children if child not in repository.manifests and child not in repository.blobs]
        needed = (blob for blob in view.blobs if blob.media_type not in mt.NONDISTRIBUTABLE and not blob.urls)
        return [blob.digest for blob in needed if blob.digest not in repository.blobs]

    def stored(self, view: oci.Manifest | oci.Index, digest: Digest, raw: bytes) -> Stored:
        """What is remembered of a manifest that comes now."""
        now = self._clock.now()
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

    async def delete_manifest(self, call: Call) -> Answer:
        name, digest = call.found.repository, call.found.digest
        allowed = self.traits.delete_tags if digest is None else self.traits.delete_manifests
        if not allowed:
            return failure("UNSUPPORTED")
        if digest is None:
            dropped = self.storage.drop_tag(name, call.found.reference)
        else:
            dropped = self.storage.drop_manifest(name, digest)
        return Answer(202) if dropped else self._no_manifest(call)


def _whole(content: Content) -> bytes:
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


Handler = Callable[[Api, Call], Awaitable[Answer]]

HANDLERS: Final[Mapping[Route, Mapping[str, Handler]]] = {
    Route.BASE: {"GET": Api.base, "HEAD": Api.base},
    Route.CATALOG: {"GET": Api.catalog, "HEAD": Api.catalog},
    Route.TAGS: {"GET": Api.tags, "HEAD": Api.tags},
    Route.REFERRERS: {"GET": Api.referrers, "HEAD": Api.referrers},
    Route.BLOB: {"GET": Api.get_blob, "HEAD": Api.get_blob, "DELETE": Api.delete_blob},
    Route.STORAGE: {"GET": Api.get_blob, "HEAD": Api.get_blob},
    Route.UPLOADS: {"POST": Api.start_upload},
    Route.UPLOAD: {
        "GET": Api.upload_status,
        "PATCH": Api.patch_upload,
        "PUT": Api.put_upload,
        "DELETE": Api.cancel_upload,
    },
    Route.MANIFEST: {
        "GET": Api.get_manifest,
        "HEAD": Api.get_manifest,
        "PUT": Api.put_manifest,
        "DELETE": Api.delete_manifest,
    },
}
