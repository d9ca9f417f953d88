"""Client certificates: to whom they are presented, and what a registry that requires one leads to."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from bakery.errors import UsageError
from bakery.oci.reference import Repository, TagReference
from bakery.registry.config import RegistryConfig
from bakery.registry.http.certificates import ClientCertificate
from bakery.registry.http.failure import Untrusted
from bakery.registry.http.message import HttpRequest
from bakery.registry.http.trust import refuses_us, untrusted
from bakery.registry.http.url import Url
from tests.wire.attacks import Tls, names
from tests.wire.making import blob, make_client, repository
from tests.wire.script import Response, ScriptedServer

LAYER, CONTENT = blob(b"some layer" * 1000)
MANIFEST = "/v2/acme/app/manifests/1"
BLOB = f"/v2/acme/app/blobs/{LAYER.digest}"
HINT = "pass it with --client-cert and --client-key"


def demanding(tls: Tls, name: str) -> ssl.SSLContext:
    """Return the context of a server that requires a client certificate."""
    context = tls.server(name)
    context.verify_mode = ssl.CERT_REQUIRED
    tls.authority.configure_trust(context)
    return context


def issue(tls: Tls, folder: Path, certificate: str = "client.cert", key: str = "client.key") -> ClientCertificate:
    folder.mkdir(parents=True, exist_ok=True)
    issued = tls.authority.issue_cert("robot@example.org")
    issued.cert_chain_pems[0].write_to_path(str(folder / certificate))
    issued.private_key_pem.write_to_path(str(folder / key))
    return ClientCertificate(folder / certificate, folder / key)


@contextlib.contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[int]:
    """Run a server in a thread that completes no handshake, and yield its port. asyncio's servers send no alerts."""

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            if stopped.is_set():
                connection.close()
                return
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as accepted:
                accepted.recv(1)

    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stopped.set()
            socket.create_connection(listening.getsockname()).close()
            thread.join()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_missing_client_certificate_is_final_and_the_hint_names_the_options(tls: Tls, version: ssl.TLSVersion):
    context = demanding(tls, "registry.example")
    context.maximum_version = version
    config, lookup = RegistryConfig(ca_file=tls.file), names(registry_example="127.0.0.1")
    with refusing(context) as port:
        async with make_client(config=config, lookup=lookup) as client:
            with pytest.raises(Untrusted) as caught:
                await client.blobs(Repository(f"registry.example:{port}", "acme/app")).has(LAYER)
            assert client.stats.retries == 0
    assert "--client-cert and --client-key" in caught.value.hint


async def test_a_client_certificate_of_an_unknown_authority_is_final_and_has_a_hint(tls: Tls, tmp_path: Path):
    other = trustme.CA().issue_cert("client.example")
    (tmp_path / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in other.cert_chain_pems))
    other.private_key_pem.write_to_path(tmp_path / "key.pem")
    own = ClientCertificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    config, lookup = RegistryConfig(ca_file=tls.file, client_certificate=own), names(registry_example="127.0.0.1")
    with refusing(demanding(tls, "registry.example")) as port:
        async with make_client(config=config, lookup=lookup) as client:
            with pytest.raises(Untrusted, match="unknown ca") as caught:
                await client.blobs(Repository(f"registry.example:{port}", "acme/app")).has(LAYER)
            assert client.stats.retries == 0
    assert "the authority of the client certificate" in caught.value.hint


@pytest.mark.parametrize("words", [b"No required SSL certificate was sent", b"SSL Certificate Required"])
async def test_a_page_of_nginx_about_a_missing_certificate_leads_to_the_same_hint(tls: Tls, words: bytes):
    page = b"<html><center>%s</center><hr><center>nginx/1.27.0</center></html>" % words
    server = ScriptedServer(tls=tls.server("registry.example"), name="registry.example")
    config, lookup = RegistryConfig(ca_file=tls.file), names(registry_example="127.0.0.1")
    async with server, make_client(config=config, lookup=lookup) as client:
        server.expect("HEAD", MANIFEST, 400)
        server.expect("GET", MANIFEST, Response(400, {"Content-Type": "text/html"}, page))
        with pytest.raises(Untrusted, match="requires a client certificate") as caught:
            await client.manifests.head(TagReference(repository(server), "1"))
        assert caught.value.hint == HINT


