"""How one registry differs from another, as data. The defaults are what OCI distribution-spec 1.1 wishes for.

A trait changes what the registry *is*; what merely goes wrong at times is a fault (faults.py).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from msgspec import Struct

MIB: Final = 1024 * 1024


class Immutable(Enum):
    """Whether a tag that exists can be pushed again."""

    NEVER = auto()  # tags move freely
    MOVES = auto()  # refused, unless it already names the digest
    PUSHES = auto()  # refused even then: ECR (buildkit#3776)


class Traits(Struct, frozen=True, kw_only=True):
    """One registry's ways. Sizes are in bytes; None is no limit."""

    # What may be pushed.
    children_must_exist: bool = True  # a manifest whose blobs or children are absent is refused
    repositories_must_exist: bool = False  # pushing does not create them (ECR)
    names_need_project: bool = False  # a name of one part is refused (Harbor)
    media_type_required: bool = False  # a manifest must state its own mediaType (ECR)
    immutable: Immutable = Immutable.NEVER
    max_manifest_bytes: int = 4 * MIB
    # Uploads.
    single_post: bool = True  # POST ?digest= takes the body; else it is thrown away and 202 answers (distribution 2.8)
    mount: bool = True
    mount_needs_manifest: bool = False  # only what a manifest of the source repository names can be mounted (ECR)
    mount_without_source: bool = True  # a mount that names no source finds the blob in any repository
    max_patch_bytes: int | None = None  # a chunk with Content-Range of more is 416 (GHCR)
    one_chunk_only: bool = False  # a second chunk is refused (GAR)
    min_chunk_bytes: int | None = None  # told by OCI-Chunk-Min-Length
    least_part_bytes: int | None = None  # a chunk that follows a smaller one is refused (ECR: S3 multipart)
    patch_status: int = 202
    stuck_range: bool = False  # Range stays at the first chunk's end though the data arrived (ECR)
    ranges_checked: bool = True  # else Content-Range is ignored and every chunk appended (distribution 2.8)
    one_use_locations: bool = False  # a Location carries state: only the newest one works (distribution)
    absolute_locations: bool = False  # Location names scheme and host
    location_padding: int = 0  # characters that an upload's Location carries besides (GAR: kilobytes)
    # Reading.
    accept_must_match: bool = False  # 404 where Accept lacks the manifest's type (distribution 2.8)
    lists_need_accept: bool = False  # 406 where tags/list is asked with an Accept without JSON (Artifactory)
    absent_manifest_is_denied: bool = False  # 403 where others say 404 (Artifactory's virtual repositories)
    referrers: bool = True  # the referrers API and OCI-Subject
    redirects_blobs: bool = (
        False  # GET of a blob answers 307 to a storage of another origin that takes no Authorization
    )
    catalog: bool = True
    max_page: int | None = None  # entries in one answer of tags/list
    # Deleting, and tags by parameter.
    delete_blobs: bool = True
    delete_manifests: bool = True
    delete_tags: bool = True
    tag_parameter: bool = True  # PUT …/manifests/DIGEST?tag=a&tag=b
    cookies_are_browsers: bool = False  # a session cookie is set, and who brings it may not write (Harbor's CSRF check)
    headers: tuple[tuple[str, str], ...] = ()  # on every answer
    manifest_headers: tuple[tuple[str, str], ...] = ()  # on answers to GET and HEAD of a manifest


SPEC: Final = Traits()
