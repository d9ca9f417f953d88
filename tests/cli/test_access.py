"""How registries are reached: an error about a setting names the option or the variable that gave it."""

import os

import pytest

from bakery.errors import ExitCode
from tests.cli.running import bakery
from tests.program import run_bakery
from tests.wire.attacks import Tls
from tests.wire.script import ScriptedServer

REFERENCE = "registry.acme.test/app:1"
CERTIFICATE = "set BAKERY_CLIENT_CERT to a PEM file with a certificate and its key"
WRONG = {  # the option, its variable, the value, what is said of either
    "a CA file": ("--ca-file", "BAKERY_CA_FILE", "nope.pem", "invalid {} nope.pem: no such file"),
    "a certificate": ("--client-cert", "BAKERY_CLIENT_CERT", "nope.pem", "invalid {} nope.pem: no such file"),
    "a key without a certificate": ("--client-key", "BAKERY_CLIENT_KEY", "text.pem", "invalid {} text.pem: "),
    "a token service": ("--trusted-realm", "BAKERY_TRUSTED_REALMS", "https://a/b", "invalid {}: "),
}


@pytest.mark.parametrize("command", ["verify", "imagetools inspect"])
@pytest.mark.parametrize(("option", "variable", "value", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_as_it_was_given(tmp_path, monkeypatch, command, option, variable, value, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pem").write_text("words")
    ran = bakery(*command.split(), option, value, REFERENCE)
    assert ran.code == ExitCode.USAGE
    assert (said.format(option) in ran.err, "BAKERY_" in ran.err) == (True, False), ran.err
    ran = bakery(*command.split(), REFERENCE, environ={variable: value})
    assert ran.code == ExitCode.USAGE
    assert (said.format(variable) in ran.err, option in ran.err) == (True, False), ran.err


def test_the_doctor_names_it_too():
    ran = bakery("doctor", "--ca-file", "/nowhere/nope.pem", REFERENCE.removesuffix(":1"))
    assert "invalid --ca-file /nowhere/nope.pem: no such file" in ran.out
    ran = bakery("doctor", REFERENCE.removesuffix(":1"), environ={"BAKERY_CA_FILE": "/nowhere/nope.pem"})
    assert "invalid BAKERY_CA_FILE /nowhere/nope.pem: no such file" in ran.out


def test_a_certificate_that_cannot_be_read_has_the_hint_of_its_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pem").write_text("words")
    assert f"hint: {CERTIFICATE}" in bakery("verify", REFERENCE, environ={"BAKERY_CLIENT_CERT": "text.pem"}).err
    err = bakery("verify", REFERENCE, "--client-cert", "text.pem").err
    assert "hint: pass --client-cert with a PEM file with a certificate and its key" in err
    err = bakery("verify", REFERENCE, "--client-cert", "text.pem", "--client-key", "text.pem").err
    assert "hint: pass --client-cert and --client-key with PEM files that belong together" in err


async def test_a_ca_file_that_is_not_pem_or_of_another_authority_is_named_as_it_was_given(tmp_path):
    (tmp_path / "text.pem").write_text("words")
    (tmp_path / "other").mkdir()
    served, other = Tls(tmp_path), Tls(tmp_path / "other")
    async with ScriptedServer(tls=served.server("127.0.0.1")) as server:
        for file, option, variable in (
            (tmp_path / "text.pem", "pass --ca-file with a PEM file", "set BAKERY_CA_FILE to a PEM file"),
            (other.file, "pass --ca-file with the PEM file of its authority", "set BAKERY_CA_FILE to the PEM file of"),
        ):
            reference = f"{server.host}/app:1"
            done = await run_bakery(tmp_path, "verify", reference, "--ca-file", str(file))
            assert (option in done.err, "BAKERY_" in done.err) == (True, False), done.err
            environment = os.environ | {"BAKERY_CA_FILE": str(file)}
            done = await run_bakery(tmp_path, "verify", reference, environment=environment)
            assert variable in done.err, done.err
