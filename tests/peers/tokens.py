"""A token service for real registries that require bearer tokens. It counts its requests.

It speaks the GET form of distribution's token specification with Basic credentials, and the POST form with a password
or a refresh token, and grants its only user every scope. Tokens are JSON Web Tokens, signed with its own key, whose
certificate the registry trusts (`rootcertbundle`). It runs in a thread of the test.

crane refuses a realm on a loopback address other than the registry's own: read such a registry with skopeo.
"""

from __future__ import annotations

import base64
import datetime
import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

ISSUER = "bakery-tests"
SERVICE = "registry-of-tests"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """An ES256 key and its self-signed certificate."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def sign(self, claims: dict[str, object]) -> str:
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        text = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass
class TokenService:
    """A running token service."""

    realm: str
    user: str
    password: str
    folder: Path
    expires_in_s: int
    key: SigningKey
    requests: list[tuple[str, ...]] = field(default_factory=list)  # the scopes of each granted request
    refused: int = 0

    @property
    def certificate(self) -> Path:
        return self.folder / "issuer.pem"

    def token(self, *scopes: str) -> str:
        """Return a token for these scopes, without counting it as a request."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "sub": self.user,
            "aud": SERVICE,
            "exp": now + self.expires_in_s,
            "nbf": now - 10,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": _access(scopes),
        }
        return self.key.sign(claims)


def _access(scopes: Sequence[str]) -> list[dict[str, object]]:
    """Return scopes such as `repository:a/b:pull,push` as a claim. Types and repository names contain no colons."""
    granted: list[dict[str, object]] = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        granted.append({"type": kind, "name": name, "actions": actions.split(",")})
    return granted


def _handler(service: TokenService) -> type[BaseHTTPRequestHandler]:
    basic = "Basic " + base64.b64encode(f"{service.user}:{service.password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: without this, each response is delayed by 40 ms

        def do_GET(self) -> None:
            self._respond(parse_qs(urlsplit(self.path).query), self.headers.get("Authorization") == basic)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
            secret = form.get("refresh_token") or form.get("password") or [""]
            form["scope"] = [scope for text in form.get("scope", []) for scope in text.split()]
            self._respond(form, secret[0] == service.password)

        def _respond(self, parameters: dict[str, list[str]], known: bool) -> None:
            if not known or parameters.get("service") != [SERVICE]:
                service.refused += 1
                self._send(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong login or service"}]})
                return
            # In distribution's token specification, one parameter may contain several scopes, separated by spaces.
            scopes = [scope for text in parameters.get("scope", []) for scope in text.split()]
            service.requests.append(tuple(scopes))
            self._send(200, {"token": service.token(*scopes), "expires_in": service.expires_in_s})

        def _send(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the tests read `requests`."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def token_service(
    folder: Path, *, user: str = "baker", password: str = "flour", expires_in_s: int = 300
) -> Iterator[TokenService]:
    """Run a token service on a free loopback port until the block ends."""
    key = SigningKey()
    folder.mkdir(parents=True, exist_ok=True)
    with _Server(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        realm = f"http://127.0.0.1:{server.server_port}/token"
        service = TokenService(realm, user, password, folder, expires_in_s, key)
        service.certificate.write_bytes(key.certificate.public_bytes(serialization.Encoding.PEM))
        server.RequestHandlerClass = _handler(service)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="token service")
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