@pytest.mark.parametrize("status", [495, 496])
async def test_nginxs_own_statuses_for_certificates_need_no_page(status: int):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", MANIFEST, status)
        with pytest.raises(Untrusted, match="requires a client certificate"):
            await client.manifests.head(TagReference(repository(server), "1"))


async def test_the_client_certificate_is_presented_to_the_registry_but_not_where_it_redirects_to(
    tls: Tls, tmp_path: Path
):
    a = ScriptedServer(tls=demanding(tls, "registry.example"), name="registry.example")
    config = RegistryConfig(ca_file=tls.file, client_certificate=issue(tls, tmp_path))
    lookup = names(registry_example="127.0.0.1", storage_example="127.0.0.1")
    with refusing(demanding(tls, "storage.example")) as port:
        async with a, make_client(config=config, lookup=lookup) as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)
            a.expect("GET", BLOB, Response(307, {"Location": f"https://storage.example:{port}/blob"}))
            with pytest.raises(Untrusted, match=r"storage\.example:[0-9]+ requires a client certificate"):
                async for _ in client.blobs(repository(a)).fetch(LAYER, lambda *_: None):
                    pass


async def test_certificates_are_found_in_the_folder_of_the_host_as_docker_finds_them(tls: Tls, tmp_path: Path):
    async with ScriptedServer(tls=demanding(tls, "registry.example"), name="registry.example") as a:
        folder = tmp_path / "docker" / "certs.d" / a.host
        issue(tls, folder)
        (folder / "ca.crt").write_bytes(tls.file.read_bytes())
        config = RegistryConfig.from_environment({"DOCKER_CONFIG": str(tmp_path / "docker"), "HOME": str(tmp_path)})
        async with make_client(config=config, lookup=names(registry_example="127.0.0.1")) as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)


async def test_a_certificate_without_its_key_in_the_folder_of_the_host_is_an_error_that_names_it(
    tls: Tls, tmp_path: Path
):
    async with ScriptedServer(tls=tls.server("registry.example"), name="registry.example") as a:
        folder = tmp_path / "certs.d" / a.host
        issue(tls, folder)
        (folder / "client.key").unlink()
        config = RegistryConfig(ca_file=tls.file, certificate_folders=(tmp_path / "certs.d",))
        async with make_client(config=config, lookup=names(registry_example="127.0.0.1")) as client:
            with pytest.raises(UsageError, match=r"its key client\.key is missing"):
                await client.blobs(repository(a)).has(LAYER)


def test_client_certificates_are_checked_before_anything_is_sent(tls: Tls, tmp_path: Path):
    own = issue(tls, tmp_path)
    given = {"BAKERY_CLIENT_CERT": str(own.certificate), "BAKERY_CLIENT_KEY": str(own.key)}
    assert RegistryConfig.from_environment(given).client_certificate == own
    other = tmp_path / "other.key"
    trustme.CA().issue_cert("x@example.org").private_key_pem.write_to_path(str(other))
    (tmp_path / "words.pem").write_text("words")
    wrong = {
        "expected a certificate and its key in PEM": given | {"BAKERY_CLIENT_CERT": str(tmp_path / "words.pem")},
        "no such file": given | {"BAKERY_CLIENT_CERT": str(tmp_path / "missing.pem")},
        "key values mismatch": given | {"BAKERY_CLIENT_KEY": str(other)},
        "BAKERY_CLIENT_CERT is not set": {"BAKERY_CLIENT_KEY": str(own.key)},
    }
    for why, environment in wrong.items():
        with pytest.raises(UsageError, match=why):
            RegistryConfig.from_environment(environment)


