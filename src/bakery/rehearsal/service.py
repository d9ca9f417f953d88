"""The way of one request: found, struck by faults, let in, served, logged. No sockets: takes requests, gives answers.

A registry can have three origins: its own, its token endpoint's and its storage's; each has a `respond` here. Faults
set in at two points only, on arrival and after the commit; the handlers behind this know nothing of them.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from bakery.rehearsal import handlers
from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.away import Away
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.connection import ClientGone, Request
from bakery.rehearsal.faults import Drop, ExpireToken, Faults, Struck, Wait, When
from bakery.rehearsal.http import Head
from bakery.rehearsal.lag import Seen, seen
from bakery.rehearsal.log import Exchange, Log
from bakery.rehearsal.manifests import manifest_answer
from bakery.rehearsal.registry import Call, Registry
from bakery.rehearsal.routes import Found, Route, find
from bakery.rehearsal.tokens import Guard

_FORM_LIMIT: Final = 64 * 1024  # bytes of a token request's body
_READS: Final = frozenset({"GET", "HEAD"})


class Service:
    """From a request to its answer. token_address: where the token endpoint is, "" for the registry's own origin."""

    def __init__(self, registry: Registry, faults: Faults, guard: Guard | None, clock: Clock) -> None:
        self.registry, self.faults, self.guard, self._clock = registry, faults, guard, clock
        self.log, self.away = Log(), Away()
        self.token_address = ""

    async def respond(self, request: Request) -> Answer:
        """Answer one request to the registry. Raises ClientGone where the client leaves in the middle."""
        return await self._answer(request, find(request.head.segments))

    async def respond_token(self, request: Request) -> Answer:
        """Answer one request to the token endpoint's own port: everything else is not there."""
        is_token = request.head.segments == ["token"]
        return await self._answer(request, Found(Route.TOKEN) if is_token else failure("NAME_UNKNOWN"))

    async def respond_storage(self, request: Request) -> Answer:
        """Answer one request to the storage's own port."""
        return await self._answer(request, self.away.find(request.head))

    async def _answer(self, request: Request, found: Found | Answer) -> Answer:
        head, status = request.head, 0
        place = found if isinstance(found, Found) else Found(Route.NONE)
        with self.faults.strike(head.method, head.path, place) as struck:
            try:
                answer = await self._on_arrival(struck, request)
                if answer is None:
                    answer = found if isinstance(found, Answer) else await self._serve(struck, request, found)
                answer = self._dressed(_afterwards(struck, answer))
                status = answer.status
                return answer
            finally:
                self.log.add(self._exchange(request, place, status, struck))

    async def _on_arrival(self, struck: Struck, request: Request) -> Answer | None:
        for effect, armed in struck.at(When.ARRIVAL):
            if isinstance(effect, Wait):
                struck.meet(armed)
                await self._clock.sleep(effect.seconds)
            elif isinstance(effect, ExpireToken):
                if self.guard is not None and self.guard.expire(request.head):
                    struck.meet(armed)
            elif (answer := effect.instead()) is not None:
                struck.meet(armed)
                if isinstance(effect, Drop) and effect.body_bytes:
                    await _take(request, effect.body_bytes)
                return answer
        return None

    async def _serve(self, struck: Struck, request: Request, found: Found) -> Answer:
        head, traits = request.head, self.registry.traits
        if found.route is Route.TOKEN:
            return await self._token(request)
        if traits.cookies_are_browsers and "cookie" in head.headers and head.method not in _READS:
            return failure("DENIED", message="CSRF token invalid")
        if traits.names_need_project and found.repository and "/" not in found.repository:
            return failure("NAME_INVALID", message="a name needs a project", detail={"name": found.repository})
        refusal = self._refusal(found, head)
        if refusal is not None:
            return refusal
        call = Call(found, head, request.body, lambda name: self._may_pull(head, name), head.query())
        hidden = self._hidden(struck, call) if head.method in _READS else None
        if hidden is not None:
            return hidden
        if traits.redirects_blobs and found.route is Route.BLOB and head.method == "GET" and self._holds(found):
            return self.away.redirect(found)
        return await handlers.answer(self.registry, call)

    def _refusal(self, found: Found, head: Head) -> Answer | None:
        if self.guard is None or found.route is Route.STORAGE:
            return None
        return self.guard.refusal(found, head, f"http://{self.token_address or head.headers.get('host', '')}/token")

    def _may_pull(self, head: Head, name: str) -> bool:
        return self.guard is None or self.guard.may_pull(head, name)

    def _holds(self, found: Found) -> bool:
        return found.digest is not None and self.registry.storage.blob(found.repository, found.digest) is not None

    async def _token(self, request: Request) -> Answer:
        if self.guard is None:
            return failure("UNSUPPORTED", status=404)
        form = b""
        async for piece in request.body.pieces():
            form += piece
            if len(form) > _FORM_LIMIT:
                return failure("SIZE_INVALID", status=413)
        return self.guard.token(request.head, form)

    def _hidden(self, struck: Struck, call: Call) -> Answer | None:
        """What a read is answered while its content lags; None where it does not."""
        found = call.found
        for effect, armed in struck.at(When.ARRIVAL):
            what = seen(effect, found, self.registry.storage, self._clock.now())
            if what is Seen.ALL:
                continue
            struck.meet(armed)
            if what is Seen.NOTHING:
                code = "BLOB_UNKNOWN" if found.route is Route.BLOB else "MANIFEST_UNKNOWN"
                return failure(code, detail={"reference": found.reference})
            return manifest_answer(self.registry, call, what)
        return None

    def _dressed(self, answer: Answer) -> Answer:
        """The answer with the headers that all have."""
        traits = self.registry.traits
        own = (("Docker-Distribution-Api-Version", "registry/2.0"), *traits.headers)
        cookie = (("Set-Cookie", "sid=a-browser; Path=/; HttpOnly"),) if traits.cookies_are_browsers else ()
        return replace(answer, headers=(*answer.headers, *own, *cookie))

    def _exchange(self, request: Request, found: Found, status: int, struck: Struck) -> Exchange:
        head = request.head
        return Exchange(
            at=self._clock.now(),
            method=head.method,
            path=head.path,
            query=head.query_text,
            route=found.route,
            repository=found.repository,
            reference=found.reference,
            status=status,
            body_bytes=request.body.received,
            authorized="authorization" in head.headers,
            faults=struck.names,
        )


def _afterwards(struck: Struck, answer: Answer) -> Answer:
    for effect, armed in struck.at(When.COMMIT):
        changed = None if answer.delivery.lost else effect.changed(answer)
        if changed is not None:
            struck.meet(armed)
            answer = changed
    return answer


async def _take(request: Request, count: int) -> None:
    """Read so many bytes of the body, or all of it where it has fewer."""
    try:
        async for _ in request.body.pieces():
            if request.body.received >= count:
                return
    except ClientGone:
        return
