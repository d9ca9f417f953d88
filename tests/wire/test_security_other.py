"""Attacks that need more than one request to a registry: mirrors, names in manifests, loops, a clean-up, a token.

The numbers are the rows of registry.md 7; tests without one guard what that table does not have.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakery.app.clean import _is_githubs
from bakery.oci import media_type as mt
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.traits import Traits
from tests.clean.making import image_of, index_of, pointer, push, push_image, signature_tag
from tests.clock import JumpingClock
from tests.program import run_bakery
from tests.wire.attacks import PASSWORD, login
from tests.wire.making import headers_of, image, make_client
from tests.wire.script import Response, ScriptedServer


async def test_10_a_mirror_that_docker_or_podman_has_is_never_used_and_gets_no_login(tmp_path: Path):
    async with ScriptedServer() as mirror, ScriptedServer() as a:
        home = tmp_path / "home"
        (home / ".config" / "containers").mkdir(parents=True)
        location = f'[[registry]]\nlocation = "{a.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n'
        (home / ".config" / "containers" / "registries.conf").write_text(location)
        (home / ".docker").mkdir()
        (home / ".docker" / "daemon.json").write_text(json.dumps({"registry-mirrors": [mirror.origin.__str__()]}))
        logins = login(a.host).inline
        environment = {"HOME": str(home), "DOCKER_AUTH_CONFIG": logins}
        descriptor, raw = image(b"layer")
        a.expect("GET", "/v2/acme/app/manifests/1", Response(200, headers_of(descriptor), raw))
        async with make_client(config=RegistryConfig.from_environment(environment)) as client:
            assert (await client.manifests.get(Repository(a.host, "acme/app").with_tag("1"))).raw == raw
        assert mirror.received == []


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("title", ["../evil", "{outside}/evil", "a/../../evil", "evil\x00", "..\\evil"])
async def test_19_names_in_manifests_never_become_paths(tmp_path: Path, title: str):
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    async with EmbeddedRegistry() as registry, EmbeddedRegistry() as destination:
        raw, *blobs = image_of("one")
        document = json.loads(raw)
        document["layers"][0]["annotations"] = {"org.opencontainers.image.title": title.format(outside=tmp_path)}
        digest = push(registry, json.dumps(document).encode(), *blobs)
        before = files_in(tmp_path)
        code, _, err = await run_bakery(
            work, "imagetools", "copy", f"{registry.address}/acme/app@{digest}", f"{destination.address}/app:1"
        )
        assert code == 0, err
        assert files_in(tmp_path) == before


async def test_20_a_compressed_manifest_is_decoded_to_no_more_than_the_limit():
    import gzip
    import resource

    from bakery.errors import InvalidContent

    bomb = gzip.compress(bytes(512 * 1024 * 1024), compresslevel=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ScriptedServer() as a, make_client() as client:
        headers = {"Content-Type": mt.OCI_MANIFEST, "Content-Encoding": "gzip"}
        a.expect("GET", "/v2/acme/app/manifests/1", Response(200, headers, bomb))
        with pytest.raises(InvalidContent, match="longer than"):
            await client.manifests.get(Repository(a.host, "acme/app").with_tag("1"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


async def test_29_referrers_that_refer_to_each_other_are_copied_once(tmp_path: Path):
    async with EmbeddedRegistry(traits=Traits(referrers=False)) as source, EmbeddedRegistry() as destination:
        one, raw = push_image(source, "one")
        other, raw_other = push_image(source, "other", subject=pointer(raw, mt.OCI_MANIFEST))
        # Any client that may push can write the index under a fallback tag: here each lists the other, and itself.
        push(source, index_of([raw_other, raw]), signature_tag(one, ""))
        push(source, index_of([raw, raw_other]), signature_tag(other, ""))
        code, _, err = await run_bakery(
            tmp_path, "imagetools", "copy", f"{source.address}/acme/app@{one}", f"{destination.address}/app:1",
            "--referrers",
        )  # fmt: skip
        assert code == 0, err
        assert set(destination.manifests("app")) == {one, other}
        assert source.count("GET", "manifest") < 20


async def test_29_a_clean_up_reads_a_loop_of_tags_once():
    from bakery.clean.criteria import Criteria
    from tests.clean.making import NAME, swept

    async with EmbeddedRegistry(traits=Traits(referrers=False)) as registry:
        one, raw = push_image(registry, "one", "latest")
        loop = push(registry, index_of([raw]), signature_tag(one, ""))
        push(registry, index_of([index_of([raw])]), signature_tag(loop, ""))
        push_image(registry, "two", "pr-1")
        await swept(registry, Criteria(tags=("^pr-",)))
        assert len(registry.manifests(NAME)) == 3
        assert registry.count("GET") < 20


@pytest.mark.parametrize(
    ("registry", "api", "expected"),
    [
        ("ghcr.io", "https://api.github.com", True),
        ("containers.github.acme.example", "https://github.acme.example/api/v3", True),
        ("docker.io", "https://api.github.com", False),
        ("api.github.com", "https://api.github.com", False),
        ("ghcr.io.evil.example", "https://api.github.com", False),
        ("containers.evil.example", "https://github.acme.example/api/v3", False),
        ("evil-ghcr.io", "https://api.github.com", False),
        ("ghcr.io", "https://github.acme.example/api/v3", False),
        ("ghcr.io", "https://api.acme.ghe.com", False),
        ("containers.acme.ghe.com", "https://api.acme.ghe.com", True),
        ("containers.evil.ghe.com", "https://api.acme.ghe.com", False),
        ("containers.acme.example", "https://api.acme.example", False),
    ],
)
def test_the_token_of_github_is_a_login_for_its_own_registry_only(registry: str, api: str, expected: bool):
    assert _is_githubs(registry, api) is expected


async def test_githubs_api_gets_the_token_and_a_redirect_of_it_does_not_nor_is_it_believed():
    from bakery.clean.github import GitHub
    from bakery.errors import BakeryError
    from bakery.retry import RetryPolicy

    clock = JumpingClock()
    async with ScriptedServer() as a, ScriptedServer() as b:
        path = "/orgs/acme/packages/container/app/versions?per_page=100&page=1&state=active"
        a.expect("GET", path, Response(302, {"Location": f"{b.origin}/x"}))
        b.expect("GET", "/x", Response(200, {}, b"[]"))
        github = GitHub(
            str(a.origin), PASSWORD, config=RegistryConfig(), policy=RetryPolicy(max_attempts=1), clock=clock,
            deadline=clock.now() + 100, time=0.0, emit=lambda event: None,
        )  # fmt: skip
        async with github:
            with pytest.raises(BakeryError, match="redirected to another host"):
                await github.versions(Repository("ghcr.io", "acme/app"))
        assert a.received[0].header("Authorization") == f"Bearer {PASSWORD}"
        assert PASSWORD not in b.received[0].raw
