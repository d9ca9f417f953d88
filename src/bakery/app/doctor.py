"""`bakery doctor`: may this machine publish what the project names? Registries, logins, TLS, clock, proxies, programs.

Nothing is changed: an upload that is opened to learn about a permission is cancelled. No secret is part of a result.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from bakery import __version__
from bakery.errors import RAISE_FILES, BakeryError, InvalidContent, UsageError
from bakery.events import Emit, ignore
from bakery.files import is_file
from bakery.oci.reference import Repository
from bakery.report.diagnosis import Check, Diagnosis, failed
from bakery.report.documents import Health

if TYPE_CHECKING:
    from bakery.registry.client import Client
    from bakery.registry.probe import Headroom, Reached

TIMEOUT_S: Final = 60.0  # for one registry
PROGRAM_TIMEOUT_S: Final = 10.0
DOUBTFUL_SKEW_S: Final = 30.0
WRONG_SKEW_S: Final = 300.0  # more than token services allow
EXPIRES_SOON_DAYS: Final = 14
FEW_FILES: Final = 1024
LITTLE_LEFT: Final = 0.1  # of a rate limit
MACHINE: Final = "this machine"
PROGRAMS: Final = "programs"
_VERSION: Final = re.compile(r"v?[0-9]+\.[0-9][\w.+-]*")
_ACCESS: Final = ("BAKERY_CA_FILE", "BAKERY_CLIENT_CERT", "BAKERY_PLAIN_HTTP", "BAKERY_TRUSTED_REALMS")
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY")


class Program(Struct, frozen=True):
    """A program that some commands run. variable: names its path. arguments: print its version; () if none do."""

    name: str
    variable: str
    arguments: tuple[str, ...]
    used_by: str


WANTED: Final = (
    Program("git", "", ("--version",), "ci matrix --base-ref, and labels"),
    Program("oras", "ORAS_PATH", ("version",), "--engine cli"),
    Program("soci", "SOCI_PATH", ("--version",), "--engine cli, for SOCI"),
    Program("dgoss", "DGOSS_PATH", (), "dgoss run"),
    Program("goss", "GOSS_PATH", ("--version",), "dgoss run"),
    Program("cosign", "COSIGN_PATH", ("version",), "--sign"),
)


class DoctorRequest(Struct, frozen=True):
    """What to check. repositories: as text; none means those of the project in `context`, if there is one.

    image_name: a regular expression: only the repositories of these images. allow_empty: it may match nothing.
    offline: check no registry.
    """

    repositories: tuple[str, ...] = ()
    context: Path = Path()
    image_name: str = ""
    allow_empty: bool = False
    offline: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def diagnose(
    request: DoctorRequest, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), emit: Emit = ignore
) -> Diagnosis:
    """Return the result of every check. Raises UsageError for an invalid repository, and what a project may raise."""
    from bakery.parallel.root import run_interruptible

    repositories = _repositories(request, emit)
    checks = [*_machine(request), *_programs(request)]
    if repositories and not request.offline:
        checks = [*run_interruptible(_registries(repositories, request, now)), *checks]
    return Diagnosis(tuple(checks))


def _repositories(request: DoctorRequest, emit: Emit) -> list[Repository]:
    from bakery.config.load import project_in

    if request.repositories:
        if hosts := [text for text in request.repositories if "/" not in text]:
            why = "expected a repository: registries grant permissions per repository"
            raise UsageError(
                "invalid repository", about=repr(hosts[0]), why=why, hint="name one, as in ghcr.io/acme/app"
            )
        try:
            return list(dict.fromkeys(Repository.parse(text) for text in request.repositories))
        except InvalidContent as error:
            raise UsageError(error.what, about=error.about, why=error.why) from error
    if project_in(request.context) is None:
        return []
    from bakery.app.planning import project_targets

    targets = project_targets(request.context, request.image_name, allow_empty=request.allow_empty, emit=emit)
    found = dict.fromkeys(name for target in targets for name in target.repositories)
    return [Repository.parse(name) for name in found if "/" in name]


async def _registries(
    repositories: Sequence[Repository], request: DoctorRequest, now: Callable[[], datetime]
) -> list[Check]:
    from bakery.app.engine import make_client
    from bakery.tasks import together

    by_registry: dict[str, list[Repository]] = {}
    for repository in repositories:
        by_registry.setdefault(repository.registry, []).append(repository)
    try:
        client = make_client(request.environment, hosts=len(by_registry))
    except BakeryError as error:  # a proxy or a CA file that cannot be used
        return [failed(registry, "settings", error) for registry in by_registry]
    async with client:
        found = await together(_registry(client, name, places, now) for name, places in by_registry.items())
    return [check for checks in found for check in checks]


async def _registry(
    client: Client, name: str, places: Sequence[Repository], now: Callable[[], datetime]
) -> list[Check]:
    import asyncio

    from bakery.tasks import together

    try:
        async with asyncio.timeout(TIMEOUT_S):
            try:
                reached = await client.probes.reach(places[0])
            except BakeryError as error:
                return [failed(name, "reachable", error)]
            checks = _reached(name, reached, now())
            checks.append(await _login(client, name, places[0]))
            checks += await together(_push(client, name, place) for place in places)
            left = await client.probes.headroom(places[0])
            return [*checks, *([_headroom(name, left)] if left is not None else [])]
    except TimeoutError:
        return [Check(name, "reachable", Health.FAILED, f"no complete response within {TIMEOUT_S:.0f} s")]


def _reached(name: str, reached: Reached, now: datetime) -> list[Check]:
    via = f", through the proxy {reached.proxy}" if reached.proxy else ""
    scheme = f"{reached.scheme} logins" if reached.scheme else "no login required"
    is_registry = reached.status in (200, 401, 403)
    text = f"{reached.origin} responds in {reached.seconds * 1000:.0f} ms, {scheme}{via}"
    checks = [
        Check(name, "reachable", Health.OK, text)
        if is_registry
        else Check(
            name,
            "reachable",
            Health.FAILED,
            f"{reached.origin}/v2/ responds {reached.status}: not a registry{via}",
            hint="check the name of the registry, and what the proxy or load balancer in front of it does",
        )
    ]
    checks.append(_tls(name, reached, now))
    return [*checks, _clock(name, reached, now)]


def _tls(name: str, reached: Reached, now: datetime) -> Check:
    facts = reached.tls
    if facts is None:
        plain = reached.origin.startswith("http:")
        return Check(name, "TLS", Health.UNKNOWN, "plain HTTP" if plain else "the connection was closed")
    if facts.expires is None:
        return Check(name, "TLS", Health.OK, facts.version)
    days = (facts.expires - now).days
    text = f"{facts.version}, certificate by {facts.issuer or 'unknown'} until {facts.expires:%Y-%m-%d}"
    if days < EXPIRES_SOON_DAYS:
        return Check(name, "TLS", Health.WARNING, text, hint="renew the certificate before it expires")
    return Check(name, "TLS", Health.OK, text)


def _clock(name: str, reached: Reached, now: datetime) -> Check:
    if reached.date is None:
        return Check(name, "clock", Health.UNKNOWN, "the registry sends no time")
    skew_s = abs((reached.date - now).total_seconds())
    if skew_s <= DOUBTFUL_SKEW_S:
        return Check(name, "clock", Health.OK, "agrees with the registry's")
    health = Health.FAILED if skew_s > WRONG_SKEW_S else Health.WARNING
    text = f"differs from the registry's by {skew_s:.0f} s"
    return Check(name, "clock", health, text, hint="set this machine's clock: certificates and tokens depend on it")


async def _login(client: Client, name: str, place: Repository) -> Check:
    try:
        stored = await client.probes.has_login(place)
    except BakeryError as error:
        return failed(name, "login", error)
    return Check(name, "login", *((Health.OK, "stored") if stored else (Health.UNKNOWN, "none is stored")))


async def _push(client: Client, name: str, place: Repository) -> Check:
    about = "push"
    try:
        await client.probes.check_push(place)
    except BakeryError as error:
        return failed(name, about, error)
    return Check(name, about, Health.OK, f"may push to {place}")


def _headroom(name: str, left: Headroom) -> Check:
    of = f" of {left.limit:,}" if left.limit is not None else ""
    window = f" in {left.window_s / 3600:g} h" if left.window_s else ""
    text = f"{left.remaining:,}{of} requests left{window}"
    if left.limit and left.remaining < left.limit * LITTLE_LEFT:
        return Check(name, "rate limit", Health.WARNING, text, hint="log in, or run later: pulls will be refused")
    return Check(name, "rate limit", Health.OK, text)


def _machine(request: DoctorRequest) -> list[Check]:
    environment = request.environment
    python = ".".join(str(part) for part in sys.version_info[:3])
    checks = [Check(MACHINE, "bakery", Health.OK, f"{__version__}, Python {python}")]
    checks += [check for name in _PROXIES if (check := _proxy(name, environment)) is not None]
    checks += _files(environment)
    return [*checks, _credentials(environment), _open_files()]


def _proxy(name: str, environment: Mapping[str, str]) -> Check | None:
    """Return what a proxy variable means, without the password that it may have."""
    from bakery.registry.http.config import Proxies

    if not (environment.get(name.lower()) or environment.get(name)):
        return None
    try:
        proxies = Proxies.from_environment(environment)
    except UsageError as error:
        return failed(MACHINE, name, error)
    proxy = proxies.https if name == "HTTPS_PROXY" else proxies.http
    bypass = f", except for {', '.join(proxies.bypass)}" if proxies.bypass else ""
    has_login = proxy is not None and (proxy.authorization or (proxy.socks is not None and proxy.socks.username))
    login = " with a login" if has_login else ""
    return Check(MACHINE, name, Health.OK, f"{proxy.address}{login}{bypass}" if proxy is not None else "ignored")


def _files(environment: Mapping[str, str]) -> Iterable[Check]:
    for name in _ACCESS:
        if text := environment.get(name):
            yield Check(MACHINE, name, Health.OK, text)


def _credentials(environment: Mapping[str, str]) -> Check:
    from bakery.registry.credentials import CredentialSources

    sources = CredentialSources.from_environment(environment)
    there = [str(file) for file in sources.files if is_file(file)]
    there += ["DOCKER_AUTH_CONFIG"] if sources.inline else []
    if there:
        return Check(MACHINE, "credentials", Health.OK, f"read from {', '.join(there)}")
    return Check(MACHINE, "credentials", Health.UNKNOWN, "no Docker configuration: only anonymous access")


def _open_files() -> Check:
    from bakery.limits import open_files

    allowed = open_files()
    if allowed < FEW_FILES:
        return Check(MACHINE, "open files", Health.WARNING, f"at most {allowed:,}: runs are slower", hint=RAISE_FILES)
    return Check(MACHINE, "open files", Health.OK, f"at most {allowed:,}")


def _programs(request: DoctorRequest) -> list[Check]:
    return [_builder(request), *(_program(program, request) for program in WANTED)]


def _builder(request: DoctorRequest) -> Check:
    """Return the first program that `bakery build` could use, or why none can."""
    from bakery.build.builder import candidates

    checks = [
        _version(command[0], (*command, "version"), request, "buildx") for command in candidates(request.environment)
    ]
    nothing = Check(PROGRAMS, "buildx", Health.UNKNOWN, "not installed; used by build")
    return next((check for check in checks if check.health is Health.OK), checks[0] if checks else nothing)


def _program(program: Program, request: DoctorRequest) -> Check:
    path = _find(program, request)
    if path is None:
        return Check(PROGRAMS, program.name, Health.UNKNOWN, f"not installed; used by {program.used_by}")
    if not program.arguments:
        return Check(PROGRAMS, program.name, Health.OK, path)
    return _version(path, (path, *program.arguments), request, program.name)


def _version(path: str, command: Sequence[str], request: DoctorRequest, name: str) -> Check:
    from bakery.parallel.blocking import run_command

    done = run_command(command, env=dict(request.environment), timeout_s=PROGRAM_TIMEOUT_S)
    lines = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace").splitlines()
    if done.exception is not None or done.returncode != 0:
        why = str(done.exception or next((line.strip() for line in lines if line.strip()), "no output"))
        command_line = " ".join((path, *command[1:]))
        return Check(PROGRAMS, name, Health.WARNING, f"`{command_line}` fails: {why}")
    versions = (found[0] for line in lines if (found := _VERSION.search(line)))
    return Check(PROGRAMS, name, Health.OK, f"{next(versions, 'unknown version')}, {path}")


def _find(program: Program, request: DoctorRequest) -> str | None:
    import shutil

    from bakery.parallel.program import ProgramMissing, find_program

    path = request.environment.get("PATH")
    if not program.variable:
        return shutil.which(program.name, path=path)
    try:
        found = find_program(program.name, request.context, request.environment, variable=program.variable)
    except ProgramMissing:
        return None
    return shutil.which(found, path=path) or found
