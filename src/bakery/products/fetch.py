"""Getting the text behind a URL: over the network with a cache, from recorded answers, or not at all.

A `Source` answers GET and HEAD and knows no product. A failure is LookupFailed and says what to do. Every wait has a
limit. Source: config.md 10 (caching) and 18 (BAKERY_HTTP_REPLAY).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from bakery.errors import ConfigurationError, one_line
from bakery.targets.catalog import LookupFailed

_log = logging.getLogger(__name__)
_LARGEST = 64 * 1024 * 1024  # bytes of one answer; the largest today has 5 MB
_TIMEOUT_S = 10.0  # for a connection and for each read
_LIMIT_S = 60.0  # for one answer in all
_ATTEMPTS = 3
_PAUSE_S = 1.0
DEFAULT_EXPIRY_S = 3600.0


class Source(Protocol):
    """Whoever answers requests. Both methods raise LookupFailed."""

    def get(self, url: str) -> bytes:
        """The body of a 200 answer."""
        ...

    def head(self, url: str) -> int:
        """The status of a HEAD request."""
        ...


class Replay:
    """Recorded answers from a directory: `index.json` maps URLs to files. No network, no cache."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            index = json.loads((directory / "index.json").read_text())
            self._get: dict[str, str] = dict(index.get("get", {}))
            head = dict(index.get("head", {}))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                "reading recorded answers", about=directory / "index.json", why=str(error),
                hint='BAKERY_HTTP_REPLAY names a directory whose index.json is {"get": {url: file}}',
            ) from error  # fmt: skip
        self._default_status = int(head.pop("default", 200))
        self._head = {url: int(status) for url, status in head.items()}

    def get(self, url: str) -> bytes:
        name = self._get.get(url)
        if name is None:
            raise LookupFailed("asking", about=url, why=f"404: {self._directory} has no recorded answer for it")
        try:
            return (self._directory / name).read_bytes()
        except OSError as error:
            raise LookupFailed("asking", about=url, why=f"the recorded answer cannot be read: {error}") from error

    def head(self, url: str) -> int:
        return self._head.get(url, self._default_status)


class Cache:
    """Answers on disk, each with the time it was given. The directory is ours alone, or is not used."""

    def __init__(
        self, directory: Path, *, expiry_s: float = DEFAULT_EXPIRY_S, now: Callable[[], float] = time.time
    ) -> None:
        self._directory, self._expiry_s, self._now = directory, expiry_s, now

    def _file(self, url: str) -> Path:
        return self._directory / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def read(self, url: str, *, stale: bool = False) -> bytes | None:
        """An answer that is young enough; of any age with `stale`."""
        try:
            if not self._ours():
                return None
            entry = json.loads(self._file(url).read_bytes())
            age_s = self._now() - float(entry["fetched"])
            if entry["url"] != url or not (stale or 0 <= age_s < self._expiry_s):
                return None
            return str(entry["body"]).encode("utf-8", "surrogateescape")
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, url: str, body: bytes) -> None:
        """Keep an answer. Where that fails the next command asks again; nothing else is lost."""
        from tempfile import NamedTemporaryFile

        entry = {"url": url, "fetched": self._now(), "body": body.decode("utf-8", "surrogateescape")}
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._ours():
                return
            with NamedTemporaryFile("w", dir=self._directory, delete=False, encoding="ascii") as file:
                json.dump(entry, file)
            Path(file.name).replace(self._file(url))

    def _ours(self) -> bool:
        # Anybody may make a directory of this name in the temporary directory, and put answers there.
        status = self._directory.lstat()
        return not hasattr(os, "getuid") or status.st_uid == os.getuid()


class Network:
    """Asks over HTTP. `cache` keeps what was answered; a stale answer is used where the source fails."""

    def __init__(
        self, *, cache: Cache | None = None, ca_file: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._cache, self._ca_file, self._sleep = cache, ca_file, sleep
        self._opener: Any = None
        self._lock = threading.Lock()

    def get(self, url: str) -> bytes:
        kept = self._cache.read(url) if self._cache else None
        if kept is not None:
            return kept
        try:
            body, _ = self._ask("GET", url)
        except LookupFailed as error:
            stale = self._cache.read(url, stale=True) if self._cache else None
            if stale is None:
                raise
            _log.warning("an old answer is used: %s", one_line(error))
            return stale
        if self._cache:
            self._cache.write(url, body)
        return body

    def head(self, url: str) -> int:
        try:
            return self._ask("HEAD", url)[1]
        except _Refused as error:
            return error.status

    def _ask(self, method: str, url: str) -> tuple[bytes, int]:
        import urllib.error
        import urllib.request

        request = urllib.request.Request(url, method=method, headers={"User-Agent": "bakery", "Accept": "*/*"})  # noqa: S310  # the URLs are ours; the opener knows http and https only
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_PAUSE_S * attempt)
            try:
                with self._opened().open(request, timeout=_TIMEOUT_S) as answer:
                    return _body(answer, url), answer.status
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}"
                if error.code < 500 and error.code != 429:
                    raise _Refused(url, error.code, reason) from error
            except (OSError, ValueError) as error:  # URLError, time-outs and broken connections are OSErrors
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            except Exception as error:
                if type(error).__module__ != "http.client":
                    raise
                reason = f"{type(error).__name__}: {error}"
        raise LookupFailed(
            "asking", about=url, why=reason,
            hint="look whether this machine reaches it; name the version with --dev-spec, or give recorded answers "
            "with BAKERY_HTTP_REPLAY",
        )  # fmt: skip

    def _opened(self) -> Any:
        with self._lock:
            if self._opener is None:
                import ssl
                import urllib.request

                context = ssl.create_default_context(cafile=self._ca_file or None)
                self._opener = urllib.request.OpenerDirector()
                for handler in (
                    urllib.request.ProxyHandler(),
                    urllib.request.HTTPHandler(),
                    urllib.request.HTTPSHandler(context=context),
                    urllib.request.HTTPDefaultErrorHandler(),
                    urllib.request.HTTPRedirectHandler(),
                    urllib.request.HTTPErrorProcessor(),
                ):
                    self._opener.add_handler(handler)
            return self._opener


