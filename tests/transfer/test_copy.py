"""Mover: which requests a copy costs, over stores that are dictionaries."""

import asyncio

import pytest

from bakery.errors import DigestMismatch
from bakery.oci.descriptor import Descriptor
from bakery.transfer.copy import UNCHECKED_BYTES, Mover
from bakery.transfer.spool import Spools

SMALL, LARGE = b"s" * UNCHECKED_BYTES, b"l" * (UNCHECKED_BYTES + 1)
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


class DictionaryStore:
    """One repository. `log`: the requests that it got. mounts: whether the registry mounts."""

    def __init__(self, realm, *contents, mounts=True):
        self.realm, self.mounts = realm, mounts
        self.content = {Descriptor.of(one, "x").digest: one for one in contents}
        self.log = []

    async def has(self, blob, *, else_write=False):
        self.log.append("has, else write" if else_write else "has")
        return blob.digest in self.content

    async def fetch(self, blob, keep):
        self.log.append("fetch")
        yield 0
        keep(memoryview(self.content[blob.digest]), 0)
        yield blob.size

    async def write(self, blob, body):
        pieces = [piece async for piece in body()]
        self.log.append("write")
        self.content[blob.digest] = b"".join(pieces)

    async def mount(self, blob, source):
        self.log.append("mount")
        if self.mounts and blob.digest in source.content:
            self.content[blob.digest] = source.content[blob.digest]
            return True
        return False


class WrongOnce(DictionaryStore):
    async def fetch(self, blob, keep):
        is_first = "fetch" not in self.log
        async for written in super().fetch(blob, keep):
            if is_first and written:
                raise DigestMismatch("cannot read blob")
            yield written


class RefusingStore(DictionaryStore):
    async def write(self, blob, body):
        await super().write(blob, body)
        del self.content[blob.digest]
        raise RuntimeError("quota")


@pytest.fixture
async def mover():
    async with asyncio.TaskGroup() as owner:
        spools = Spools(owner)
        yield Mover(owner, spools)
        spools.close()


def of(content, media_type="x"):
    return Descriptor.of(content, media_type)


async def test_a_blob_that_is_there_costs_one_check(mover):
    origin, to = DictionaryStore("a", SMALL), DictionaryStore("b", SMALL)
    assert not await mover.bring(of(SMALL), origin, to)
    assert (origin.log, to.log) == ([], ["has"])


async def test_a_blob_whose_origin_is_its_destination_costs_nothing(mover):
    store = DictionaryStore("a", SMALL)
    assert not await mover.bring(of(SMALL), store, store)
    assert store.log == []


COSTS = {  # content, unlikely, the requests at a destination in another registry that lacks it
    "small": (SMALL, False, ["has", "write"]),
    "large": (LARGE, False, ["has", "write"]),
    "small and unlikely": (SMALL, True, ["write"]),
    "large and unlikely": (LARGE, True, ["has, else write", "write"]),
}


@pytest.mark.parametrize(("content", "unlikely", "requests"), COSTS.values(), ids=COSTS)
async def test_a_blob_is_sent_with_the_fewest_requests(mover, content, unlikely, requests):
    origin, to = DictionaryStore("a", content), DictionaryStore("b")
    assert await mover.bring(of(content), origin, to, unlikely=unlikely)
    assert to.log == requests
    assert to.content[of(content).digest] == content


async def test_an_unlikely_blob_that_is_there_after_all_is_not_sent(mover):
    origin, to = DictionaryStore("a", LARGE), DictionaryStore("b", LARGE)
    assert await mover.bring(of(LARGE), origin, to, unlikely=True)
    assert (origin.log, to.log) == ([], ["has, else write"])


async def test_a_blob_of_the_same_registry_is_mounted_or_else_sent(mover):
    origin = DictionaryStore("a", SMALL, LARGE)
    near, stubborn = DictionaryStore("a"), DictionaryStore("a", mounts=False)
    assert await mover.bring(of(SMALL), origin, near)
    assert await mover.bring(of(LARGE), origin, stubborn)
    assert (near.log, stubborn.log) == (["has", "mount"], ["has", "mount", "write"])


