"""The real registries behave as the other tests assume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.peers import programs
from tests.peers.conftest import StartRegistry
from tests.peers.programs import run
from tests.peers.registries import KINDS, Basic, RealRegistry
from tests.peers.tokens import TokenService


def config_for(registry: RealRegistry, folder: Path) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(registry.docker_config()))
    return {"DOCKER_CONFIG": str(folder)}


def push_something(registry: RealRegistry, folder: Path, name: str = "app") -> str:
    """Push an artifact with oras. Return its reference."""
    (folder / "content.txt").write_text("some content")
    env = config_for(registry, folder / "login")
    reference = f"{registry.host}/{name}:1"
    run("oras", "push", "--plain-http", "--disable-path-validation", reference, folder / "content.txt", env=env)
    return reference


def test_a_real_registry_returns_the_same_bytes_that_were_pushed(real_registry, tmp_path):
    reference = push_something(real_registry, tmp_path)
    by_crane = run("crane", "manifest", "--insecure", reference)
    by_skopeo = run("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{reference}")
    assert by_crane.rstrip(b"\n") == by_skopeo.rstrip(b"\n")
    assert json.loads(by_crane)["layers"]


def test_a_real_registry_logs_its_requests(real_registry, tmp_path):
    push_something(real_registry, tmp_path)
    written = [one for one in real_registry.requests("PUT") if "/manifests/" in one.path]
    assert [(one.path, one.status) for one in written] == [("/v2/app/manifests/1", 201)]


def test_a_real_registry_supports_deletes(real_registry, tmp_path):
    reference = push_something(real_registry, tmp_path)
    run("oras", "manifest", "delete", "--plain-http", "--force", reference)
    assert not any(one.status == 405 for one in real_registry.requests("DELETE"))
    with pytest.raises(AssertionError, match="MANIFEST_UNKNOWN"):
        run("crane", "manifest", "--insecure", reference)


@pytest.mark.parametrize("kind", KINDS)
def test_bearer_tokens_are_required_and_counted(kind, start_registry: StartRegistry, tokens: TokenService, tmp_path):
    registry = start_registry(kind, auth=tokens)
    with pytest.raises(AssertionError, match=r"(?i)unauthorized|401"):
        run("oras", "manifest", "fetch", "--plain-http", f"{registry.host}/app:1", env={"DOCKER_CONFIG": str(tmp_path)})
    assert not tokens.requests
    push_something(registry, tmp_path)
    assert any("repository:app:pull,push" in scope for scopes in tokens.requests for scope in scopes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_registry_with_an_htpasswd_file_requires_the_password(kind, start_registry: StartRegistry, tmp_path):
    registry = start_registry(kind, auth=Basic())
    with pytest.raises(AssertionError, match=r"UNAUTHORIZED|401"):
        run("crane", "manifest", "--insecure", f"{registry.host}/app:1", env={"DOCKER_CONFIG": str(tmp_path)})
    push_something(registry, tmp_path)


@pytest.mark.parametrize("variable", ["CI", "BAKERY_REQUIRE_PEERS"])
def test_a_missing_peer_is_a_failure_if_peers_are_required(variable, monkeypatch):
    monkeypatch.setenv(variable, "true")
    with pytest.raises(pytest.fail.Exception, match="make peers"):
        programs.need("no-such-program")


def test_a_missing_peer_skips_the_test_with_a_hint(monkeypatch):
    for variable in ("CI", "BAKERY_REQUIRE_PEERS"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception, match="make peers"):
        programs.need("no-such-program")
