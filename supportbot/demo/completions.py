"""The simulated language model's endpoint: an API that is compatible with OpenAI's.

It takes any key but `wrong`, and any model but `unknown-model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from supportbot.channels.http.exchange import Exchange
from supportbot.demo.chat_request import (
    UNKNOWN_MODEL,
    ChatRequest,
    Refusal,
    chat_request,
    model_not_found,
)
from supportbot.demo.model import Speech, speak
from supportbot.demo.web import encode, respond_json

BASE = "/v1"

_WRONG_KEY = "Bearer wrong"
_MODELS = ("gpt-4o-mini", "gpt-4o", "demo")  # that are listed; others are taken too
_TOKEN = re.compile(r"\s*\S{1,12}|\s+")
_FRAGMENT = 12  # characters of a call's arguments that come together
_BYTES_PER_TOKEN = 4


class Completions:
    """Answer requests.

    Args:
        clock: for the time that words take.
        delay: seconds between two of them.
        now: seconds since 1970.
        new_id: makes ids of answers and of calls.
    """

    def __init__(
        self,
        clock: IReactorTime,
        delay: float,
        now: Callable[[], float],
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self._clock, self._delay = clock, delay
        self._now, self._new_id = now, new_id

    def answer(self, exchange: Exchange) -> None:
        """Answer one HTTP request."""
        try:
            self._answer(exchange)
        except Refusal as refusal:
            respond_json(exchange, refusal.status, refusal.body)

    def _answer(self, exchange: Exchange) -> None:
        if exchange.header(b"authorization") == _WRONG_KEY:
            what = "Incorrect API key provided: wrong."
            raise Refusal(401, what, code="invalid_api_key")
        method, target = exchange.method.decode("latin-1"), exchange.target
        if (method, target) == ("POST", f"{BASE}/chat/completions"):
            self._complete(exchange, chat_request(exchange.body))
        elif (method, target) == ("GET", f"{BASE}/models"):
            listed = [self._model(name) for name in _MODELS]
            respond_json(exchange, 200, {"object": "list", "data": listed})
        elif method == "GET" and target.startswith(f"{BASE}/models/"):
            name = target.removeprefix(f"{BASE}/models/")
            if name == UNKNOWN_MODEL:
                raise model_not_found(name)
            respond_json(exchange, 200, self._model(name))
        else:
            raise Refusal(404, f"Invalid URL ({method} {target})")

    def _model(self, name: str) -> dict[str, Any]:
        created = int(self._now())
        return {"id": name, "object": "model", "created": created, "owned_by": "demo"}

    def _complete(self, exchange: Exchange, request: ChatRequest) -> None:
        answer = _Answer(
            request,
            speak(request.messages, request.tools),
            len(exchange.body) // _BYTES_PER_TOKEN + 1,
            f"chatcmpl-{self._new_id()}",
            int(self._now()),
            [f"call_{self._new_id()}" for _ in range(_MOST_CALLS)],
        )
        if not request.stream:
            respond_json(exchange, 200, answer.whole())
            return
        if not exchange.begin_stream("text/event-stream; charset=utf-8"):
            return
        telling = Deferred.fromCoroutine(self._tell(exchange, answer))
        telling.addErrback(partial(_broke, exchange))
        exchange.on_gone(telling.cancel)  # also when we stop: that hangs up

    async def _tell(self, exchange: Exchange, answer: _Answer) -> None:
        for number, chunk in enumerate(answer.chunks()):
            if number and self._delay:
                await deferLater(self._clock, self._delay)
            exchange.send(b"data: %b\n\n" % encode(chunk))
        exchange.send(b"data: [DONE]\n\n")
        exchange.finish()


def _broke(exchange: Exchange, why: Failure) -> None:
    if not why.check(CancelledError):  # the client is gone, or we are about to be
        exchange.fail(why)


_MOST_CALLS = 8  # of tools, in one answer


class _Answer:
    """One answer in the shapes of the API.

    Args:
        read: tokens of the request.
        calls: ids for the calls.
    """

    def __init__(
        self,
        request: ChatRequest,
        speech: Speech,
        read: int,
        id: str,
        created: int,
        calls: list[str],
    ) -> None:
        self._request, self._read = request, read
        self._id, self._created = id, created
        tokens: list[str] = _TOKEN.findall(speech.text)
        self._calls = list(zip(calls, speech.calls, strict=False))
        self._reason = "tool_calls" if self._calls else "stop"
        if request.most is not None and len(tokens) > request.most:
            tokens, self._reason = tokens[: request.most], "length"
        self._tokens = tokens
        arguments = sum(len(call.arguments) for _, call in self._calls)
        self._written = len(tokens) + arguments // _BYTES_PER_TOKEN + 1

    def whole(self) -> dict[str, Any]:
        """All of it at once."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._tokens) or None,
            "refusal": None,
        }
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for id, call in self._calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": self._reason}
        head = self._head("chat.completion")
        return head | {"choices": [choice], "usage": self._usage()}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Piece by piece."""
        content = None if self._calls and not self._tokens else ""
        yield self._chunk({"role": "assistant", "content": content})
        for token in self._tokens:
            yield self._chunk({"content": token})
        for index, (id, call) in enumerate(self._calls):
            function = {"name": call.name, "arguments": ""}
            first = {"index": index, "id": id, "type": "function", "function": function}
            yield self._chunk({"tool_calls": [first]})
            for at in range(0, len(call.arguments), _FRAGMENT):
                fragment = {"arguments": call.arguments[at : at + _FRAGMENT]}
                yield self._chunk(
                    {"tool_calls": [{"index": index, "function": fragment}]}
                )
        yield self._chunk({}, self._reason)
        if self._request.usage:
            head = self._head("chat.completion.chunk")
            yield head | {"choices": [], "usage": self._usage()}

    def _chunk(
        self, delta: dict[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = self._head("chat.completion.chunk") | {"choices": [choice]}
        return chunk | {"usage": None} if self._request.usage else chunk

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._request.model,
        }

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self._read,
            "completion_tokens": self._written,
            "total_tokens": self._read + self._written,
        }
