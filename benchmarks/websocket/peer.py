"""The chat over WebSockets on FastAPI, uvicorn and the client of aiohttp.

The environment names the upstream's address, `UPSTREAM`, and the database's file,
`HISTORY`; without one, messages are kept in memory. aiohttp asks, not httpx, as it is
much the faster of the two. Garbage is collected as seldom as supportbot does it: with
thousands of connections, this halves the longest delays, and the time to connect.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import uuid4

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from benchmarks.http.peers.history import History, history_of
from benchmarks.http.peers.paragraphs import Paragraphs

_COLLECT = 100_000, 10, 20  # what supportbot sets


class Start(BaseModel):
    """Open a session."""

    action: Literal["chatbot_session_start"]
    gpt_model: str | None = None


class Post(BaseModel):
    """Say something in it."""

    action: Literal["chatbot_post_message"]
    session_id: str
    user_message: str
    stream: bool = False


class End(BaseModel):
    """Close it."""

    action: Literal["chatbot_session_end"]
    session_id: str


_ACTION: TypeAdapter[Start | Post | End] = TypeAdapter(
    Annotated[Start | Post | End, Field(discriminator="action")]
)


class Connection:
    """One client, and its sessions; those of one session are answered in turn."""

    def __init__(
        self, socket: WebSocket, client: ClientSession, upstream: str, history: History
    ) -> None:
        self._socket, self._client = socket, client
        self._upstream, self._history = upstream, history
        self._sessions: dict[str, asyncio.Lock] = {}
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the client leaves."""
        try:
            while True:
                await self._take(await self._socket.receive_text())
        except WebSocketDisconnect:
            pass
        finally:
            for answer in self._answers:
                answer.cancel()

    async def _take(self, text: str) -> None:
        try:
            action = _ACTION.validate_json(text)
        except ValidationError as error:
            await self._send("error", f"Unexpected error occurred. Reason: {error}")
            return
        match action:
            case Start():
                session_id = str(uuid4())
                self._sessions[session_id] = asyncio.Lock()
                await self._send("session_start", {"session_id": session_id})
            case End():
                self._sessions.pop(action.session_id, None)
                await self._send("session_end")
            case Post():
                answer = asyncio.create_task(self._post(action))
                self._answers.add(answer)
                answer.add_done_callback(self._answers.discard)

    async def _post(self, post: Post) -> None:
        session = self._sessions.get(post.session_id)
        if session is None:
            await self._send("error", "The session is not found.")
            return
        async with session:
            await self._send("processing_start")
            try:
                await self._answer(post)
            except (ClientError, TimeoutError):
                await self._send("error", "Unable to process the request.")
            else:
                await self._send("processing_end")

    async def _answer(self, post: Post) -> None:
        await self._history.add(post.session_id, "user", post.user_message)
        paragraphs, said = Paragraphs(), list[str]()
        message = post.user_message.encode()
        async with self._client.post(self._upstream, data=message) as response:
            async for piece in response.content.iter_any():
                for text in paragraphs.feed(piece.decode()):
                    said.append(text)
                    if post.stream:
                        chunk = {"seq": len(said), "text": text, "format": "html"}
                        await self._send("message_chunk", chunk)
        whole = "".join(said)
        await self._history.add(post.session_id, "assistant", whole)
        await self._send("message", whole)

    async def _send(self, type: str, data: Any = None) -> None:
        await self._socket.send_json({"type": type, "data": data})


def create_app() -> FastAPI:
    """The application, for `uvicorn --factory`."""
    upstream = os.environ["UPSTREAM"]
    history = history_of(os.environ.get("HISTORY", ""))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, ClientSession]]:
        await history.open()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        async with ClientSession(
            connector=TCPConnector(limit=0), timeout=ClientTimeout(total=120)
        ) as client:
            yield {"client": client}
        await history.close()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws")
    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        await Connection(socket, socket.state.client, upstream, history).run()

    return app
