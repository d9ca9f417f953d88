"""The object storage behind a registry that redirects: signed URLs on a second origin.

As with S3 and Azure, the signature is the only credential, and a request that also carries an Authorization header is
refused. A client that forwards its token to the storage fails here.
"""

from __future__ import annotations

import hmac
import secrets

from msgspec.structs import replace

from bakery.rehearsal.http import RequestHead
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.routes import ApiRoute, Resource, find_resource


class BlobRedirects:
    """Signs URLs of the storage and checks them. address: the storage's `host:port`."""

    def __init__(self) -> None:
        self.address = ""
        self._secret = secrets.token_bytes(16)

    def redirect(self, resource: Resource) -> Response:
        """Return the response that redirects a download of this blob to the storage."""
        path = f"/storage/{resource.repository}/blobs/{resource.reference}"
        return Response(307, (("Location", f"http://{self.address}{path}?signature={self._signature(path)}"),))

    def find(self, head: RequestHead) -> Resource | Response:
        """Return the blob that a request to the storage names, or the response that refuses the request."""
        if head.segments[0] != "storage":
            return error_response("NAME_UNKNOWN")
        resource = find_resource(["v2", *head.segments[1:]])
        if isinstance(resource, Response):
            return resource
        if "authorization" in head.headers:
            return error_response("UNSUPPORTED", message="only one way to authenticate is allowed", status=400)
        if resource.route is ApiRoute.BLOB and ("signature", self._signature(head.path)) in head.query():
            return replace(resource, route=ApiRoute.STORAGE)
        return error_response("DENIED", message="the signature is missing or invalid")

    def _signature(self, path: str) -> str:
        return hmac.new(self._secret, path.encode(), "sha256").hexdigest()
