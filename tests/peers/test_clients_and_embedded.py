"""crane, oras, regctl and skopeo pull from the embedded registry and push to it, byte for byte.

Four programs by four other teams: what they all rely on is what a registry must do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.oci import manifest as oci
from bakery.oci.digest import Digest
from bakery.rehearsal import Access, EmbeddedRegistry, Immutable, Scheme, Traits
from bakery.rehearsal.profiles import ARTIFACTORY, DISTRIBUTION, ECR, GAR, GHCR, HARBOR, HUB, QUAY
from tests.peers.programs import need
from tests.rehearsal.content import image, index

USER, PASSWORD = "baker", "flour"
LAYER = bytes(range(256)) * 4096 * 9  # 9 MiB: several chunks for clients that send chunks
CONFIGS = [json.dumps({"architecture": name, "os": "linux", "rootfs": {}}).encode() for name in ("amd64", "arm64")]
IMAGES = [image(LAYER, config) for config in CONFIGS]
INDEX = index(*IMAGES, annotations={"of": "two platforms"})
CLIENTS = ("crane", "oras", "regctl", "skopeo")


@dataclass(frozen=True)
class Clients:
    """The four client programs, with one folder and one login, for `host`."""

    folder: Path
    host: str

    def __post_init__(self) -> None:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (self.folder / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": login}}}))

    async def run(self, program: str, *arguments: object) -> bytes:
        """Run a program concurrently with the registry in this process. A failure includes its stderr."""
        environment = {**os.environ, "DOCKER_CONFIG": str(self.folder), "HOME": str(self.folder)}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            str(need(program)), *map(str, arguments), env=environment, stdout=pipe, stderr=pipe
        )
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
        assert process.returncode == 0, f"{program} {arguments}: {errors.decode()[-2000:]}"
        return output

    async def copy(self, client: str, source: str, target: str) -> None:
        """Copy an index and everything it names from one registry to another."""
        config = f"--authfile={self.folder}/config.json"
        match client:
            case "crane":
                await self.run("crane", "copy", "--insecure", source, target)
            case "oras":
                await self.run("oras", "cp", "--from-plain-http", "--to-plain-http", source, target)
            case "regctl":
                hosts = [f"--host=reg={name.partition('/')[0]},tls=disabled" for name in (source, target)]
                await self.run("regctl", *hosts, "image", "copy", source, target)
            case _:
                sides = ("--src-tls-verify=false", "--dest-tls-verify=false")
                copy = ("copy", "--all", "--preserve-digests", *sides, config)
                await self.run("skopeo", *copy, f"docker://{source}", f"docker://{target}")

    async def pull(self, client: str, source: str, layout: Path) -> None:
        """Pull an index and everything it names into an OCI layout."""
        match client:
            case "crane":
                await self.run("crane", "pull", "--insecure", "--format=oci", source, layout)
            case "oras":
                await self.run("oras", "cp", "--from-plain-http", "--to-oci-layout", source, f"{layout}:1")
            case "regctl":
                host = f"--host=reg={self.host},tls=disabled"
                await self.run("regctl", host, "image", "copy", source, f"ocidir://{layout}:1")
            case _:
                await self.run(
                    "skopeo",
                    "copy",
                    "--all",
                    "--preserve-digests",
                    "--src-tls-verify=false",
                    f"--authfile={self.folder}/config.json",
                    f"docker://{source}",
                    f"oci:{layout}:1",
                )


def seed(registry: EmbeddedRegistry, repository: str) -> None:
    """Store INDEX and everything it names under the tag 1."""
    for content in (LAYER, *CONFIGS):
        registry.put_blob(repository, content)
    for manifest in IMAGES:
        registry.put_manifest(repository, manifest)
    registry.put_manifest(repository, INDEX, "1")


def assert_complete(registry: EmbeddedRegistry, repository: str) -> None:
    """Assert that the repository holds INDEX and everything it names, with the same bytes."""
    assert registry.tags(repository)["1"] == Digest.of(INDEX)
    for manifest in (INDEX, *IMAGES):
        assert registry.manifest(repository, Digest.of(manifest))[1] == manifest
    for content in (LAYER, *CONFIGS):
        assert registry.blob(repository, Digest.of(content)) == content


TRAITS = {
    "spec": Traits(),
    "ghcr": GHCR.traits,
    "hub": HUB.traits,
    "ecr": replace(ECR.traits, immutable=Immutable.NEVER),
    "gar": GAR.traits,
    "harbor": HARBOR.traits,
    "quay": QUAY.traits,
    "artifactory": replace(ARTIFACTORY.traits, absent_manifest_is_denied=False),  # oras fails at that 403
    "distribution": DISTRIBUTION.traits,
}
SECOND_PORT = "bearer from another port"
LOGINS = {
    "open": None,
    "bearer": Access(users={USER: PASSWORD}),
    SECOND_PORT: Access(users={USER: PASSWORD}, second_port=True, accepts_post=False),
    "basic": Access(users={USER: PASSWORD}, scheme=Scheme.BASIC),
}


@pytest.mark.parametrize("kind", TRAITS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_an_index_is_copied_between_two_registries(tmp_path, client, kind):
    async with EmbeddedRegistry() as source, EmbeddedRegistry(tmp_path / "store", traits=TRAITS[kind]) as target:
        seed(source, "acme/app")
        await Clients(tmp_path, source.address).copy(
            client, f"{source.address}/acme/app:1", f"{target.address}/else/app:1"
        )
        assert_complete(target, "else/app")
        assert target.bodies_received(Digest.of(LAYER)) == 1


# crane refuses a realm on the loopback address unless it is the registry's own.
CLIENT_LOGINS = [(client, login) for client in CLIENTS for login in LOGINS if (client, login) != ("crane", SECOND_PORT)]


@pytest.mark.parametrize(("client", "login"), CLIENT_LOGINS)
async def test_an_index_is_copied_to_another_repository_with_a_login(tmp_path, client, login):
    async with EmbeddedRegistry(access=LOGINS[login]) as registry:
        seed(registry, "acme/app")
        reference = f"{registry.address}/acme"
        await Clients(tmp_path, registry.address).copy(client, f"{reference}/app:1", f"{reference}/other:1")
        assert_complete(registry, "acme/other")
        if login != "open":
            assert registry.count(status=401) > 0


@pytest.mark.parametrize("stored", ["memory", "folder"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_pulled_content_is_what_the_registry_holds(tmp_path, client, stored):
    async with EmbeddedRegistry(tmp_path / "store" if stored == "folder" else None) as registry:
        seed(registry, "acme/app")
        layout = tmp_path / "layout"
        await Clients(tmp_path, registry.address).pull(client, f"{registry.address}/acme/app:1", layout)
        for content in (INDEX, *IMAGES, *CONFIGS, LAYER):
            assert (layout / "blobs" / "sha256" / Digest.of(content).hex).read_bytes() == content


async def test_a_referrer_attached_by_oras_is_found_by_regctl(tmp_path):
    async with EmbeddedRegistry() as registry:
        seed(registry, "acme/app")
        clients, reference = Clients(tmp_path, registry.address), f"{registry.address}/acme/app:1"
        note = tmp_path / "note.txt"
        note.write_text("checked by the baker")
        kind = ("--artifact-type", "application/x.note", "--disable-path-validation")
        await clients.run("oras", "attach", "--plain-http", *kind, reference, note)
        host = f"--host=reg={registry.address},tls=disabled"
        found = json.loads(await clients.run("regctl", host, "artifact", "list", "--format", "raw-body", reference))
        assert [entry["artifactType"] for entry in found["manifests"]] == ["application/x.note"]
        raw = registry.manifest("acme/app", found["manifests"][0]["digest"])[1]
        subject = oci.parse(raw).subject
        assert subject is not None
        assert subject.digest == Digest.of(INDEX)
        assert registry.count("GET", "referrers") > 0


async def test_clients_can_list_and_delete_tags(tmp_path):
    async with EmbeddedRegistry() as registry:
        seed(registry, "acme/app")
        registry.put_manifest("acme/app", INDEX, "2")
        clients, reference = Clients(tmp_path, registry.address), f"{registry.address}/acme/app"
        assert (await clients.run("crane", "ls", "--insecure", reference)).split() == [b"1", b"2"]
        await clients.run("regctl", f"--host=reg={registry.address},tls=disabled", "tag", "delete", f"{reference}:2")
        assert (await clients.run("oras", "repo", "tags", "--plain-http", reference)).split() == [b"1"]
        await clients.run("skopeo", "delete", "--tls-verify=false", f"docker://{reference}:1")
        assert registry.tags("acme/app") == {}
