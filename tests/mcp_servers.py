"""Servers made with the official SDK, each a process: `python -m tests.mcp_servers`."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.program import PATIENCE, ROOT, environment

TOKEN = "s3cret-token"


def add_tools(server: Any) -> None:
    """What the servers can do."""
    from mcp.server.mcpserver import Context
    from mcp.shared.message import ServerMessageMetadata
    from mcp_types import EmptyResult, PingRequest, ToolListChangedNotification

    orders: list[str] = []

    def get_product(sku: str) -> str:
        """Tell about a product."""
        return f"Product: Ünicode ✓\nSKU: {sku}"

    def fail() -> str:
        """Fail."""
        raise ValueError("not today")

    def create_order(sku: str, quantity: int = 1) -> str:
        """Order something."""
        orders.append(sku)
        return f"Order {len(orders)}: {quantity} of {sku}"

    async def slow() -> str:
        """Never end; the order stands at once."""
        orders.append("slow")
        try:
            await asyncio.Event().wait()
        finally:
            orders.append("cancelled")
        return ""

    def ordered() -> str:
        """Tell what was ordered."""
        return " ".join(orders)

    async def chatty(ctx: Any) -> str:
        """Talk before the answer."""
        await ctx.info("soon")
        changed = ToolListChangedNotification()
        await ctx.session.send_notification(changed, related_request_id=ctx.request_id)
        return "said"

    async def curious(ctx: Any) -> str:
        """Ask the client something before the answer."""
        beside = ServerMessageMetadata(related_request_id=ctx.request_id)
        await ctx.session.send_request(PingRequest(), EmptyResult, metadata=beside)
        return "it is there"

    for speaking in (chatty, curious):
        speaking.__annotations__["ctx"] = Context
    for tool in (get_product, fail, create_order, slow, ordered, chatty, curious):
        server.add_tool(tool)


def main(descriptor: str, *words: str) -> None:
    """Serve until the process is ended."""
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("shop", log_level="CRITICAL")
    add_tools(server)
    app: Any = server.streamable_http_app(
        json_response="json" in words, stateless_http="stateless" in words
    )

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        status = 200
        if scope["type"] == "http":
            version = headers.get(b"mcp-protocol-version", b"-").decode()
            print(scope["method"], scope["path"], version, flush=True)
            if headers.get(b"authorization") != f"Bearer {TOKEN}".encode():
                status = 401
            elif "old" in words and version == "2026-07-28":
                status = 400
        if status == 200:
            await app(scope, receive, send)
        else:
            start = {"type": "http.response.start", "status": status, "headers": []}
            await send(start)
            await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(watched, log_level="critical")
    uvicorn.Server(config).run([socket.socket(fileno=int(descriptor))])


class McpServer:
    """A server that runs; who connects before it does has to wait.

    Attributes:
        words: see `mcp_server`.
        url: where it is.
        requests: what it was asked until it ended: method of HTTP, path, version.
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/mcp"
        self.requests: list[str] = []
        self._begin()

    def restart(self) -> None:
        """Have it forget everything."""
        self.kill()
        self._begin()

    def kill(self) -> None:
        """End it where it stands, if it has not ended yet."""
        if self._process.returncode is not None:
            return
        self._process.kill()
        assert self._process.stdout is not None
        with self._process.stdout:
            self.requests += self._process.stdout.read().splitlines()
        self._process.wait(PATIENCE)

    def close(self) -> None:
        """End it, and take no more connections."""
        self.kill()
        self._listening.close()

    def _begin(self) -> None:
        descriptor = self._listening.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mcp_servers", str(descriptor), *self.words],
            cwd=ROOT,
            env=environment(),
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
            text=True,
        )


@contextmanager
def mcp_server(*words: str) -> Iterator[McpServer]:
    """A server made with the official SDK.

    Args:
        words: `json` for answers that are one object, `stateless` for no sessions,
            `old` for no protocol without sessions.
    """
    server = McpServer(words)
    try:
        yield server
    finally:
        server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
