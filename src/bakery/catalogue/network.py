"""Errors of connections, and of the programs that Bakery runs."""

from __future__ import annotations

from typing import Final

from bakery.catalogue.entry import Entry

ENTRIES: Final = (
    Entry(
        "network/connection",
        "No usable response from a server",
        "The connection was refused, reset, cut, or nothing came in time. The request was repeated until its "
        "attempts or its time were used up.",
        (
            "The server or a proxy in between is down or overloaded.",
            "A firewall drops the connection.",
        ),
        (
            "Run `bakery doctor` to see what is reachable from here.",
            "Run the same command again later.",
        ),
        "error[network/connection]: cannot push blob registry.example/app@sha256:9f86…: the connection was reset",
    ),
    Entry(
        "network/unreachable",
        "A server cannot be connected to",
        "No connection was established, so nothing was sent.",
        (
            "The server is down.",
            "A proxy or a firewall stands in between.",
            "The port is wrong.",
        ),
        (
            "Check that the registry is up and reachable from here.",
            "Set `HTTPS_PROXY` if this network needs a proxy, and `NO_PROXY` for registries inside it.",
            "Run `bakery doctor` to see each step of a connection.",
        ),
        "error[network/unreachable]: cannot read manifest registry.example/app:1: connection refused",
    ),
    Entry(
        "network/unknown-host",
        "The name of a host does not resolve",
        "DNS has no address for the registry.",
        (
            "The name is misspelled.",
            "The name is only known inside another network.",
            "DNS does not work here.",
        ),
        (
            "Check the name in bakery.yaml or in the reference.",
            "Check DNS, or connect to the network that knows the name.",
        ),
        "error[network/unknown-host]: cannot read manifest regstry.example/app:1: unknown host regstry.example",
    ),
    Entry(
        "network/cut",
        "A connection ended before everything was sent",
        "The server cannot have accepted the request. It was repeated until its attempts or its time were used up.",
        (
            "A proxy limits the size of a body or the time of a request.",
            "The network is unstable.",
        ),
        (
            "Raise the limit of the proxy in front of the registry.",
            "Run the same command again.",
        ),
        "error[network/cut]: cannot push blob registry.example/app@sha256:9f86…: the connection ended after 12 of "
        "24 MB",
    ),
    Entry(
        "network/untrusted",
        "A server cannot prove its identity",
        "The certificate is not valid for this host, or is signed by an unknown authority. Bakery never falls "
        "back to plain HTTP.",
        (
            "The registry uses a private certificate authority.",
            "The certificate has expired, or this machine's clock is wrong.",
        ),
        (
            "Pass the authority with `--ca-file` (`BAKERY_CA_FILE`).",
            "Renew the certificate, or correct the clock.",
            "Pass `--plain-http HOST` for a registry that has no TLS at all.",
        ),
        "error[network/untrusted]: cannot read manifest registry.example/app:1: self-signed certificate",
    ),
    Entry(
        "network/unsafe-url",
        "A URL is not followed",
        "A server sent a URL with another scheme, an internal address, or a token service that is not trusted. No "
        "request and no credential was sent to it.",
        (
            "The registry is misconfigured behind a proxy.",
            "The token service is on another host than the registry.",
        ),
        (
            "Correct the external URL in the registry's configuration.",
            "Pass `--trusted-realm ORIGIN` if the token service is right.",
        ),
        "error[network/unsafe-url]: cannot get token from http://10.0.0.5/token: it is not a trusted token service",
    ),
    Entry(
        "program/missing",
        "A program is not installed",
        "The command needs another program, and it is neither in PATH nor where its variable points.",
        (
            "The program is not installed.",
            "PATH lacks its folder, as in some CI shells.",
        ),
        (
            "Install it, or set the variable that the hint names.",
            "Run `bakery doctor` to list programs and versions.",
        ),
        "error[program/missing]: cannot find program oras: ORAS_PATH is not set, and it is not in PATH",
    ),
    Entry(
        "program/too-old",
        "A program is too old",
        "The program is there, but its version lacks what Bakery needs.",
        ("An old version comes first in PATH.",),
        (
            "Install the version that the message names.",
            "Set the variable that the hint names to the newer program.",
        ),
        "error[program/too-old]: cannot use oras 1.2.0: version 1.3 or later is needed",
    ),
    Entry(
        "program/failed",
        "A program ended with an error",
        "A command that Bakery ran failed. The end of what it printed is in the message.",
        ("The words of the program in the message say why.",),
        (
            "Run the command line in the message by hand.",
            "Run Bakery with `-v` to see every command.",
        ),
        "error[program/failed]: oras cp failed: exit code 1: unexpected EOF",
    ),
    Entry(
        "program/not-started",
        "A program cannot be started",
        "The file exists but the system refuses to run it.",
        (
            "It is not executable, or made for another processor.",
            "A limit of processes is reached.",
        ),
        ("Check its permissions and its architecture.",),
        "error[program/not-started]: cannot start tools/oras: Permission denied",
    ),
    Entry(
        "program/timeout",
        "A program did not end in time",
        "A command that Bakery ran exceeded its time limit and was ended, with all its children.",
        ("The registry or the daemon that it talks to hangs.",),
        (
            "Run the command again.",
            "Check the service that the program talks to.",
        ),
        "error[program/timeout]: docker run exceeded its limit of 900 s",
    ),
    Entry(
        "program/output",
        "A program printed too much",
        "The output exceeds what Bakery keeps, and a part of it would be misleading.",
        ("The program runs in an endless loop, or prints debug messages.",),
        ("Turn off its debug output.",),
        "error[program/output]: docker run printed more than 64 MiB",
    ),
    Entry(
        "program/git",
        "A git command failed",
        "git cannot tell what changed. `ci matrix` lists every job in that case.",
        (
            "The clone is shallow and lacks the commit.",
            "The commit does not exist.",
        ),
        (
            "Fetch the whole history (`fetch-depth: 0`).",
            "Check `--base-ref`.",
        ),
        "error[program/git]: git merge-base failed: Not a valid object name 0000000",
    ),
)
