"""Build metadata files: what buildx wrote of each target, and the file that a build leaves. Source: pipeline.md 4."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bakery.errors import BakeryError
from bakery.files import read_regular
from bakery.targets.metadata import MAX_METADATA_BYTES

WARNINGS: Final = "buildx.build.warnings"
"""Where buildx lists warnings, if BUILDX_METADATA_WARNINGS is set: in a metadata file of bake, or of one build."""


def read_document(path: Path) -> dict[str, Any]:
    """Return what buildx wrote, or an empty object if it wrote no file, or nothing that is a JSON object."""
    try:
        document = json.loads(read_regular(path, limit_bytes=MAX_METADATA_BYTES))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def warning_counts(document: Mapping[str, Any]) -> dict[bytes, int]:
    """Return how many different warnings each Containerfile has, by the content of the Containerfile."""
    found: dict[bytes, set[str]] = {}
    warnings = document.get(WARNINGS)
    for one in warnings if isinstance(warnings, list) else ():
        source = one.get("sourceInfo") if isinstance(one, dict) else None
        if not isinstance(source, dict):
            continue
        with contextlib.suppress(binascii.Error, TypeError, ValueError):
            content = base64.b64decode(source.get("data") or "", validate=True)
            found.setdefault(content, set()).add(json.dumps([one.get("short"), one.get("range")], sort_keys=True))
    return {content: len(texts) for content, texts in found.items()}


def write_file(path: Path, entries: Mapping[str, Any]) -> None:
    """Write a metadata file: by a rename, so that no reader sees half of it. Raises BakeryError."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_text(f"{json.dumps(entries, indent=2)}\n", encoding="utf-8")
        half.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise BakeryError("cannot write the metadata file", about=path, why=error.strerror or str(error)) from error
