"""The way of one request: found, struck by faults, let in, served, logged. No sockets: takes requests, gives answers.

Faults set in at two points only, on arrival and after the commit; what lags is decided here too, from the times of
writing that storage keeps. The API behind it (api.py) knows nothing of either.
"""

from __future__ import annotations

from bakery.oci.digest import Digest
from bakery.rehearsal.answers import Answer, failure
from bakery.rehearsal.api import Api, Call
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.connection import ClientGone, Request
from bakery.rehearsal.faults import Armed, Drop, ExpireToken, Faults, Lag, Stale, Wait, When
from bakery.rehearsal.http import Head
from bakery.rehearsal.log import Exchange, Log
from bakery.rehearsal.routes import Found, Route, find
from bakery.rehearsal.tokens import Guard

_FORM_LIMIT = 64 * 1024
_READS = frozenset({"GET", "HEAD"})


class Service:
    """From a request to its answer. token_address: where the token endpoint is, "" for the same origin."""

    def __init__(self, api: Api, faults: Faults, guard: Guard | None, clock: Clock) -> None:
        self.api, self.faults, self.guard, self._clock = api, faults, guard, clock
        self.log = Log()
        self.token_address = ""

    async def respond(self, request: Request) -> Answer:
        """Answer one request. Raises ClientGone where the client leaves in the middle."""
        head = request.head
        found = find(head.segments)
        place = found if isinstance(found, Found) else Found(Route.NONE)
        due = self.faults.due(head.method, head.path, place)
        met: list[Armed] = []
        status = 0
        try:
            answer = await self._on_arrival(due, met, request)
            if answer is None:
                answer = found if isinstance(found, Answer) else await self._serve(due, met, request, found)
            answer = self._afterwards(due, met, answer)
            status = answer.status
            return answer.with_header("Docker-Distribution-Api-Version", "registry/2.0")
        finally:
            self.faults.settle(due, met)
            self.log.add(self._exchange(request, place, status, met))

    async def respond_token(self, request: Request) -> Answer:
        """As `respond`, for the token endpoint's own port: everything else is not there."""
        if request.head.segments != ["token"]:
            return failure("NAME_UNKNOWN")
        return await self.respond(request)

    async def _on_arrival(self, due: list[Armed], met: list[Armed], request: Request) -> Answer | None:
        for armed in due:
            effect = armed.rule.effect
            if armed.rule.point is not When.ARRIVAL:
                continue
            if isinstance(effect, Wait):
                met.append(armed)
                await self._clock.sleep(effect.seconds)
            elif isinstance(effect, ExpireToken):
                if self.guard is not None and self.guard.expire(request.head):
                    met.append(armed)
            elif isinstance(effect, Drop) and effect.body_bytes:
                met.append(armed)
                await _take(request, effect.body_bytes)
                return effect.instead()
            elif (answer := effect.instead()) is not None:
                met.append(armed)
                return answer
        return None

    async def _serve(self, due: list[Armed], met: list[Armed], request: Request, found: Found) -> Answer:
        head = request.head
        if found.route is Route.TOKEN:
            return await self._token(request)
        if self.guard is not None:
            realm = f"http://{self.token_address or head.headers.get('host', '')}/token"
            refusal = self.guard.refusal(found, head, realm)
            if refusal is not None:
                return refusal
        call = Call(found, head, request.body, lambda name: self._may_pull(head, name), head.query())
        if head.method in _READS:
            for armed in due:
                lagging = self._lagging(armed, call)
                if lagging is not None:
                    met.append(armed)
                    return lagging
        return await self.api.answer(call)

    def _may_pull(self, head: Head, name: str) -> bool:
        return self.guard is None or self.guard.may_pull(head, name)

    async def _token(self, request: Request) -> Answer:
        if self.guard is None:
            return failure("UNSUPPORTED", status=404)
        form = b""
        async for piece in request.body.pieces():
            form += piece
            if len(form) > _FORM_LIMIT:
                return failure("SIZE_INVALID", status=413)
        return self.guard.token(request.head, form)

    def _lagging(self, armed: Armed, call: Call) -> Answer | None:
        effect, found = armed.rule.effect, call.found
        if not isinstance(effect, Lag | Stale):
            return None
        written_at, before = self._written(found)
        if written_at is None or self._clock.now() - written_at >= effect.seconds:
            return None
        if isinstance(effect, Stale):
            return self.api.manifest_answer(call, before) if before is not None else None
        code = "BLOB_UNKNOWN" if found.route is Route.BLOB else "MANIFEST_UNKNOWN"
        return failure(code, detail={"reference": found.reference})

    def _written(self, found: Found) -> tuple[float | None, Digest | None]:
        """When this was written, and what a tag named before."""
        repository = self.api.storage.repository(found.repository)
        if repository is None:
            return None, None
        if found.route is Route.BLOB and found.digest:
            return repository.blobs.get(found.digest), None
        if found.route is not Route.MANIFEST:
            return None, None
        if found.digest is None:
            tag = repository.tags.get(found.reference)
            return (tag.written_at, tag.before) if tag else (None, None)
        stored = repository.manifests.get(found.digest)
        return (stored.written_at if stored else None), None

    def _afterwards(self, due: list[Armed], met: list[Armed], answer: Answer) -> Answer:
        for armed in due:
            if armed.rule.point is When.COMMIT and not answer.delivery.lost:
                changed = armed.rule.effect.changed(answer)
                if changed is not None:
                    met.append(armed)
                    answer = changed
        return answer

    def _exchange(self, request: Request, found: Found, status: int, met: list[Armed]) -> Exchange:
        head = request.head
        return Exchange(
            self._clock.now(),
            head.method,
            head.path,
            head.query_text,
            found.route,
            found.repository,
            found.reference,
            status,
            request.body.received,
            "authorization" in head.headers,
            tuple(armed.rule.name for armed in met),
        )


async def _take(request: Request, count: int) -> None:
    """Read so many bytes of the body, or all of it where it has fewer."""
    try:
        async for _ in request.body.pieces():
            if request.body.received >= count:
                return
    except ClientGone:
        return
