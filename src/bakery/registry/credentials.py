"""Finds the login for a repository where docker and podman store it: in files and credential helpers. Writes nothing.

Source: registry.md 1.4. A login belongs to the key that it was stored under and to no other: if a helper fails, no
other login replaces it (CVE-2021-41092).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec import Struct, field

from bakery.defaults import CREDENTIAL_HELPER_TIMEOUT_S
from bakery.errors import AuthError
from bakery.files import is_folder, read_regular
from bakery.oci.reference import Repository
from bakery.registry.origin import HUB_API_HOST
from bakery.registry.token import ANONYMOUS, Login
from bakery.values import repr_without

_log = logging.getLogger(__name__)
_UNREADABLE: Final = "auth/credentials"

HUB_KEY: Final = "https://index.docker.io/v1/"
_HUB_KEYS: Final = (HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io")
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024
_MAX_SCOPED: Final = 200  # configurations by repository and scope
_MAX_HELPER_BYTES: Final = 64 * 1024
_HELPER_FAILED_S: Final = 60.0
_HELPER_LIFE_S: Final = 240.0  # workload-identity logins live five minutes
_NOT_FOUND: Final = (b"credentials not found", b"no credentials server url", b"not found in native")


class HelperResult(Struct, frozen=True):
    """The result of a credential helper. failure: why it did not start or did not end by itself, or ""."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
    failure: str = ""

    __repr__ = repr_without("stdout", "stderr")


class RunHelper(Protocol):
    """Runs a credential helper. Which processes there are is not this room's business, so the caller provides it."""

    async def __call__(
        self, command: Sequence[str], *, stdin: bytes, environment: Mapping[str, str], timeout_s: float, cap_bytes: int
    ) -> HelperResult:
        """Run a command to its end, without a shell. It is ended after timeout_s or cap_bytes of output."""
        ...


