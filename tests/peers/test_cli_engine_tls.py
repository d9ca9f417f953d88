"""The cli engine and a registry that speaks TLS on a loopback name: real oras, real registry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakery.engines.cli import CliEngine
from bakery.engines.native import NativeEngine
from bakery.oci import media_type as mt
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.retry import RetryPolicy
from tests.peers.programs import need
from tests.peers.registries import Certificate, serve

pytestmark = pytest.mark.peer


async def test_a_loopback_registry_that_speaks_tls_is_reached_over_tls_by_both_engines(tmp_path: Path):
    certificate = Certificate.issue(tmp_path / "certificate")
    variables = {"BAKERY_CA_FILE": str(certificate.authority)}
    config = RegistryConfig.from_environment(variables)
    with serve("distribution", need("registry"), tmp_path / "registry", certificate=certificate) as registry:
        manifest = RawManifest.of(b'{"schemaVersion":2,"manifests":[]}', mt.OCI_INDEX)
        reference = Repository(registry.host, "acme/app").with_digest(manifest.descriptor.digest)
        client = Client(config=config, policy=RetryPolicy(base_delay=0.01))
        async with NativeEngine(client) as native:
            await client.manifests.put(reference, manifest)
            assert await native.find(reference) is not None
        environment = os.environ | variables | {"ORAS_PATH": str(need("oras"))}
        engine = CliEngine(tmp_path, config=config, environment=environment, registries=[registry.host])
        async with engine as cli:
            found = await cli.find(reference)
            assert found is not None
            assert found.raw == manifest.raw
