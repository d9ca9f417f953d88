"""An inspected image as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakery.report.table import aligned
from bakery.text import clean, plural

_KNOWN = {"https://slsa.dev/provenance/": "provenance", "https://spdx.dev/Document": "SBOM"}


def inspection_text(image: Mapping[str, Any], *, width: int | None = None) -> str:
    """Return the result of `imagetools inspect` for people: a head, the platforms, and what describes them.

    width: of the terminal; None: no terminal.
    """
    lines = [
        f"Name:      {image['name']}",
        f"Kind:      {image['kind']}",
        f"MediaType: {image['mediaType']}",
        f"Digest:    {image['digest']}",
        f"Size:      {plural(image['size'], 'byte')}",
    ]
    if image["subject"]:
        lines.append(f"Subject:   {image['subject']}")
    lines += [f"Annotation: {key}={value}" for key, value in image["annotations"].items()]
    text = "".join(f"{clean(line)}\n" for line in lines)
    rows = [("PLATFORM", "DIGEST", "LAYERS", "BYTES", "ATTESTATIONS", "SOCI")]
    for one in image["platforms"]:
        digest = one["digest"]
        soci = "yes" if any(index["subject"] in (digest, None) for index in image["soci"]) else "no"
        attested = _words(image["attestations"], digest)
        name = " ".join(filter(None, (one["platform"] or "unknown", one["os.version"])))
        rows.append((name, digest, str(one["layers"]), f"{one['size']:,}", attested, soci))
    text += "\n" + aligned(rows, width=width)
    referrers = "unknown" if image["referrers"] is None else str(image["referrers"])
    others = f"; other manifests: {len(image['others'])}" if image["others"] else ""
    return f"{text}\nReferrers: {referrers}{others}\n"


def _words(attestations: Sequence[Mapping[str, Any]], digest: str) -> str:
    types = [kind for one in attestations if one["subject"] == digest for kind in one["types"] or ["unknown"]]
    names = (next((word for start, word in _KNOWN.items() if kind.startswith(start)), kind) for kind in types)
    return ", ".join(dict.fromkeys(names)) or "none"
