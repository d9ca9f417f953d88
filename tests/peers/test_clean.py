"""Cleaning real registries that allow deletion: what is kept still pulls whole, also after a kill and a second run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from bakery.clean.criteria import Criteria
from bakery.clean.distribution import DistributionPlace
from bakery.clean.outcome import Fate, RepositoryOutcome
from bakery.errors import NotFound
from bakery.oci import manifest as views
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, RawManifest
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from tests.clean.making import image_of, index_of, pointer, signature_tag, sweep_of
from tests.peers import programs
from tests.peers.registries import RealRegistry
from tests.wire.making import LAYER_TYPE, body_of, make_client

GRAPHS = 12
PR = Criteria(tags=("^pr-",))


class RandomRepository:
    """Images, indexes of them, and signatures, pushed with random tags: `keep-N` or `pr-N`."""

    def __init__(self, client: Client, where: Repository, seed: int) -> None:
        self._client, self._where, self._random = client, where, random.Random(seed)
        self.kept: dict[str, Digest] = {}

    async def push(self) -> None:
        raws: list[bytes] = []
        for number in range(self._random.randint(3, 9)):
            if raws and self._random.random() < 0.5:
                raw = index_of(self._random.sample(raws, min(len(raws), 2)), annotations={"number": str(number)})
            else:
                subject = pointer(raws[0], "application/vnd.oci.image.manifest.v1+json") if number % 5 == 4 else None
                raw, *blobs = image_of(f"{number}", subject=subject, annotations={"number": str(number)})
                for blob in blobs:
                    await self._client.blobs(self._where).write(Descriptor.of(blob, LAYER_TYPE), body_of(blob))
            digest = await self._put(raw)
            raws.append(raw)
            for kind in self._random.sample(["keep", "pr", "none"], 2):
                if kind != "none":
                    await self._put(raw, f"{kind}-{number}")
                if kind == "keep":
                    self.kept[f"keep-{number}"] = digest
            if self._random.random() < 0.3:
                await self._put(image_of("0", annotations={"number": "0"})[0], signature_tag(digest))

    async def _put(self, raw: bytes, tag: str = "") -> Digest:
        view = views.parse(raw)
        content = RawManifest(Descriptor.of(raw, view.media_type), raw)
        digest = content.descriptor.digest
        await self._client.manifests.put(self._where.with_tag(tag) if tag else self._where.with_digest(digest), content)
        return digest

    async def check(self) -> None:
        """Every tag that must stay is there, and everything below it can be read."""
        tags = await self._client.listings.tags(self._where)
        assert set(self.kept) <= set(tags)
        for tag, digest in self.kept.items():
            found = await self._client.manifests.get(self._where.with_tag(tag))
            assert found.descriptor.digest == digest
            await self._pull(found)

    async def _pull(self, found: RawManifest) -> None:
        view = views.parse(found.raw)
        if isinstance(view, Index):
            for child in view.manifests:
                await self._pull(await self._client.manifests.get(self._where.with_digest(child.digest)))
            return
        for blob in view.blobs:
            assert await self._client.blobs(self._where).has(blob)


async def swept(client: Client, where: Repository, criteria: Criteria) -> RepositoryOutcome:
    sweep = sweep_of(client, DistributionPlace(client, where), criteria)
    await sweep.plan()
    await sweep.delete()
    return sweep.outcome()


@pytest.mark.parametrize("seed", range(GRAPHS))
async def test_every_kept_tag_still_pulls_whole(distribution: RealRegistry, seed: int):
    where = Repository(distribution.host, "acme/app")
    async with make_client() as client:
        client.announce_writes([where])
        repository = RandomRepository(client, where, seed)
        await repository.push()
    async with make_client() as client:
        outcome = await swept(client, where, PR)
        assert outcome.failure is None
        # distribution deletes no single tag: a tag of an image that has another one stays, and that is a failure.
        assert {one.fate for one in outcome.plan.deletions} <= {Fate.DELETED, Fate.GONE, Fate.FAILED}
        repository._client = client
        await repository.check()


async def test_a_clean_repository_is_what_other_clients_see(real_registry: RealRegistry, tmp_path: Path):
    where = Repository(real_registry.host, "acme/app")
    async with make_client() as client:
        client.announce_writes([where])
        repository = RandomRepository(client, where, 1)
        for salt, tag in (("one", "pr-1"), ("two", "keep")):
            raw, *blobs = image_of(salt)
            for blob in blobs:
                await client.blobs(where).write(Descriptor.of(blob, LAYER_TYPE), body_of(blob))
            await repository._put(raw)
            await repository._put(index_of([raw]), tag)
        outcome = await swept(client, where, PR)
        assert [one.fate for one in outcome.plan.deletions] == [Fate.DELETED, Fate.DELETED]
    tags = programs.run("crane", "ls", "--insecure", str(where)).decode().split()
    assert tags == ["keep"]
    programs.run("oras", "cp", "--from-plain-http", "--to-oci-layout", f"{where}:keep", f"{tmp_path / 'layout'}:keep")
    gone: Sequence[Digest] = [one.digest for one in outcome.plan.deletions]
    async with make_client() as client:
        for digest in gone:
            with pytest.raises(NotFound):
                await client.manifests.get(where.with_digest(digest))
