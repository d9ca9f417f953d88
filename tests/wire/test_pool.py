"""Connections that are kept: which one is used again, which is closed, and whom each of them trusts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.registry.http.address import EVERYWHERE, reach_of
from bakery.registry.http.config import HttpConfig, Proxy
from bakery.registry.http.exchange import Exchange
from bakery.registry.http.failure import ProxyRefused, UnsafeTarget
from bakery.registry.http.pool import Pool, Route, _info
from bakery.registry.http.url import Origin
from bakery.registry.http.wire import Broken, Wire
from tests.wire.attacks import Tls, names
from tests.wire.script import raw_server

HOST = "registry.example"
RESOLVER = names(registry_example="127.0.0.1", proxy_example="127.0.0.1")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def says_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK")
    await reader.read()


def route_to(host: str, *, scheme: str = "http", proxy: Origin | None = None) -> Route:
    return Route(Origin.parse(f"{scheme}://{host}"), EVERYWHERE, None if proxy is None else Proxy(proxy))


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(HttpConfig(), RESOLVER, reach_of)
    yield made
    await made.close()


async def sees_its_end(wire: Wire) -> None:
    async with asyncio.timeout(5):
        await wire.closed


async def test_a_kept_connection_is_used_again_and_the_newest_first(pool: Pool):
    async with raw_server(silent) as host:
        one, two = await pool.take(route_to(host)), await pool.take(route_to(host))
        pool.give_back(route_to(host), one)
        pool.give_back(route_to(host), two)
        assert await pool.take(route_to(host)) is two
        assert await pool.take(route_to(host)) is one


async def test_a_connection_that_the_server_ended_while_it_was_kept_is_closed_and_not_used_again(pool: Pool):
    async with raw_server(hangs_up) as host:
        wire = await pool.take(route_to(host))
        pool.give_back(route_to(host), wire)
        await wire.send(b"x")
        while not wire.has_news:
            await wire.change()
        assert await pool.take(route_to(host)) is not wire
        await sees_its_end(wire)


async def test_a_connection_with_unread_bytes_is_closed_and_not_kept(pool: Pool):
    async with raw_server(says_too_much) as host:
        wire = await pool.take(route_to(host))
        while not wire.has_news:
            await wire.change()
        pool.give_back(route_to(host), wire)
        await sees_its_end(wire)
        assert idle(pool) == 0


ENDS = {  # what became of kept connections that were used again, and whether the next one is kept
    "one was closed": ([True], True),
    "two were closed": ([True, True], False),
    "one was open in between": ([True, False, True], True),
    "one was open too late": ([True, True, False], True),
}


@pytest.mark.parametrize(("closed", "is_kept"), ENDS.values(), ids=ENDS)
async def test_connections_are_not_kept_to_a_server_that_closes_each_without_announcing_it(pool: Pool, closed, is_kept):
    async with raw_server(silent) as host:
        wire = await pool.take(route_to(host))
        for met_closed in closed:
            wire.idle_since = asyncio.get_running_loop().time()
            pool.used_again(route_to(host), wire, met_closed=met_closed)
        pool.give_back(route_to(host), wire)
        assert idle(pool) == int(is_kept)


async def test_a_server_may_close_connections_that_were_idle_for_seconds(pool: Pool):
    async with raw_server(silent) as host:
        wire = await pool.take(route_to(host))
        for _ in range(3):
            wire.idle_since = asyncio.get_running_loop().time() - 2.0
            pool.used_again(route_to(host), wire, met_closed=True)
        pool.give_back(route_to(host), wire)
        assert idle(pool) == 1


@pytest.mark.parametrize(("idle_s", "is_used"), [(14.9, True), (15.0, False)])
async def test_a_connection_is_kept_for_15_seconds(pool: Pool, idle_s, is_used):
    async with raw_server(silent) as host:
        wire = await pool.take(route_to(host))
        pool.give_back(route_to(host), wire)
        wire.idle_since -= idle_s
        assert (await pool.take(route_to(host)) is wire) is is_used
        if not is_used:
            await sees_its_end(wire)


async def test_a_closed_connection_is_forgotten_and_closing_waits_for_the_others(pool: Pool):
    async with raw_server(silent) as host:
        one, two = await pool.take(route_to(host)), await pool.take(route_to(host))
        one.close()
        await sees_its_end(one)
        assert pool._open == {two}
        await pool.close()
        assert two.closed.done()
        assert pool._open == set()


class Held(Pool):
    """A pool whose connections open only when a test lets them, in the order in which they began, or fail."""

    def __init__(self) -> None:
        super().__init__(HttpConfig(), RESOLVER, reach_of)
        self.began: list[asyncio.Future[None]] = []

    async def _connect(self, route: Route) -> Wire:
        self.began.append(asyncio.get_running_loop().create_future())
        await self.began[-1]
        return await super()._connect(route)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    made = Held()
    yield made
    await made.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def idle(pool: Pool) -> int:
    return sum(len(line.idle) for line in pool._lines.values())


async def opened(pool: Pool) -> int:
    """Wait until nothing is being opened, and return how many connections are kept."""
    async with asyncio.timeout(5):
        await asyncio.gather(*pool._opening)
    return idle(pool)


async def given_back_to_another(held: Held, route: Route) -> tuple[Wire, asyncio.Task[Wire]]:
    """Open and give back a connection while another exchange waits for its own. Return it, and the other's task."""
    first = asyncio.create_task(held.take(route))
    await settle()
    held.began[0].set_result(None)
    wire = await first
    second = asyncio.create_task(held.take(route))
    await settle()
    held.give_back(route, wire)
    return wire, second


