"""How one registry differs from another, as data. The defaults are what OCI distribution-spec 1.1 recommends.

A trait changes what the registry *is*; a fault (faults.py) is something that goes wrong now and then.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from msgspec import Struct

MIB: Final = 1024 * 1024


class Immutable(Enum):
    """Whether an existing tag can be pushed again."""

    NEVER = auto()  # tags move freely
    MOVES = auto()  # refused, unless the tag already names the digest
    PUSHES = auto()  # always refused: ECR (buildkit#3776)


class UploadWay(Enum):
    """The ways to upload a blob that a registry supports."""

    ANY = auto()
    CHUNKED = auto()  # a blob must arrive in PATCH requests; a PUT with a body is refused before the first chunk
    MONOLITHIC = auto()  # PATCH is refused


class Redirects(Enum):
    """Which requests are redirected, and where to. The target of a redirect is signed and needs no login."""

    NONE = auto()
    DOWNLOADS = auto()  # GET of a blob, to a storage on another origin
    SAME_ORIGIN = auto()  # every request to a repository
    OTHER_ORIGIN = auto()  # every request to a repository, to an origin that refuses Authorization


class Traits(Struct, frozen=True, kw_only=True):
    """The behaviour of one registry. Sizes are in bytes; None means no limit."""

    # What can be pushed.
    children_must_exist: bool = True  # a manifest is refused while a blob or child is missing
    repositories_must_exist: bool = False  # a push does not create the repository (ECR)
    names_need_project: bool = False  # a name with one component is refused (Harbor)
    media_type_required: bool = False  # a manifest must have a mediaType field (ECR)
    immutable: Immutable = Immutable.NEVER
    max_manifest_bytes: int = 4 * MIB
    # Uploads.
    single_post: bool = True  # POST ?digest= takes the body; else it is ignored and 202 returned (distribution 2.8)
    mount: bool = True
    mount_needs_manifest: bool = False  # only blobs that a manifest of the source repository names are mounted (ECR)
    mount_without_source: bool = True  # a mount without `from` finds the blob in any repository
    upload_way: UploadWay = UploadWay.ANY
    max_patch_bytes: int | None = None  # a larger chunk with Content-Range gets 416 (GHCR)
    one_chunk_only: bool = False  # a second chunk is refused (GAR)
    min_chunk_bytes: int | None = None  # sent as OCI-Chunk-Min-Length
    min_part_bytes: int | None = None  # a chunk that follows a smaller one is refused (ECR: S3 multipart)
    patch_status: int = 202
    stuck_range: bool = False  # Range stays at the end of the first chunk although more data arrived (ECR)
    ranges_checked: bool = True  # else Content-Range is ignored and every chunk is appended (distribution 2.8)
    single_use_locations: bool = False  # a Location carries state: only the newest one works (distribution)
    absolute_locations: bool = False  # Location includes scheme and host
    location_padding: int = 0  # extra characters in the Location of an upload (GAR: kilobytes)
    # Reads.
    accept_must_match: bool = False  # 404 if Accept does not list the manifest's type (distribution 2.8)
    lists_need_accept: bool = False  # 406 if the Accept of a tags/list request does not allow JSON (Artifactory)
    absent_manifest_is_denied: bool = False  # 403 instead of 404 (Artifactory's virtual repositories)
    referrers: bool = True  # the referrers API and OCI-Subject
    redirects: Redirects = Redirects.NONE
    redirect_status: int = 307
    head: bool = True  # HEAD of manifests and blobs; else 405
    ranges: bool = True  # partial downloads; else Range is ignored
    digest_headers: bool = True  # Docker-Content-Digest on reads
    tag_list: bool = True
    catalog: bool = True
    max_page: int | None = None  # entries in one page of tags/list
    # Deletes, and tags by parameter.
    delete_blobs: bool = True
    delete_manifests: bool = True
    delete_tags: bool = True
    conditional_writes: bool = False  # a PUT of a tag with If-Match gets 412 unless the tag has this ETag
    tag_parameter: bool = True  # PUT …/manifests/DIGEST?tag=a&tag=b
    keep_alive: bool = True  # else every response closes the connection
    csrf_checks: bool = False  # sets a session cookie and refuses writes that send it back (Harbor)
    headers: tuple[tuple[str, str], ...] = ()  # on every response
    manifest_headers: tuple[tuple[str, str], ...] = ()  # on responses to GET and HEAD of a manifest


SPEC: Final = Traits()
