"""Finds the login for a repository, as docker and podman keep it. Reads files, runs credential helpers, writes nothing.

Source: registry.md 1.4. A login belongs to the key that it was stored under and to no other: where a helper fails,
nobody else's login is taken in its place (CVE-2021-41092).
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
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from bakery.errors import AuthError
from bakery.oci.reference import Repository
from bakery.registry.token import ANONYMOUS, Login
from bakery.values import repr_without

_log = logging.getLogger(__name__)

HUB_KEY: Final = "https://index.docker.io/v1/"
_HUB_KEYS: Final = (HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io")
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024
_MAX_HELPER_BYTES: Final = 64 * 1024
_HELPER_FAILED_S: Final = 60.0
_HELPER_LIFE_S: Final = 240.0  # workload-identity logins live five minutes
_NOT_FOUND = (b"credentials not found", b"no credentials server url", b"not found in native")


class CredentialSources(Struct, frozen=True):
    """Where to look, in this order. `inline` is the JSON itself (DOCKER_AUTH_CONFIG)."""

    inline: str = ""
    files: tuple[Path, ...] = ()
    path: str = ""  # where helpers are looked for, as PATH
    environment: Mapping[str, str] = field(default_factory=dict)  # what helpers run with
    helper_limit_s: float = 30.0

    __repr__ = repr_without("inline", "environment")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CredentialSources:
        """docker's places, then podman's."""
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
        )


class _Config(Struct, frozen=True):
    """One configuration, as far as we use it. `about` names the file."""

    about: str
    auths: Mapping[str, Login] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    __repr__ = repr_without("auths")


class Credentials:
    """The logins of one run. Files are read once; what a helper said is kept for a few minutes."""

    def __init__(self, sources: CredentialSources) -> None:
        self._sources = sources
        self._configs: list[_Config] | None = None
        self._reading = asyncio.Lock()
        self._from_helpers: dict[tuple[str, str], tuple[float, Login | AuthError]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._told: set[str] = set()

    async def login_for(self, repository: Repository) -> Login:
        """The login for this repository, ANONYMOUS where none is stored. Raises AuthError for a broken helper.

        In each configuration: the registry's own helper, the common store, then `auths`, most specific key first.
        """
        for config in await self._all():
            login = await self._in_config(config, repository)
            if login:
                return login
        return ANONYMOUS

    async def _in_config(self, config: _Config, repository: Repository) -> Login:
        keys = _keys_of(repository)
        for key in keys:
            if key in config.helpers:
                return await self._ask(config.helpers[key], _server_address(repository, key), config.about)
        if config.store:
            try:
                login = await self._ask(config.store, _server_address(repository, repository.registry), config.about)
            except AuthError as error:
                # docker goes on without a login, so a leftover `credsStore: desktop` does not stop public images.
                _log.log(logging.DEBUG if str(error) in self._told else logging.WARNING, "%s", error)
                self._told.add(str(error))
                login = ANONYMOUS
            if login:
                return login
        return next((config.auths[key] for key in keys if config.auths.get(key)), ANONYMOUS)

    async def _all(self) -> list[_Config]:
        async with self._reading:  # read once, whoever asks first
            if self._configs is None:
                self._configs = await asyncio.to_thread(self._read_all)
            return self._configs

    def _read_all(self) -> list[_Config]:
        configs = []
        if self._sources.inline:
            configs.append(_parse(self._sources.inline.encode(), "DOCKER_AUTH_CONFIG"))
        for file in self._sources.files:
            try:
                with file.open("rb") as stream:
                    raw = stream.read(_MAX_CONFIG_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise AuthError("reading credentials", about=file, why=error.strerror or "it cannot be read") from error
            configs.append(_parse(raw, str(file)))
        return configs

    async def _ask(self, helper: str, server: str, about: str) -> Login:
        key = (helper, server)
        async with self._locks.setdefault(key, asyncio.Lock()):
            now = asyncio.get_running_loop().time()
            kept = self._from_helpers.get(key)
            if kept is None or kept[0] <= now:
                found: Login | AuthError
                try:
                    found = await _run_helper(helper, server, about, self._sources)
                except AuthError as error:
                    found = error
                # A failure is kept too: every request asks, and one that hangs would hold each of them in turn.
                life_s = _HELPER_LIFE_S if isinstance(found, Login) else _HELPER_FAILED_S
                kept = self._from_helpers[key] = (asyncio.get_running_loop().time() + life_s, found)
            if isinstance(kept[1], AuthError):
                raise AuthError(kept[1].what, about=kept[1].about, why=kept[1].why, hint=kept[1].hint)
            return kept[1]


def _keys_of(repository: Repository) -> list[str]:
    """The keys that may hold this repository's login, most specific first; whole path segments only."""
    registry, segments = repository.registry, repository.path.split("/")
    scoped = [f"{registry}/{'/'.join(segments[:count])}" for count in range(len(segments), 0, -1)]
    return [*scoped, *(_HUB_KEYS if registry == "docker.io" else (registry,))]


def _server_address(repository: Repository, key: str) -> str:
    return HUB_KEY if repository.registry == "docker.io" else key


def _normal_key(key: str) -> str:
    """`https://HOST/v2/` and its like as `HOST`; Docker Hub's own key stays as it is."""
    if key == HUB_KEY:
        return key
    bare = re.sub(r"^https?://", "", key)
    return re.sub(r"/(?:v1|v2)?/?$", "", bare)


