"""`bakery doctor`: what it finds at real registries, what it never prints, and what it leaves behind: nothing."""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.app import doctor
from bakery.app.doctor import MACHINE, PROGRAMS, DoctorRequest, diagnose
from bakery.errors import ExitCode, UsageError
from bakery.oci.reference import Repository
from bakery.registry.http.tls import TlsFacts
from bakery.registry.probe import Headroom, Reached
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.rehearsal.profiles import PROFILES
from bakery.rehearsal.routes import ApiRoute
from bakery.rehearsal.serving import ServeOptions, registry_for_profile
from bakery.rehearsal.tokens import Access
from bakery.rehearsal.traits import Traits
from bakery.report.diagnosis import Check, Diagnosis, diagnosis_json, diagnosis_text
from bakery.report.documents import Health
from bakery.tasks import in_thread
from tests.wire.attacks import Tls
from tests.wire.script import Response, ScriptedServer

SECRET = "sesame-open-the-door"
USERS = {"ci": SECRET}
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def stored(folder: Path, *hosts: str, password: str = SECRET) -> dict[str, str]:
    """An environment without programs, whose Docker configuration has a login for these hosts."""
    auth = base64.b64encode(f"ci:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth} for host in hosts}}))
    return {"DOCKER_CONFIG": str(folder), "PATH": str(folder), "HOME": str(folder)}


async def found(registry: EmbeddedRegistry | ScriptedServer, environment, *paths: str) -> Diagnosis:
    host = registry.address if isinstance(registry, EmbeddedRegistry) else registry.host
    places = tuple(f"{host}/{path}" for path in paths or ("acme/app",))
    return await in_thread(lambda: diagnose(DoctorRequest(places, environment=environment)))


def of(diagnosis: Diagnosis, about: str) -> Check:
    (check,) = [one for one in diagnosis.checks if one.about == about]
    return check


def shown(diagnosis: Diagnosis) -> str:
    return diagnosis_text(diagnosis) + json.dumps(diagnosis_json(diagnosis))


@pytest.mark.parametrize("name", ["ghcr", "hub", "gar", "harbor", "quay", "artifactory", "distribution"])
async def test_a_login_that_may_push_is_found_at_every_kind_of_registry_and_nothing_is_left_there(name, tmp_path):
    quiet = replace(PROFILES[name], rules=())
    async with registry_for_profile(quiet, ServeOptions(users=USERS)) as registry:
        result = await found(registry, stored(tmp_path, registry.address))
        assert of(result, "push").health is Health.OK, shown(result)
        assert of(result, "login").text == "stored"
        assert result.exit_code == ExitCode.DONE
        assert registry.count("POST", ApiRoute.UPLOADS, status=202) == 1
        assert registry.count("DELETE", ApiRoute.UPLOAD, status=204) == 1
        assert registry.count("PUT") == registry.count("PATCH") == 0
    assert SECRET not in shown(result)


async def test_a_repository_that_must_be_created_first_is_named_with_how(tmp_path):
    async with EmbeddedRegistry(traits=Traits(repositories_must_exist=True)) as registry:
        result = await found(registry, stored(tmp_path))
        assert of(result, "push").code == "registry/no-repository"
        assert "create" in of(result, "push").hint
        assert result.exit_code == ExitCode.FAILED
        registry.create_repository("acme/app")
        assert of(await found(registry, stored(tmp_path)), "push").health is Health.OK


async def test_a_missing_login_exits_4_with_the_command_that_logs_in(tmp_path):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        result = await found(registry, stored(tmp_path))
    push = of(result, "push")
    assert (push.health, push.is_authentication) == (Health.FAILED, True)
    assert push.code.startswith("auth/")
    assert "docker login" in push.hint
    assert result.exit_code == ExitCode.AUTHENTICATION


async def test_a_wrong_password_is_a_failed_login_and_is_not_shown(tmp_path):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        result = await found(registry, stored(tmp_path, registry.address, password="wrong-but-secret"))
    assert of(result, "push").health is Health.FAILED
    assert result.exit_code == ExitCode.AUTHENTICATION
    assert "wrong-but-secret" not in shown(result)


async def test_each_repository_is_checked_by_itself(tmp_path):
    async with EmbeddedRegistry() as registry:
        registry.fault("POST", "/acme/closed/", then=Refuse(403, "DENIED", "write_package"))
        result = await found(registry, stored(tmp_path), "acme/open", "acme/closed")
    health = {check.text.rpartition("/")[2][:6]: check.health for check in result.checks if check.about == "push"}
    assert sorted(health.values()) == [Health.FAILED, Health.OK]
    assert result.exit_code == ExitCode.AUTHENTICATION


async def test_a_read_only_registry_is_a_problem_of_its_own_and_exits_1(tmp_path):
    async with EmbeddedRegistry() as registry:
        registry.fault("POST", "/blobs/uploads/", then=Refuse(405, "UNSUPPORTED"))
        result = await found(registry, stored(tmp_path))
    assert of(result, "push").code == "registry/unsupported"
    assert result.exit_code == ExitCode.FAILED


async def test_a_registry_that_is_down_is_one_failed_check(tmp_path):
    async with EmbeddedRegistry() as registry:
        pass
    result = await found(registry, stored(tmp_path))
    (check,) = [one for one in result.checks if one.area == registry.address]
    assert (check.about, check.code) == ("reachable", "network/unreachable")
    assert result.exit_code == ExitCode.FAILED


async def test_the_rate_limit_is_shown_where_the_registry_states_it(tmp_path):
    headers = (("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "5;w=21600"))
    async with EmbeddedRegistry(traits=Traits(headers=headers)) as registry:
        result = await found(registry, stored(tmp_path))
    limit = of(result, "rate limit")
    assert limit.text == "5 of 100 requests left in 6 h"
    assert limit.health is Health.WARNING
    assert doctor._headroom("x", Headroom(76, 100)).health is Health.OK


async def test_tls_is_shown_with_the_authority_and_the_end_of_the_certificate(tmp_path):
    tls = Tls(tmp_path)
    async with ScriptedServer(tls=tls.server("127.0.0.1")) as server:
        server.expect("GET", "/v2/", times=2)
        session = "/v2/acme/app/blobs/uploads/x"
        server.expect("POST", "/v2/acme/app/blobs/uploads/", Response(202, {"Location": session}))
        server.expect("DELETE", session, 204)
        server.expect("HEAD", "/v2/acme/app/manifests/latest", 404)
        environment = stored(tmp_path) | {"BAKERY_CA_FILE": str(tls.file)}
        result = await found(server, environment)
    check = of(result, "TLS")
    assert check.health is Health.OK
    assert check.text.startswith("TLSv1.3, certificate by trustme")
    assert of(result, "BAKERY_CA_FILE").text == str(tls.file)


@pytest.mark.parametrize(("hours", "health"), [(0, Health.OK), (2, Health.FAILED)])
async def test_the_clock_is_compared_with_the_time_that_the_registry_sends(hours, health, tmp_path):
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    async with EmbeddedRegistry(traits=Traits(headers=(("Date", date),))) as registry:
        result = await found(registry, stored(tmp_path))
    assert of(result, "clock").health is health
    assert result.exit_code == (ExitCode.FAILED if hours else ExitCode.DONE)


REACHED = Reached("https://r.example", "", 200, 0.02, "Bearer", NOW, None)


@pytest.mark.parametrize(
    ("seconds", "health"), [(0, Health.OK), (-20, Health.OK), (60, Health.WARNING), (-3600, Health.FAILED)]
)
def test_a_clock_that_differs_is_a_warning_and_then_a_failure(seconds, health):
    check = doctor._clock("r.example", replace(REACHED, date=NOW + timedelta(seconds=seconds)), NOW)
    assert check.health is health
    assert doctor._clock("r.example", replace(REACHED, date=None), NOW).health is Health.UNKNOWN


@pytest.mark.parametrize(("days", "health"), [(400, Health.OK), (3, Health.WARNING)])
def test_a_certificate_that_expires_soon_is_a_warning(days, health):
    facts = TlsFacts("TLSv1.3", "An Authority", NOW + timedelta(days=days))
    check = doctor._tls("r.example", replace(REACHED, tls=facts), NOW)
    assert check.health is health
    assert "An Authority" in check.text


def test_a_web_server_that_is_no_registry_is_a_failure():
    assert doctor._reached("r.example", replace(REACHED, status=302), NOW)[0].health is Health.FAILED


def test_a_proxy_is_shown_without_its_password(tmp_path):
    environment = stored(tmp_path) | {
        "HTTPS_PROXY": f"http://ci:{SECRET}@proxy.example:3128",
        "NO_PROXY": "inside.example",
    }
    result = diagnose(DoctorRequest(offline=True, context=tmp_path, environment=environment))
    assert of(result, "HTTPS_PROXY").text == "http://proxy.example:3128 with a login, except for inside.example"
    assert SECRET not in shown(result)
    socks = stored(tmp_path) | {"HTTPS_PROXY": f"socks5://ci:{SECRET}@proxy.example"}
    result = diagnose(DoctorRequest(offline=True, context=tmp_path, environment=socks))
    assert of(result, "HTTPS_PROXY").text == "socks5://proxy.example:1080 with a login"
    assert SECRET not in shown(result)
    invalid = stored(tmp_path) | {"HTTPS_PROXY": "ftp://proxy.example"}
    result = diagnose(DoctorRequest(offline=True, context=tmp_path, environment=invalid))
    assert of(result, "HTTPS_PROXY").health is Health.FAILED


def test_programs_are_listed_with_version_or_purpose(tmp_path):
    for name, text in (("oras", "echo 'Version: 1.3.0'"), ("soci", "echo broken; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    result = diagnose(DoctorRequest(offline=True, context=tmp_path, environment=stored(tmp_path)))
    assert of(result, "oras").text == f"1.3.0, {tmp_path}/oras"
    assert (of(result, "soci").health, of(result, "goss").health) == (Health.WARNING, Health.UNKNOWN)
    assert of(result, "soci").text == f"`{tmp_path}/soci --version` fails: broken"
    assert "used by dgoss run" in of(result, "goss").text
    assert {check.area for check in result.checks} == {MACHINE, PROGRAMS}
    assert sys.version.split()[0] in of(result, "bakery").text
    assert result.exit_code == ExitCode.DONE


async def test_the_repositories_of_the_project_are_checked_by_default(tmp_path):
    async with EmbeddedRegistry() as registry:
        (tmp_path / "bakery.yaml").write_text(
            "repository: {url: github.com/acme/images}\n"
            f"registries: [{{host: '{registry.address}', namespace: acme}}]\n"
            "images: [{name: app, versions: [{name: 1.0.0, latest: true}]}, {name: other, versions: [{name: 1.0.0}]}]\n"
        )
        request = DoctorRequest(context=tmp_path, image_name="^app$", environment=stored(tmp_path))
        result = await in_thread(lambda: diagnose(request))
        assert [one.path for one in registry.requests if one.method == "POST"] == ["/v2/acme/app/blobs/uploads/"]
    assert of(result, "push").text == f"may push to {Repository(registry.address, 'acme/app')}"


def test_a_host_without_a_repository_is_refused_with_the_form_that_is_expected(tmp_path):
    with pytest.raises(UsageError, check=lambda error: "ghcr.io/acme/app" in error.hint):
        diagnose(DoctorRequest(("ghcr.io",), environment=stored(tmp_path)))


def test_the_exit_code_is_4_only_if_every_failure_is_about_a_login():
    login = Check("a", "push", Health.FAILED, "no", is_authentication=True)
    other = Check("a", "reachable", Health.FAILED, "no")
    doubt = Check("a", "clock", Health.WARNING, "late")
    assert Diagnosis((doubt,)).exit_code == ExitCode.DONE
    assert Diagnosis((login, doubt)).exit_code == ExitCode.AUTHENTICATION
    assert Diagnosis((login, other)).exit_code == ExitCode.FAILED
