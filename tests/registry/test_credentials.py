"""Where logins are found, in which order, for which repositories."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bakery.engines.credential_helper import run_helper
from bakery.errors import AuthError, message
from bakery.oci.reference import Repository
from bakery.registry.credentials import Credentials, CredentialSources
from bakery.registry.token import ANONYMOUS, Login


def auth(user: str, password: str = "p") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


async def found(document: dict[str, Any], reference: str, **sources: Any) -> Login:
    logins = Credentials(CredentialSources(inline=json.dumps(document), **sources), run_helper)
    return await logins.login_for(Repository.parse(reference))


ENTRIES = {
    "user and password": (auth("robot"), Login("robot", "p")),
    "a password with colons": (auth("robot", "a:b:c"), Login("robot", "a:b:c")),
    "trailing NULs": (auth("robot", "p\0\0"), Login("robot", "p")),
    "two members": ({"username": "robot", "password": "p"}, Login("robot", "p")),
    "an identity token": ({"identitytoken": "i"}, Login(identity_token="i")),
    "a registry token": ({"registrytoken": "r"}, Login(registry_token="r")),
    "an additional e-mail": (auth("robot") | {"email": "x@y"}, Login("robot", "p")),
    "empty": ({}, ANONYMOUS),
    "not base64": ({"auth": "%%%"}, ANONYMOUS),
    "no colon": ({"auth": base64.b64encode(b"robot").decode()}, ANONYMOUS),
    "not a string": ({"auth": 1}, ANONYMOUS),
    "not an object": (["x"], ANONYMOUS),
}


@pytest.mark.parametrize(("entry", "expected"), ENTRIES.values(), ids=ENTRIES)
async def test_entries_are_read_in_dockers_format(entry, expected):
    assert await found({"auths": {"reg.example": entry}}, "reg.example/acme/app") == expected


KEYS = [
    "reg.example",
    "https://reg.example",
    "https://reg.example/",
    "https://reg.example/v1/",
    "https://reg.example/v2/",
]


@pytest.mark.parametrize("key", KEYS)
async def test_a_registry_is_found_under_every_spelling_of_its_key(key):
    assert (await found({"auths": {key: auth("robot")}}, "reg.example/acme/app")).username == "robot"


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
async def test_docker_hub_is_found_under_each_of_its_names(key):
    assert (await found({"auths": {key: auth("robot")}}, "alpine")).username == "robot"


SCOPED = {
    "reg.example": auth("host"),
    "reg.example/acme": auth("namespace"),
    "reg.example/acme/app": auth("repository"),
}
REPOSITORIES = {
    "reg.example/acme/app": "repository",
    "reg.example/acme/app/sub": "repository",
    "reg.example/acme/apple": "namespace",
    "reg.example/acme/other": "namespace",
    "reg.example/acmeother/app": "host",
    "reg.example:5000/acme/app": "",
    "other.example/acme/app": "",
}


@pytest.mark.parametrize(("reference", "user"), REPOSITORIES.items())
async def test_the_most_specific_key_wins_by_whole_path_segments(reference, user):
    assert (await found({"auths": SCOPED}, reference)).username == user


def program(folder: Path, name: str, text: str) -> None:
    file = folder / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


async def test_a_registrys_helper_precedes_the_store_and_the_store_precedes_auths(tmp_path: Path):
    for name in ("own", "common"):
        program(tmp_path, name, f'printf \'{{"Username":"{name}","Secret":"s"}}\'')
    document = {
        "auths": {"a.example": auth("plain"), "b.example": auth("plain")},
        "credHelpers": {"a.example": "own"},
        "credsStore": "common",
    }
    sources: dict[str, Any] = {"path": str(tmp_path), "environment": {"PATH": "/usr/bin:/bin"}}
    assert (await found(document, "a.example/x/y", **sources)).username == "own"
    assert (await found(document, "b.example/x/y", **sources)).username == "common"


async def test_auths_is_used_if_the_store_has_no_login(tmp_path: Path):
    program(tmp_path, "common", "echo credentials not found in native keychain; exit 1")
    document = {"auths": {"a.example": auth("plain")}, "credsStore": "common"}
    sources: dict[str, Any] = {"path": str(tmp_path), "environment": {"PATH": "/usr/bin:/bin"}}
    assert (await found(document, "a.example/x/y", **sources)).username == "plain"
    assert await found(document, "b.example/x/y", **sources) == ANONYMOUS


async def test_a_missing_store_means_no_login_and_a_missing_helper_of_a_registry_is_an_error(tmp_path: Path):
    assert await found({"credsStore": "desktop"}, "a.example/x/y", path=str(tmp_path)) == ANONYMOUS
    with pytest.raises(AuthError, match="not in PATH"):
        await found({"credHelpers": {"a.example": "gcloud"}}, "a.example/x/y", path=str(tmp_path))


async def test_a_helper_found_only_by_a_relative_path_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path, "here", "exit 0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuthError, match="not in PATH"):
        await found({"credHelpers": {"a.example": "here"}}, "a.example/x/y", path=".:")


async def test_the_helper_user_token_means_an_identity_token_and_the_result_is_kept(tmp_path: Path):
    program(tmp_path, "own", f'echo x >> {tmp_path}/asked; printf \'{{"Username":"<token>","Secret":"s"}}\'')
    sources = CredentialSources(
        inline=json.dumps({"credHelpers": {"a.example": "own"}}),
        path=str(tmp_path),
        environment={"PATH": "/usr/bin:/bin"},
    )
    logins = Credentials(sources, run_helper)
    for _ in range(3):
        assert await logins.login_for(Repository.parse("a.example/x/y")) == Login(identity_token="s")
    assert (tmp_path / "asked").read_text() == "x\n"


def written(file: Path, user: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"auths": {"a.example": auth(user)}}))
    return file


async def test_dockers_locations_are_searched_before_podmans(tmp_path: Path):
    environment = {
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"a.example": auth("inline")}}),
        "DOCKER_CONFIG": str(written(tmp_path / "docker" / "config.json", "docker").parent),
        "REGISTRY_AUTH_FILE": str(written(tmp_path / "auth-file.json", "auth-file")),
        "XDG_RUNTIME_DIR": str(written(tmp_path / "run" / "containers" / "auth.json", "runtime").parents[1]),
        "HOME": str(tmp_path / "home"),
    }
    written(tmp_path / "home" / ".config" / "containers" / "auth.json", "home")
    users = []
    for gone in ("DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", ""):
        logins = Credentials(CredentialSources.from_environment(environment))
        users.append((await logins.login_for(Repository.parse("a.example/x/y"))).username)
        environment.pop(gone, None)
    assert users == ["inline", "docker", "auth-file", "runtime", "home"]


async def test_a_home_without_docker_config_is_not_an_error(tmp_path: Path):
    logins = Credentials(CredentialSources.from_environment({"HOME": str(tmp_path)}))
    assert await logins.login_for(Repository.parse("a.example/x/y")) == ANONYMOUS


@pytest.mark.parametrize("text", ['{"auths": {"x": {"auth": "canary', "[]", '{"auths": []}', '{"credsStore": 1}'])
async def test_a_broken_file_is_an_error_that_names_it_and_quotes_nothing(tmp_path: Path, text: str):
    (tmp_path / "config.json").write_text(text)
    logins = Credentials(CredentialSources.from_environment({"DOCKER_CONFIG": str(tmp_path)}))
    with pytest.raises(AuthError, match=r"config\.json") as caught:
        await logins.login_for(Repository.parse("a.example/x/y"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "document", [{"credsStore": "odd"}, {"credHelpers": {"a.example": "odd"}}], ids=["store", "own"]
)
async def test_a_failing_helper_is_run_once_and_a_failing_store_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, document: dict[str, object]
):
    program(tmp_path, "odd", f"echo x >> {tmp_path}/asked; exit 3")
    credentials = Credentials(CredentialSources(inline=json.dumps(document), path=str(tmp_path)), run_helper)
    for _ in range(3):
        if "credsStore" in document:
            assert await credentials.login_for(Repository.parse("a.example/x/y")) == ANONYMOUS
        else:
            with pytest.raises(AuthError, match="exit status 3"):
                await credentials.login_for(Repository.parse("a.example/x/y"))
    assert (tmp_path / "asked").read_text() == "x\n"
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == ("credsStore" in document)


async def test_a_helper_that_cannot_be_executed_is_an_error(tmp_path: Path):
    (tmp_path / "docker-credential-odd").write_bytes(b"\0\1\2")
    (tmp_path / "docker-credential-odd").chmod(0o755)
    with pytest.raises(AuthError, match="cannot be started"):
        await found({"credHelpers": {"a.example": "odd"}}, "a.example/x/y", path=str(tmp_path))


FAULTY = {
    "a registry token with a line break": {"registrytoken": "CANARY-token\n"},
    "a registry token with a trailing blank": {"registrytoken": "CANARY-token "},
    "a registry token beyond ASCII": {"registrytoken": "CANARY-tökén"},
    "an identity token with a line break": {"identitytoken": "CANARY-token\r\n"},
    "a password with a line break": auth("robot", "CANARY-token\n"),
    "a password with an escape": {"username": "robot", "password": "CANARY-\x1b[2Jtoken"},
    "a password with a C1 control": {"username": "robot", "password": "CANARY-\x9btoken"},
    "a password with a lone surrogate": {"username": "robot", "password": "CANARY-token\ud800"},
    "a user name with a line break": auth("robot\r\nX: y", "CANARY-token"),
}


@pytest.mark.parametrize("entry", FAULTY.values(), ids=FAULTY)
async def test_a_login_that_cannot_be_sent_is_an_error_of_its_registry_and_is_not_quoted(entry):
    document = {"auths": {"reg.example": entry, "other.example": auth("robot")}}
    for _ in range(2):
        with pytest.raises(AuthError, match=r"reg\.example") as caught:
            await found(document, "reg.example/acme/app")
        assert "CANARY" not in message(caught.value)
        assert "docker login reg.example" in caught.value.hint
    assert (await found(document, "other.example/x")).username == "robot"


async def test_secrets_are_masked_in_what_a_server_sends_back():
    await found({"auths": {"reg.example": auth("robot", "s3cret pass/word")}}, "reg.example/acme/app")
    forms = (
        "s3cret pass/word", "s3cret%20pass/word", "s3cret+pass%2Fword",
        base64.b64encode(b"robot:s3cret pass/word").decode(),
    )  # fmt: skip
    for form in forms:
        shown = message(AuthError("cannot get token", why=f"bad login {form}!"))
        assert shown == "error[auth/denied]: cannot get token: bad login ***!"


async def test_a_secret_that_was_cut_off_is_masked_as_well():
    token = "eyJhbGciOiJSUzI1NiJ9." + "x" * 400
    await found({"auths": {"reg.example": {"registrytoken": token}}}, "reg.example/acme/app")
    assert message(AuthError("no", why=f"got {token[:40]} (cut)")) == "error[auth/denied]: no: got *** (cut)"


async def test_a_login_of_buildx_for_a_repository_and_scope_comes_first(tmp_path: Path):
    def store(place: str, user: str) -> None:
        folder = tmp_path / "buildx" / "config" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(
            json.dumps({"auths": {"a.example": {"auth": base64.b64encode(f"{user}:p".encode()).decode()}}})
        )

    store("a.example/x/app@push", "pusher")
    store("a.example/x/app@pull", "puller")
    store("a.example", "anyone")
    logins = Credentials(CredentialSources.from_environment({"DOCKER_CONFIG": str(tmp_path)}))
    app, other = Repository.parse("a.example/x/app"), Repository.parse("a.example/x/other")
    assert (await logins.login_for(app, push=True)).username == "pusher"
    assert (await logins.login_for(app)).username == "puller"
    assert (await logins.login_for(other, push=True)).username == "anyone"


async def test_a_line_break_in_a_stored_login_is_skipped_as_docker_does(tmp_path: Path):
    encoded = base64.encodebytes(b"user:a password that is long enough to be wrapped by base64, which docker accepts")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"a.example": {"auth": encoded.decode()}}}))
    logins = Credentials(CredentialSources.from_environment({"DOCKER_CONFIG": str(tmp_path)}))
    assert (await logins.login_for(Repository.parse("a.example/x/app"))).username == "user"
