"""Errors of registries: what they refuse, lack, or cannot do now."""

from __future__ import annotations

from typing import Final

from bakery.catalogue.entry import Entry

ENTRIES: Final = (
    Entry(
        "registry/refused",
        "A registry refused a request",
        "The registry responded, and its response says that the same request will not succeed. Its own words are "
        "in the message.",
        (
            "The registry does not accept this content or name.",
            "A rule of the registry, such as a scan or a policy, forbids it.",
        ),
        (
            "Read the registry's words in the message.",
            "Check the registry's log; retrying does not help.",
        ),
        "error[registry/refused]: cannot push manifest ghcr.io/acme/app:1.0.0: 400 MANIFEST_INVALID: unknown "
        "media type",
    ),
    Entry(
        "registry/not-found",
        "Content or a repository does not exist at the registry",
        "The registry does not know the name, tag or digest. Some registries say the same about what the login "
        "must not see.",
        (
            "The name is misspelled.",
            "The content was deleted.",
            "The login may not read the repository.",
        ),
        (
            "Check the name.",
            "Run `bakery doctor` to see whether the login can read and push there.",
        ),
        "error[registry/not-found]: cannot read manifest ghcr.io/acme/app:1.0.0: 404 MANIFEST_UNKNOWN",
    ),
    Entry(
        "registry/no-repository",
        "The repository must be created first",
        "The registry does not create repositories when something is pushed, and this one does not exist.",
        (
            "The repository (ECR, Artifact Registry) or its project (Harbor, GitLab) was not created.",
            "The name is misspelled.",
        ),
        (
            "Create it with the command in the hint.",
            "Correct the namespace in bakery.yaml.",
        ),
        "error[registry/no-repository]: cannot open upload 123456789012.dkr.ecr.us-east-1.amazonaws.com/app: 404 "
        "NAME_UNKNOWN",
    ),
    Entry(
        "registry/content-missing",
        "The registry does not find content that was pushed to it",
        "A manifest names content that was uploaded or found before, and the registry says that it lacks it. The "
        "content was sent again, and that did not help.",
        (
            "The registry's storage is inconsistent or lags.",
            "A garbage collection ran at the same time.",
        ),
        (
            "Run the command again.",
            "If it fails again, check the registry's storage.",
        ),
        "error[registry/content-missing]: cannot push manifest ghcr.io/acme/app:1.0.0: 404 MANIFEST_BLOB_UNKNOWN: "
        "the registry does not find sha256:9f86…",
    ),
    Entry(
        "registry/unavailable",
        "A registry is overloaded or failed temporarily",
        "The registry answered with a server error or did not show new content. Bakery repeated the request until "
        "its attempts or its time were used up.",
        (
            "The registry has an outage.",
            "A proxy in front of it cannot reach it.",
        ),
        (
            "Check the registry's status page.",
            "Run the same command again later: what was uploaded is not uploaded again.",
        ),
        "error[registry/unavailable]: cannot push blob ghcr.io/acme/app@sha256:9f86…: 503 UNAVAILABLE",
    ),
    Entry(
        "registry/rate-limit",
        "A registry limits the number of requests",
        "The registry asked to wait (429, or GHCR's secondary limit), and it did so until the attempts or the "
        "time were used up.",
        (
            "Many jobs share one account or address.",
            "Requests are made without a login, which have a lower limit.",
        ),
        (
            "Log in, also for reading.",
            "Run fewer jobs at once with `--jobs`, or fewer runners.",
            "Run `bakery doctor` to see what the registry says about its limit.",
            "Run the same command again later.",
        ),
        "error[registry/rate-limit]: cannot read manifest docker.io/library/alpine:3: 429 TOOMANYREQUESTS",
    ),
    Entry(
        "registry/quota",
        "A limit of the account or project is reached",
        "The registry refuses more content because the account, project or repository has as much as it may have.",
        (
            "Old images fill the quota.",
            "The plan of the account allows little storage.",
        ),
        (
            "Delete content that is not needed.",
            "Raise the limit at the registry, then run the command again.",
        ),
        "error[registry/quota]: cannot push blob harbor.example/acme/app@sha256:9f86…: a limit of the account or "
        "project is reached: 403 DENIED: adding 24.0 MiB of storage resource exceeds the limit",
    ),
    Entry(
        "registry/disk-full",
        "The registry's disk is full",
        "The registry cannot store more content. Nothing can be pushed until there is space.",
        ("The storage of a self-hosted registry is full.",),
        (
            "Free disk space at the registry, for example by its garbage collection.",
            "Then run the command again.",
        ),
        "error[registry/disk-full]: cannot push blob registry.example/app@sha256:9f86…: the registry's disk is "
        "full: 500 UNKNOWN: no space left on device",
    ),
    Entry(
        "registry/unsupported",
        "The registry cannot do this",
        "The registry says that it does not support the operation.",
        (
            "The registry or the repository is read-only.",
            "The registry is a cache or a proxy of another one.",
        ),
        (
            "Check whether the registry or the repository is read-only.",
            "Push to the registry itself, not to its cache.",
        ),
        "error[registry/unsupported]: cannot open upload registry.example/app: 405 UNSUPPORTED",
    ),
    Entry(
        "registry/immutable-tag",
        "A tag must not move",
        "The registry has a rule that a tag, once pushed, names the same content forever, and this tag names "
        "other content.",
        (
            "The version was published before, from other builds.",
            "The repository has immutable tags, and `latest` is among them.",
        ),
        (
            "Publish under another tag.",
            "Exclude floating tags such as `latest` from the rule at the registry.",
        ),
        "error[registry/immutable-tag]: cannot move tag ghcr.io/acme/app:1.0.0: the tag is immutable and names "
        "sha256:9f86…",
    ),
    Entry(
        "registry/tag-taken",
        "Something else moved a tag during the run",
        "After Bakery moved the tag, it names content that is neither what it named before nor what this run put "
        "there.",
        (
            "Two runs publish the same tag at the same time.",
            "Someone moved the tag by hand.",
        ),
        (
            "Find out which run moved the tag.",
            "Run the one again whose image you want to keep.",
        ),
        "error[registry/tag-taken]: cannot read back tag ghcr.io/acme/app:latest: the tag names sha256:aa00…, "
        "which this run did not push",
    ),
    Entry(
        "registry/conflict",
        "Another client writes to the same name",
        "The registry refuses a write because another one to the same name is not finished (409).",
        (
            "Two runs publish the same repository at the same time.",
            "An earlier upload was interrupted.",
        ),
        ("Run the command again once no other client writes there.",),
        "error[registry/conflict]: cannot push manifest registry.example/app:1.0.0: 409 CONFLICT",
    ),
    Entry(
        "auth/login",
        "A registry requires a login",
        "No login is known for the registry, or the registry does not accept it. If every failure of a run is of "
        "this kind, the exit code is 4.",
        (
            "There was no `docker login` on this machine.",
            "The password or token has expired or was revoked.",
        ),
        (
            "Log in: `docker login REGISTRY`.",
            "In CI, check that the secret is set and that the login step runs before this one.",
            "Run `bakery doctor` to check every registry of the project.",
        ),
        "error[auth/login]: cannot get token for ghcr.io: 401 UNAUTHORIZED\nhint: log in first: docker login ghcr.io",
    ),
    Entry(
        "auth/denied",
        "The login has no permission",
        "The registry knows the login, and it may not do this. If every failure of a run is of this kind, the "
        "exit code is 4.",
        (
            "The token lacks the scope to push (GitHub: `packages: write`).",
            "The login is of another account or organization than the namespace.",
        ),
        (
            "Give the token the permission to push.",
            "Check the namespace in bakery.yaml.",
            "Run `bakery doctor` to test it.",
        ),
        "error[auth/denied]: cannot open upload ghcr.io/acme/app: 403 DENIED: permission_denied: write_package",
    ),
    Entry(
        "auth/credentials",
        "Stored credentials cannot be read",
        "Docker's configuration names a login or a credential helper that cannot be used.",
        (
            "The credential helper is not installed or failed.",
            "The file is damaged or not readable.",
        ),
        (
            "Log in again with `docker login`.",
            "Install the helper that the message names, or correct the file.",
        ),
        "error[auth/credentials]: cannot get login from credential helper docker-credential-desktop: not found",
    ),
    Entry(
        "auth/expired",
        "A token expired during an upload",
        "The registry ended the login after a body had been sent. Bakery starts the upload again with a new token.",
        ("The registry's tokens live shorter than the upload takes.",),
        (
            "Run the command again.",
            "Have the registry issue tokens that live longer.",
        ),
        "error[auth/expired]: cannot push blob registry.example/app@sha256:9f86…: the login ended during the upload",
    ),
)
