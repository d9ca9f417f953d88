"""The sources of documents: recorded responses, cached ones only, or the network. Source: config.md 10 and 18."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.defaults import PRODUCT_CACHE_S
from bakery.errors import ConfigurationError, one_line
from bakery.products.cache import PageCache
from bakery.products.pages import PageSource
from bakery.targets.catalog import LookupFailed
from bakery.text import json_problem

if TYPE_CHECKING:
    from bakery.retry import Clock

_log = logging.getLogger(__name__)


def _reason(error: Exception) -> str:
    return json_problem(error) if isinstance(error, ValueError) else str(getattr(error, "strerror", None) or error)


class RecordedPages:
    """Recorded responses in a directory, whose `index.json` maps URLs to files. No network, no cache."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            index = json.loads((directory / "index.json").read_text())
            self._files: dict[str, str] = dict(index.get("get", {}))
            head = dict(index.get("head", {}))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                "cannot read recorded responses from", about=directory / "index.json", why=_reason(error),
                hint="set BAKERY_HTTP_REPLAY to a directory with an index.json of URLs and files",
            ) from error  # fmt: skip
        self._default_status = int(head.pop("default", 200))
        self._statuses = {url: int(status) for url, status in head.items()}

    def fetch(self, urls: Sequence[str]) -> dict[str, bytes | LookupFailed]:
        return {url: self._read(url) for url in urls}

    def status(self, url: str) -> int:
        return self._statuses.get(url, self._default_status)

    def _read(self, url: str) -> bytes | LookupFailed:
        name = self._files.get(url)
        if name is None:
            why = f"status 404: {self._directory} has no recorded response for it"
            return LookupFailed("cannot download", about=url, why=why)
        try:
            return (self._directory / name).read_bytes()
        except OSError as error:
            return LookupFailed(
                "cannot download", about=url, why=f"cannot read the recorded response: {_reason(error)}"
            )


class CachedPages:
    """Cached documents of any age, for --offline."""

    def __init__(self, cache: PageCache | None = None) -> None:
        self._cache = cache

    def fetch(self, urls: Sequence[str]) -> dict[str, bytes | LookupFailed]:
        return {url: self._read(url) for url in urls}

    def status(self, url: str) -> int:  # noqa: ARG002  # the signature of the protocol
        return 200  # a package that cannot be checked is assumed to exist

    def _read(self, url: str) -> bytes | LookupFailed:
        kept = self._cache.read(url, stale=True) if self._cache else None
        if kept is not None:
            return kept
        return LookupFailed(
            "cannot download", about=url, why="--offline is set and there is no cached response",
            hint="run once without --offline, or name the version with --dev-spec",
        )  # fmt: skip


class HttpPages:
    """Documents over HTTP, kept in a cache. An expired document is used if fetching it again fails."""

    def __init__(
        self, environ: Mapping[str, str], cache: PageCache | None = None, *, clock: Clock | None = None
    ) -> None:
        self._environ, self._cache, self._clock = environ, cache, clock

    def fetch(self, urls: Sequence[str]) -> dict[str, bytes | LookupFailed]:
        found: dict[str, bytes | LookupFailed] = {}
        if self._cache is not None:
            cached = {url: self._cache.read(url) for url in urls}
            found |= {url: body for url, body in cached.items() if body is not None}
        missing = [url for url in urls if url not in found]
        if missing:
            from bakery.products.network import download  # slow to import; a fresh cache does not need it

            found |= {url: self._kept(url, body) for url, body in download(missing, self._environ, self._clock).items()}
        return found

    def status(self, url: str) -> int:
        from bakery.products.network import head

        return head(url, self._environ, self._clock)

    def _kept(self, url: str, body: bytes | LookupFailed) -> bytes | LookupFailed:
        if self._cache is None:
            return body
        if not isinstance(body, LookupFailed):
            self._cache.write(url, body)
            return body
        stale = self._cache.read(url, stale=True)
        if stale is None:
            return body
        _log.warning("using an expired response: %s", one_line(body))
        return stale


def source_from_environment(*, offline: bool = False, environ: Mapping[str, str] = os.environ) -> PageSource:
    """Return the source that the environment selects. Raises ConfigurationError and UsageError for bad variables."""
    replay = environ.get("BAKERY_HTTP_REPLAY")
    if replay:
        return RecordedPages(Path(replay))
    text = environ.get("BAKERY_CACHE_EXPIRE_AFTER", "")
    try:
        expiry_s = float(text) if text else PRODUCT_CACHE_S
    except ValueError:
        _log.warning("BAKERY_CACHE_EXPIRE_AFTER=%r is not a number of seconds; using %.0f", text, PRODUCT_CACHE_S)
        expiry_s = PRODUCT_CACHE_S
    from tempfile import gettempdir

    cache = PageCache(Path(gettempdir()) / "bakery_cache", expiry_s=expiry_s)
    if offline:
        return CachedPages(cache)
    return HttpPages(environ, cache)
