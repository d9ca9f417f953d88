"""Documents of product APIs by URL: each is fetched once per command, whatever its source."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from bakery.targets.catalog import LookupFailed
from bakery.text import json_problem


class PageSource(Protocol):
    """Where documents come from: the network, a cache, or recorded responses (`bakery.products.source`)."""

    def fetch(self, urls: Sequence[str]) -> Mapping[str, bytes | LookupFailed]:
        """Return the document of every URL, or why it is not available. Fetched concurrently."""
        ...

    def status(self, url: str) -> int:
        """Return the status of a HEAD request. Raises LookupFailed if there is no response."""
        ...


class Pages:
    """Fetches every URL at most once. Failures are kept as well, and raised whenever the document is used."""

    def __init__(self, source: PageSource) -> None:
        self._source = source
        self._fetched: dict[str, bytes | LookupFailed] = {}

    def prefetch(self, urls: Iterable[str]) -> None:
        """Fetch these URLs concurrently. Never raises LookupFailed."""
        missing = [url for url in dict.fromkeys(urls) if url not in self._fetched]
        if missing:
            self._fetched.update(self._source.fetch(missing))

    def content(self, url: str) -> bytes:
        """Return the document of a URL. Raises LookupFailed."""
        self.prefetch([url])
        found = self._fetched[url]
        if isinstance(found, LookupFailed):
            raise found
        return found

    def text(self, url: str) -> str:
        """Return the document as text without surrounding white space. Raises LookupFailed."""
        try:
            return self.content(url).decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise unexpected(url, "it is not valid UTF-8") from error

    def json(self, url: str) -> Any:
        """Return the document parsed as JSON. Raises LookupFailed."""
        try:
            return json.loads(self.content(url))
        except ValueError as error:
            raise unexpected(url, f"it is not valid JSON: {json_problem(error)}") from error
        except RecursionError as error:
            raise unexpected(url, "it is nested too deeply") from error

    def status(self, url: str) -> int:
        """Return the status of a HEAD request. Raises LookupFailed."""
        return self._source.status(url)


def unexpected(url: str, why: str) -> LookupFailed:
    """Return the error for a document that does not have the expected form."""
    return LookupFailed("unexpected response from", about=url, why=why, hint="name the version with --dev-spec")
