"""Documents of product APIs over HTTP, with the client and the retry policy of the whole tool. Source: config.md 10."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bakery.errors import BakeryError, ConnectionFailed
from bakery.parallel.root import run_interruptible
from bakery.registry.http.config import HttpConfig
from bakery.registry.http.fetch import fetch
from bakery.registry.http.message import HttpResponse, Stats
from bakery.registry.http.transport import Transport
from bakery.retry import Clock, RetryPolicy, SystemClock
from bakery.targets.catalog import LookupFailed
from bakery.tasks import together

_MAX_BYTES = 64 * 1024 * 1024  # of a response; the largest has 5 MB today
_WAIT_S = 10.0  # for a connection, and for the head of a response
_TOTAL_S = 60.0  # for a response, redirects included
_HINT = (
    "check the network connection, name the version with --dev-spec, "
    "or set BAKERY_HTTP_REPLAY to a directory of recorded responses"
)

Fetched = HttpResponse | BakeryError


def download(
    urls: Sequence[str], environ: Mapping[str, str], clock: Clock | None = None
) -> dict[str, bytes | LookupFailed]:
    """Fetch URLs concurrently. Return the document of each, or why it is not available."""
    responses = run_interruptible(_request_all("GET", urls, environ, clock or SystemClock()))
    return {
        url: fetched.body if isinstance(fetched, HttpResponse) and fetched.status < 300 else _failed(url, fetched)
        for url, fetched in responses.items()
    }


def head(url: str, environ: Mapping[str, str], clock: Clock | None = None) -> int:
    """Return the status of a HEAD request. Raises LookupFailed if the server does not respond or is overloaded."""
    fetched = run_interruptible(_request_all("HEAD", [url], environ, clock or SystemClock()))[url]
    if isinstance(fetched, BakeryError) or _is_transient(fetched):
        raise _failed(url, fetched)
    return fetched.status


def _is_transient(fetched: Fetched) -> bool:
    if isinstance(fetched, BakeryError):
        return fetched.transient
    return fetched.status >= 500 or fetched.status == 429


_RETRY = RetryPolicy(max_attempts=3, base_delay=1.0, jitter=False, retry_on=_is_transient)


async def _request_all(
    method: str, urls: Sequence[str], environ: Mapping[str, str], clock: Clock
) -> dict[str, Fetched]:
    config = replace(HttpConfig.from_environment(environ), connect_s=_WAIT_S, response_s=_WAIT_S, stall_s=_TOTAL_S)
    async with Transport(config, Stats()) as transport:
        found = await together(_with_retries(transport, method, url, clock) for url in urls)
    return dict(zip(urls, found, strict=True))


async def _with_retries(transport: Transport, method: str, url: str, clock: Clock) -> Fetched:
    attempt = 1
    while True:
        fetched = await _attempt(transport, method, url)
        if not _RETRY.should_retry(fetched, attempt):
            return fetched
        await clock.sleep(_RETRY.delay_for(attempt))
        attempt += 1


async def _attempt(transport: Transport, method: str, url: str) -> Fetched:
    try:
        async with asyncio.timeout(_TOTAL_S):
            return await fetch(transport, url, method=method, headers={"Accept": "*/*"}, limit_bytes=_MAX_BYTES)
    except BakeryError as error:
        return error
    except TimeoutError:
        return ConnectionFailed("cannot download", about=url, why=f"no complete response within {_TOTAL_S:.0f} s")


def _failed(url: str, fetched: Fetched) -> LookupFailed:
    why = (fetched.why or str(fetched)) if isinstance(fetched, BakeryError) else f"status {fetched.status}"
    return LookupFailed("cannot download", about=url, why=why, hint=_HINT)