def _parse(raw: bytes, about: str) -> _Config:
    def refuse(rule: str) -> AuthError:
        return AuthError("reading credentials", about=about, why=rule, hint="log in again, or mend the file")

    if len(raw) > _MAX_CONFIG_BYTES:
        raise refuse(f"longer than {_MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise refuse("it is no JSON") from None  # the parser's message would quote the secret beside the fault
    if not isinstance(document, dict):
        raise refuse("the top is no object")
    auths, helpers, store = (document.get(member) for member in ("auths", "credHelpers", "credsStore"))
    for member, value in (("auths", auths), ("credHelpers", helpers)):
        if value is not None and not isinstance(value, dict):
            raise refuse(f"{member} is no object")
    if store is not None and not isinstance(store, str):
        raise refuse("credsStore is no text")
    logins: dict[str, Login] = {}
    for key, entry in (auths or {}).items():
        login = _login_of(entry)
        if login is None:
            _log.warning("the entry %r in %s is malformed and not used", key[:200], about)
        elif login and (_normal_key(key) == key or _normal_key(key) not in logins):
            logins[_normal_key(key)] = login  # the plain key wins over a spelled-out one
    named = {_normal_key(key): value for key, value in (helpers or {}).items() if isinstance(value, str) and value}
    return _Config(about, logins, named, store or "")


def _login_of(entry: Any) -> Login | None:
    """The login of an `auths` entry; ANONYMOUS where it is empty (a store has it), None where it is malformed."""
    if not isinstance(entry, dict):
        return None
    texts = {name: entry.get(name, "") for name in ("auth", "username", "password", "identitytoken", "registrytoken")}
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        try:
            decoded = base64.b64decode(texts["auth"], validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        username, colon, password = decoded.partition(":")
        password = password.rstrip("\0")
        if not colon:
            return None
    return Login(username, password, texts["identitytoken"], texts["registrytoken"])


async def _run_helper(helper: str, server: str, about: str, sources: CredentialSources) -> Login:
    """Ask `docker-credential-HELPER get`. No shell; found in PATH by a plain name; limited in time and output."""

    def refuse(rule: str, hint: str = "") -> AuthError:
        return AuthError(
            "asking a credential helper", about=f"{helper[:60]!r} (from {about}) for {server}", why=rule, hint=hint
        )

    if _HELPER_NAME.fullmatch(helper) is None or helper.startswith("."):
        raise refuse("its name is no plain word, so it is not run", "write the name alone: gcloud, ecr-login")
    import shutil  # few have a helper

    program = shutil.which(f"docker-credential-{helper}", path=_absolute_only(sources.path))
    if program is None:
        raise refuse("it is not in PATH", "install it, or log in again without it")
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(sources.environment),
            start_new_session=True,
        )
    except OSError as error:
        raise refuse(f"it cannot be run: {error.strerror}", f"look at {program}, or log in again without it") from error
    try:
        async with asyncio.timeout(sources.helper_limit_s):
            out, err = await _talk(process, server.encode())
            status = await process.wait()
    except TimeoutError:
        raise refuse(
            f"it did not answer in {sources.helper_limit_s:g} s",
            f"run docker-credential-{helper} get by hand to see why",
        ) from None
    finally:
        _kill(process)
        await process.wait()
    if len(out) > _MAX_HELPER_BYTES:
        raise refuse(f"it said more than {_MAX_HELPER_BYTES} bytes")
    if status != 0:
        # What it says on stderr may hold secrets: it is looked at and never shown.
        if any(sign in (out + err).lower() for sign in _NOT_FOUND):
            return ANONYMOUS
        raise refuse(f"it ended with status {status}", f"run docker-credential-{helper} get by hand to see why")
    return _helper_login(out, refuse("what it said is no login", f"run docker-credential-{helper} get by hand"))


async def _talk(process: asyncio.subprocess.Process, question: bytes) -> tuple[bytes, bytes]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("a helper is started with pipes")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(question)
        await process.stdin.drain()
    process.stdin.close()
    async with asyncio.TaskGroup() as group:
        out = group.create_task(_read_capped(process, process.stdout))
        err = group.create_task(_read_capped(process, process.stderr))
    return out.result(), err.result()


async def _read_capped(process: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> bytes:
    """All that comes; who says more than any login is long is ended, and what came is longer than the cap."""
    kept = bytearray()
    while chunk := await stream.read(_MAX_HELPER_BYTES):
        kept += chunk
        if len(kept) > _MAX_HELPER_BYTES:
            _kill(process)
            break
    return bytes(kept)


def _kill(process: asyncio.subprocess.Process) -> None:
    """End a helper that still runs, with what it started. One that ended by itself may leave an agent behind."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _absolute_only(path: str) -> str:
    return os.pathsep.join(part for part in path.split(os.pathsep) if part.startswith("/"))


def _helper_login(out: bytes, bad: AuthError) -> Login:
    try:
        document = json.loads(out)
    except (ValueError, RecursionError):
        raise bad from None
    if not isinstance(document, dict):
        raise bad
    username, secret = document.get("Username", ""), document.get("Secret", "")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise bad
    return Login(identity_token=secret) if username == "<token>" else Login(username, secret)
