"""The software bill of materials of a release: CycloneDX 1.6 as JSON, from the lock of what Bakery needs to run.

Source: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

_ENTRY = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)(?: *; *(?P<marker>[^\\\n]+))?", re.MULTILINE)
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # of URLs (RFC 9562)


def sbom(lock: str, version: str, wheel: bytes, time_s: int) -> str:
    """Return the document. lock: the text of requirements.lock. time_s: of the commit, in seconds since 1970."""
    digest = hashlib.sha256(wheel).hexdigest()
    bakery = {
        **_component("bakery-images", version, "MIT"),
        "type": "application",
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    components = [_locked(match) for match in _ENTRY.finditer(lock)]
    references = [one["bom-ref"] for one in components]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(time_s, UTC).isoformat(), "component": bakery},
        "components": components,
        "dependencies": [
            {"ref": bakery["bom-ref"], "dependsOn": references},
            *({"ref": one} for one in references),
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _component(name: str, version: str, licence: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    found: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence:
        found["licenses"] = [{"expression": licence}]
    return found


def _locked(match: re.Match[str]) -> dict[str, Any]:
    """Return a component of the lock. A package for some systems only has its marker as a property."""
    name, version, marker = match["name"], match["version"], (match["marker"] or "").strip()
    component = _component(name, version, _licence(name))
    if marker:
        component["properties"] = [{"name": "python:marker", "value": marker}]
    return component


def _licence(name: str) -> str:
    """Return the SPDX expression that the installed package declares, or "" if it declares none."""
    try:
        return next(iter(metadata.metadata(name).get_all("License-Expression") or ()), "")
    except metadata.PackageNotFoundError:  # a package for other systems
        return ""
