"""Signed URLs, for registries that redirect: downloads to an object storage, or every request to another place.

As with S3 and Azure, the signature is the only credential, and another origin refuses a request that also carries an
Authorization header. A client that forwards its token to it fails here.
"""

from __future__ import annotations

import hmac
import secrets

from msgspec.structs import replace

from bakery.rehearsal.http import RequestHead
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.routes import ApiRoute, Resource, find_resource
from bakery.rehearsal.traits import Redirects, Traits

_EVERYTHING = (Redirects.SAME_ORIGIN, Redirects.OTHER_ORIGIN)
_UNAFFECTED = (ApiRoute.BASE, ApiRoute.CATALOG, ApiRoute.TOKEN, ApiRoute.NONE)


class SignedUrls:
    """Creates and checks the targets of redirects. address: `host:port` of the other origin, or "".

    A target is `/storage/REPOSITORY/…` for downloads, `/redirected/REPOSITORY/…` for everything.
    """

    def __init__(self, traits: Traits) -> None:
        self.address = ""
        self._traits = traits
        self._secret = secrets.token_bytes(16)

    @property
    def needs_other_origin(self) -> bool:
        """Whether some redirects lead to another origin."""
        return self._traits.redirects in (Redirects.DOWNLOADS, Redirects.OTHER_ORIGIN)

    def redirect(self, resource: Resource, head: RequestHead, *, exists: bool) -> Response | None:
        """Return the redirect of this request, or None. exists: whether the registry has the blob that it names."""
        if self._traits.redirects is Redirects.DOWNLOADS:
            applies = resource.route is ApiRoute.BLOB and head.method == "GET" and exists
        else:
            applies = self._traits.redirects in _EVERYTHING and resource.route not in _UNAFFECTED
        if not applies:
            return None
        place = self.sign(f"{head.path}?{head.query_text}")
        location = f"http://{self.address or head.headers.get('host', '')}{place}"
        return Response(self._traits.redirect_status, (("Location", location),))

    def sign(self, path: str) -> str:
        """Return the signed path for a path of the API, which may have a query."""
        prefix = "/storage/" if self._traits.redirects is Redirects.DOWNLOADS else "/redirected/"
        path, _, query = path.replace("/v2/", prefix, 1).partition("?")
        return f"{path}?{query}{'&' if query else ''}signature={self._signature(path)}"

    def is_target(self, head: RequestHead) -> bool:
        """Return whether this request to the registry's own origin follows a redirect."""
        return self._traits.redirects is Redirects.SAME_ORIGIN and head.segments[0] == "redirected"

    def find(self, head: RequestHead) -> Resource | Response:
        """Return the resource that a redirected request names, or the response that refuses the request."""
        prefix, *rest = head.segments
        if prefix not in ("storage", "redirected"):
            return error_response("NAME_UNKNOWN")
        resource = find_resource(["v2", *rest])
        if isinstance(resource, Response):
            return resource
        if self.address and "authorization" in head.headers:
            return error_response("UNSUPPORTED", message="only one way to authenticate is allowed", status=400)
        if ("signature", self._signature(head.path)) not in head.query():
            return error_response("DENIED", message="the signature is missing or invalid")
        return replace(resource, route=ApiRoute.STORAGE) if prefix == "storage" else resource

    def _signature(self, path: str) -> str:
        return hmac.new(self._secret, path.encode(), "sha256").hexdigest()
