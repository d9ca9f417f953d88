"""What is wrong with TLS to a server, and what to do about it, in words for users. Pure."""

from __future__ import annotations

import ssl
from typing import Final

from bakery.registry.http.failure import Untrusted
from bakery.registry.http.message import HttpRequest
from bakery.values import advice

_EXPIRED: Final = 10  # X509_V_ERR_…, of x509_vfy.h
_NOT_YET: Final = 9
_OTHER_NAME: Final = (62, 64)  # host name, address
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_OLD: Final = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")
# The alerts of a server that does not accept us; others are about the connection (RFC 8446 section 6.2).
_REFUSALS: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION", "SECURITY")


def refuses_us(error: ssl.SSLError) -> bool:
    """Return whether the server ended the session because it does not accept this client, such as its certificate."""
    reason = error.reason or ""
    return "ALERT" in reason and any(word in reason for word in _REFUSALS)


def in_words(error: ssl.SSLError) -> str:
    """Return what OpenSSL calls the error, without its numbers and names of files."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    return (error.reason or str(error)).partition("ALERT_")[2].replace("_", " ").lower() or _plain(error)


def untrusted(error: ssl.SSLError, request: HttpRequest, ca_setting: str = "") -> Untrusted:
    """Return the error for a handshake that failed, or for a client certificate that was refused after it.

    ca_setting: what the user calls the file of authorities.
    """
    where, reason = request.url.origin.authority, error.reason or ""
    why, hint = f"{where}: {in_words(error)}", ""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _about_certificate(error, request, ca_setting)
    elif "ALERT" in reason:
        why, hint = f"{where} refused the TLS handshake: {in_words(error)}", _about_alert(reason)
        if "CERTIFICATE_REQUIRED" in reason:
            why = f"{where} requires a client certificate"
            hint = "pass it with --client-cert and --client-key"
    elif any(word in reason for word in _NO_TLS):
        why, hint = f"{where} does not speak TLS", f"if it speaks plain HTTP, set BAKERY_PLAIN_HTTP={where}"
    elif any(word in reason for word in _OLD):
        hint = "have the server support TLS 1.2 or newer"
    return Untrusted(f"cannot {request.action}", about=request.subject, why=why, hint=hint)


def _about_certificate(error: ssl.SSLCertVerificationError, request: HttpRequest, ca_setting: str) -> str:
    if error.verify_code == _EXPIRED:
        return "have the certificate of the server renewed, or correct the clock of this machine"
    if error.verify_code == _NOT_YET:
        return "correct the clock of this machine"
    if error.verify_code in _OTHER_NAME:
        return f"use a name that the certificate contains, or have {request.url.origin.host} added to it"
    advised = advice(ca_setting, "the PEM file of its authority")
    return f"{advised}; if that is a public one, have the server send its intermediate certificates as well"


def _about_alert(reason: str) -> str:
    if "UNKNOWN_CA" in reason or "ACCESS_DENIED" in reason:
        return "check that it trusts the authority of the client certificate (--client-cert)"
    if "CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason:
        return "if it requires a client certificate, pass it with --client-cert and --client-key"
    if any(word in reason for word in _OLD):
        return "have the server support TLS 1.2 or newer"
    return ""


def _plain(error: ssl.SSLError) -> str:
    return (error.reason or "the handshake failed").replace("_", " ").lower()
