"""The chat as people write it: FastAPI, the `openai` library, `StreamingResponse`.

The environment names the address of the model, `UPSTREAM`. What was said is kept in
memory, and sent along with each question.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from uuid import uuid4

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

_SYSTEM = "You are the assistant of a shop. Be brief and friendly. " * 20


class ChatRequest(BaseModel):
    """The body of `POST /api/chat`."""

    message: str
    session_id: str | None = None
    stream: bool = False


def create_app() -> FastAPI:
    """The application, for `uvicorn --factory`."""
    client = AsyncOpenAI(
        base_url=f"{os.environ['UPSTREAM']}v1",
        api_key="key",
        http_client=DefaultAsyncHttpxClient(trust_env=False, timeout=120),
    )
    sessions: dict[str, list[ChatCompletionMessageParam]] = {}
    app = FastAPI()

    async def answer(session_id: str, message: str) -> AsyncIterator[str]:
        first: ChatCompletionMessageParam = {"role": "system", "content": _SYSTEM}
        messages = sessions.setdefault(session_id, [first])
        messages.append({"role": "user", "content": message})
        said = []
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                said.append(text)
                yield f"data: {json.dumps({'chunk': text})}\n\n"
        messages.append({"role": "assistant", "content": "".join(said)})
        end = {"done": True, "session_id": session_id, "outcome": "complete"}
        yield f"data: {json.dumps(end)}\n\n"

    @app.post("/api/chat")
    async def chat(request: ChatRequest) -> StreamingResponse:
        session_id = request.session_id or str(uuid4())
        events = answer(session_id, request.message)
        return StreamingResponse(events, media_type="text/event-stream")

    return app
