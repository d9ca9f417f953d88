"""Whom a connection trusts, and the certificate with which it proves who the client is: the TLS contexts of a run.

A client certificate is a login: it is presented to the registries that the user named, or to the host whose folder
contains it, and never to a server that one of them redirects to.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from bakery.errors import UsageError
from bakery.files import is_file, is_folder
from bakery.registry.http.failure import Untrusted
from bakery.registry.http.url import Origin
from bakery.values import advice


class ClientCertificate(Struct, frozen=True):
    """PEM files: a certificate, with its chain, and its key. key None: the key is in the certificate's file."""

    certificate: Path
    key: Path | None = None

    def load(self, context: ssl.SSLContext, *, hint: str = "use PEM files that belong together") -> None:
        """Present it on connections of this context. Raises UsageError, with this hint if the files are not usable."""

        def no_password() -> str:
            raise UsageError("cannot use client certificate", about=self.certificate, why="its key is encrypted")

        try:
            context.load_cert_chain(self.certificate, self.key, no_password)
        except (ssl.SSLError, OSError) as error:
            files = self.certificate if self.key is None else f"{self.certificate} with {self.key}"
            raise UsageError(
                "cannot use client certificate",
                about=files,
                why=_reason(error, "a certificate and its key"),
                hint=hint,
            ) from error

    def check(self, *, hint: str) -> None:
        """Raise UsageError, with this hint, if the files cannot be used."""
        self.load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), hint=hint)


def _reason(error: OSError, wanted: str) -> str:
    """Return why a file cannot be used, without the words of OpenSSL about a file that is not PEM."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    named = (error.reason or "").replace("_", " ").lower()
    return named if named and not named.startswith("no certificate") else f"expected {wanted} in PEM"


class Contexts:
    """The TLS contexts of a run, one for each set of authorities and certificates."""

    def __init__(
        self,
        ca_file: Path | None,
        ca_setting: str,
        proxy_ca_file: Path | None,
        client_certificate: ClientCertificate | None,
        folders: tuple[Path, ...],
    ) -> None:
        self._ca_file, self._ca_setting, self._proxy_ca_file = ca_file, ca_setting, proxy_ca_file
        self._own, self._folders = client_certificate, folders
        self._registries: set[Origin] = set()
        self._known: dict[tuple[tuple[Path, ...], ClientCertificate | None], ssl.SSLContext] = {}

    def present_to(self, registry: Origin) -> None:
        """Present the client certificate of the settings to this server if it requests one."""
        self._registries.add(registry)

    def for_proxy(self) -> ssl.SSLContext:
        """Return the context of connections to a proxy."""
        return self._context([file for file in (self._ca_file, self._proxy_ca_file) if file is not None], None)

    def for_origin(self, origin: Origin) -> ssl.SSLContext:
        """Return the context of connections to a server. Raises UsageError, and Untrusted for an invalid CA file."""
        authorities = [] if self._ca_file is None else [self._ca_file]
        certificate = self._own if origin in self._registries else None
        for folder in self._folders_of(origin):
            authorities += sorted(folder.glob("*.crt"))
            for found in sorted(folder.glob("*.cert")):
                key = found.with_suffix(".key")
                if not is_file(key):
                    why = f"its key {key.name} is missing beside it"
                    raise UsageError("cannot use client certificate", about=found, why=why)
                certificate = certificate or ClientCertificate(found, key)
        return self._context(authorities, certificate)

    def _folders_of(self, origin: Origin) -> Iterator[Path]:
        names = dict.fromkeys((origin.authority, f"{origin.host}:{origin.port}"))
        for parent in self._folders:
            yield from (parent / name for name in names if is_folder(parent / name))

    def _context(self, authorities: list[Path], certificate: ClientCertificate | None) -> ssl.SSLContext:
        key = tuple(authorities), certificate
        found = self._known.get(key)
        if found is None:
            found = ssl.create_default_context()
            found.options |= ssl.OP_NO_RENEGOTIATION  # no read may need a write
            for file in authorities:
                try:
                    found.load_verify_locations(cafile=file)
                except (ssl.SSLError, OSError) as error:
                    hint = advice(self._ca_setting, "a PEM file") if file == self._ca_file else ""
                    why = _reason(error, "certificates")
                    raise Untrusted("cannot read the CA file", about=file, why=why, hint=hint) from error
            if certificate is not None:
                certificate.load(found)
            self._known[key] = found
        return found
