"""The folder: what it holds after a restart and after `kill -9`, and what it never touches."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from bakery.errors import BakeryError
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal import EmbeddedRegistry
from tests.rehearsal.content import CONFIG, LAYER, REPO, Http, finish, image, index


async def test_a_folder_outlives_the_process_that_served_it(session, tmp_path):
    subject = {"mediaType": mt.OCI_MANIFEST, "digest": str(Digest.of(b"of")), "size": 2}
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        digest = await Http(session, registry).push_image("1.0", "_tags", subject=subject)
        registry.put_manifest(REPO, index(), "2.0")
        registry.delete_tag(REPO, "2.0")
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        http = Http(session, registry)
        assert registry.repositories() == [REPO]
        assert registry.tags(REPO) == {"1.0": digest, "_tags": digest}
        assert registry.manifest(REPO, "1.0") == (mt.OCI_MANIFEST, image(subject=subject))
        assert registry.blob(REPO, Digest.of(LAYER)) == LAYER
        found = (await http("GET", f"/v2/{REPO}/referrers/{Digest.of(b'of')}")).json
        assert [entry["digest"] for entry in found["manifests"]] == [str(digest)]
        assert (await http("DELETE", f"/v2/{REPO}/manifests/{digest}")).status == 202
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        assert registry.tags(REPO) == {}


async def test_content_is_removed_when_no_repository_holds_it(tmp_path):
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        digest = registry.put_blob("a/one", LAYER)
        registry.storage.hold_blob("a/two", digest)
        registry.delete_blob("a/one", digest)
        assert len(contents(tmp_path)) == 1
        registry.delete_blob("a/two", digest)
        assert contents(tmp_path) == []


def contents(folder: Path) -> list[Path]:
    return [file for file in (folder / "store" / "content").rglob("*") if file.is_file()]


async def test_an_unfinished_upload_leaves_nothing(session, tmp_path):
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        http = Http(session, registry)
        location = (await http("POST", f"/v2/{REPO}/blobs/uploads/")).headers["Location"]
        await http("PATCH", location, LAYER)
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        assert (await Http(session, registry)("GET", location)).codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert contents(tmp_path) == []


async def test_only_one_process_can_serve_a_folder(tmp_path):
    async with EmbeddedRegistry(tmp_path / "store"):
        with pytest.raises(BakeryError, match="another process is serving it"):
            async with EmbeddedRegistry(tmp_path / "store"):
                pass


async def test_a_folder_with_other_files_is_refused_and_not_touched(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(BakeryError, match="it holds other files"):
        async with EmbeddedRegistry(tmp_path):
            pass
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


async def test_a_port_in_use_is_an_error(tmp_path):
    async with EmbeddedRegistry() as first:
        with pytest.raises(BakeryError, match=r"cannot listen on .*: Address already in use"):
            async with EmbeddedRegistry(tmp_path / "store", int(first.address.rpartition(":")[2])):
                pass
    async with EmbeddedRegistry(tmp_path / "store"):  # the failed one released the folder
        pass


SERVE = """
import asyncio, sys
from pathlib import Path
from bakery.rehearsal import EmbeddedRegistry
async def main():
    async with EmbeddedRegistry(Path(sys.argv[1])) as registry:
        print(registry.url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_killed_registry_keeps_everything_acknowledged_and_nothing_broken(session, tmp_path):
    """Kill the registry at twelve random moments during a stream of pushes, then read back everything."""
    generator, acknowledged = random.Random(7), dict[str, Digest]()
    for turn in range(12):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(tmp_path / "store"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        pushing = asyncio.create_task(push_until_killed(url, turn, acknowledged))
        await asyncio.sleep(generator.uniform(0.01, 0.25))  # a random moment is the point of this test
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await pushing
    async with EmbeddedRegistry(tmp_path / "store") as registry:
        assert len(acknowledged) > 20
        tags = registry.tags(REPO)
        assert tags.items() >= acknowledged.items()
        for tag, digest in tags.items():
            raw = registry.manifest(REPO, tag)[1]
            assert Digest.of(raw) == digest
            for layer in json.loads(raw)["layers"]:
                assert Digest.of(registry.blob(REPO, layer["digest"])) == Digest.parse(layer["digest"])


async def push_until_killed(url: str, turn: int, acknowledged: dict[str, Digest]) -> None:
    """Push small images, each with its own layer; record each tag whose push was acknowledged."""

    async def send(method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, str]:
        headers = {"Content-Type": kind or "application/octet-stream"}
        async with session.request(method, path, data=body, headers=headers) as response:
            return response.status, response.headers.get("Location", "")

    async with aiohttp.ClientSession(url) as session:
        for number in range(10_000):
            layer = f"{turn} {number}".encode() * 5000
            try:
                for blob in (layer, CONFIG):
                    _, location = await send("POST", f"/v2/{REPO}/blobs/uploads/")
                    await send("PUT", finish(location, Digest.of(blob)), blob)
                raw = image(layer)
                status, _ = await send("PUT", f"/v2/{REPO}/manifests/t{turn}-{number}", raw, mt.OCI_MANIFEST)
            except (aiohttp.ClientError, OSError):
                return
            assert status == 201
            acknowledged[f"t{turn}-{number}"] = Digest.of(raw)
