"""Memory stays flat: a layer of 512 MiB passes through a process that may not have 300 MiB of data."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.rehearsal.embedded import EmbeddedRegistry
from tests.engines.workload import add_image

MIB = 1024 * 1024
LAYER_MIB, LIMIT_MIB = 512, 300
LIMIT = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT_MIB * MIB},) * 2)"
RUN = f"{LIMIT}; from bakery.cli.main import run; run()"
PROJECT = """\
repository: {url: https://github.com/acme/images, vendor: Acme, maintainer: Acme <images@acme.example>}
registries: [%s]
images:
  - name: app
    versions: [{name: "1.0.0", latest: true, os: [{name: Ubuntu 24.04, platforms: [linux/amd64]}]}]
"""


def test_holding_the_layer_in_memory_would_exceed_the_limit():
    code = f"{LIMIT}; bytearray({LAYER_MIB * MIB})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "MemoryError" in done.stderr


@pytest.mark.slow
async def test_a_large_layer_is_never_held_in_memory(tmp_path):
    layer = os.urandom(MIB) * LAYER_MIB
    async with AsyncExitStack() as stack:
        names = ("source", "one", "two")
        source, *destinations = [await stack.enter_async_context(EmbeddedRegistry(tmp_path / name)) for name in names]
        built = add_image(source, "tmp/app", "linux/amd64", layers=[layer])
        digest = Digest.of(layer)
        del layer
        name = str(Repository(source.address, "tmp/app"))
        entry = {"image.name": name, "containerimage.digest": str(built.digest)}
        (tmp_path / "m.json").write_text(json.dumps({"app-1-0-0-ubuntu-24-04": entry}))
        hosts = ", ".join(f'{{host: "{registry.address}"}}' for registry in destinations)
        (tmp_path / "bakery.yaml").write_text(PROJECT % hosts)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, "ci", "publish", "m.json", cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(240):
            _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        for registry in destinations:
            assert registry.bodies_received(digest) == 1
            assert digest in registry.blobs("app")
        assert source.count("GET", "blob") == 2  # the layer and the config, each once for both destinations
