"""Real registries as data: their behaviour (Traits) and what goes wrong with them now and then (Rules).

The comments say what was observed and where. Probabilities are ours: high enough that a run meets the fault. A profile
only authenticates clients if it is given users, and does not require that repositories exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import UsageError
from bakery.rehearsal.faults import (
    Cut,
    Drop,
    Endless,
    ExpireToken,
    Lag,
    Refuse,
    Rule,
    Slow,
    Stale,
    Wait,
    When,
    WrongBytes,
    WrongDigest,
)
from bakery.rehearsal.routes import ApiRoute
from bakery.rehearsal.tokens import Access, Scheme
from bakery.rehearsal.traits import MIB, SPEC, Immutable, Redirects, Traits

_READ: Final = "GET HEAD"
_REAL: Final = Traits(tag_parameter=False, mount_without_source=False)  # no registry was seen to support these two
_HOSTED: Final = replace(_REAL, catalog=False, redirects=Redirects.DOWNLOADS)
_READ_ONLY: Final = replace(_HOSTED, delete_blobs=False, delete_manifests=False, delete_tags=False)
_GET_TOKENS: Final = Access(users={}, accepts_post=False)


class Profile(Struct, frozen=True):
    """One kind of registry. login: how it authenticates clients if it is given users."""

    name: str
    summary: str
    traits: Traits = SPEC
    rules: tuple[Rule, ...] = ()
    login: Access = Access(users={})


GHCR: Final = Profile(
    "ghcr",
    "no referrers API, chunks of up to 4 MiB, slow and lost commits, rate limits stated only in the message",
    replace(
        _READ_ONLY,  # /v2 offers no deletes
        referrers=False,  # 404 MANIFEST_UNKNOWN and no OCI-Subject
        max_patch_bytes=4 * MIB,  # 416 "exceeds 4.00MiB" (ocx#237)
    ),
    (
        Rule(
            name="rate limit in the message",
            effect=Refuse(429, "TOOMANYREQUESTS", "retry-after: 10.48ms, allowed: 2000/minute"),
            probability=0.02,
        ),
        Rule(
            name="secondary rate limit",  # vcell#1888: on push and pull, temporary
            effect=Refuse(403, "DENIED", "You have exceeded a secondary rate limit. Please wait a few minutes."),
            probability=0.005,
        ),
        Rule(name="slow commit", effect=Wait(0.5), method="PUT", route=ApiRoute.UPLOAD, probability=0.1),
        Rule(
            name="commit reported as lost",  # jib#4301: in 40 of 51 cases the blob existed
            effect=Refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
            when=When.COMMIT,
            method="PUT",
            route=ApiRoute.UPLOAD,
            probability=0.02,
        ),
        Rule(  # about 5 s were observed (nodewright-packages#132)
            name="stale fallback tag", effect=Stale(5.0), method=_READ, path="/manifests/sha256-"
        ),
    ),
)

HUB: Final = Profile(
    "hub",
    "rate-limit headers, single-use upload Locations, no catalog, no deletes",
    replace(
        _READ_ONLY,  # 405 (hub-feedback#2360)
        manifest_headers=(
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "76;w=21600"),
            ("docker-ratelimit-source", "127.0.0.1"),
        ),
        single_post=False,  # based on distribution: 202, and the body is ignored
        ranges_checked=False,
        single_use_locations=True,
        absolute_locations=True,
    ),
    (
        Rule(
            name="pull rate limit",  # GET counts, HEAD is free
            effect=Refuse(429, "TOOMANYREQUESTS", "toomanyrequests: You have reached your pull rate limit."),
            method="GET",
            route=ApiRoute.MANIFEST,
            probability=0.02,
        ),
    ),
    Access(users={}, knows_repositories=True),  # a mount scope for a missing repository fails the login (ggcr#1681)
)

ECR: Final = Profile(
    "ecr",
    "PATCH returns 201 with a stuck Range, immutable tags refuse even the same digest, mounts need a manifest",
    replace(
        _HOSTED,  # blobs are in S3
        patch_status=201,
        stuck_range=True,  # aws/containers-roadmap#2831
        min_part_bytes=5 * MIB,  # parts of an S3 multipart upload
        mount_needs_manifest=True,  # aws/containers-roadmap#2860
        immutable=Immutable.PUSHES,  # buildkit#3776
        media_type_required=True,
        max_page=1000,
    ),
    (
        Rule(
            name="throttled",
            effect=Refuse(429, "TOOMANYREQUESTS", "ThrottlingException: Rate exceeded"),
            probability=0.02,
        ),
    ),
    Access(users={}, scheme=Scheme.BASIC),  # user AWS, with a password that is valid for 12 hours
)

GAR: Final = Profile(
    "gar",
    "a blob in one chunk, upload Locations of several kilobytes, a challenge only at /v2/, redirected downloads",
    replace(_HOSTED, one_chunk_only=True, location_padding=6000),
    login=replace(_GET_TOKENS, challenges_at_base_only=True),
)

HARBOR: Final = Profile(
    "harbor",
    "writes with its own session cookie are refused, names need a project, tags do not move",
    replace(_REAL, csrf_checks=True, names_need_project=True, immutable=Immutable.MOVES),
    login=replace(_GET_TOKENS, first_scope_only=True),  # the token service only supports GET (skipper#193)
)

QUAY: Final = Profile(
    "quay",
    "no token for scopes that include `delete`, mounts must name their source, redirected downloads",
    replace(_REAL, redirects=Redirects.DOWNLOADS),
    login=Access(users={}, refused_actions=frozenset({"delete"})),
)

ARTIFACTORY: Final = Profile(
    "artifactory",
    "403 for a missing manifest, 406 for a list requested with the Accept of manifests",
    replace(
        _REAL,
        absent_manifest_is_denied=True,  # in virtual repositories (cosign#2973)
        lists_need_accept=True,  # renovate#3124
        referrers=False,
    ),
    login=_GET_TOKENS,
)

DISTRIBUTION: Final = Profile(
    "distribution",
    "distribution 2.8: 404 for a narrow Accept, Content-Range is ignored, only the newest Location works",
    replace(
        _REAL,
        single_post=False,
        ranges_checked=False,
        single_use_locations=True,
        absolute_locations=True,
        accept_must_match=True,
        referrers=False,
        delete_tags=False,
    ),
    login=_GET_TOKENS,
)

FLAKY: Final = Profile(
    "flaky",
    "2 s of lag, and an occasional 5xx, 429, reset, lost response or cut body",
    rules=(
        Rule(name="lag", effect=Lag(2.0), method=_READ),
        Rule(name="server error", effect=Refuse(503, "UNAVAILABLE"), probability=0.02),
        Rule(
            name="too many requests",
            effect=Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "1"),)),
            probability=0.01,
        ),
        Rule(name="reset", effect=Drop(), probability=0.02),
        Rule(name="lost response", effect=Drop(), when=When.COMMIT, probability=0.01),
        Rule(name="cut body", effect=Cut(0.5, by_reset=True), when=When.COMMIT, method="GET", probability=0.02),
    ),
)

HOSTILE: Final = Profile(
    "hostile",
    "wrong digests, altered, endless and cut bodies, web pages for responses: a correct client recovers or reports it",
    Traits(single_use_locations=True),
    (
        Rule(
            name="web page as response",
            effect=Refuse(200, headers=(("Content-Type", "text/html"),), body=b"<html><body>Welcome</body></html>"),
            probability=0.03,
        ),
        Rule(name="refused without a challenge", effect=Refuse(401, "UNAUTHORIZED"), probability=0.01),
        Rule(name="expired token", effect=ExpireToken(), probability=0.05),
        Rule(name="wrong digest header", effect=WrongDigest(), when=When.COMMIT, probability=0.05),
        Rule(name="altered body", effect=WrongBytes(), when=When.COMMIT, method="GET", probability=0.05),
        Rule(name="cleanly cut body", effect=Cut(0.5), when=When.COMMIT, method="GET", probability=0.05),
        Rule(name="slow body", effect=Slow(1024, 0.05), when=When.COMMIT, method="GET", probability=0.03),
        Rule(name="endless body", effect=Endless(), method="GET", probability=0.01),
        Rule(name="reset in the body", effect=Drop(body_bytes=1), method="PUT PATCH", probability=0.05),
        Rule(name="lost response", effect=Drop(), when=When.COMMIT, probability=0.03),
        Rule(name="stale tag", effect=Stale(3.0), method=_READ, route=ApiRoute.MANIFEST),
    ),
)

PROFILES: Final[Mapping[str, Profile]] = {
    each.name: each for each in (GHCR, HUB, ECR, FLAKY, HOSTILE, GAR, HARBOR, QUAY, ARTIFACTORY, DISTRIBUTION)
}


def profile(name: str) -> Profile:
    """Return the profile with this name. Raises UsageError, listing the names."""
    found = PROFILES.get(name)
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name, PROFILES, n=1)
        why = f"expected one of: {', '.join(PROFILES)}"
        hint = f"pass --faults {near[0]}" if near else ""
        raise UsageError("cannot find faults", about=f"'{name}'", why=why, hint=hint)
    return found
