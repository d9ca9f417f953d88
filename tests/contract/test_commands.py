"""Every command that publishes, with the cli engine: what `tests/cli` shows of the native one."""

import asyncio
import json
import os
import signal

import pytest

from bakery.errors import ExitCode
from bakery.rehearsal.faults import Refuse, Slow
from bakery.soci import media
from tests.cli.test_publish import MERGES, TAGS, Stage, stage
from tests.peers.programs import need
from tests.soci_program import soci

__all__ = ["Stage", "soci", "stage"]  # fixtures

pytestmark = pytest.mark.peer


@pytest.fixture
def oras():
    return {"ORAS_PATH": str(need("oras")), "BAKERY_REGISTRY_RETRY_INITIAL_BACKOFF": "0"}


@pytest.mark.parametrize("chosen", ["--engine cli", "BAKERY_ENGINE"])
@pytest.mark.parametrize("command", MERGES)
async def test_every_spelling_publishes_with_the_cli_engine(stage, oras, command, chosen):
    stage.project("app")
    option, environment = (chosen.split(), {}) if chosen.startswith("--") else ([], {chosen: "cli"})
    code, out, err = await stage.bakery(*command.split(), *option, *stage.build("app"), environment=oras | environment)
    assert (code, out) == (ExitCode.DONE, ""), err
    assert stage.published("app") == TAGS
    # The cli engine makes the index where the builds are; the native one writes nothing there.
    assert len(stage.source.manifests("tmp/app/tmp")) == 3


@pytest.mark.parametrize("command", ["soci convert", "imagetools soci-convert"])
async def test_a_targets_builds_are_converted_by_soci(stage, oras, soci, command):
    stage.project("app", soci=True)
    file = stage.folder / "bakery.yaml"
    file.write_text(file.read_text().replace("enabled: true", "enabled: true\n        minLayerSize: 0", 1))
    code, out, err = await stage.bakery(
        *command.split(), "--engine", "cli", *stage.build("app"), environment=oras | soci
    )
    assert code == ExitCode.DONE, err
    repository, _, digest = out.strip().partition("@")
    assert repository == f"{stage.source.address}/tmp/app/tmp"
    index = json.loads(stage.source.manifest("tmp/app/tmp", digest)[1])
    assert [entry.get("artifactType") for entry in index["manifests"][2:]] == [media.SOCI_INDEX] * 2
    assert not stage.source.tags("tmp/app/tmp")


async def test_a_failed_command_is_shown_with_its_output(stage, oras):
    stage.project("app")
    stage.destination.fault("POST", "/blobs/uploads/", then=Refuse(403, "DENIED"))
    code, _, err = await stage.bakery("ci", "publish", "--engine", "cli", *stage.build("app"), environment=oras)
    assert code == ExitCode.AUTHENTICATION
    assert "denied: requested access to the resource is denied" in err
    assert "oras cp" in err
    assert "docker login" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
async def test_an_interrupt_ends_oras_writes_the_summary_and_leaves_no_files(stage, oras, tmp_path, number, code):
    stage.project("app", "done")
    done = stage.build("done")
    first, _, err = await stage.bakery("ci", "publish", "--engine", "cli", *done, environment=oras)
    assert first == ExitCode.DONE, err
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    stage.source.fault("GET", "/blobs/", repository="tmp/app/tmp", then=Slow(piece_bytes=1, pause_s=1.0))
    children: list[int] = []

    async def interrupt(process):
        while stage.source.count("GET", "blob", "tmp/app/tmp") == 0:  # noqa: ASYNC110  # the registry has no event for it
            await asyncio.sleep(0.01)
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as listed:  # noqa: PTH123, ASYNC230  # proc files do not wait
            children.extend(int(pid) for pid in listed.read().split())
        process.send_signal(number)

    found, out, err = await stage.bakery(
        *("ci", "publish", "--engine", "cli", "--summary", "--summary-format", "json", *stage.build("app"), *done),
        environment=oras | {"TMPDIR": str(scratch)},
        before_wait=interrupt,
    )
    assert found == code, err
    assert json.loads(out)["interrupted"] is True
    assert "Traceback" not in err
    assert children
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(scratch.iterdir()) == []
    assert stage.published("app") == set()
