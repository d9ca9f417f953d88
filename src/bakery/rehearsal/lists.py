"""The handlers that list: the base, repositories, tags in pages, referrers.

Source: OCI distribution-spec 1.1, "Content Discovery".
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from bakery.oci import media_type as mt
from bakery.oci.index import index_document
from bakery.rehearsal.answers import Answer, document, failure
from bakery.rehearsal.registry import Call, Registry


async def base(_registry: Registry, _call: Call) -> Answer:
    return document(200, {})


async def catalog(registry: Registry, call: Call) -> Answer:
    if not registry.traits.catalog:
        return failure("UNSUPPORTED", status=404)
    return _page(registry, call, "/v2/_catalog", registry.storage.names(), lambda names: {"repositories": names})


async def tags(registry: Registry, call: Call) -> Answer:
    name = call.found.repository
    accept = call.head.headers.get("accept", "*/*")
    if registry.traits.lists_need_accept and not ("application/json" in accept or "*/*" in accept):
        return failure("UNSUPPORTED", message="not acceptable", status=406)
    repository = registry.known(name)
    if repository is None:
        return failure("NAME_UNKNOWN", detail={"name": name})
    tags = sorted(repository.tags)
    return _page(registry, call, f"/v2/{name}/tags/list", tags, lambda page: {"name": name, "tags": page})


def _page(
    registry: Registry, call: Call, path: str, entries: list[str], shape: Callable[[list[str]], object]
) -> Answer:
    last, text, limit = call.parameter("last"), call.parameter("n"), registry.traits.max_page
    if last:
        entries = [entry for entry in entries if entry > last]
    if text and not (text.isascii() and text.isdigit()):
        return failure("UNSUPPORTED", message="n is no number", status=400, detail={"n": text[:100]})
    count = int(text[:9]) if text else len(entries)
    count = count if limit is None else min(count, limit)
    page = entries[:count]
    if not page or len(page) == len(entries):
        return document(200, shape(page))
    link = f'<{path}?n={count}&last={quote(page[-1], safe="")}>; rel="next"'
    return document(200, shape(page), ("Link", link))


async def referrers(registry: Registry, call: Call) -> Answer:
    if not registry.traits.referrers:
        return failure("MANIFEST_UNKNOWN")  # GHCR's words
    assert call.found.digest is not None
    found = registry.storage.referrers(call.found.repository, call.found.digest)
    wish = call.parameter("artifactType")
    if wish:
        index = index_document(entry for entry in found if entry.get("artifactType") == wish)
        return document(200, index, ("OCI-Filters-Applied", "artifactType"), content_type=mt.OCI_INDEX)
    return document(200, index_document(found), content_type=mt.OCI_INDEX)
