"""Which handler serves which method of which resource: the distribution API as a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from bakery.rehearsal import blobs, lists, manifests, pushing
from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.registry import Call, Registry
from bakery.rehearsal.routes import Route

Handler = Callable[[Registry, Call], Awaitable[Answer]]

HANDLERS: Final[Mapping[Route, Mapping[str, Handler]]] = {
    Route.BASE: {"GET": lists.base, "HEAD": lists.base},
    Route.CATALOG: {"GET": lists.catalog, "HEAD": lists.catalog},
    Route.TAGS: {"GET": lists.tags, "HEAD": lists.tags},
    Route.REFERRERS: {"GET": lists.referrers, "HEAD": lists.referrers},
    Route.BLOB: {"GET": blobs.get_blob, "HEAD": blobs.get_blob, "DELETE": blobs.delete_blob},
    Route.STORAGE: {"GET": blobs.get_blob, "HEAD": blobs.get_blob},
    Route.UPLOADS: {"POST": pushing.start_upload},
    Route.UPLOAD: {
        "GET": pushing.upload_status,
        "PATCH": pushing.patch_upload,
        "PUT": pushing.put_upload,
        "DELETE": pushing.cancel_upload,
    },
    Route.MANIFEST: {
        "GET": manifests.get_manifest,
        "HEAD": manifests.get_manifest,
        "PUT": manifests.put_manifest,
        "DELETE": manifests.delete_manifest,
    },
}


async def answer(registry: Registry, call: Call) -> Answer:
    """Serve one request. Raises ClientGone where the client leaves in the middle of its body."""
    methods = HANDLERS[call.found.route]
    handler = methods.get(call.head.method)
    if handler is None:
        return failure("UNSUPPORTED", headers=(("Allow", ", ".join(methods)),))
    return await handler(registry, call)
