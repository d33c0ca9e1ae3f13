"""The chat on FastAPI, uvicorn, httpx and sse-starlette.

The environment names the upstream's address, `UPSTREAM`, and the database's file,
`HISTORY`; without one, messages are kept in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
from fastapi import FastAPI
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from benchmarks.http.peers.history import history_of
from benchmarks.http.peers.paragraphs import Paragraphs


class ChatRequest(BaseModel):
    """The body of `POST /api/chat`."""

    message: str
    session_id: str | None = None
    stream: bool = False


def create_app() -> FastAPI:
    """The application, for `uvicorn --factory`."""
    upstream = os.environ["UPSTREAM"]
    history = history_of(os.environ.get("HISTORY", ""))
    client = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        timeout=httpx.Timeout(120),
        trust_env=False,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await history.open()
        yield
        await client.aclose()
        await history.close()

    app = FastAPI(lifespan=lifespan)

    async def answer(session_id: str, message: str) -> AsyncIterator[dict[str, str]]:
        await history.add(session_id, "user", message)
        paragraphs, said = Paragraphs(), []
        async with client.stream("POST", upstream, content=message) as response:
            async for text in response.aiter_text():
                for paragraph in paragraphs.feed(text):
                    said.append(paragraph)
                    yield {"data": json.dumps({"chunk": paragraph})}
        await history.add(session_id, "assistant", "".join(said))
        end = {"done": True, "session_id": session_id, "outcome": "complete"}
        yield {"data": json.dumps(end)}

    @app.post("/api/chat")
    async def chat(request: ChatRequest) -> EventSourceResponse:
        session_id = request.session_id or str(uuid4())
        return EventSourceResponse(answer(session_id, request.message))

    return app
