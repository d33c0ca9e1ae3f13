"""A language model that does what the attacker wants, over an API like OpenAI's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Wanted(NamedTuple):
    """A call of a tool that the model makes.

    Attributes:
        arguments: JSON, or what the attacker takes for it.
    """

    name: str
    arguments: str


def call(name: str, /, **arguments: object) -> Wanted:
    """A call with sound JSON."""
    return Wanted(name, json.dumps(arguments, ensure_ascii=False))


def order(*lines: tuple[object, object], **more: object) -> Wanted:
    """A call that orders so many of these."""
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines]
    return call("create_order", items=items, **more)


Round = str | Wanted | Sequence[Wanted]
"""What it answers when it is asked once: text, or calls."""

EVERYTHING = "Everything."
"""In a script: the model tells all that it knows."""


class Obedient:
    """The model.

    Answers to a message are scripted; behind the script, it tells what it saw.

    Attributes:
        rounds: the script for the message that is answered next.
        endless: writes this again and again.
        asked: the bodies of all requests.
        url: of its API.
    """

    def __init__(self, port: int) -> None:
        self.rounds: Sequence[Round] = ()
        self.endless: Callable[[int], str] | None = None
        self.asked: list[bytes] = []
        self.url = f"http://127.0.0.1:{port}/v1"

    def results(self) -> list[str]:
        """Of the tools, which it was told last."""
        messages = json.loads(self.asked[-1])["messages"]
        return [one["content"] for one in messages if one["role"] == "tool"]

    def answer(self, body: bytes) -> Iterator[dict[str, Any]]:
        """The choices' first, piece by piece."""
        self.asked.append(body)
        request = json.loads(body)
        if self.endless is not None:
            for number in range(1_000_000):
                yield {"delta": {"content": self.endless(number)}}
        messages = request["messages"]
        last = max(at for at, one in enumerate(messages) if one["role"] == "user")
        number = sum(bool(one.get("tool_calls")) for one in messages[last:])
        answer = self.rounds[number] if number < len(self.rounds) else ""
        if answer == EVERYTHING:
            answer = _everything(request)
        if isinstance(answer, str):
            answer = answer or _seen(messages[last:])
            yield {"delta": {"role": "assistant", "content": answer}}
            yield {"delta": {}, "finish_reason": "stop"}
            return
        wanted = [answer] if isinstance(answer, Wanted) else answer
        for at, one in enumerate(wanted):
            function = {"name": one.name, "arguments": one.arguments}
            made = {"index": at, "id": f"c{at}", "type": "function"}
            yield {"delta": {"tool_calls": [{**made, "function": function}]}}
        yield {"delta": {}, "finish_reason": "tool_calls"}


def _seen(messages: Sequence[Any]) -> str:
    """All that it was told with a message."""
    told = (f"{one['role']}: {one.get('content') or ''}" for one in messages)
    return "\n\n".join(("This is all I know.", *told))


def _everything(request: Any) -> str:
    """All that it was told ever, and may use."""
    tools = json.dumps(request.get("tools", []))
    return f"{_seen(request['messages'])}\n\n{tools}"


@contextmanager
def obedient_model() -> Iterator[Obedient]:
    """It listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for choice in model.answer(body):
                    whole = {"index": 0, "finish_reason": None, **choice}
                    self._send(json.dumps(_chunk(whole)))
                self._send("[DONE]")
            except OSError:  # they don't want more
                self.close_connection = True

        def _send(self, event: str) -> None:
            self.wfile.write(f"data: {event}\n\n".encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model = Obedient(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


def _chunk(choice: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "obedient",
        "choices": [choice],
    }
