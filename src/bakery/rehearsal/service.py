"""The path of one request: resource, faults, access, handler, log. No sockets: requests in, responses out.

A registry has up to three origins: its own, its token endpoint and its storage; each has a `respond` method here.
Faults apply at two points only, on arrival and on commit; the handlers know nothing about them.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from bakery.rehearsal import handlers
from bakery.rehearsal.connection import ClientGone, ServerRequest
from bakery.rehearsal.faults import Drop, ExpireToken, Faults, RequestFaults, Wait, When
from bakery.rehearsal.http import RequestHead
from bakery.rehearsal.lag import Visible, visible
from bakery.rehearsal.log import Log, LoggedRequest
from bakery.rehearsal.manifests import manifest_response
from bakery.rehearsal.redirects import SignedUrls
from bakery.rehearsal.responses import Response, error_response
from bakery.rehearsal.routes import ApiRoute, Resource, find_resource
from bakery.rehearsal.state import Call, RegistryState
from bakery.rehearsal.time_source import TimeSource
from bakery.rehearsal.tokens import Guard

_FORM_LIMIT: Final = 64 * 1024  # bytes in the body of a token request
_READS: Final = frozenset({"GET", "HEAD"})


class Service:
    """Turns requests into responses. token_address: of the token endpoint, "" if it shares the registry's origin."""

    def __init__(self, registry: RegistryState, faults: Faults, guard: Guard | None, clock: TimeSource) -> None:
        self.registry, self.faults, self.guard, self._clock = registry, faults, guard, clock
        self.log, self.signed_urls = Log(), SignedUrls(registry.traits)
        self.token_address = ""

    async def respond(self, request: ServerRequest) -> Response:
        """Respond to a request to the registry. Raises ClientGone if the client disconnects."""
        if self.signed_urls.is_target(request.head):
            return await self.respond_redirected(request)
        return await self._respond(request, find_resource(request.head.segments))

    async def respond_token(self, request: ServerRequest) -> Response:
        """Respond to a request to the separate port of the token endpoint."""
        is_token = request.head.segments == ["token"]
        return await self._respond(request, Resource(ApiRoute.TOKEN) if is_token else error_response("NAME_UNKNOWN"))

    async def respond_redirected(self, request: ServerRequest) -> Response:
        """Respond to a request that follows a redirect."""
        return await self._respond(request, self.signed_urls.find(request.head), is_redirected=True)

    async def _respond(
        self, request: ServerRequest, found: Resource | Response, *, is_redirected: bool = False
    ) -> Response:
        head, status = request.head, 0
        resource = found if isinstance(found, Resource) else Resource(ApiRoute.NONE)
        with self.faults.claim(head.method, head.path, resource) as faults:
            try:
                response = await self._on_arrival(faults, request)
                if response is None:
                    if isinstance(found, Response):
                        response = found
                    else:
                        response = await self._serve(faults, request, found, is_redirected=is_redirected)
                response = self._with_common_headers(_on_commit(faults, response))
                status = response.status
                return response
            finally:
                self.log.add(self._log_entry(request, resource, status, faults))

    async def _on_arrival(self, faults: RequestFaults, request: ServerRequest) -> Response | None:
        for effect, rule in faults.at(When.ARRIVAL):
            if isinstance(effect, Wait):
                faults.meet(rule)
                await self._clock.sleep(effect.seconds)
            elif isinstance(effect, ExpireToken):
                if self.guard is not None and self.guard.expire(request.head):
                    faults.meet(rule)
            elif (response := effect.response()) is not None:
                faults.meet(rule)
                if isinstance(effect, Drop) and effect.body_bytes:
                    await _read_body(request, effect.body_bytes)
                return response
        return None

    async def _serve(
        self, faults: RequestFaults, request: ServerRequest, resource: Resource, *, is_redirected: bool
    ) -> Response:
        head, traits = request.head, self.registry.traits
        if resource.route is ApiRoute.TOKEN:
            return await self._token(request)
        if traits.csrf_checks and "cookie" in head.headers and head.method not in _READS:
            return error_response("DENIED", message="CSRF token invalid")
        if traits.names_need_project and resource.repository and "/" not in resource.repository:
            return error_response("NAME_INVALID", {"name": resource.repository}, message="a name needs a project")
        refusal = None if is_redirected else self._refusal(resource, head)
        if refusal is not None:
            return refusal
        call = Call(
            resource,
            head,
            request.body,
            may_pull=lambda name: is_redirected or self._may_pull(head, name),
            query=head.query(),
            place=self.signed_urls.sign if is_redirected else str,
        )
        lagging = self._lagging(faults, call) if head.method in _READS else None
        if lagging is not None:
            return lagging
        redirect = None if is_redirected else self.signed_urls.redirect(resource, head, exists=self._holds(resource))
        return redirect or await handlers.handle(self.registry, call)

    def _refusal(self, resource: Resource, head: RequestHead) -> Response | None:
        if self.guard is None:
            return None
        return self.guard.refusal(resource, head, f"http://{self.token_address or head.headers.get('host', '')}/token")

    def _may_pull(self, head: RequestHead, name: str) -> bool:
        return self.guard is None or self.guard.may_pull(head, name)

    def _holds(self, resource: Resource) -> bool:
        return (
            resource.digest is not None and self.registry.storage.blob(resource.repository, resource.digest) is not None
        )

    async def _token(self, request: ServerRequest) -> Response:
        if self.guard is None:
            return error_response("UNSUPPORTED", status=404)
        form = b""
        async for piece in request.body.pieces():
            form += piece
            if len(form) > _FORM_LIMIT:
                return error_response("SIZE_INVALID", status=413)
        return self.guard.token(request.head, form)

    def _lagging(self, faults: RequestFaults, call: Call) -> Response | None:
        """Return the response to a read of content that lags, or None if it does not lag."""
        resource = call.resource
        for effect, rule in faults.at(When.ARRIVAL):
            what = visible(effect, resource, self.registry.storage, self._clock.now())
            if what is Visible.ALL:
                continue
            faults.meet(rule)
            if what is Visible.NOTHING:
                code = "BLOB_UNKNOWN" if resource.route is ApiRoute.BLOB else "MANIFEST_UNKNOWN"
                return error_response(code, {"reference": resource.reference})
            return manifest_response(self.registry, call, what)
        return None

    def _with_common_headers(self, response: Response) -> Response:
        traits = self.registry.traits
        common = (("Docker-Distribution-Api-Version", "registry/2.0"), *traits.headers)
        cookie = (("Set-Cookie", "sid=a-browser; Path=/; HttpOnly"),) if traits.csrf_checks else ()
        close = () if traits.keep_alive else (("Connection", "close"),)
        return replace(response, headers=(*response.headers, *common, *cookie, *close))

    def _log_entry(
        self, request: ServerRequest, resource: Resource, status: int, faults: RequestFaults
    ) -> LoggedRequest:
        head = request.head
        return LoggedRequest(
            at=self._clock.now(),
            method=head.method,
            path=head.path,
            query=head.query_text,
            route=resource.route,
            repository=resource.repository,
            reference=resource.reference,
            status=status,
            body_bytes=request.body.received,
            authorized="authorization" in head.headers,
            faults=faults.names,
        )


def _on_commit(faults: RequestFaults, response: Response) -> Response:
    for effect, rule in faults.at(When.COMMIT):
        changed = None if response.delivery.lost else effect.change(response)
        if changed is not None:
            faults.meet(rule)
            response = changed
    return response


async def _read_body(request: ServerRequest, count: int) -> None:
    """Read this many bytes of the body, or all of it if it is shorter."""
    try:
        async for _ in request.body.pieces():
            if request.body.received >= count:
                return
    except ClientGone:
        return
