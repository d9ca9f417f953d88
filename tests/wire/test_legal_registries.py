"""One publish succeeds on every legal kind of registry: all pairs of the choices that distribution-spec 1.1 leaves.

Source: OCI distribution-spec 1.1. It lets registries choose how blobs are uploaded, what is redirected, and which of
the optional APIs exist. docs/conformance.md lists the choices.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import covertable
import pytest
from msgspec.structs import replace

from bakery.app.publishing import PublishOptions, publish
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.plan import Destination, Plan, PlannedTarget, Source
from bakery.rehearsal import Access, EmbeddedRegistry, Redirects, Scheme, Traits, UploadWay
from bakery.rehearsal.traits import MIB

Choice = Mapping[str, str]  # dimension → value
USERS = {"baker": "flour"}

# Dimension → value → the traits that differ from the defaults. The first value of each is the default.
TRAITS: Final[Mapping[str, Mapping[str, Mapping[str, object]]]] = {
    "upload": {
        "any": {},
        "chunks only": {"upload_way": UploadWay.CHUNKED},
        "chunks of at least 5 MiB": {
            "upload_way": UploadWay.CHUNKED,
            "min_chunk_bytes": 5 * MIB,
            "min_part_bytes": 5 * MIB,
        },
        "one PUT only": {"upload_way": UploadWay.MONOLITHIC},
    },
    "single POST": {"yes": {}, "no": {"single_post": False}},
    "Location": {
        "relative": {},
        "absolute": {"absolute_locations": True},
        "single-use": {"single_use_locations": True},
    },
    "redirects": {
        "none": {},
        "downloads": {"redirects": Redirects.DOWNLOADS},
        "everything, same origin": {"redirects": Redirects.SAME_ORIGIN},
        "everything, other origin": {"redirects": Redirects.OTHER_ORIGIN},
    },
    "redirect status": {"307": {}, "308": {"redirect_status": 308}},
    "HEAD": {"yes": {}, "no": {"head": False}},
    "ranges": {"yes": {}, "no": {"ranges": False}},
    "digest header": {"yes": {}, "no": {"digest_headers": False}},
    "mount": {"yes": {}, "no": {"mount": False}},
    "referrers API": {"yes": {}, "no": {"referrers": False}},
    "tag list": {"complete": {}, "one per page": {"max_page": 1}, "none": {"tag_list": False}},
    "delete": {"yes": {}, "no": {"delete_blobs": False, "delete_manifests": False, "delete_tags": False}},
    "content check": {"yes": {}, "no": {"children_must_exist": False}},
    "Accept": {"ignored": {}, "must match": {"accept_must_match": True}},
    "connections": {"kept alive": {}, "closed": {"keep_alive": False}},
}
LOGINS: Final[Mapping[str, Access | None]] = {
    "none": None,
    "bearer": Access(users=USERS),
    "basic": Access(users=USERS, scheme=Scheme.BASIC),
}
ALGORITHMS: Final = ("sha256", "sha512")
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    **{dimension: tuple(values) for dimension, values in TRAITS.items()},
    "login": tuple(LOGINS),
    "digests": ALGORITHMS,
}


def all_pairs(choices: Mapping[str, Sequence[str]]) -> list[Choice]:
    """Return combinations in which every pair of values occurs. The same choices give the same combinations."""
    rows: list[dict[str, str]] = covertable.make({name: list(values) for name, values in choices.items()})
    return [{name: row[name] for name in choices} for row in rows]


def pairs(combination: Choice) -> Iterable[frozenset[tuple[str, str]]]:
    return map(frozenset, itertools.combinations(combination.items(), 2))


def name_of(combination: Choice) -> str:
    """Return what differs from the defaults."""
    differences = [f"{name}: {value}" for name, value in combination.items() if value != CHOICES[name][0]]
    return ", ".join(differences) or "defaults"


COMBINATIONS: Final = [
    dict.fromkeys(CHOICES, "") | {name: values[0] for name, values in CHOICES.items()},
    *all_pairs(CHOICES),
]


def test_every_pair_of_choices_occurs():
    wanted = {
        frozenset({(one, value), (other, another)})
        for one, other in itertools.combinations(CHOICES, 2)
        for value in CHOICES[one]
        for another in CHOICES[other]
    }
    assert {pair for combination in COMBINATIONS for pair in pairs(combination)} == wanted


def registry_of(combination: Choice) -> EmbeddedRegistry:
    traits = Traits()
    for dimension, values in TRAITS.items():
        traits = replace(traits, **values[combination[dimension]])
    return EmbeddedRegistry(traits=traits, access=LOGINS[combination["login"]])


class Builds:
    """Pushes builds to a temporary registry, as CI would, with digests of one algorithm."""

    def __init__(self, registry: EmbeddedRegistry, algorithm: str) -> None:
        self._registry, self._algorithm = registry, algorithm

    def blob(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        digest = self._registry.put_blob(repository, content, algorithm=self._algorithm)
        return {"mediaType": media_type, "digest": str(digest), "size": len(content)}

    def manifest(self, repository: str, **parts: Any) -> dict[str, Any]:
        kind = mt.OCI_INDEX if "manifests" in parts else mt.OCI_MANIFEST
        raw = json.dumps({"schemaVersion": 2, "mediaType": kind, **parts}).encode()
        digest = self._registry.put_manifest(repository, raw, algorithm=self._algorithm)
        return {"mediaType": kind, "digest": str(digest), "size": len(raw)}

    def image(self, repository: str, architecture: str, *layers: bytes) -> dict[str, Any]:
        """Push an image and a referrer of it, in one index. Return the descriptor of the index."""
        config = json.dumps({"os": "linux", "architecture": architecture, "of": repository}).encode()
        image = self.manifest(
            repository,
            config=self.blob(repository, config, mt.OCI_CONFIG),
            layers=[self.blob(repository, layer, LAYER_TYPE) for layer in layers],
        )
        empty = self.blob(repository, b"{}", "application/vnd.oci.empty.v1+json")
        referrer = self.manifest(
            repository, artifactType="application/x.sbom", config=empty, layers=[empty], subject=image
        )
        platform = {"os": "linux", "architecture": architecture}
        attestation = {"os": "unknown", "architecture": "unknown"}
        entries = [{**image, "platform": platform}, {**referrer, "platform": attestation}]
        return self.manifest(repository, manifests=entries)

    def target(self, name: str, destinations: Sequence[EmbeddedRegistry], *layers: bytes) -> PlannedTarget:
        sources = []
        for architecture in ("amd64", "arm64"):
            own = gzip.compress(f"{name} {architecture}".encode(), mtime=0)
            digest = Digest.parse(self.image(f"tmp/{name}", architecture, *layers, own)["digest"])
            reference = Repository(self._registry.address, f"tmp/{name}").with_digest(digest)
            sources.append(Source(reference))
        places = tuple(Destination(Repository(one.address, f"acme/{name}"), ("1.0", "latest")) for one in destinations)
        platforms = ("linux/amd64", "linux/arm64")
        return PlannedTarget(name, name, "1.0", "", "", tuple(sources), places, {"title": name}, platforms)


LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
BIG: Final = gzip.compress(random.Random(1).randbytes(11 * MIB), compresslevel=0, mtime=0)  # three chunks of 5 MiB


def unreadable(registry: EmbeddedRegistry, repository: str) -> list[str]:
    """Return everything that a tag of the repository names, and that is missing or has a wrong digest."""
    wrong: list[str] = []
    waiting = list(registry.tags(repository).values())
    while waiting:
        digest = waiting.pop()
        found = registry.storage.manifest(repository, digest)
        if found is None:
            wrong.append(f"manifest {digest}")
            continue
        raw = registry.manifest(repository, digest)[1]
        view = oci.parse(raw)
        if Digest.of(raw, digest.algorithm) != digest:
            wrong.append(f"bytes of {digest}")
        if isinstance(view, oci.Index):
            waiting += [entry.digest for entry in view.manifests]
            continue
        blobs = [blob.digest for blob in view.blobs]
        held = registry.blobs(repository)
        wrong += [f"blob {blob}" for blob in blobs if blob not in held]
        contents = [(blob, registry.blob(repository, blob)) for blob in blobs if blob in held]
        wrong += [f"bytes of {blob}" for blob, content in contents if Digest.of(content, blob.algorithm) != blob]
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("combination", COMBINATIONS, ids=name_of)
async def test_a_publish_succeeds_on_every_legal_kind_of_registry(combination: Choice):
    async with AsyncExitStack() as stack:
        source, *destinations = [await stack.enter_async_context(registry_of(combination)) for _ in range(3)]
        builds = Builds(source, combination["digests"])
        plan = Plan(tuple(builds.target(name, destinations, BIG) for name in ("bread", "cake")))
        login = {"auth": base64.b64encode(b"baker:flour").decode()}
        auths = {one.address: login for one in (source, *destinations)} if combination["login"] != "none" else {}
        environment = {
            "DOCKER_AUTH_CONFIG": json.dumps({"auths": auths}),
            "BAKERY_REGISTRY_RETRY_INITIAL_BACKOFF": "0.01",
        }
        options = PublishOptions(environment=environment)
        outcome = await asyncio.to_thread(publish, plan, options)
        assert [str(failure.error) for failure in outcome.failures] == []
        for registry, name in itertools.product(destinations, ("bread", "cake")):
            assert {"1.0", "latest"} <= registry.tags(f"acme/{name}").keys()
            assert unreadable(registry, f"acme/{name}") == []
        for registry in destinations:
            registry.forget_requests()
        assert (await asyncio.to_thread(publish, plan, options)).exit_code == 0
        if combination["HEAD"] == "yes":  # without HEAD, it is unknown which blobs exist
            assert [registry.count("PUT") for registry in destinations] == [0, 0]
