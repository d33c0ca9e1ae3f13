"""The chat on aiohttp alone, server and client, over uvloop.

The environment names the upstream's address, `UPSTREAM`, and the database's file,
`HISTORY`; without one, messages are kept in memory.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from benchmarks.http.peers.history import history_of
from benchmarks.http.peers.paragraphs import Paragraphs

_CLIENT = web.AppKey("client", ClientSession)


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def create_app() -> web.Application:
    """The application."""
    upstream = os.environ["UPSTREAM"]
    history = history_of(os.environ.get("HISTORY", ""))

    async def resources(app: web.Application) -> AsyncIterator[None]:
        await history.open()
        async with ClientSession(
            connector=TCPConnector(limit=0), timeout=ClientTimeout(total=120)
        ) as app[_CLIENT]:
            yield
        await history.close()

    async def chat(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        message = asked["message"]
        session_id = asked.get("session_id") or str(uuid4())
        await history.add(session_id, "user", message)
        stream = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await stream.prepare(request)
        paragraphs, said = Paragraphs(), []
        client = request.app[_CLIENT]
        async with client.post(upstream, data=message.encode()) as response:
            async for piece in response.content.iter_any():
                for paragraph in paragraphs.feed(piece.decode()):
                    said.append(paragraph)
                    await stream.write(_event({"chunk": paragraph}))
        await history.add(session_id, "assistant", "".join(said))
        end = {"done": True, "session_id": session_id, "outcome": "complete"}
        await stream.write(_event(end))
        await stream.write_eof()
        return stream

    app = web.Application()
    app.cleanup_ctx.append(resources)
    app.router.add_post("/api/chat", chat)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on a port of this machine."""
    parser = argparse.ArgumentParser("python -m benchmarks.http.peers.aiohttp_chat")
    parser.add_argument("port", type=int)
    port = parser.parse_args(arguments).port
    web.run_app(
        create_app(),
        host="127.0.0.1",
        port=port,
        access_log=None,
        backlog=2048,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