class _Refused(LookupFailed):
    """The source answered, and the answer is no."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        super().__init__("asking", about=url, why=reason)
        self.status = status


def _body(answer: Any, url: str) -> bytes:
    limit = time.monotonic() + _LIMIT_S
    chunks: list[bytes] = []
    size = 0
    while chunk := answer.read(256 * 1024):
        chunks.append(chunk)
        size += len(chunk)
        if size > _LARGEST:
            raise LookupFailed("asking", about=url, why=f"the answer is longer than {_LARGEST:,} bytes")
        if time.monotonic() > limit:
            raise TimeoutError(f"the answer took longer than {_LIMIT_S:.0f} s")
    return b"".join(chunks)


class Offline:
    """Asks nobody; what the cache holds is used whatever its age."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache

    def get(self, url: str) -> bytes:
        kept = self._cache.read(url, stale=True) if self._cache else None
        if kept is None:
            raise LookupFailed(
                "asking", about=url, why="--offline forbids it, and no earlier answer is kept",
                hint="run once without --offline, name the version with --dev-spec, or give recorded answers with "
                "BAKERY_HTTP_REPLAY",
            )  # fmt: skip
        return kept

    def head(self, url: str) -> int:  # noqa: ARG002  # the protocol's
        return 200  # what cannot be looked at is believed


def source_from_environment(*, offline: bool = False, environ: Mapping[str, str] = os.environ) -> Source:
    """The source that the environment asks for: recorded answers, nobody, or the network with a cache."""
    replay = environ.get("BAKERY_HTTP_REPLAY")
    if replay:
        return Replay(Path(replay))
    text = environ.get("BAKERY_CACHE_EXPIRE_AFTER", "")
    try:
        expiry_s = float(text) if text else DEFAULT_EXPIRY_S
    except ValueError:
        _log.warning("BAKERY_CACHE_EXPIRE_AFTER is no number of seconds: %r; %.0f are used", text, DEFAULT_EXPIRY_S)
        expiry_s = DEFAULT_EXPIRY_S
    from tempfile import gettempdir

    cache = Cache(Path(gettempdir()) / "bakery_cache", expiry_s=expiry_s)
    if offline:
        return Offline(cache)
    return Network(cache=cache, ca_file=environ.get("BAKERY_CA_FILE"))


class Once:
    """Asks each URL once, however often it is wanted, and many at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._answers: dict[str, bytes | LookupFailed] = {}

    def prefetch(self, urls: Iterable[str]) -> None:
        """Ask for all of these side by side. A failure is kept and raised to whoever gets that URL."""
        wanted = [url for url in dict.fromkeys(urls) if url not in self._answers]
        # Daemon threads, not a pool: an interrupted command must not wait for a server that does not answer.
        threads = [threading.Thread(target=self._fill, args=(url,), daemon=True) for url in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _fill(self, url: str) -> None:
        try:
            self._answers[url] = self._source.get(url)
        except LookupFailed as error:
            self._answers[url] = error

    def get(self, url: str) -> bytes:
        """The body behind a URL. Raises LookupFailed."""
        if url not in self._answers:
            self._fill(url)
        answer = self._answers[url]
        if isinstance(answer, LookupFailed):
            raise answer
        return answer

    def text(self, url: str) -> str:
        """The body as text, trimmed."""
        try:
            return self.get(url).decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise unexpected(url, "it is no UTF-8 text") from error

    def json(self, url: str) -> Any:
        """The body as JSON."""
        try:
            return json.loads(self.get(url))
        except (ValueError, RecursionError) as error:
            raise unexpected(url, f"it is no JSON: {error}") from error

    def head(self, url: str) -> int:
        """The status of a HEAD request."""
        return self._source.head(url)


def unexpected(url: str, what: str) -> LookupFailed:
    """An answer that has not the shape that this tool knows."""
    return LookupFailed(
        "reading the answer of", about=url, why=what,
        hint="name the version with --dev-spec until the tool knows the new shape",
    )  # fmt: skip
