"""The distribution API as a table: the handler of each method of each route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from bakery.rehearsal import blobs, lists, manifests, pushing
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.routes import ApiRoute
from bakery.rehearsal.state import Call, RegistryState

Handler = Callable[[RegistryState, Call], Awaitable[Response]]

HANDLERS: Final[Mapping[ApiRoute, Mapping[str, Handler]]] = {
    ApiRoute.BASE: {"GET": lists.base, "HEAD": lists.base},
    ApiRoute.CATALOG: {"GET": lists.catalog, "HEAD": lists.catalog},
    ApiRoute.TAGS: {"GET": lists.tags, "HEAD": lists.tags},
    ApiRoute.REFERRERS: {"GET": lists.referrers, "HEAD": lists.referrers},
    ApiRoute.BLOB: {"GET": blobs.get_blob, "HEAD": blobs.get_blob, "DELETE": blobs.delete_blob},
    ApiRoute.STORAGE: {"GET": blobs.get_blob, "HEAD": blobs.get_blob},
    ApiRoute.UPLOADS: {"POST": pushing.start_upload},
    ApiRoute.UPLOAD: {
        "GET": pushing.upload_status,
        "PATCH": pushing.patch_upload,
        "PUT": pushing.put_upload,
        "DELETE": pushing.cancel_upload,
    },
    ApiRoute.MANIFEST: {
        "GET": manifests.get_manifest,
        "HEAD": manifests.get_manifest,
        "PUT": manifests.put_manifest,
        "DELETE": manifests.delete_manifest,
    },
}


async def handle(registry: RegistryState, call: Call) -> Response:
    """Handle one request. Raises ClientGone if the client disconnects while sending its body."""
    methods = HANDLERS[call.resource.route]
    handler = methods.get(call.head.method)
    if handler is None or (call.head.method == "HEAD" and not registry.traits.head):
        return error_response("UNSUPPORTED", headers=(("Allow", ", ".join(methods)),))
    return await handler(registry, call)
