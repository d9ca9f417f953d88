"""The login action: where the token of a job is used, and where it is not."""

from __future__ import annotations

import asyncio

import pytest

from tests.workflows.conftest import runner

pytestmark = [pytest.mark.slow]

LOGINS = {
    "GHCR": ("https://github.com", "ghcr.io/acme", "login ghcr.io someone a-token\n"),
    "an Enterprise server": ("https://git.acme.example", "containers.git.acme.example/acme", None),
    "another registry": ("https://github.com", "docker.io/acme", ""),
    "a name that begins like GHCR": ("https://github.com", "ghcr.io.evil.example/acme", ""),
}


@pytest.mark.parametrize(("server", "registry", "expected"), LOGINS.values(), ids=LOGINS)
async def test_a_token_is_only_used_at_the_registry_of_its_server(scene, sources, tools, server, registry, expected):
    made = runner(scene, sources, tools, scene.folder)
    made.server = server
    given = {"registry": registry, "token": "${{ github.token }}"}
    step = {"uses": "OWNER/bakery/.github/actions/login", "with": given}
    ran = await asyncio.to_thread(made.run_document, {"jobs": {"one": {"runs-on": "x", "steps": [step]}}}, {})
    assert ran.is_green, ran.log
    assert scene.notes == (f"login {registry.partition('/')[0]} someone a-token\n" if expected is None else expected)
