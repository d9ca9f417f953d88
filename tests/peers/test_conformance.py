"""The OCI distribution-spec conformance suite against the embedded registry: every group passes in every mode.

docs/conformance.md states the version of the suite and how to run it by hand.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.rehearsal import Access, EmbeddedRegistry, Scheme, Traits
from tests.peers.programs import need

USER, PASSWORD = "baker", "flour"
LOGINS = {
    "open": None,
    "bearer tokens": Access(users={USER: PASSWORD}),
    "basic": Access(users={USER: PASSWORD}, scheme=Scheme.BASIC),
}


async def conformance(address: str, folder: Path, **settings: str) -> dict[str, Any]:
    """Run the suite and return its results.yaml. settings: OCI_… variables without the prefix."""
    environment = {
        "HOME": str(folder),
        "OCI_REGISTRY": address,
        "OCI_TLS": "disabled",
        "OCI_RESULTS_DIR": str(folder / "results"),
        "OCI_CONFIGURATION": os.devnull,
        "OCI_VERSION": "dev",  # everything in the released specification, and additions of the next one
        **{f"OCI_{name}": value for name, value in settings.items()},
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(need("conformance")), cwd=folder, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert (folder / "results" / "results.yaml").exists(), output.decode()[-6000:]
    loaded: dict[str, Any] = yaml.safe_load((folder / "results" / "results.yaml").read_bytes())
    return loaded


def not_passed(result: dict[str, Any]) -> dict[str, str]:
    """Return the groups (API and data) whose status is not Pass."""
    groups = {**result["apis"], **result["data"]}
    assert len(groups) > 40, "most groups of the suite are missing"
    return {name: status for name, status in groups.items() if status != "Pass"}


@pytest.mark.parametrize("stored", ["memory", "folder"])
@pytest.mark.parametrize("login", LOGINS)
async def test_every_group_of_the_conformance_suite_passes(tmp_path, login, stored):
    folder = tmp_path / "store" if stored == "folder" else None
    async with EmbeddedRegistry(folder, access=LOGINS[login]) as registry:
        credentials = {"USERNAME": USER, "PASSWORD": PASSWORD} if LOGINS[login] else {}
        result = await conformance(registry.address, tmp_path, **credentials)
    # A registry may refuse sparse manifests; ours does, unless a trait allows them. A mount without a source needs a
    # token for the other repository, which the suite does not request.
    exceptions = {"Blob anonymous mount": "Skip"} if login == "bearer tokens" else {}
    assert not_passed(result) == {"Sparse Manifests": "Disabled", **exceptions}


async def test_a_registry_that_accepts_sparse_manifests_passes_that_group_too(tmp_path):
    async with EmbeddedRegistry(traits=Traits(children_must_exist=False)) as registry:
        assert not_passed(await conformance(registry.address, tmp_path, DATA_SPARSE="true")) == {}


async def test_the_suite_can_fail(docker_registry, tmp_path):
    found = not_passed(await conformance(docker_registry.host, tmp_path))
    assert [name for name, status in found.items() if status in ("FAIL", "Error")]
