"""Responses of product APIs on disk, shared by the commands of a CI run so that all see the same versions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path


class PageCache:
    """Documents by URL, each with the time when it was fetched. Only a directory that belongs to this user is used."""

    def __init__(self, directory: Path, *, expiry_s: float, now: Callable[[], float] = time.time) -> None:
        self._directory, self._expiry_s, self._now = directory, expiry_s, now

    def read(self, url: str, *, stale: bool = False) -> bytes | None:
        """Return a document that has not expired, or None. stale: also one that has."""
        try:
            if not self._is_own():
                return None
            entry = json.loads(self._file(url).read_bytes())
            age_s = self._now() - float(entry["fetched"])
            if entry["url"] != url or not (stale or 0 <= age_s < self._expiry_s):
                return None
            return str(entry["body"]).encode("utf-8", "surrogateescape")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def write(self, url: str, body: bytes) -> None:
        """Keep a document. If that fails, the next command fetches it again."""
        from tempfile import NamedTemporaryFile

        entry = {"url": url, "fetched": self._now(), "body": body.decode("utf-8", "surrogateescape")}
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_own():
                return
            with NamedTemporaryFile("w", dir=self._directory, delete=False, encoding="ascii") as file:
                json.dump(entry, file)
            Path(file.name).replace(self._file(url))

    def _file(self, url: str) -> Path:
        return self._directory / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def _is_own(self) -> bool:
        # Any user can create a directory of this name in the temporary directory and put responses there.
        return self._directory.lstat().st_uid == os.getuid()
