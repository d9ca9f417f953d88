"""The cli engine between real registries, with and without a login, read back by third-party readers."""

from __future__ import annotations

import pytest

from tests.peers.conftest import StartRegistry
from tests.peers.programs import need
from tests.peers.publishing import written
from tests.peers.registries import KINDS, Basic
from tests.peers.test_publish_real import digest, raw, send, stocked


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def oras() -> dict[str, str]:
    return {"ORAS_PATH": str(need("oras")), "BAKERY_ENGINE": "cli"}


@pytest.mark.parametrize("login", [None, Basic()], ids=["open", "login"])
async def test_every_tag_is_published_and_a_second_run_writes_nothing(kind, start_registry, tmp_path, oras, login):
    kitchen = await stocked(kind, start_registry, tmp_path, login)
    done = kitchen.publish(**oras)
    assert done.exit_code == 0, done.stderr
    assert kitchen.problems() == []
    before = written(kitchen.destinations)
    again = kitchen.publish(**oras)
    assert again.exit_code == 0, again.stderr
    assert written(kitchen.destinations)[len(before) :] == []


async def test_both_engines_publish_the_same_digests(start_registry: StartRegistry, tmp_path, oras):
    found = []
    for name, variables in (("cli", oras), ("native", {})):
        kitchen = await stocked(KINDS[0], start_registry, tmp_path / name)
        assert kitchen.publish(**variables).exit_code == 0
        found.append(
            [digest(raw(kitchen.destinations[0], f"{one.repository}:{one.tags[0]}")) for one in kitchen.targets]
        )
    assert found[0] == found[1]


async def test_partly_deleted_content_is_repaired(kind, start_registry, tmp_path, oras):
    kitchen = await stocked(kind, start_registry, tmp_path)
    assert kitchen.publish(**oras).exit_code == 0
    one, two = kitchen.targets[:2]
    send(kitchen.destinations[0], "DELETE", f"/v2/{one.repository}/manifests/{one.builds[0].digest}")
    send(kitchen.destinations[1], "DELETE", f"/v2/{two.repository}/blobs/{two.builds[1].blobs[0].digest}")
    assert kitchen.problems() != []
    done = kitchen.publish(**oras)
    assert done.exit_code == 0, done.stderr
    assert kitchen.problems() == []


async def test_a_wrong_password_fails_at_once_with_exit_code_4_and_is_never_shown(kind, start_registry, tmp_path, oras):
    kitchen = await stocked(kind, start_registry, tmp_path, Basic())
    done = kitchen.publish(auth=Basic("baker", "salt"), timeout_s=30, **oras)
    assert done.exit_code == 4, done.stderr
    assert kitchen.source.host in done.stderr
    assert "salt" not in done.stderr
    assert "Traceback" not in done.stderr
