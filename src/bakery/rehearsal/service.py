"""The way of one request: found, struck by faults, let in, served, logged. No sockets: takes requests, gives answers.

A registry can have three origins: its own, its token endpoint's and its storage's; each has a `respond` here.

Faults set in at two points only, on arrival and after the commit; what lags is decided here too, from the times of
writing that storage keeps. The API behind it (api.py) knows nothing of either.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace

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
    """From a request to its answer.

    token_address, storage_address: where the token endpoint and the storage are, "" for the registry's own origin.
    """

    def __init__(self, api: Api, faults: Faults, guard: Guard | None, clock: Clock) -> None:
        self.api, self.faults, self.guard, self._clock = api, faults, guard, clock
        self.log = Log()
        self.token_address = self.storage_address = ""
        self._secret = secrets.token_bytes(16)  # what the storage's addresses are signed with

    async def respond(self, request: Request) -> Answer:
        """Answer one request. Raises ClientGone where the client leaves in the middle."""
        return await self._answer(request, find(request.head.segments))

    async def _answer(self, request: Request, found: Found | Answer) -> Answer:
        head = request.head
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
            return self._dressed(answer)
        finally:
            self.faults.settle(due, met)
            self.log.add(self._exchange(request, place, status, met))

    async def respond_token(self, request: Request) -> Answer:
        """As `respond`, for the token endpoint's own port: everything else is not there."""
        if request.head.segments != ["token"]:
            return failure("NAME_UNKNOWN")
        return await self.respond(request)

    async def respond_storage(self, request: Request) -> Answer:
        """As `respond`, for the storage's own port: blobs, for who has a signed address and brings nothing else."""
        head = request.head
        found = find(["v2", *head.segments[1:]]) if head.segments[0] == "storage" else failure("NAME_UNKNOWN")
        if isinstance(found, Found):
            signed = found.route is Route.BLOB and ("signature", self._signature(head.path)) in head.query()
            if "authorization" in head.headers:  # as S3 and Azure have it
                found = failure("UNSUPPORTED", message="only one way to authenticate is allowed", status=400)
            else:
                found = (
                    replace(found, route=Route.STORAGE) if signed else failure("DENIED", message="no such signature")
                )
        return await self._answer(request, found)

    def _signature(self, path: str) -> str:
        return hmac.new(self._secret, path.encode(), "sha256").hexdigest()

    def _redirect(self, found: Found) -> Answer:
        path = f"/storage/{found.repository}/blobs/{found.reference}"
        place = f"http://{self.storage_address}{path}?signature={self._signature(path)}"
        return Answer(307, (("Location", place),))

    def _dressed(self, answer: Answer) -> Answer:
        """The answer with the headers that all have."""
        own = (("Docker-Distribution-Api-Version", "registry/2.0"), *self.api.traits.headers)
        cookie = (("Set-Cookie", "sid=a-browser; Path=/; HttpOnly"),) if self.api.traits.cookies_are_browsers else ()
        return replace(answer, headers=(*answer.headers, *own, *cookie))

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
        if self.api.traits.cookies_are_browsers and "cookie" in head.headers and head.method not in _READS:
            return failure("DENIED", message="CSRF token invalid")
        if self.guard is not None and found.route is not Route.STORAGE:
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
        if self._sends_away(call):
            return self._redirect(found)
        return await self.api.answer(call)

    def _sends_away(self, call: Call) -> bool:
        found = call.found
        asked = found.route is Route.BLOB and call.head.method == "GET" and found.digest is not None
        if not (asked and found.digest and self.api.traits.redirects_blobs):
            return False
        return self.api.storage.blob(found.repository, found.digest) is not None

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