async def test_a_file_of_authorities_that_has_none_is_named_without_the_words_of_openssl(tls: Tls, tmp_path: Path):
    (tmp_path / "words.pem").write_text("words")
    async with ScriptedServer(tls=tls.server("registry.example"), name="registry.example") as a:
        config = RegistryConfig(ca_file=tmp_path / "words.pem")
        async with make_client(config=config, lookup=names(registry_example="127.0.0.1")) as client:
            with pytest.raises(Untrusted, match=r"words\.pem: expected certificates in PEM"):
                await client.blobs(repository(a)).has(LAYER)


def failed(reason: str, *, code: int | None = None, words: str = "") -> Untrusted:
    """Return the error for what OpenSSL calls `reason`, or for a certificate that it refuses."""
    error = ssl.SSLError(1, f"[SSL: {reason}] noise (_ssl.c:1006)")
    if code is not None:
        error = ssl.SSLCertVerificationError(1, f"[SSL: {reason}] noise (_ssl.c:1006)")
        error.verify_code, error.verify_message = code, words
    error.reason = reason
    return untrusted(error, HttpRequest("GET", Url.parse("https://registry.example/v2/")), "BAKERY_CA_FILE")


CERTIFICATES = {  # OpenSSL's number and words, ours, the hint
    "expired": (10, "certificate has expired", "certificate has expired", "renewed, or correct the clock"),
    "not yet valid": (9, "certificate is not yet valid", "certificate is not yet valid", "correct the clock of this"),
    "another name": (62, "Hostname mismatch, 'a'.", "Hostname mismatch, 'a'", "have registry.example added to it"),
    "another address": (64, "IP address mismatch, 'a'.", "IP address mismatch, 'a'", "use a name that the certificate"),
    "unknown authority": (20, "unable to get local issuer certificate", "unable to get local", "set BAKERY_CA_FILE"),
}


@pytest.mark.parametrize(("code", "words", "why", "hint"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_what_is_wrong_with_a_certificate_has_its_own_hint_and_no_words_of_openssls_sources(code, words, why, hint):
    error = failed("CERTIFICATE_VERIFY_FAILED", code=code, words=words)
    assert error.why.startswith(f"registry.example: {why}")
    assert hint in error.hint
    assert not re.search("_ssl|VERIFY_FAILED", f"{error.why}{error.hint}")


HANDSHAKES = {  # OpenSSL's reason, our words, the hint
    "plain HTTP": ("WRONG_VERSION_NUMBER", "does not speak TLS", "BAKERY_PLAIN_HTTP=registry.example"),
    "an old version, refused by us": ("UNSUPPORTED_PROTOCOL", "unsupported protocol", "support TLS 1.2 or newer"),
    "an old version, refused by the server": ("TLSV1_ALERT_PROTOCOL_VERSION", "protocol version", "TLS 1.2 or newer"),
    "anything else": ("BAD_EXTENSION", "registry.example: bad extension", ""),
    "an alert without a hint": ("TLSV1_ALERT_INTERNAL_ERROR", "refused the TLS handshake: internal error", ""),
}


@pytest.mark.parametrize(("reason", "why", "hint"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_handshake_that_fails_is_explained(reason, why, hint):
    error = failed(reason)
    assert why in error.why
    assert hint in error.hint
    assert bool(hint) == bool(error.hint)


ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": True,
    "TLSV1_ALERT_UNKNOWN_CA": True,
    "SSLV3_ALERT_BAD_RECORD_MAC": False,  # a bit that was flipped on the way: another connection may work
    "TLSV1_ALERT_INTERNAL_ERROR": False,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": False,
}


@pytest.mark.parametrize(("reason", "is_refusal"), ALERTS.items(), ids=ALERTS)
def test_only_alerts_about_this_client_are_final_within_a_session(reason, is_refusal):
    error = ssl.SSLError(1, "x")
    error.reason = reason
    assert refuses_us(error) is is_refusal
