"""Memory stays flat while a large layer is pushed to a folder and pulled again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bakery.oci.digest import Digest, new_hasher
from tests.rehearsal.content import REPO, finish

PIECE = bytes(range(256)) * 4096  # 1 MiB
COUNT = 384


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.slow
async def test_a_layer_of_384_mib_is_pushed_and_pulled_within_100_mib(session, tmp_path):
    async def layer() -> AsyncIterator[bytes]:
        for _ in range(COUNT):
            yield PIECE

    hasher = new_hasher("sha256")
    for _ in range(COUNT):
        hasher.update(PIECE)
    digest = Digest("sha256", hasher.hexdigest())
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-c",
            "from bakery.cli.main import run; run()",
            "registry",
            "serve",
            "--storage",
            str(tmp_path / "store"),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        url = json.loads(await process.stdout.readline())["url"]
        async with session.post(f"{url}/v2/{REPO}/blobs/uploads/") as started:
            location = started.headers["Location"]
        async with session.put(f"{url}{finish(location, digest)}", data=layer()) as done:
            assert done.status == 201
        got, received = new_hasher("sha256"), 0
        async with session.get(f"{url}/v2/{REPO}/blobs/{digest}") as response:
            async for piece in response.content.iter_any():
                got.update(piece)
                received += len(piece)
        assert (received, got.hexdigest()) == (COUNT * len(PIECE), digest.hex)
        assert peak_mib(process.pid) < 100
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
