"""The MCP client against servers of the official SDK, and over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import trustme
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    gatherResults,
    maybeDeferred,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater

from supportbot.errors import (
    CallLost,
    CallRefused,
    ServiceError,
    ServiceRefused,
    ServiceUnreachable,
)
from supportbot.services.assistant.mcp import McpClient
from supportbot.services.call import endpoint_of
from supportbot.settings import Deadlines, Retry, ShopSettings
from tests.mcp_servers import TOKEN, McpServer, mcp_server

PATIENT = Deadlines(connect=30.0, headers=60.0, idle=60.0, progress=60.0, total=60.0)
RETRY = Retry(attempts=3, budget=90.0, first=0.01)
MODERN, OLD = "2026-07-28", "2025-06-18"

KINDS = [
    (),
    ("json",),
    ("old",),
    ("old", "json"),
    ("old", "stateless"),
    ("old", "stateless", "json"),
]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[McpServer]:
    with mcp_server(*request.param) as running:
        yield running


def kinds(*words: tuple[str, ...]) -> pytest.MarkDecorator:
    """Run a test with servers of these kinds."""
    ids = [" ".join(one) or "newest" for one in words]
    return pytest.mark.parametrize("server", words, indirect=True, ids=ids)


@asynccontextmanager
async def joined(url: str, **settings: Any) -> AsyncIterator[McpClient]:
    """A client, which says good-bye."""
    from twisted.internet import reactor as running

    reactor: Any = running
    patience = {"token": TOKEN, "deadlines": PATIENT, "retry": RETRY}
    shop: Any = ShopSettings(url=url, **{**patience, **settings})
    client = McpClient(shop, reactor, endpoint_of(shop, reactor))
    try:
        yield client
    finally:
        await client.close()
        await deferLater(reactor, 0)  # a connection that was dropped is told so


@pytest_twisted.ensureDeferred
@kinds(*KINDS)
async def test_all_that_a_shop_can_be_asked(server: McpServer) -> None:
    words = set(server.words)
    sessions = words >= {"old"} and not words & {"stateless"}
    async with joined(server.url) as client:
        tools = {tool.name: tool for tool in await client.tools()}
        assert tools["get_product"].schema["required"] == ["sku"]
        assert tools["get_product"].description == "Tell about a product."
        for name in ("fail", "unknown", "get_product"):
            assert (await client.call(name, {}, safe=True)).failed
        result = await client.call("create_order", {"sku": "A"}, safe=False)
        assert (result.text, result.failed) == ("Order 1: 1 of A", False)
        assert (await client.call("ordered", {}, safe=True)).text == "A"
        # What it says and asks beside its answers, where it can.
        assert (await client.call("chatty", {}, safe=True)).text == "said"
        await client.tools()
        if sessions and "json" not in words:
            result = await client.call("curious", {}, safe=True)
            assert result.text == "it is there"
        elif not sessions:
            with pytest.raises(CallRefused):
                await client.call("curious", {}, safe=True)
        # And many at a time.
        many = [client.call("get_product", {"sku": n}, safe=True) for n in "abcdef"]
        results: Any = await gatherResults(map(Deferred.fromCoroutine, many))
        told = [result.text for result in results]
        assert told == [f"Product: Ünicode ✓\nSKU: {n}" for n in "abcdef"]
        assert not client.resting
    server.kill()
    probe, *rest = server.requests
    assert probe == f"POST /mcp {MODERN}"
    if "old" in words:
        assert rest[:2] == ["POST /mcp -", f"POST /mcp {OLD}"]
        del rest[:2]
    if sessions:
        assert rest.pop() == f"DELETE /mcp {OLD}"
    assert set(rest) == {f"POST /mcp {OLD if 'old' in words else MODERN}"}
    curious = not (sessions and "json" in words)
    pong = sessions and curious
    listed_again = "json" not in words
    assert len(rest) == 1 + 3 + 1 + 1 + 1 + listed_again + curious + pong + 6


@pytest_twisted.ensureDeferred
@kinds(("old",), ("old", "json"))
async def test_a_server_that_forgets_everything(server: McpServer) -> None:
    async with joined(server.url) as client:
        await client.call("create_order", {"sku": "A"}, safe=False)
        server.restart()
        assert (await client.call("ordered", {}, safe=True)).text == ""
        server.restart()
        with pytest.raises(ServiceRefused) as caught:
            await client.call("create_order", {"sku": "B"}, safe=False)
        assert caught.value.status == 404
        assert (await client.call("ordered", {}, safe=True)).text == ""


@pytest_twisted.ensureDeferred
@kinds((), ("old",), ("old", "json"))
async def test_calls_that_have_no_answer(server: McpServer) -> None:
    async with joined(server.url) as client:

        async def until(wanted: str) -> None:
            for _ in range(2_000):
                if (await client.call("ordered", {}, safe=True)).text == wanted:
                    return
            raise AssertionError(f"never {wanted!r}")

        calling = Deferred.fromCoroutine(client.call("slow", {}, safe=False))
        await until("slow")
        calling.cancel()  # the server has to hear of it
        with pytest.raises(CancelledError):
            await calling
        await until("slow cancelled")
        calling = Deferred.fromCoroutine(client.call("slow", {}, safe=False))
        await until("slow cancelled slow")
        server.kill()
        with pytest.raises(CallLost):
            await calling


@pytest_twisted.ensureDeferred
@kinds(())
async def test_settings_that_are_wrong(server: McpServer) -> None:
    async with joined(server.url, token="wrong") as client:
        with pytest.raises(ServiceRefused) as caught:
            await client.tools()
        assert caught.value.status == 401
    async with joined(server.url + "/") as client:
        assert await client.tools()
    server.kill()
    paths = [request.split()[1] for request in server.requests]
    assert paths == ["/mcp", "/mcp/", "/mcp", "/mcp"]


# TLS


class Shop(Protocol):
    """Answers the first connection, and does with the second what the test wants.

    Args:
        certificates: of the two.
        then: `answers`, `reads` and hangs up, or hangs up at once.
    """

    number = 0

    def __init__(self, certificates: list[Any], then: str) -> None:
        self._certificates, self._then = certificates, then
        self._first, Shop.number = Shop.number == 0, Shop.number + 1

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self._first or self._then != "nothing":
            transport.startTLS(self._certificates[not self._first].options())
        else:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if self._first or self._then == "answers":
            id = data.partition(b'"id":')[2].partition(b",")[0]
            result = b'{"resultType": "complete", "tools": [], "content": []}'
            body = b'{"jsonrpc": "2.0", "id": %b, "result": %b}' % (id, result)
            transport.write(
                b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body
            )
        transport.loseConnection()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("trusted", "then", "outcome"),
    [
        (True, "answers", None),
        (True, "reads", CallLost),
        (True, "nothing", ServiceUnreachable),
        (False, "answers", ServiceUnreachable),
    ],
)
async def test_what_left_over_tls(
    trusted: bool, then: str, outcome: type[ServiceError] | None, tmp_path: Path
) -> None:
    from twisted.internet import reactor as running

    reactor: Any = running
    known = trustme.CA()
    known.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificates = [
        PrivateCertificate.loadPEM(
            authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()
        )
        for authority in (known, known if trusted else trustme.CA())
    ]
    Shop.number = 0
    factory: Any = Factory.forProtocol(lambda: Shop(certificates, then))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    url = f"https://localhost:{port.getHost().port}/mcp"
    try:
        async with joined(url, ca_file=str(tmp_path / "ca.pem")) as client:
            calling = Deferred.fromCoroutine(client.call("order", {}, safe=False))
            result: Any = await calling.addErrback(lambda failure: failure.value)
            if outcome is None:
                assert not result.failed
            else:
                assert type(result) is outcome
        assert Shop.number == 2
    finally:
        await maybeDeferred(port.stopListening)
