"""How we speak with an MCP server: streamable HTTP in all its kinds.

A server of the protocol 2026-07-28 takes each request by itself. Older ones may want to
be initialised first, and may give a session that they can forget. Which kind a server
is shows when it is first asked for something harmless in the newest way; it is
remembered until the server refuses to be spoken to like that.

Each request has a connection of its own. What left on it is told by a `Trace`, since
that decides whether a request that failed can have been carried out.
"""

from __future__ import annotations

import itertools
import re
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from supportbot import __version__
from supportbot.context import Logger
from supportbot.errors import (
    AnswerUnusable,
    BodyBroken,
    CallRefused,
    NoProgress,
    ServiceError,
    ServiceRefused,
    ServiceTimedOut,
)
from supportbot.services.assistant import rpc
from supportbot.services.assistant.trace import Line, Trace
from supportbot.services.call import (
    Answering,
    Caller,
    Target,
    media_type,
    reading,
    retry_after,
)
from supportbot.streaming.runaway import Guard

MODERN = "2026-07-28"
_PROPOSED = "2025-06-18"  # newer ones may leave the answer to another request
_WITH_SESSIONS = frozenset({"2024-11-05", "2025-03-26", _PROPOSED, "2025-11-25"})

_JSON, _STREAM = "application/json", "text/event-stream"
_ACCEPT = f"{_JSON}, {_STREAM}"
_SESSION = re.compile(rb"[\x21-\x7e]{1,1024}")
_PLAIN = re.compile(r"(?!=\?base64\?)[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_WHO = {"name": "supportbot", "version": __version__}
_META = "io.modelcontextprotocol"
_ENVELOPE: Mapping[str, object] = {
    f"{_META}/protocolVersion": MODERN,
    f"{_META}/clientCapabilities": {},
    f"{_META}/clientInfo": _WHO,
}

_BRIEF = 3.0  # seconds for what nobody waits for
_REFUSAL = 65_536  # bytes of a refusal's body
_ANSWERED = 16  # questions of the server during one request
_NOT_THE_KIND = {401, 403, 408, 425, 429}  # statuses that say nothing of the protocol

_log = Logger()


class _Terms(msgspec.Struct, frozen=True):
    """What was agreed upon with the server; its session is a secret."""

    version: str
    session: bytes | None = None

    def __repr__(self) -> str:
        return f"_Terms({self.version!r})"


class McpSession:
    """The conversation with one server.

    Args:
        target: where it is, and how patient we are.
        token: shown to it with each request.
        endpoint: where to connect.
        changed: is called when the server says that it has other tools now.
    """

    def __init__(
        self,
        target: Target,
        token: str | None,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        changed: Callable[[], None],
    ) -> None:
        self._target, self._token, self._reactor = target, token, reactor
        self._endpoint, self._changed = endpoint, changed
        self._ids = itertools.count(1)
        self._terms: _Terms | None = None
        self._ways = [self._probed, self._initialised, self._bare]  # the best first
        self._agreeing = DeferredLock()
        self._beside = set[Deferred[None]]()  # what nobody waits for

    @property
    def agreed(self) -> bool:
        """Whether it is known how to speak with the server."""
        return self._terms is not None

    async def agree(self) -> None:
        """Find out how to speak with the server, once for all who want to know.

        Raises:
            ServiceError: in no way.
        """
        await self._agreed()

    async def ask(
        self,
        method: str,
        params: Mapping[str, Any],
        trace: Trace | None = None,
        *,
        again: bool,
    ) -> Mapping[str, Any]:
        """Send a request; returns its result.

        Args:
            trace: is kept for this request, whatever else has to be sent for it.
            again: whether it may be sent once more, if the server has forgotten the
                session or is of another kind now.

        Raises:
            ServiceError: `CallRefused` if it is the server's word.
        """
        terms = await self._agreed()
        try:
            return await self._ask(terms, method, params, trace or Trace())
        except (ServiceRefused, CallRefused) as error:
            if not _outdated(error):
                raise
            if self._terms is terms:
                self._terms = None
            if not again:
                raise
        terms = await self._agreed()
        return await self._ask(terms, method, params, trace or Trace())

    async def close(self) -> None:
        """Let the server forget the session, if it takes no time."""
        for beside in list(self._beside):
            beside.cancel()
        terms, self._terms = self._terms, None
        if terms is None or terms.session is None:
            return
        try:
            leaving = Deferred.fromCoroutine(self._leave(terms))
            await leaving.addTimeout(_BRIEF, self._reactor)
        except (ServiceError, TookTooLong) as error:
            _log.debug("a session was not closed: {kind}", kind=type(error).__name__)

    async def _leave(self, terms: _Terms) -> None:
        answering = await self._send("DELETE", self._headers(terms), None, Trace())
        answering.hang_up()

    # How to speak

    async def _agreed(self) -> _Terms:
        if self._terms is not None:
            return self._terms
        await self._agreeing.acquire()
        try:
            if self._terms is None:
                self._terms = await self._found()
                _log.debug("MCP {version} is spoken", version=self._terms.version)
            return self._terms
        finally:
            self._agreeing.release()

    async def _found(self) -> _Terms:
        *ways, last = self._ways
        for way in ways:
            try:
                terms = await way()
            except (ServiceRefused, CallRefused) as error:
                if not _another_kind(error):
                    raise
            else:
                break
        else:
            way, terms = last, await last()
        self._ways.remove(way)
        self._ways.insert(0, way)  # it will most likely do again
        return terms

    async def _probed(self) -> _Terms:
        terms = _Terms(MODERN)
        result = await self._ask(terms, "tools/list", {}, Trace())
        if "resultType" not in result:  # an older one that does not look at versions
            raise CallRefused(rpc.WRONG_VERSION)
        return terms

    async def _initialised(self) -> _Terms:
        params = {
            "protocolVersion": _PROPOSED,
            "capabilities": {},
            "clientInfo": _WHO,
        }
        headers = self._headers(None)
        id = next(self._ids)
        message = rpc.request(id, "initialize", params)
        answering = await self._send("POST", headers, message, Trace())
        result = await self._result(answering, id, None)
        version = result.get("protocolVersion")
        if not isinstance(version, str) or version not in _WITH_SESSIONS:
            raise AnswerUnusable("the server speaks a version of MCP that we don't")
        sessions = answering.response.headers.getRawHeaders(b"mcp-session-id")
        session = sessions[0] if sessions else None
        if session is not None and not _SESSION.fullmatch(session):
            raise AnswerUnusable("the session's id is none")
        terms = _Terms(version, session)
        await self._tell(terms, rpc.notification("notifications/initialized", {}))
        return terms

    async def _bare(self) -> _Terms:
        terms = _Terms(_PROPOSED)
        await self._ask(terms, "tools/list", {}, Trace())
        return terms

    # Requests, and what goes beside them

    async def _ask(
        self, terms: _Terms, method: str, params: Mapping[str, Any], trace: Trace
    ) -> Mapping[str, Any]:
        id = next(self._ids)
        modern = terms.version == MODERN
        try:
            message = rpc.request(
                id, method, {**params, "_meta": _ENVELOPE} if modern else params
            )
        except UnicodeEncodeError as error:
            raise AnswerUnusable("arguments that are no text") from error
        headers = self._headers(terms, method, params.get("name"))
        try:
            answering = await self._send("POST", headers, message, trace)
            result = await self._result(answering, id, terms)
        except (CancelledError, ServiceTimedOut, NoProgress):
            if trace.sent and not modern:  # there, the end of the connection says it
                gone = rpc.notification("notifications/cancelled", {"requestId": id})
                self._aside(self._tell(terms, gone))
            raise
        if result.get("resultType", "complete") != "complete":
            raise AnswerUnusable("a result that is not complete")
        return result

    async def _tell(self, terms: _Terms, message: bytes) -> None:
        """Send what has no answer."""
        answering = await self._send("POST", self._headers(terms), message, Trace())
        answering.hang_up()
        if not 200 <= answering.response.code < 300:
            _refuse(answering)

    def _aside(self, telling: Coroutine[Deferred[Any], Any, None]) -> None:
        """Let it be done while nobody waits for it."""

        def done(result: object) -> None:
            self._beside.discard(beside)
            if isinstance(result, Failure) and not result.check(
                ServiceError, TookTooLong, CancelledError
            ):
                _log.failure("telling the server something", result)

        beside = Deferred.fromCoroutine(telling).addTimeout(_BRIEF, self._reactor)
        self._beside.add(beside)
        beside.addBoth(done)

    def _headers(
        self, terms: _Terms | None, method: str = "", name: object = None
    ) -> Headers:
        headers = Headers({"accept": [_ACCEPT], "content-type": [_JSON]})
        if self._token is not None:
            headers.setRawHeaders("authorization", [f"Bearer {self._token}"])
        if terms is None:
            return headers
        headers.setRawHeaders("mcp-protocol-version", [terms.version])
        if terms.session is not None:
            headers.setRawHeaders(b"mcp-session-id", [terms.session])
        if terms.version == MODERN:
            headers.setRawHeaders("mcp-method", [method])
            if isinstance(name, str):
                headers.setRawHeaders("mcp-name", [_header(name)])
        return headers

    async def _send(
        self, http: str, headers: Headers, message: bytes | None, trace: Trace
    ) -> Answering:
        """Send it to where the server is, or to where it says that it is."""
        answering = await self._sent(http, headers, message, trace)
        if (url := _moved(self._target.url, answering)) is None:
            return answering
        answering.hang_up()
        self._target = msgspec.structs.replace(self._target, url=url)
        there = await self._sent(http, headers, message, trace)
        return msgspec.structs.replace(there, asked_at=answering.asked_at)

    async def _sent(
        self, http: str, headers: Headers, message: bytes | None, trace: Trace
    ) -> Answering:
        line = Line(self._endpoint, trace)
        caller = Caller(self._target, self._reactor, line)
        try:
            return await caller.ask(http, headers.copy(), message)
        finally:
            line.wanted = False

    # Answers

    async def _result(
        self, answering: Answering, id: int, terms: _Terms | None
    ) -> Mapping[str, Any]:
        if answering.response.code != 200:
            raise await self._refusal(answering, id)
        media = media_type(answering.response.headers)
        if media not in {_JSON, _STREAM}:
            answering.hang_up()
            raise AnswerUnusable(f"content type {media[:80]!r} where JSON was expected")
        most = self._target.bounds.body
        answered = rpc.Answered(id, stream=media == _STREAM, limit=most)
        questions = 0

        def heard(message: rpc.Asked | rpc.Told) -> None:
            nonlocal questions
            if isinstance(message, rpc.Asked):
                questions += 1
                if questions <= _ANSWERED and terms is not None:
                    self._aside(self._tell(terms, rpc.response(message)))
            elif message.method == "notifications/tools/list_changed":
                self._changed()

        body = reading(
            self._reactor,
            self._target.deadlines,
            answering,
            answered,
            heard,
            Guard(most + 1, most),  # of equal bytes there may be as many as of others
        )
        answering.response.deliverBody(body)
        try:
            await body.done
        except ServiceError:
            # One object is whole or not, whatever the connection made of its end.
            if media == _STREAM or not _whole(answered):
                raise
        return answered.result()

    async def _refusal(self, answering: Answering, id: int) -> ServiceError:
        """What a status that is not 200 means."""
        status, headers = answering.response.code, answering.response.headers
        if not 400 <= status < 500 or status in _NOT_THE_KIND:
            answering.hang_up()
            if 200 <= status < 300:
                return AnswerUnusable(f"status {status} where an answer was expected")
            return ServiceRefused(status, retry_after(headers))
        caller = Caller(self._target, self._reactor, self._endpoint)
        try:
            message = rpc.parsed(await caller.read(answering, _REFUSAL))
        except ServiceError:
            message = None
        # One with another id, or none, is about how we speak, and not what we ask for.
        if isinstance(message, rpc.Fault) and message.id == id:
            return CallRefused(message.code, status)
        return ServiceRefused(status, retry_after(headers))


def _refuse(answering: Answering) -> NoReturn:
    response = answering.response
    raise ServiceRefused(response.code, retry_after(response.headers))


def _another_kind(error: ServiceRefused | CallRefused) -> bool:
    """Whether the server may understand us if it is spoken to in another way."""
    if isinstance(error, CallRefused):
        return True
    return 400 <= error.status < 500 and error.status not in _NOT_THE_KIND


def _outdated(error: ServiceRefused | CallRefused) -> bool:
    """Whether the server does not want to be spoken to in the way that was agreed."""
    if isinstance(error, CallRefused):
        return error.code == rpc.WRONG_VERSION
    return error.status in {400, 404}


def _whole(answered: rpc.Answered) -> bool:
    try:
        answered.end()
    except BodyBroken:
        return False
    return answered.complete


def _moved(url: str, answering: Answering) -> str | None:
    """Where the server is, if it only wants to be asked with or without a last `/`."""
    if answering.response.code not in {307, 308}:
        return None
    where = (answering.response.headers.getRawHeaders(b"location") or [b""])[0]
    try:
        there, here = urlsplit(urljoin(url, where.decode("ascii"))), urlsplit(url)
        same = (there.scheme, there.netloc, there.query) == (
            here.scheme,
            here.netloc,
            here.query,
        )
    except ValueError:
        return None
    if not same or there.path == here.path:
        return None
    if there.path.removesuffix("/") != here.path.removesuffix("/"):
        return None
    moved: str = there._replace(fragment="").geturl()
    return moved


def _header(text: str) -> str:
    """Text as a header's value, as MCP has it."""
    if _PLAIN.fullmatch(text):
        return text
    return f"=?base64?{b64encode(text.encode()).decode()}?="
