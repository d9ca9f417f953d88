"""Which failures of oras are retried. The messages were printed by oras 1.3.6 for real responses of a server."""

import pytest

from bakery.parallel.command import CommandResult
from bakery.parallel.transient import looks_transient

D = "sha256:" + "4031" * 16
REF = f"127.0.0.1:39577/acme/app@{D}"
URL = f"http://127.0.0.1:39577/v2/acme/app/manifests/{D}"
HINT = (
    "Please check whether the registry credential stored in the authentication file at "
    '"/root/.docker/config.json" is correct'
)


def head(answer):
    return f'Error response from registry: HEAD "{URL}": response status code {answer}\n'


RECORDED = {  # name: (stderr, transient?)
    "404 for a manifest": (f'Error response from registry: failed to find "{REF}": {REF}: not found\n', True),
    "404 of a source": (f'Error from source registry for "{REF}": {REF}: not found\n', True),
    "401 without a login, worded as not found": (
        f'Error: failed to find "{REF}": basic credential not found\n{HINT}\n',
        False,
    ),
    "401 when pushing": (
        "Error: basic credential not found\nPlease check whether the registry credential stored in the "
        "authentication file is correct\n",
        False,
    ),
    "400": (head("400: Bad Request"), False),
    "403": (head("403: Forbidden"), False),
    "429": (head("429: Too Many Requests"), True),
    "500": (head("500: Internal Server Error"), True),
    "502": (head("502: Bad Gateway"), True),
    "503": (head("503: Service Unavailable"), True),
    "504": (head("504: Gateway Timeout"), True),
    "connection dropped": (
        f'Error: failed to find "{REF}": Head "{URL}": read tcp 127.0.0.1:42152->127.0.0.1:39577: read: '
        "connection reset by peer\n",
        True,
    ),
    "connection refused": (
        f'Error: failed to find "{REF}": Head "{URL}": dial tcp 127.0.0.1:1: connect: connection refused\n',
        True,
    ),
    "no such host": (
        f'Error: failed to find "{REF}": Head "{URL}": dial tcp: lookup no-such-host.invalid on '
        "10.255.255.53:53: no such host\n",
        True,
    ),
    "invalid reference": (
        'Error: "UPPER/acme:..bad": invalid reference: invalid tag "..bad"\nPlease make sure the provided '
        "reference is in the form of <registry>/<repo>[:tag|@digest]\n",
        False,
    ),
    "TLS to a plain-HTTP registry": (
        f'Error: failed to find "{REF}": Head "{URL}": tls: first record does not look like a TLS handshake\n',
        False,
    ),
    "digest mismatch": (
        f'Error from source registry for "{REF}": GET "{URL}": invalid response; digest mismatch in '
        f'Docker-Content-Digest: received "sha256:{"a" * 64}" when expecting "{D}"\n',
        False,
    ),
}
WRITTEN = {  # messages of other tools, and traps of matching text
    "permanent words win": ("unauthorized: repository not found or access denied", False),
    "permanent numbers win": ("response status code 401: not found", False),
    "a rate limit reported as 403": ("403: Forbidden: denied: You have exceeded a secondary rate limit.", True),
    "a rate limit in one word": ("toomanyrequests: You have reached your unauthenticated pull rate limit.", True),
    "a missing credential helper": (
        'error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH',
        False,
    ),
    "403 in a digest": (f"manifest unknown: {D}", True),
    "503 as a tag": ("ghcr.io/acme/app:503: no space left on device", False),
    "500 as a part of a version": ("cannot read v1.500 of the file", False),
    "503 as a port": ("dial 10.0.0.1:503: permission problem", False),
    "a repository named denied": ("ghcr.io/acme/denied: not found", True),
    "a repository named not-found": ("ghcr.io/acme/not-found: size differs", False),
    "eof as a word": ('Get "https://ghcr.io/v2/": unexpected EOF', True),
    "eof inside a word": ("unknown option geofence", False),
    "i/o timeout": ("read tcp: i/o timeout", True),
    "tls handshake timeout": ("net/http: TLS handshake timeout", True),
    "context deadline": ("context deadline exceeded", True),
    "disk full": ("write /tmp/x: no space left on device", False),
    "no output": ("", False),
    # soci as built from source in November 2026:
    "more than one image in the layout": ("soci: manifest should have proper platform", False),
    "nothing to index": ("soci: no ztocs created, all layers either skipped or produced errors", False),
    "a bad option": ("soci: optimization foo is not a valid optimization [xattr]", False),
    "no such platform (by its words; a conversion is never retried)": (
        "soci: image manifest for linux/arm/v7: not found",
        True,
    ),
}


def failed(stderr, **changes):
    values = {"returncode": 1, "timed_out": False, "exception": None} | changes
    return CommandResult(("oras",), values["returncode"], b"", stderr.encode(), 0.1, values["timed_out"])


@pytest.mark.parametrize(("stderr", "transient"), (RECORDED | WRITTEN).values(), ids=RECORDED | WRITTEN)
def test_failures_are_classified_by_their_output(stderr, transient):
    assert looks_transient(failed(stderr)) is transient


def test_a_timeout_is_transient_and_a_failure_to_start_is_not():
    assert looks_transient(failed("", returncode=-15, timed_out=True))
    assert not looks_transient(failed("connection refused", returncode=None))


def test_success_is_never_transient_whatever_it_prints():
    assert not looks_transient(failed("503: Service Unavailable", returncode=0))


def test_the_reason_is_found_at_either_end_of_a_long_output():
    noise = "copying\n" * 1000
    assert looks_transient(failed(f"{noise}bad gateway"))
    assert looks_transient(failed(f"bad gateway\n{noise}"))