class CredentialSources(Struct, frozen=True):
    """Where to look, in this order. `inline` is the JSON itself (DOCKER_AUTH_CONFIG), and so is `last`."""

    inline: str = ""
    files: tuple[Path, ...] = ()
    path: str = ""  # where helpers are looked for, in the form of PATH
    environment: Mapping[str, str] = field(default_factory=dict)  # of helpers
    helper_limit_s: float = CREDENTIAL_HELPER_TIMEOUT_S
    scoped: Path | None = None  # buildx's folder of configurations by repository and scope
    last: str = ""  # the caller's own logins, for registries without a stored one

    __repr__ = repr_without("inline", "environment", "last")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CredentialSources:
        """Return docker's locations, then podman's."""
        home = environment.get("HOME", "")
        files = []
        if environment.get("DOCKER_CONFIG"):
            files.append(Path(environment["DOCKER_CONFIG"]) / "config.json")
        elif home:
            files.append(Path(home) / ".docker" / "config.json")
        if environment.get("REGISTRY_AUTH_FILE"):
            files.append(Path(environment["REGISTRY_AUTH_FILE"]))
        if environment.get("XDG_RUNTIME_DIR"):
            files.append(Path(environment["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
        config_home = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
        if config_home:
            files.append(Path(config_home) / "containers" / "auth.json")
        return cls(
            environment.get("DOCKER_AUTH_CONFIG", ""),
            tuple(files),
            environment.get("PATH", os.defpath),
            dict(environment),
            scoped=_scoped_folder(environment),
        )


class _Config(Struct, frozen=True):
    """One configuration, as far as it is used. `about` names the file."""

    about: str
    auths: Mapping[str, Login | AuthError] = field(default_factory=dict)  # an error: a login that cannot be sent
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    __repr__ = repr_without("auths")


class Credentials:
    """The logins of one run. Files are read once; the result of a helper is kept for a few minutes."""

    def __init__(self, sources: CredentialSources, run_helper: RunHelper | None = None) -> None:
        self._sources, self._run_helper = sources, run_helper
        self._configs: list[_Config] | None = None
        self._scoped: dict[str, dict[frozenset[str], _Config]] = {}  # by place, then by scopes
        self._reading = asyncio.Lock()
        self._from_helpers: dict[tuple[str, str], tuple[float, Login | AuthError]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._warned: set[str] = set()

    async def login_for(self, repository: Repository, *, push: bool = False) -> Login:
        """Return the login for a repository, ANONYMOUS if none is stored. Raises AuthError for a broken helper.

        In each configuration: the registry's own helper, the common store, then `auths`, most specific key first. The
        configurations for this repository and scope come first. push: whether the login must allow that.
        """
        configs = await self._all()
        for config in (*self._scoped_configs(repository, "push" if push else "pull"), *configs):
            login = await self._in_config(config, repository)
            if login:
                return login
        return ANONYMOUS

    async def _in_config(self, config: _Config, repository: Repository) -> Login:
        keys = _keys_of(repository)
        for key in keys:
            if key in config.helpers:
                return await self._from_helper(config.helpers[key], _server_address(repository, key), config.about)
        if config.store:
            try:
                login = await self._from_helper(
                    config.store, _server_address(repository, repository.registry), config.about
                )
            except AuthError as error:
                # docker continues without a login: a leftover `credsStore: desktop` must not block public images.
                _log.log(logging.DEBUG if str(error) in self._warned else logging.WARNING, "%s", error)
                self._warned.add(str(error))
                login = ANONYMOUS
            if login:
                return login
        found = next((config.auths[key] for key in keys if config.auths.get(key)), ANONYMOUS)
        if isinstance(found, AuthError):
            raise _again(found)
        return found

    async def _all(self) -> list[_Config]:
        async with self._reading:  # read once
            if self._configs is None:
                self._configs = await asyncio.to_thread(self._read_all)
            return self._configs

    def _scoped_configs(self, repository: Repository, action: str) -> list[_Config]:
        """Return the configurations that apply to a repository: its own before its registry's, with a scope first."""
        host = HUB_API_HOST if repository.registry == "docker.io" else repository.registry
        found: list[_Config] = []
        for place in (f"{host}/{repository.path}", host):
            stored = self._scoped.get(place, {})
            names = sorted(stored, key=lambda scopes: (not scopes, sorted(scopes)))
            found += [stored[scopes] for scopes in names if not scopes or action in scopes]
        return found

    def _read_scoped(self, folder: Path) -> None:
        """Read `REGISTRY[/REPOSITORY][@SCOPE[,SCOPE…]]/config.json` below a folder, as buildx does."""
        for file in sorted(folder.rglob("config.json"))[:_MAX_SCOPED]:
            place, _, scopes = file.parent.relative_to(folder).as_posix().partition("@")
            config = _parse(read_regular(file, limit_bytes=_MAX_CONFIG_BYTES), str(file))
            self._scoped.setdefault(place, {})[frozenset(filter(None, scopes.split(",")))] = config

    def _read_all(self) -> list[_Config]:
        configs = []
        if self._sources.scoped is not None and is_folder(self._sources.scoped):
            try:
                self._read_scoped(self._sources.scoped)
            except OSError as error:
                raise AuthError(
                    "cannot read credentials from", about=self._sources.scoped, why=error.strerror or str(error),
                    error_code=_UNREADABLE,
                ) from error  # fmt: skip
        if self._sources.inline:
            configs.append(_parse(self._sources.inline.encode(errors="surrogateescape"), "DOCKER_AUTH_CONFIG"))
        for file in self._sources.files:
            try:
                raw = read_regular(file, limit_bytes=_MAX_CONFIG_BYTES, stream=True)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                why = error.strerror or str(error)
                hint = "correct the file, or name another folder with DOCKER_CONFIG"
                raise AuthError(
                    "cannot read credentials from", about=file, why=why, hint=hint, error_code=_UNREADABLE
                ) from error
            configs.append(_parse(raw, str(file)))
        if self._sources.last:
            configs.append(_parse(self._sources.last.encode(), "the caller"))
        return configs

    async def _from_helper(self, helper: str, server: str, about: str) -> Login:
        key = (helper, server)
        async with self._locks.setdefault(key, asyncio.Lock()):
            now = asyncio.get_running_loop().time()
            kept = self._from_helpers.get(key)
            if kept is None or kept[0] <= now:
                found: Login | AuthError
                try:
                    found = await self._run(helper, server, about)
                except AuthError as error:
                    found = error
                # A failure is kept too: each request needs the login, and a helper that hangs would delay all of them.
                life_s = _HELPER_LIFE_S if isinstance(found, Login) else _HELPER_FAILED_S
                kept = self._from_helpers[key] = (asyncio.get_running_loop().time() + life_s, found)
            if isinstance(kept[1], AuthError):
                raise _again(kept[1])
            return kept[1]

    async def _run(self, helper: str, server: str, about: str) -> Login:
        """Run `docker-credential-HELPER get`. No shell; found in PATH by a plain name; limited in time and output."""
        by_hand = f"run docker-credential-{helper[:60]} get by hand to find out why"

        def refuse(why: str, hint: str = "") -> AuthError:
            subject = f"{helper[:60]!r} (from {about}) for {server}"
            what = "cannot get login from credential helper"
            return AuthError(what, about=subject, why=why, hint=hint, error_code=_UNREADABLE)

        if _HELPER_NAME.fullmatch(helper) is None or helper.startswith("."):
            raise refuse("its name must be a plain word", "use the short name, such as gcloud or ecr-login")
        import shutil  # few configurations name a helper

        sources = self._sources
        program = shutil.which(f"docker-credential-{helper}", path=_absolute_only(sources.path))
        if program is None:
            raise refuse("it is not in PATH", "install it, or log in again without it")
        if self._run_helper is None:
            raise refuse("this command does not run credential helpers")
        result = await self._run_helper(
            (program, "get"),
            stdin=server.encode(),
            environment=sources.environment,
            timeout_s=sources.helper_limit_s,
            cap_bytes=_MAX_HELPER_BYTES,
        )
        if result.failure:
            raise refuse(result.failure, by_hand)
        if result.returncode != 0:
            # What it wrote may contain secrets: it is searched and never shown.
            if any(sign in (result.stdout + result.stderr).lower() for sign in _NOT_FOUND):
                return ANONYMOUS
            raise refuse(f"exit status {result.returncode}", by_hand)
        login = _helper_login(result.stdout)
        if login is None:
            raise refuse("its output is not a login", by_hand)
        if fault := login.fault:
            raise refuse(fault, by_hand)
        login.hide()
        return login


def hide_stored(sources: CredentialSources) -> None:
    """Have every stored secret masked in what is printed, for a program that reads the logins itself."""
    with contextlib.suppress(AuthError):
        Credentials(sources)._read_all()


def _again(error: AuthError) -> AuthError:
    """Return a copy to raise: every request that needs the login raises its own."""
    return AuthError(error.what, about=error.about, why=error.why, hint=error.hint, error_code=error.error_code)


def _scoped_folder(environment: Mapping[str, str]) -> Path | None:
    """Return where buildx and docker/login-action keep logins by scope."""
    if environment.get("BUILDX_CONFIG"):
        return Path(environment["BUILDX_CONFIG"]) / "config"
    docker = environment.get("DOCKER_CONFIG") or (f"{environment['HOME']}/.docker" if environment.get("HOME") else "")
    return Path(docker) / "buildx" / "config" if docker else None


def _keys_of(repository: Repository) -> list[str]:
    """Return the keys that may hold this repository's login, most specific first; whole path segments only."""
    registry, segments = repository.registry, repository.path.split("/")
    scoped = [f"{registry}/{'/'.join(segments[:count])}" for count in range(len(segments), 0, -1)]
    return [*scoped, *(_HUB_KEYS if registry == "docker.io" else (registry,))]


def _server_address(repository: Repository, key: str) -> str:
    return HUB_KEY if repository.registry == "docker.io" else key


def _normal_key(key: str) -> str:
    """Return `https://HOST/v2/` and similar keys as `HOST`; Docker Hub's own key stays as it is."""
    if key == HUB_KEY:
        return key
    bare = re.sub(r"^https?://", "", key)
    return re.sub(r"/(?:v1|v2)?/?$", "", bare)


def _parse(raw: bytes, about: str) -> _Config:
    def refuse(why: str) -> AuthError:
        hint = "log in again, or correct the file"
        return AuthError("cannot read credentials from", about=about, why=why, hint=hint, error_code=_UNREADABLE)

    if len(raw) > _MAX_CONFIG_BYTES:
        raise refuse(f"longer than {_MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise refuse("invalid JSON") from None  # the parser's message would quote the secret
    if not isinstance(document, dict):
        raise refuse("expected an object")
    auths, helpers, store = (document.get(member) for member in ("auths", "credHelpers", "credsStore"))
    for member, value in (("auths", auths), ("credHelpers", helpers)):
        if value is not None and not isinstance(value, dict):
            raise refuse(f"{member} must be an object")
    if store is not None and not isinstance(store, str):
        raise refuse("credsStore must be a string")
    logins: dict[str, Login | AuthError] = {}
    for key, entry in (auths or {}).items():
        login = _login_of(entry)
        if login is None:
            _log.warning("ignoring the malformed entry %r in %s", key[:200], about)
        elif login and (_normal_key(key) == key or _normal_key(key) not in logins):
            logins[_normal_key(key)] = _usable(login, key, about)  # the plain key wins over a URL
    named = {_normal_key(key): value for key, value in (helpers or {}).items() if isinstance(value, str) and value}
    return _Config(about, logins, named, store or "")


def _usable(login: Login, key: str, about: str) -> Login | AuthError:
    login.hide()
    if fault := login.fault:
        hint = f"log in again: docker login {_normal_key(key).partition('/')[0][:100]}"
        where = f"for {key[:200]} in {about}"
        return AuthError("cannot use the login", about=where, why=fault, hint=hint, error_code=_UNREADABLE)
    return login


def _login_of(entry: Any) -> Login | None:
    """Return the login of an `auths` entry; ANONYMOUS if it is empty (a store has it), None if it is malformed."""
    if not isinstance(entry, dict):
        return None
    texts = {name: entry.get(name, "") for name in ("auth", "username", "password", "identitytoken", "registrytoken")}
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        try:
            # docker skips line breaks, and so do files that `base64` has wrapped.
            encoded = texts["auth"].replace("\n", "").replace("\r", "")
            decoded = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        username, colon, password = decoded.partition(":")
        password = password.rstrip("\0")
        if not colon:
            return None
    return Login(username, password, texts["identitytoken"], texts["registrytoken"])


def _absolute_only(path: str) -> str:
    return os.pathsep.join(part for part in path.split(os.pathsep) if part.startswith("/"))


def _helper_login(out: bytes) -> Login | None:
    try:
        document = json.loads(out)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    username, secret = document.get("Username", ""), document.get("Secret", "")
    if not isinstance(username, str) or not isinstance(secret, str):
        return None
    return Login(identity_token=secret) if username == "<token>" else Login(username, secret)
