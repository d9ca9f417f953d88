"""A layer whose first download is wrong: what an indexer makes of it does not count."""

import asyncio
from typing import cast

from bakery.engines.soci import Converter
from bakery.errors import DigestMismatch
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import Repository
from bakery.soci.index import LayerIndex
from bakery.soci.options import SociSettings
from bakery.soci.plan import LayerWork
from bakery.transfer.spool import Spool, Spools
from bakery.transfer.store import Store
from tests.engines.workload import layer

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


class WrongOnce:
    """A store that sends zeros first, and their verdict only once it is awaited."""

    def __init__(self, content: bytes, asked: asyncio.Event) -> None:
        self.content, self.asked, self.reads = content, asked, 0

    async def fetch(self, blob, keep):
        self.reads += 1
        yield 0
        if self.reads == 1:
            keep(memoryview(bytes(blob.size)), 0)
            yield blob.size - 1
            await self.asked.wait()
            raise DigestMismatch("cannot read blob")
        keep(memoryview(self.content), 0)
        yield blob.size


async def test_a_layer_whose_wrong_bytes_fail_the_indexer_is_indexed_from_the_second_download(monkeypatch):
    """It was taken for a layer that cannot be indexed, and the image was published without its SOCI index."""
    asked, verified = asyncio.Event(), Spool.verified

    async def awaited(spool: Spool) -> None:
        asked.set()
        await verified(spool)

    monkeypatch.setattr(Spool, "verified", awaited)
    content = layer("the content")
    store, work = WrongOnce(content, asked), LayerWork(Descriptor.of(content, GZIP), "gzip")
    async with asyncio.timeout(20), asyncio.TaskGroup() as owner:
        converter = Converter(owner, spools := Spools(owner), lambda _: cast(Store, store), SociSettings())
        found = await converter._index(work, SociSettings(), Repository("reg.example", "app"))
        spools.close()
    assert isinstance(found, LayerIndex)
    assert store.reads == 2
