"""Registries as they were met, as data: what each one is (Traits) and what goes wrong with it at times (Rules).

Where a probability is given it is ours: often enough that a run meets it. What was seen and where is said at each line.
A profile asks for credentials only where it is given users, and does not demand that repositories exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

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
from bakery.rehearsal.routes import Route
from bakery.rehearsal.tokens import Access, Scheme
from bakery.rehearsal.traits import MIB, SPEC, Immutable, Traits

TOKENS: Final = Access(users={})
_READ: Final = "GET HEAD"


class Profile(Struct, frozen=True):
    """One kind of registry. login: how it asks for credentials, where somebody gives it users."""

    name: str
    summary: str
    traits: Traits = SPEC
    rules: tuple[Rule, ...] = ()
    login: Access = TOKENS


GHCR: Final = Profile(
    "ghcr",
    "no referrers API, 4 MiB chunks, slow and lost commits, rate limits told in the text",
    Traits(
        referrers=False,  # 404 MANIFEST_UNKNOWN and no OCI-Subject
        max_patch_bytes=4 * MIB,  # 416 "exceeds 4.00MiB" (ocx#237)
        catalog=False,
        delete_blobs=False,  # deleting is not offered through /v2
        delete_manifests=False,
        delete_tags=False,
        tag_parameter=False,
        mount_without_source=False,
        redirects_blobs=True,
    ),
    (
        Rule(
            name="rate limit in the text",
            effect=Refuse(429, "TOOMANYREQUESTS", "retry-after: 10.48ms, allowed: 2000/minute"),
            probability=0.02,
        ),
        Rule(
            name="secondary rate limit",  # vcell#1888: for push and pull, and it passes
            effect=Refuse(403, "DENIED", "You have exceeded a secondary rate limit. Please wait a few minutes."),
            probability=0.005,
        ),
        Rule(name="slow commit", effect=Wait(0.5), method="PUT", route=Route.UPLOAD, probability=0.1),
        Rule(
            name="commit told as lost",  # jib#4301: in 40 of 51 cases the blob was there
            effect=Refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
            when=When.COMMIT,
            method="PUT",
            route=Route.UPLOAD,
            probability=0.02,
        ),
        Rule(  # about 5 s were seen (nodewright-packages#132)
            name="stale fallback tag", effect=Stale(5.0), method=_READ, path="/manifests/sha256-"
        ),
    ),
)

HUB: Final = Profile(
    "hub",
    "rate-limit headers, one-use upload Locations, no catalog, nothing can be deleted",
    Traits(
        manifest_headers=(
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "76;w=21600"),
            ("docker-ratelimit-source", "127.0.0.1"),
        ),
        single_post=False,  # it is built on distribution: 202, and the body is thrown away
        ranges_checked=False,
        one_use_locations=True,
        absolute_locations=True,
        redirects_blobs=True,
        catalog=False,
        delete_blobs=False,
        delete_manifests=False,  # 405 (hub-feedback#2360)
        delete_tags=False,
        tag_parameter=False,
        mount_without_source=False,
    ),
    (
        Rule(
            name="pull rate limit",  # GET counts, HEAD is free
            effect=Refuse(429, "TOOMANYREQUESTS", "toomanyrequests: You have reached your pull rate limit."),
            method="GET",
            route=Route.MANIFEST,
            probability=0.02,
        ),
    ),
    Access(users={}, knows_repositories=True),  # a mount's scope for a missing repository fails the login (ggcr#1681)
)

ECR: Final = Profile(
    "ecr",
    "PATCH answers 201 with a Range that sticks, immutable tags refuse even the same digest, mounts need a manifest",
    Traits(
        patch_status=201,
        stuck_range=True,  # aws/containers-roadmap#2831
        least_part_bytes=5 * MIB,  # parts of an S3 multipart upload
        mount_needs_manifest=True,  # aws/containers-roadmap#2860
        mount_without_source=False,
        immutable=Immutable.PUSHES,  # buildkit#3776
        media_type_required=True,
        redirects_blobs=True,  # to S3
        max_page=1000,
        catalog=False,
        tag_parameter=False,
    ),
    (
        Rule(
            name="throttled",
            effect=Refuse(429, "TOOMANYREQUESTS", "ThrottlingException: Rate exceeded"),
            probability=0.02,
        ),
    ),
    Access(users={}, scheme=Scheme.BASIC),  # user AWS, a password of 12 hours
)

GAR: Final = Profile(
    "gar",
    "a blob in one chunk, upload Locations of kilobytes, a challenge at the ping alone, blobs from a storage",
    Traits(
        one_chunk_only=True,
        location_padding=6000,
        redirects_blobs=True,
        catalog=False,
        tag_parameter=False,
        mount_without_source=False,
    ),
    login=Access(users={}, takes_post=False, challenges_at_ping_only=True),
)

HARBOR: Final = Profile(
    "harbor",
    "who brings its session cookie back may not write, names need a project, tags do not move",
    Traits(
        cookies_are_browsers=True,
        names_need_project=True,
        immutable=Immutable.MOVES,
        tag_parameter=False,
        mount_without_source=False,
    ),
    login=Access(users={}, takes_post=False, one_scope=True),  # the token service answers GET alone (skipper#193)
)

QUAY: Final = Profile(
    "quay",
    "a token is refused where `delete` is among the wishes, mounts name their source, blobs from a storage",
    Traits(redirects_blobs=True, mount_without_source=False, tag_parameter=False),
    login=Access(users={}, refused_actions=frozenset({"delete"})),
)

ARTIFACTORY: Final = Profile(
    "artifactory",
    "403 for a manifest that is not there, 406 where a list is asked with the Accept of manifests",
    Traits(
        absent_manifest_is_denied=True,  # in virtual repositories (cosign#2973)
        lists_need_accept=True,  # renovate#3124
        referrers=False,
        tag_parameter=False,
        mount_without_source=False,
    ),
    login=Access(users={}, takes_post=False),
)

DISTRIBUTION: Final = Profile(
    "distribution",
    "distribution 2.8: a narrow Accept finds nothing, ranges of chunks are ignored, only the newest Location works",
    Traits(
        single_post=False,
        ranges_checked=False,
        one_use_locations=True,
        absolute_locations=True,
        accept_must_match=True,
        referrers=False,
        delete_tags=False,
        tag_parameter=False,
        mount_without_source=False,
    ),
    login=Access(users={}, takes_post=False),
)

FLAKY: Final = Profile(
    "flaky",
    "2 s of lag, and now and then a 5xx, a 429, a reset, a lost reply, a body that is cut",
    rules=(
        Rule(name="lag", effect=Lag(2.0), method=_READ),
        Rule(name="server error", effect=Refuse(503, "UNAVAILABLE"), probability=0.02),
        Rule(
            name="too many requests",
            effect=Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "1"),)),
            probability=0.01,
        ),
        Rule(name="reset", effect=Drop(), probability=0.02),
        Rule(name="lost reply", effect=Drop(), when=When.COMMIT, probability=0.01),
        Rule(name="cut body", effect=Cut(0.5, by_reset=True), when=When.COMMIT, method="GET", probability=0.02),
    ),
)

HOSTILE: Final = Profile(
    "hostile",
    "wrong digests, altered, endless and cut bodies, web pages for answers: a right client fails or recovers, loudly",
    Traits(one_use_locations=True),
    (
        Rule(
            name="a web page for an answer",
            effect=Refuse(200, headers=(("Content-Type", "text/html"),), body=b"<html><body>Welcome</body></html>"),
            probability=0.03,
        ),
        Rule(
            name="refused without a challenge",
            effect=Refuse(401, "UNAUTHORIZED"),
            probability=0.01,
        ),
        Rule(name="ended token", effect=ExpireToken(), probability=0.05),
        Rule(name="lying digest header", effect=WrongDigest(), when=When.COMMIT, probability=0.05),
        Rule(name="altered body", effect=WrongBytes(), when=When.COMMIT, method="GET", probability=0.05),
        Rule(name="body cut cleanly", effect=Cut(0.5), when=When.COMMIT, method="GET", probability=0.05),
        Rule(name="slow body", effect=Slow(1024, 0.05), when=When.COMMIT, method="GET", probability=0.03),
        Rule(name="endless body", effect=Endless(), method="GET", probability=0.01),
        Rule(name="reset in the body", effect=Drop(body_bytes=1), method="PUT PATCH", probability=0.05),
        Rule(name="lost reply", effect=Drop(), when=When.COMMIT, probability=0.03),
        Rule(name="stale tag", effect=Stale(3.0), method=_READ, route=Route.MANIFEST),
    ),
)

PROFILES: Final[Mapping[str, Profile]] = {
    each.name: each for each in (GHCR, HUB, ECR, FLAKY, HOSTILE, GAR, HARBOR, QUAY, ARTIFACTORY, DISTRIBUTION)
}


def profile(name: str) -> Profile:
    """The profile of this name. Raises UsageError, naming those there are."""
    found = PROFILES.get(name)
    if found is None:
        raise UsageError("choosing faults", about=repr(name), hint=f"one of {', '.join(PROFILES)}")
    return found
