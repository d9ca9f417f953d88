"""`bakery.app` as a library: what docs/api.md and examples/publish.py show."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import bakery.app
from bakery.app import OriginRequest, Outcome, PublishRequest, State, VerifyRequest, plan, publish, verify
from bakery.rehearsal import EmbeddedRegistry
from tests.engines.workload import add_image, layer

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = ROOT / "examples/hello/builds/layout"
PAGE = ROOT / "docs/api.md"


async def run(*words: object, cwd: Path = ROOT) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, words), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def images() -> list[str]:
    """The layout's images of one platform each."""
    listed = json.loads((LAYOUT / "index.json").read_text())["manifests"]
    plain = [one["digest"] for one in listed if one.get("platform", {}).get("os") == "linux"]
    return [f"{LAYOUT}@{digest}" for digest in plain[:1]]


async def test_the_example_publishes_a_layout_and_says_what_it_published():
    async with EmbeddedRegistry() as registry:
        tag = f"{registry.address}/acme/app:1.2.3"
        code, out, err = await run("examples/publish.py", *images(), tag)
        assert (code, err) == (0, "")
        assert out.split()[0::2] == [f"{registry.address}/acme/app", "published"]
        assert list(registry.tags("acme/app")) == ["1.2.3"]


async def test_the_example_exits_as_the_command_does():
    code, out, err = await run("examples/publish.py", "/nowhere", "registry.example/app:1")
    assert (code, out) == (3, ""), err
    assert err.startswith("error[")


async def test_the_program_on_the_page_runs(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    async with EmbeddedRegistry() as registry:
        for architecture in ("amd64", "arm64"):
            image = add_image(registry, "tmp", f"linux/{architecture}", layers=[layer(architecture)], salt=architecture)
            found = {"image.name": f"{registry.address}/tmp", "containerimage.digest": str(image.digest)}
            (tmp_path / f"metadata-{architecture}.json").write_text(json.dumps(found))
        (tmp_path / "program.py").write_text(program.replace("ghcr.io", registry.address))
        code, out, err = await run("program.py", cwd=tmp_path)
        assert code == 0, err
        assert out.startswith("app published sha256:")
        assert out.endswith("/acme/app:1.2.3 True\n")
        assert set(registry.tags("acme/app")) == {"1.2.3", "latest"}


async def test_a_thread_of_a_program_with_a_loop_may_publish():
    async with EmbeddedRegistry() as registry:
        request = PublishRequest(tuple(f"oci-layout://{one}" for one in images()))
        planned = plan(request, OriginRequest(tag=(f"{registry.address}/acme/app:1",)))
        assert planned is not None
        outcome = await asyncio.to_thread(publish, planned)
        assert isinstance(outcome, Outcome)
        assert [target.state for target in outcome.targets] == [State.PUBLISHED]
        audit = await asyncio.to_thread(verify, VerifyRequest((f"{registry.address}/acme/app:1",)))
        assert audit.exit_code == 0


def test_the_page_has_every_name_of_the_library():
    assert [name for name in bakery.app.__all__ if f"`{name}" not in PAGE.read_text()] == []
    assert all(getattr(bakery.app, name) for name in bakery.app.__all__)


def test_importing_the_library_imports_nothing_heavy():
    code = "import bakery.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {"asyncio", "bakery.app.publishing", "bakery.registry", "click", "importlib.metadata"}.isdisjoint(
        done.stdout.split()
    )


def test_users_of_the_library_see_its_types(tmp_path):
    (tmp_path / "user.py").write_text(
        "from bakery.app import PublishRequest, plan, publish\n"
        'made = plan(PublishRequest(("x",)))\nreveal_type(made)\nassert made\nreveal_type(publish(made).exit_code)\n'
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110)
    revealed = re.findall(r'Revealed type is "([^"]+)"', done.stdout)
    assert revealed == ["bakery.publish.plan.Plan | None", "bakery.errors.ExitCode"], done.stdout
