"""Every environment variable that Bakery reads by a name of its own, and what it means. A test reads the code."""

from __future__ import annotations

from typing import Final

VARIABLES: Final = {
    "BAKERY_BASE_REF": "`ci matrix`: only what changed since the merge base with this commit",
    "BAKERY_BUILD_TOOL_IDENTIFIER": "identifier recorded in every SOCI index; part of its digest",
    "BAKERY_CACHE_EXPIRE_AFTER": "seconds for which responses of product APIs are kept; default 3600",
    "BAKERY_CA_FILE": "trust these certificate authorities as well",
    "BAKERY_CLIENT_CERT": "present this certificate to registries that require one",
    "BAKERY_CLIENT_KEY": "key of the client certificate, if its file does not contain it",
    "BAKERY_DEBUG": "show tracebacks of errors",
    "BAKERY_DEV_SPEC": "JSON that pins a development version",
    "BAKERY_DOCKER": "the program that builds: docker, or buildx by itself",
    "BAKERY_ENGINE": "`native` or `cli`",
    "BAKERY_HTTP_REPLAY": "folder with all responses of product APIs, for tests",
    "BAKERY_LOG_FORMAT": "`text` or `json`",
    "BAKERY_MAX_CONCURRENCY": "targets at once",
    "BAKERY_NO_PROGRESS": "print lines instead of drawing a live view",
    "BAKERY_PLAIN_HTTP": "registries that are reached by plain HTTP, separated by commas",
    "BAKERY_PLATFORMS": "`ci matrix`: platforms to list jobs for, separated by white space",
    "BAKERY_PROXY_CA_FILE": "trust these certificate authorities for the proxy",
    "BAKERY_REGISTRY_RETRY_*": "settings of retries: ATTEMPTS and the others in registries.md",
    "BAKERY_RUNNERS": "`ci matrix`: PLATFORM=LABEL pairs, separated by white space",
    "BAKERY_SOCI_LIMITS": "limits of SOCI conversion",
    "BAKERY_STALL_TIMEOUT": "seconds without a byte after which a connection is given up",
    "BAKERY_TIME_BUDGET": "seconds for the whole run",
    "BAKERY_TRUSTED_REALMS": "token services to send credentials to, separated by commas",
    "BAKERY_WAIT_TIMEOUT": "seconds to wait for the builds of a target",
}
