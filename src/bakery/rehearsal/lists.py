"""Handlers that list: the base endpoint, repositories, tags in pages, referrers.

Source: OCI distribution-spec 1.1, "Content Discovery".
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from bakery.oci import media_type as mt
from bakery.oci.index import index_document
from bakery.rehearsal.responses import Response, error_response, json_response
from bakery.rehearsal.state import Call, RegistryState


async def base(_registry: RegistryState, _call: Call) -> Response:
    return json_response(200, {})


async def catalog(registry: RegistryState, call: Call) -> Response:
    if not registry.traits.catalog:
        return error_response("UNSUPPORTED", status=404)
    return _page(registry, call, "/v2/_catalog", registry.storage.names(), lambda names: {"repositories": names})


async def tags(registry: RegistryState, call: Call) -> Response:
    name = call.resource.repository
    if not registry.traits.tag_list:
        return error_response("UNSUPPORTED")
    accept = call.head.headers.get("accept", "*/*")
    if registry.traits.lists_need_accept and not ("application/json" in accept or "*/*" in accept):
        return error_response("UNSUPPORTED", message="not acceptable", status=406)
    repository = registry.known(name)
    if repository is None:
        return error_response("NAME_UNKNOWN", {"name": name})
    tags = sorted(repository.tags)
    return _page(registry, call, f"/v2/{name}/tags/list", tags, lambda page: {"name": name, "tags": page})


def _page(
    registry: RegistryState, call: Call, path: str, entries: list[str], shape: Callable[[list[str]], object]
) -> Response:
    last, text, limit = call.parameter("last"), call.parameter("n"), registry.traits.max_page
    if last:
        entries = [entry for entry in entries if entry > last]
    if text and not (text.isascii() and text.isdigit()):
        return error_response("UNSUPPORTED", {"n": text[:100]}, message="n is not a number", status=400)
    count = int(text[:9]) if text else len(entries)
    count = count if limit is None else min(count, limit)
    page = entries[:count]
    if not page or len(page) == len(entries):
        return json_response(200, shape(page))
    next_page = registry.url(call, f"{path}?n={count}&last={quote(page[-1], safe='')}")
    return json_response(200, shape(page), ("Link", f'<{next_page}>; rel="next"'))


async def referrers(registry: RegistryState, call: Call) -> Response:
    if not registry.traits.referrers:
        return error_response("MANIFEST_UNKNOWN")  # as GHCR responds
    assert call.resource.digest is not None
    found = registry.storage.referrers(call.resource.repository, call.resource.digest)
    artifact_type = call.parameter("artifactType")
    if artifact_type:
        index = index_document(entry for entry in found if entry.get("artifactType") == artifact_type)
        return json_response(200, index, ("OCI-Filters-Applied", "artifactType"), content_type=mt.OCI_INDEX)
    return json_response(200, index_document(found), content_type=mt.OCI_INDEX)
