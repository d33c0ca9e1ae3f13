"""The client of a language model's server: OpenAI's Chat Completions, or the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from supportbot.context import Logger
from supportbot.errors import (
    AnswerUnusable,
    BodyCut,
    ModelRefused,
    NoProgress,
    ServiceError,
    ServiceTimedOut,
)
from supportbot.services.assistant.calls import ToolCall
from supportbot.services.assistant.chunks import Chunks, Completion
from supportbot.services.assistant.refusal import Refusal, advice, refusal
from supportbot.services.call import (
    Answering,
    Caller,
    Target,
    media_type,
    reading,
    retry_after,
)
from supportbot.settings import AssistantSettings
from supportbot.streaming.body import Body
from supportbot.streaming.runaway import Guard

__all__ = ["Completion", "Completions", "ToolCall"]

_STREAM, _JSON = "text/event-stream", "application/json"
_REFUSED = 64 * 1024  # bytes that a server may take to say why it does not answer
_PATIENCE = 2.0  # seconds for what may follow the reason for the answer's end
_REMIND = 60.0  # seconds until the operator is told the same again

_log = Logger()


def _new_id() -> str:
    return f"call_{uuid4().hex[:24]}"


class Completions:
    """Asks the model.

    Args:
        settings: where its server is, what it is asked for, how patient we are.
        reactor: for the deadlines.
        endpoint: where to connect.
        new_id: makes an id for a call of a tool that came without one.
    """

    def __init__(
        self,
        settings: AssistantSettings,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self._settings, self._reactor, self._new_id = settings, reactor, new_id
        target = Target(
            url=_url(settings.url),
            ca_file=settings.ca_file,
            deadlines=settings.deadlines,
            bounds=settings.bounds,
        )
        self._caller = Caller(target, reactor, endpoint)
        self._renamed: set[str] = set()  # models that know no `max_tokens`
        self._told: dict[str, float] = {}  # when the operator was told what

    async def ask(
        self,
        messages: Sequence[Mapping[str, object]],
        tools: Sequence[Mapping[str, object]],
        hear: Callable[[str], None],
        model: str | None = None,
        may_call: bool = True,
    ) -> Completion:
        """Ask once, and return when the answer is whole.

        Cancelling it closes the connection.

        Args:
            messages: as the API has them.
            tools: that are described to the model, as the API has them.
            hear: gets each piece of text as it comes. What it raises ends the answer,
                and is raised here.
            model: another one than that of the settings.
            may_call: whether tools may be called now.

        Raises:
            ModelRefused: the server does not take the question, or gives up.
            AnswerWithheld: it does not take it for what it says.
            ServiceError: the answer can't be had, or is not whole.
        """
        model = model or self._settings.model
        most = "max_completion_tokens" if model in self._renamed else "max_tokens"
        request: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            most: self._settings.answer,
        }
        if self._settings.temperature is not None:
            request["temperature"] = self._settings.temperature
        if tools:
            request["tools"] = tools
            if not may_call:
                request["tool_choice"] = "none"
        body = msgspec.json.encode(request)
        answering = await self._caller.ask("POST", self._headers(), body)
        try:
            if answering.response.code == 200:
                return await self._read(answering, hear)
            refused = await self._refused(answering)
            if not refused.renamed or most != "max_tokens":
                raise refused.error
        except ModelRefused as error:
            self._tell(error, model)
            raise
        self._renamed.add(model)
        return await self.ask(messages, tools, hear, model, may_call)

    def _headers(self) -> Headers:
        headers = Headers({"accept": [f"{_STREAM}, {_JSON}"], "content-type": [_JSON]})
        if self._settings.api_key:
            bearer = f"Bearer {self._settings.api_key}"
            headers.setRawHeaders("authorization", [bearer])
        return headers

    async def _read(
        self, answering: Answering, hear: Callable[[str], None]
    ) -> Completion:
        bounds, chunks = self._settings.bounds, Chunks(self._new_id)
        media = media_type(answering.response.headers)
        if media == _JSON:  # some servers never stream
            whole = await self._caller.read(answering, bounds.body)
            for piece in filter(None, chunks.whole(whole)):
                hear(piece)
        elif media in {"", _STREAM}:
            await self._stream(answering, chunks, hear)
        else:
            answering.hang_up()
            what = f"content type {media!r} where {_STREAM} was expected"
            raise AnswerUnusable(what)
        return chunks.completion()

    async def _stream(
        self,
        answering: Answering,
        chunks: Chunks,
        hear: Callable[[str], None],
    ) -> None:
        def give(piece: str) -> None:
            if chunks.finish:
                farewell.wait()
            if piece:
                hear(piece)  # who may end it all

        bounds = self._settings.bounds
        body = reading(
            self._reactor,
            self._settings.deadlines,
            answering,
            chunks,
            give,
            Guard(bounds.repeated, bounds.body),
        )
        farewell = _Farewell(self._reactor, body)
        answering.response.deliverBody(body)
        try:
            await body.done
        except (BodyCut, ServiceTimedOut, NoProgress):
            if not chunks.finish:
                raise
        finally:
            farewell.end()

    async def _refused(self, answering: Answering) -> Refusal:
        response = answering.response
        try:
            body = await self._caller.read(answering, _REFUSED)
        except ServiceError:  # then we don't know why
            body = b""
        return refusal(response.code, body, retry_after(response.headers))

    def _tell(self, error: ModelRefused, model: str) -> None:
        """Tell the operator what is to be done, unless that was told just now.

        What the server says about it is left out: it may quote the key and customers.
        """
        reason = advice(error)
        now = self._reactor.seconds()
        if not reason or now - self._told.get(reason, -_REMIND) < _REMIND:
            return
        self._told[reason] = now
        _log.error(
            "the language model does not answer: {reason} (model {model},"
            " status {status}, code {code})",
            reason=reason,
            model=model,
            status=error.status,
            code=error.code or "none",
        )


class _Farewell:
    """Wait no longer than a moment for what may follow the end of an answer.

    These are the count of tokens and `[DONE]`; some servers send neither, and keep the
    connection open.
    """

    def __init__(self, clock: IReactorTime, body: Body[str]) -> None:
        self._clock, self._body = clock, body
        self._call: IDelayedCall | None = None

    def wait(self) -> None:
        """Something came; there may be more."""
        if self._call is None:
            self._call = self._clock.callLater(_PATIENCE, self._enough)
        else:
            self._call.reset(_PATIENCE)

    def end(self) -> None:
        """The body is over."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _enough(self) -> None:
        self._body.connectionLost(Failure(ResponseDone()))


def _url(base: str) -> str:
    """Of the API's one endpoint that we need; a base may have a query, as on Azure."""
    parts = urlsplit(base)
    path = f"{parts.path.rstrip('/')}/chat/completions"
    return parts._replace(path=path, fragment="").geturl()