async def ends_quietly(pool: Pool, left: int) -> None:
    """Wait until only so many connections are being opened. The failures of the others are raised nowhere."""
    done, rest = await asyncio.wait(pool._opening, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert [task.exception() for task in done] == [None]
    assert len(rest) == left


async def test_connections_that_were_opened_ahead_are_used(pool: Pool):
    async with raw_server(silent) as host:
        pool.open_ahead(route_to(host), 3)
        assert await opened(pool) == 3
        made = set(pool._open)
        assert {await pool.take(route_to(host)) for _ in range(3)} == made


async def test_what_is_kept_or_being_opened_counts_as_opened_ahead(held: Held):
    async with raw_server(silent) as host:
        held.open_ahead(route_to(host), 2)
        await settle()
        held.open_ahead(route_to(host), 3)
        await settle()
        assert len(held.began) == 3
        for one in held.began:
            one.set_result(None)
        assert await opened(held) == 3
        held.open_ahead(route_to(host), 3)
        await settle()
        assert len(held.began) == 3


async def test_an_exchange_takes_a_connection_that_is_given_back_before_its_own_is_open(held: Held):
    async with raw_server(silent) as host:
        wire, second = await given_back_to_another(held, route_to(host))
        assert await second is wire
        held.began[1].set_result(None)
        assert await opened(held) == 1


async def test_a_connection_that_goes_straight_to_the_next_exchange_has_been_used_before(held: Held):
    """If the server closes it meanwhile, a GET is sent again, as on one that was idle: the host is not to blame."""
    async with raw_server(hangs_up) as host:
        wire, second = await given_back_to_another(held, route_to(host))
        exchange = Exchange(await second)
        with pytest.raises(Broken):
            await exchange.request("GET", "/", [("Host", host)])
        assert exchange.wire is wire
        assert exchange.met_closed


async def test_the_exchange_that_has_waited_longest_gets_the_first_connection(held: Held):
    async with raw_server(silent) as host:
        tasks = [asyncio.create_task(held.take(route_to(host))) for _ in range(2)]
        await settle()
        held.began[1].set_result(None)
        await tasks[0]
        assert not tasks[1].done()
        held.began[0].set_result(None)
        await tasks[1]


async def test_a_failure_is_that_of_the_exchange_that_it_was_opened_for(held: Held):
    async with raw_server(silent) as host:
        held.open_ahead(route_to(host), 1)
        task = asyncio.create_task(held.take(route_to(host)))
        await settle()
        held.began[0].set_exception(ConnectionRefusedError())
        await ends_quietly(held, 1)
        assert not task.done()
        held.began[1].set_exception(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await task


async def test_the_failure_of_an_exchange_that_got_another_connection_is_dropped(held: Held):
    async with raw_server(silent) as host:
        tasks = [asyncio.create_task(held.take(route_to(host))) for _ in range(2)]
        await settle()
        held.began[1].set_result(None)
        await tasks[0]
        held.began[0].set_exception(ConnectionRefusedError())
        await ends_quietly(held, 0)
        assert not tasks[1].done()
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert not any(line.waiting for line in held._lines.values())


async def test_a_connection_that_arrives_together_with_a_cancellation_is_kept(held: Held):
    async with raw_server(silent) as host:
        _, second = await given_back_to_another(held, route_to(host))
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert idle(held) == 1


async def test_closing_ends_what_is_being_opened_and_the_exchange_that_waits_for_it():
    pool = Held()
    async with raw_server(silent) as host:
        pool.open_ahead(route_to(host), 2)
        task = asyncio.create_task(pool.take(route_to(host)))
        await settle()
        await pool.close()
        with pytest.raises(Broken):
            await task
        assert pool._opening == set()


@pytest.fixture
async def no_failure_of_a_callback() -> AsyncIterator[None]:
    found: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield
    assert found == []


@pytest.mark.usefixtures("no_failure_of_a_callback")
async def test_a_name_is_looked_up_once_for_all_that_need_it_and_a_failure_is_that_of_all():
    asked: list[asyncio.Future[list[str]]] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(asyncio.get_running_loop().create_future())
        return await asked[-1]

    pool = Pool(HttpConfig(), lookup, reach_of)
    async with raw_server(silent, name=HOST) as host:
        tasks = [asyncio.create_task(pool.take(route_to(host))) for _ in range(3)]
        await settle()
        asked[0].set_exception(socket.gaierror(socket.EAI_NONAME, "unknown"))
        await asyncio.wait(tasks)
        assert [type(task.exception()) for task in tasks] == [socket.gaierror] * 3
        tasks = [asyncio.create_task(pool.take(route_to(host))) for _ in range(2)]
        await settle()
        tasks[0].cancel()  # the others still need the addresses
        await settle()
        asked[1].set_result(["127.0.0.1"])
        await tasks[1]
        await pool.take(route_to(host))
        assert len(asked) == 2
        await pool.close()


@pytest.mark.usefixtures("no_failure_of_a_callback")
async def test_closing_ends_a_lookup():
    async def lookup(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    pool = Pool(HttpConfig(), lookup, reach_of)
    pool.open_ahead(route_to(f"{HOST}:1"), 1)
    await settle()
    await pool.close()
    assert pool._lookups == {}


async def test_connections_are_checked_by_the_kernel_while_nothing_is_sent(pool: Pool):
    async with raw_server(silent) as host:
        wire = await pool.take(route_to(host))
        handle = wire.transport.get_extra_info("socket")
        assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_connection_to_a_server_that_cannot_be_trusted_is_closed(pool: Pool, tmp_path: Path):
    async with raw_server(silent, tls=Tls(tmp_path).server(HOST), name=HOST) as host:
        with pytest.raises(ssl.SSLCertVerificationError):
            await pool.take(route_to(host, scheme="https"))
        async with asyncio.timeout(5):
            await asyncio.gather(*(wire.closed for wire in pool._open))


async def test_the_tls_of_a_kept_connection_is_known_by_its_origin(tmp_path: Path):
    tls = Tls(tmp_path)
    pool = Pool(replace(HttpConfig(), ca_file=tls.file), RESOLVER, reach_of)
    async with raw_server(silent, tls=tls.server(HOST), name=HOST) as host, raw_server(silent) as plain:
        secure, other = route_to(host, scheme="https"), route_to(plain)
        assert secure.origin is not None
        assert other.origin is not None
        for route in (other, secure):
            pool.give_back(route, await pool.take(route))
        assert pool.tls_of(secure.origin) is not None
        assert pool.tls_of(other.origin) is None
        assert pool.tls_of(Origin.parse("https://elsewhere.example")) is None
        await pool.close()


async def accepts_tunnels(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 300 No\r\nContent-Length: 0\r\n\r\n")
    await reader.read()


async def test_a_tunnel_is_open_only_after_a_2xx(pool: Pool):
    async with raw_server(accepts_tunnels) as host:
        with pytest.raises(ProxyRefused, match="responds 300"):
            await pool.take(route_to(HOST, scheme="https", proxy=Origin.parse(f"http://{host}")))


async def test_a_proxy_that_does_not_speak_tls_is_named_with_the_reason(pool: Pool):
    async with raw_server(says_too_much) as host:
        proxy = Origin.parse(f"https://{host}")
        with pytest.raises(
            ProxyRefused, match=rf"handshake with the proxy https://{host} failed: wrong version number$"
        ):
            await pool.take(route_to(HOST, scheme="https", proxy=proxy))


@pytest.mark.parametrize("trusted", ["ca_file", "proxy_ca_file"])
async def test_the_authority_of_proxies_counts_for_proxies_only(tmp_path: Path, trusted):
    tls = Tls(tmp_path)
    pool = Pool(replace(HttpConfig(), **{trusted: tls.file}), RESOLVER, reach_of)
    async with raw_server(accepts_tunnels, tls=tls.server("proxy.example", HOST)) as host:
        port = host.partition(":")[2]
        proxy = Origin.parse(f"https://proxy.example:{port}")
        with pytest.raises(ProxyRefused, match="responds 300"):  # so the proxy is trusted
            await pool.take(route_to(HOST, scheme="https", proxy=proxy))
        direct = route_to(f"{HOST}:{port}", scheme="https")
        if trusted == "ca_file":
            assert isinstance(await pool.take(direct), Wire)
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await pool.take(direct)
        await pool.close()


async def test_a_host_name_that_no_resolver_can_take_is_an_error_that_names_it():
    async def lookup(host: str, port: int) -> list[str]:
        host.encode("idna")
        raise AssertionError("it has no address")

    pool = Pool(HttpConfig(), lookup, reach_of)
    with pytest.raises(UnsafeTarget, match="invalid host name"):
        await pool.take(Route(Origin("http", "a" * 64 + ".example", 80), EVERYWHERE))


def test_addresses_have_the_form_of_their_family():
    assert _info("::1", 5) == (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 5, 0, 0))
    assert _info("127.0.0.1", 5) == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 5))
