"""The login action: where the token of a job is used, and where it is not."""

from __future__ import annotations

import asyncio

import pytest

from tests.workflows.conftest import runner

pytestmark = [pytest.mark.slow]

AWS = """#!/bin/bash
case "$1 $2" in
"sts get-caller-identity") echo 123456789012 ;;
"ecr get-login-password") echo "a-password-of-$4" ;;
*) exit 2 ;;
esac
"""
LOGINS = {
    "GHCR": ("https://github.com", "ghcr.io/acme", "login ghcr.io someone a-token\n"),
    "an Enterprise server": (
        "https://git.acme.example",
        "containers.git.acme.example/acme",
        "login containers.git.acme.example someone a-token\n",
    ),
    "the server's own": ("https://github.com", "", "login ghcr.io someone a-token\n"),
    "an Enterprise server's own": (
        "https://git.acme.example",
        "",
        "login containers.git.acme.example someone a-token\n",
    ),
    "GHCR, from an Enterprise server": ("https://git.acme.example", "ghcr.io/acme", ""),
    "another registry": ("https://github.com", "docker.io/acme", ""),
    "a name that begins like GHCR": ("https://github.com", "ghcr.io.evil.example/acme", ""),
}


async def run(made, given):
    step = {"uses": "OWNER/bakery/.github/actions/login", "with": given}
    return await asyncio.to_thread(made.run_document, {"jobs": {"one": {"runs-on": "x", "steps": [step]}}}, {})


@pytest.mark.parametrize(("server", "registry", "expected"), LOGINS.values(), ids=LOGINS)
async def test_a_token_is_only_used_at_the_registry_of_its_server(scene, sources, tools, server, registry, expected):
    made = runner(scene, sources, tools, scene.folder)
    made.server = server
    given = {"registry": registry, "token": "${{ github.token }}"}
    ran = await run(made, given)
    assert ran.is_green, ran.log
    assert scene.notes == expected


async def test_a_role_logs_in_at_ecr_and_an_identity_at_artifact_registry(scene, sources, tools):
    made = runner(scene, sources, tools, scene.folder, aws=AWS)
    aws = {"aws-role": "arn:aws:iam::123456789012:role/push", "aws-region": "eu-west-1"}
    google = {
        "google-provider": "projects/1/x",
        "google-service-account": "a@b",
        "google-registry": "eu-docker.pkg.dev",
    }
    ran = await run(made, {**aws, **google})
    assert ran.is_green, ran.log
    assert scene.notes.splitlines() == [
        "login 123456789012.dkr.ecr.eu-west-1.amazonaws.com AWS a-password-of-eu-west-1",
        "login eu-docker.pkg.dev oauth2accesstoken a-google-token",
    ]
