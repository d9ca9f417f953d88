"""docs/why.md: what its table says of buildx and of Bakery happens here, to both."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from bakery.rehearsal import EmbeddedRegistry
from bakery.rehearsal.faults import Lag, Refuse
from tests.engines.workload import add_image, layer
from tests.install.trees import BIN, ROOT
from tests.peers.programs import need

pytestmark = [pytest.mark.slow, pytest.mark.peer]

Create = Callable[..., Awaitable[tuple[int, str]]]


async def run(program: Path, *words: str, home: Path) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DOCKER_CONFIG": str(home)}
    process = await asyncio.create_subprocess_exec(
        program, *words, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(100):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.fixture
def buildx(tmp_path: Path) -> Create:
    async def create(*words: str) -> tuple[int, str]:
        return await run(need("buildx"), "imagetools", "create", *words, home=tmp_path)

    return create


@pytest.fixture
def bakery(tmp_path: Path) -> Create:
    async def create(*words: str) -> tuple[int, str]:
        return await run(BIN / "bakery", "imagetools", "create", *words, home=tmp_path)

    return create


def sources(registry: EmbeddedRegistry, name: str = "app", salt: str = "") -> list[str]:
    """Push an image for each platform by digest, and return the references."""
    images = [
        add_image(registry, f"acme/{name}", f"linux/{one}", layers=[layer(one + salt)], salt=one + salt)
        for one in ("amd64", "arm64")
    ]
    return [f"{registry.address}/acme/{name}@{image.digest}" for image in images]


def tags(registry: EmbeddedRegistry, name: str = "app") -> Sequence[str]:
    return list(registry.tags(f"acme/{name}"))


async def test_a_missing_platform_is_published_by_one_and_refused_by_the_other(buildx, tmp_path):
    async with EmbeddedRegistry() as one:
        only = sources(one)[0]
        code, _ = await buildx("-t", f"{one.address}/acme/app:1", only)
        assert (code, tags(one)) == (0, ["1"])
        wanted = ("--require-platform", "linux/amd64", "--require-platform", "linux/arm64")
        code, out = await run(
            BIN / "bakery", "publish", "-t", f"{one.address}/acme/app:2", *wanted, only, home=tmp_path
        )
        assert (code, tags(one)) == (1, ["1"])
        assert "linux/arm64" in out


async def test_a_build_that_cannot_be_read_yet_is_waited_for(buildx, bakery):
    async with EmbeddedRegistry() as one:
        one.fault("GET HEAD", "/manifests/", then=Lag(1.0), name="lag")
        code, out = await buildx("-t", f"{one.address}/acme/app:1", *sources(one))
        assert (code, tags(one)) == (1, [])
        assert "not found" in out
        code, _ = await bakery("-t", f"{one.address}/acme/app:2", *sources(one, salt="later"))
        assert (code, tags(one)) == (0, ["2"])


async def test_a_rate_limit_is_waited_for(buildx, bakery):
    async with EmbeddedRegistry() as one:
        limit = Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "1"),))
        for create, tag, expected in ((buildx, "1", 1), (bakery, "2", 0)):
            one.clear_faults()
            one.fault("PUT", "/manifests/", then=limit, times=6, name="limit")
            code, out = await create("-t", f"{one.address}/acme/app:{tag}", *sources(one, salt=tag))
            assert code == expected, out
        assert tags(one) == ["2"]


async def test_a_lost_reply_is_looked_into(buildx, bakery):
    async with EmbeddedRegistry() as one:
        for create, tag, expected in ((buildx, "1", 1), (bakery, "2", 0)):
            one.clear_faults()
            one.fault("PUT", f"/manifests/{tag}", then="drop the connection", after="commit", times=1, name="lost")
            code, out = await create("-t", f"{one.address}/acme/app:{tag}", *sources(one))
            assert code == expected, out
        assert tags(one) == ["1", "2"]


@pytest.mark.timeout(300)
async def test_a_dead_second_registry_is_said_or_moves_nothing(buildx, bakery):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{free.getsockname()[1]}"
    async with EmbeddedRegistry() as one:
        places = [("-t", f"{one.address}/acme/app:{tag}", "-t", f"{dead}/acme/app:{tag}") for tag in "123"]
        code, _ = await buildx(*places[0], *sources(one))
        assert (code, tags(one)) == (1, ["1"])
        (code, out), (together, _) = await asyncio.gather(
            bakery(*places[1], *sources(one)), bakery("--all-or-nothing", "run", *places[2], *sources(one))
        )
        assert (code, together, tags(one)) == (1, 1, ["1", "2"])
        assert dead in out


async def test_a_second_run_writes_nothing(buildx, bakery):
    for create in (buildx, bakery):
        async with EmbeddedRegistry() as one, EmbeddedRegistry() as two:
            words = ("-t", f"{one.address}/acme/app:1", "-t", f"{two.address}/acme/app:1", *sources(one))
            assert (await create(*words))[0] == 0
            one.forget_requests()
            two.forget_requests()
            code, _ = await create(*words)
            assert (code, one.count("PUT"), two.count("PUT")) == (0, 0, 0)


async def test_an_older_build_moves_latest_back_unless_a_rule_forbids_it(buildx, bakery):
    async with EmbeddedRegistry() as one:
        old, new = (
            ("--annotation", f"index:org.opencontainers.image.version={version}", *sources(one, salt=version))
            for version in ("1.9", "2.0")
        )
        for create, more in ((buildx, ()), (bakery, ("--no-downgrade",))):
            latest = ("-t", f"{one.address}/acme/app:latest")
            assert (await create(*latest, *new))[0] == 0
            newest = one.tags("acme/app")["latest"]
            assert (await create(*more, *latest, *old))[0] == 0
            assert (one.tags("acme/app")["latest"] == newest) is bool(more)


def test_the_page_names_the_version_that_is_tested():
    page = (ROOT / "docs/why.md").read_text()
    installer = (ROOT / "tests/peers/install").read_text()
    (version,) = re.findall(r"^buildx .* v([\d.]+)$", installer, re.MULTILINE)
    assert f"buildx {version}" in page
