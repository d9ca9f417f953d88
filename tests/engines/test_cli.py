"""The cli engine where it needs no real oras: programs that are missing, old, stuck or refused."""

import asyncio
import os
import stat

import pytest

from bakery import errors
from bakery.engines.cli import CliEngine
from bakery.engines.commands import ProgramTooOld
from bakery.errors import AuthError, BudgetSpent, NotFound, Unavailable
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.parallel import spawn
from bakery.parallel.program import ProgramMissing, find_program
from bakery.registry.config import RegistryConfig
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock

ONE = RetryPolicy(max_attempts=2, base_delay=0, jitter=False)
REFERENCE = Repository("ghcr.io", "acme/app").with_digest(Digest("sha256", "a" * 64))


def program(folder, name, script):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def engine(tmp_path, script, **options):
    oras = program(tmp_path, "oras", f'[ "$1" = version ] && {{ echo "Version:    1.3.6"; exit 0; }}\n{script}')
    environment = {"ORAS_PATH": str(oras), "PATH": "/usr/bin:/bin"}
    return CliEngine(tmp_path, config=RegistryConfig(), environment=environment, policy=ONE, **options)


def test_programs_are_found_by_their_variable_then_on_path_then_in_tools(tmp_path):
    elsewhere, tools = tmp_path / "bin", tmp_path / "tools"
    with pytest.raises(ProgramMissing, match="ORAS_PATH"):
        find_program("oras", tmp_path, {"PATH": str(elsewhere)})
    program(tools, "oras", "")
    assert find_program("oras", tmp_path, {"PATH": str(elsewhere)}) == str(tools / "oras")
    program(elsewhere, "oras", "")
    assert find_program("oras", tmp_path, {"PATH": str(elsewhere)}) == "oras"
    assert find_program("oras", tmp_path, {"PATH": str(elsewhere), "ORAS_PATH": "/no/look"}) == "/no/look"


async def test_a_missing_program_is_reported_before_anything_starts(tmp_path):
    missing = CliEngine(tmp_path, config=RegistryConfig(), environment={"PATH": str(tmp_path)})
    with pytest.raises(ProgramMissing, match="oras"):
        await missing.__aenter__()


@pytest.mark.parametrize("version", ["1.2.3", "0.16.0"])
async def test_an_old_oras_is_refused_with_its_version(tmp_path, version):
    oras = program(tmp_path, "oras", f'echo "Version:        {version}"')
    old = CliEngine(tmp_path, config=RegistryConfig(), environment={"ORAS_PATH": str(oras)})
    with pytest.raises(ProgramTooOld, match=r"1\.3 or later"):
        await old.__aenter__()


@pytest.mark.parametrize(("said", "fits"), [("v0.10.2 abc", False), ("v0.11.0 abc", True), ("<unknown>", True)])
async def test_soci_is_only_checked_if_it_is_needed(tmp_path, said, fits):
    program(tmp_path / "tools", "soci", f'echo "soci version {said}"')
    async with engine(tmp_path, "exit 1"):
        pass
    needing = engine(tmp_path, "exit 1", needs_soci=True)
    if fits:
        async with needing:
            pass
    else:
        with pytest.raises(ProgramTooOld, match="soci"):
            await needing.__aenter__()


FAILURES = {
    "unauthorized": ("echo 'Error: basic credential not found' >&2; exit 1", AuthError, "docker login"),
    "overloaded": ("echo 'response status code 503: Service Unavailable' >&2; exit 1", Unavailable, "503"),
    "lag": (f"echo '{REFERENCE}: not found' >&2; exit 1", NotFound, "not found"),
}


@pytest.mark.parametrize(("script", "kind", "says"), FAILURES.values(), ids=FAILURES)
async def test_the_error_of_a_failed_command_names_it_and_quotes_its_output(tmp_path, script, kind, says):
    async with engine(tmp_path, script) as cli:
        descriptor = Descriptor.of(b"{}", "application/vnd.oci.image.manifest.v1+json")
        with pytest.raises(kind) as caught:
            await cli.read_manifest(Repository.parse("ghcr.io/acme/app"), descriptor)
    assert says in errors.message(caught.value)
    assert "manifest fetch --output - ghcr.io/acme/app@sha256:" in str(caught.value)


async def test_missing_content_is_none_and_is_queried_once(tmp_path):
    async with engine(tmp_path, f"echo x >> {tmp_path}/asked; echo 'Error: {REFERENCE}: not found' >&2; exit 1") as cli:
        assert await cli.find(REFERENCE) is None
        assert await cli.read_tags(REFERENCE.repository, ["1.0", "latest"]) == {"1.0": None, "latest": None}
    assert (tmp_path / "asked").read_text() == "x\nx\n"


async def test_a_tag_is_never_deleted_because_oras_would_delete_its_manifest(tmp_path):
    async with engine(tmp_path, f"touch {tmp_path}/started") as cli:
        assert not await cli.remove_tag(REFERENCE.repository.with_tag("latest"))
    assert not (tmp_path / "started").exists()


async def test_no_command_starts_after_the_time_budget_is_spent(tmp_path):
    clock = JumpingClock()
    async with engine(tmp_path, "exit 0", clock=clock, deadline=10.0) as cli:
        clock.time = 11.0
        with pytest.raises(BudgetSpent, check=lambda error: "--time-budget" in error.hint):
            await cli.find(REFERENCE)


async def test_cancelling_leaves_no_process_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)

    async def use():
        async with engine(tmp_path, f"echo > {fifo}; exec sleep 600") as cli:
            await cli.find(REFERENCE)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(use())
        await asyncio.to_thread(fifo.read_bytes)
        running.cancel()
    assert spawn.running() == 0
    assert list((tmp_path / "scratch").iterdir()) == []