async def test_a_large_blob_that_can_be_mounted_is_checked_for_even_if_it_is_unlikely(mover):
    origin, to = DictionaryStore("a", SMALL, LARGE), DictionaryStore("a")
    await mover.bring(of(LARGE), origin, to, unlikely=True)
    await mover.bring(of(SMALL), origin, to, unlikely=True)
    assert to.log == ["has", "mount", "mount"]


@pytest.mark.parametrize("mounts", [True, False])
async def test_a_blob_is_uploaded_once_per_registry_and_mounted_elsewhere_in_it(mover, mounts):
    origin, first, second = DictionaryStore("a", LARGE), DictionaryStore("b"), DictionaryStore("b", mounts=mounts)
    assert await mover.bring(of(LARGE), origin, first, unlikely=True)
    assert await mover.bring(of(LARGE), origin, second, unlikely=True)
    assert first.log == ["has, else write", "write"]
    assert second.log == ["has", "mount"] if mounts else ["has", "mount", "write"]
    assert origin.log == ["fetch"]
    assert second.content == first.content


async def test_a_blob_is_brought_to_a_repository_once(mover):
    origin, to = DictionaryStore("a", SMALL), DictionaryStore("b")
    results = await asyncio.gather(*(mover.bring(of(SMALL), origin, to) for _ in range(3)))
    assert results == [True] * 3
    assert to.log == ["has", "write"]


async def test_a_repository_that_refuses_a_blob_does_not_keep_it_from_another_one_of_its_registry(mover):
    origin, refusing, other = DictionaryStore("a", LARGE), RefusingStore("b"), DictionaryStore("b")
    refused, brought = await asyncio.gather(
        *(mover.bring(of(LARGE), origin, to) for to in (refusing, other)), return_exceptions=True
    )
    assert (str(refused), brought) == ("quota", True)
    assert (refusing.log, other.log) == (["has", "write"], ["has", "write"])
    assert origin.log == ["fetch"]


async def test_a_source_whose_content_was_wrong_once_does_not_count_as_unreadable(mover):
    """What one repository refuses after the second download, another one may still take."""
    origin, refusing, other = WrongOnce("a", LARGE), RefusingStore("b"), DictionaryStore("b")
    refused, brought = await asyncio.gather(
        *(mover.bring(of(LARGE), origin, to) for to in (refusing, other)), return_exceptions=True
    )
    assert (str(refused), brought) == ("quota", True)
    assert other.content == origin.content


async def test_a_source_that_fails_is_read_once_for_all_repositories_of_a_registry(mover):
    origin, one, two = DictionaryStore("a"), DictionaryStore("b"), DictionaryStore("b")
    failed = await asyncio.gather(*(mover.bring(of(LARGE), origin, to) for to in (one, two)), return_exceptions=True)
    assert [type(error) for error in failed] == [KeyError, KeyError]
    assert origin.log == ["fetch"]


async def test_a_blob_that_the_registry_denies_is_uploaded_without_a_check(mover):
    origin, to = DictionaryStore("a", SMALL), DictionaryStore("b")
    assert await mover.bring(of(SMALL), origin, to)
    mover.doubt(of(SMALL).digest, to)
    assert await mover.bring(of(SMALL), origin, to)
    assert to.log == ["has", "write", "write"]
    beside = DictionaryStore("b")
    mover.doubt(of(SMALL).digest, to)
    assert await mover.bring(of(SMALL), origin, beside)
    assert beside.log == ["has", "write"]  # nothing is mounted from a repository in doubt


@pytest.mark.parametrize("present", [False, True])
async def test_a_layer_that_must_not_be_distributed_is_left_out_unless_its_origin_has_it(mover, present):
    origin, to = DictionaryStore("a", *[LARGE] * present), DictionaryStore("b")
    assert await mover.bring(of(LARGE, FOREIGN), origin, to) is present
    assert origin.log == (["has", "fetch"] if present else ["has"])


@pytest.mark.parametrize("present", [False, True])
async def test_content_that_this_run_made_is_sent_if_it_is_not_there(mover, present):
    origin, to = DictionaryStore("a"), DictionaryStore("b", *[SMALL] * present)
    assert await mover.bring(of(SMALL), origin, to, content=SMALL) is not present
    assert to.log == ["has"] if present else ["has", "write"]
    assert to.content[of(SMALL).digest] == SMALL
    assert origin.log == []
