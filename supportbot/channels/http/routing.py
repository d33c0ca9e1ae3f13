"""From a request to its handler: the route table at work.

What a request has to be stands in the table; who may not ask, and what does not fit,
is told so here, and the failures of the handlers become problems here and nowhere else.
"""

from __future__ import annotations

import hmac
import math
import re
import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from twisted.internet.defer import Deferred

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.finding import ME, named
from supportbot.channels.http.operations import JSON, Operation
from supportbot.channels.http.problems import Fault, Problem, Refused, refused
from supportbot.channels.http.responses import Header
from supportbot.context import Logger, request_id
from supportbot.errors import (
    AnsweredElsewhere,
    BadRequest,
    ConversationBusy,
    ConversationClosed,
    ConversationErased,
    StoreError,
    TooManyWaiting,
    TooOften,
    TranscriptGone,
)
from supportbot.settings import HttpSettings

DELETED = "This session was deleted; please open a new one."
"""What a client is told whose session is erased while it waits."""

_STORE_FAILED = (
    "This can't be stored or read at the moment. Nothing that was said is lost;"
    " please send it again in a few seconds."
)
_CLOSING = "This can't be taken just now; please send it again in a few seconds."
_NO_TOKEN = (
    "This is for operators, and no token is set: start the server with one in"
    " SUPPORTBOT_ADMIN_TOKEN."
)
_BACK_SOON = b"5"  # seconds
_FIELDS = 32  # of a query
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = {
    *(b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"),
    *(b"OPTIONS", b"TRACE", b"QUERY"),
}
_encode = msgspec.json.Encoder().encode
_log = Logger()


class Call(msgspec.Struct):
    """One request, as its handler gets it.

    Attributes:
        exchange: to answer on, for a handler that returns nothing.
        argument: what stands in the place of the path's parameter.
        body: of the shape that the table names.
        query: likewise.
        headers: that go with whatever is answered: those of CORS.
    """

    exchange: Exchange
    argument: str = ""
    body: Any = None
    query: Any = None
    headers: Sequence[Header] = ()

    def respond(self, status: int, body: bytes = b"", media: str = "") -> None:
        """Answer with a whole response."""
        self.exchange.respond(status, body, media, self.headers)


class _Route(msgspec.Struct):
    """An operation with what is made of it once.

    Attributes:
        decode: for the body, if it has one.
        session: whether its path has the id of a session, for which `@me` may stand.
    """

    operation: Operation
    decode: msgspec.json.Decoder[Any] | None
    session: bool


class Router:
    """Answer each request as the table says.

    Args:
        operations: the table.
        settings: who may ask from elsewhere, and the operator's token.
    """

    def __init__(self, operations: Sequence[Operation], settings: HttpSettings) -> None:
        self._exact: dict[str, dict[bytes, _Route]] = {}
        self._within: dict[tuple[str, str, bool], dict[bytes, _Route]] = {}
        self._origins = frozenset(settings.origins)
        self._token = (settings.admin_token or "").encode()
        self._us, self._requests = secrets.token_hex(3), count(1)
        for operation in operations:
            self._add(operation)

    def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            found = self._found(exchange)
            if found is not None:
                Deferred.fromCoroutine(self._run(exchange, *found)).addErrback(
                    exchange.fail
                )
        except Refused as refusal:
            self._refuse(exchange, refusal)

    def _add(self, operation: Operation) -> None:
        decode: msgspec.json.Decoder[Any] | None = None
        if operation.body is not None:
            decode = msgspec.json.Decoder(operation.body)
        head, brace, rest = operation.path.partition("{")
        if brace:
            name, _, tail = rest.partition("}")
            methods = self._within.setdefault((head, tail, name == "path"), {})
        else:
            methods = self._exact.setdefault(operation.path, {})
        route = _Route(operation, decode, operation.names_session)
        methods[operation.method.encode()] = route
        if operation.method == "GET" and operation.safe and not operation.upgrades:
            methods[b"HEAD"] = route

    def _found(self, exchange: Exchange) -> tuple[_Route, str] | None:
        methods, argument = self._methods(exchange.target)
        if methods is None:
            raise refused(404, "There is nothing here.")
        method = exchange.method
        if method == b"OPTIONS" and b"OPTIONS" not in methods:
            self._preflight(exchange, methods)
            return None
        route = methods.get(method)
        if route is None:
            allow = (b"allow", b", ".join(_allowed(methods)))
            raise refused(405 if method in _METHODS else 501, "", allow)
        return route, argument

    def _methods(self, path: str) -> tuple[dict[bytes, _Route] | None, str]:
        if (exact := self._exact.get(path)) is not None:
            return exact, ""
        for (start, end, whole), methods in self._within.items():
            if path.startswith(start) and path.endswith(end):
                argument = path[len(start) : len(path) - len(end)]
                if argument and (whole or "/" not in argument):
                    return methods, argument
        return None, ""

    async def _run(self, exchange: Exchange, route: _Route, argument: str) -> None:
        request_id.set(self._id(exchange))
        try:
            operation = route.operation
            if operation.operator:
                self._authorise(exchange)
            if operation.guarded:
                self._welcome(exchange)
            if argument == ME and route.session:
                argument = named(exchange.header(b"session-id"))
            call = Call(exchange, argument, headers=self._shared(exchange))
            if route.decode is not None:
                call.body = _body(exchange, route.decode)
            if operation.query is not None:
                call.query = _query(exchange, operation.query)
            answer = await operation.answer(call)
            if answer is not None:
                call.respond(200, _encode(answer), JSON)
        except Refused as refusal:
            self._refuse(exchange, refusal)
        except (BadRequest, StoreError) as error:
            self._refuse(exchange, as_refused(error))
        except Exception:
            exchange.fail()  # here, where the log knows which request it was

    def _refuse(self, exchange: Exchange, refusal: Refused) -> None:
        headers = [*refusal.headers, *self._shared(exchange)]
        exchange.refuse(refusal.problem, headers)

    def _id(self, exchange: Exchange) -> str:
        """What logs call the request: as a proxy named it, or a name of ours."""
        given = exchange.requestHeaders.getRawHeaders(b"x-request-id")
        if given and _REQUEST_ID.fullmatch(name := given[0].decode("latin-1")):
            return name
        return f"{self._us}-{next(self._requests)}"

    # Who may ask

    def _authorise(self, exchange: Exchange) -> None:
        if not self._token:
            raise refused(403, _NO_TOKEN)
        scheme, _, given = (exchange.header(b"authorization") or "").partition(" ")
        told = given.strip().encode("latin-1")
        if scheme.lower() != "bearer" or not hmac.compare_digest(told, self._token):
            challenge = (b"www-authenticate", b'Bearer realm="supportbot"')
            raise refused(401, "This wants the operator's token.", challenge)

    def _welcome(self, exchange: Exchange) -> None:
        """Refuse what the page of a stranger sends in the name of its visitor."""
        origin = exchange.header(b"origin")
        site = exchange.header(b"sec-fetch-site")  # no page can set this one
        if origin is None:
            if site == "cross-site":
                raise refused(403, "This page may not call the API.")
        elif not (
            self._allows(origin) or site == "same-origin" or _same(origin, exchange)
        ):
            raise refused(403, "This origin may not call the API.")

    def _allows(self, origin: str) -> bool:
        return origin in self._origins or "*" in self._origins

    def _shared(self, exchange: Exchange) -> list[Header]:
        """The headers of CORS, for a page that may read the answer."""
        if not self._origins:
            return []
        origin = exchange.requestHeaders.getRawHeaders(b"origin", [b""])[0].decode(
            "latin-1"
        )
        vary = (b"vary", b"Origin")
        if not origin or not self._allows(origin):
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", b"Date, Retry-After"),
        ]

    def _preflight(self, exchange: Exchange, methods: dict[bytes, _Route]) -> None:
        allowed = b", ".join(_allowed(methods))
        if any(route.operation.upgrades for route in methods.values()):
            # Browsers ask nobody before they open a WebSocket.
            exchange.respond(204, b"", "", [(b"allow", allowed)])
            return
        headers = [(b"allow", allowed), *self._shared(exchange)]
        if any(name == b"access-control-allow-origin" for name, _ in headers):
            headers += [
                (b"access-control-allow-methods", allowed),
                (
                    b"access-control-allow-headers",
                    b"Content-Type, Idempotency-Key, Last-Event-ID, Session-Id",
                ),
                (b"access-control-max-age", b"600"),
            ]
        exchange.respond(204, b"", "", headers)


def as_refused(error: BadRequest | StoreError) -> Refused:
    """What a client is told about a failure of ours."""
    if isinstance(error, ConversationErased | TranscriptGone):
        return refused(409, DELETED)
    if isinstance(error, StoreError):
        _log.warn("not stored or not read: {why}", why=str(error))
        return refused(503, _STORE_FAILED, (b"retry-after", _BACK_SOON))
    if isinstance(error, TooOften):
        seconds = b"%d" % math.ceil(error.seconds)
        return refused(429, str(error), (b"retry-after", seconds))
    if isinstance(error, TooManyWaiting):
        return refused(429, str(error), (b"retry-after", _BACK_SOON))
    if isinstance(error, ConversationClosed):
        return refused(503, _CLOSING, (b"retry-after", _BACK_SOON))
    if isinstance(error, AnsweredElsewhere | ConversationBusy):
        return refused(409, str(error), (b"retry-after", b"1"))
    return Refused(unfit(f"/{error.field}", str(error)))


def refused_field(name: str, expected: str) -> Refused:
    """What a client is told about one field that does not fit."""
    return Refused(unfit(f"/{name}", expected))


def unfit(pointer: str, detail: str) -> Problem:
    """A request that is well-formed but does not fit."""
    errors = (Fault(f"#{pointer}", detail),)
    return Problem(422, "The request does not fit.", errors=errors)


def _allowed(methods: dict[bytes, _Route]) -> list[bytes]:
    return sorted([*methods, b"OPTIONS"])


def _same(origin: str, exchange: Exchange) -> bool:
    scheme, _, authority = origin.partition("://")
    host = (exchange.header(b"host") or "").lower()
    port = {"http": ":80", "https": ":443"}.get(scheme)  # which need not be named
    if port is None or not authority:
        return False
    return authority in {host, host.removesuffix(port)}


def _body(exchange: Exchange, decode: msgspec.json.Decoder[Any]) -> Any:
    media = (exchange.header(b"content-type") or "").partition(";")[0].strip().lower()
    if media != JSON:
        raise refused(415, f"Send {JSON}.", (b"accept", JSON.encode()))
    try:
        return decode.decode(exchange.body)
    except msgspec.ValidationError as error:
        raise _misfit(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refused(400, "The body is not JSON in UTF-8.") from None


def _query(exchange: Exchange, shape: type) -> Any:
    try:
        pairs = parse_qsl(
            exchange.query.decode("ascii"),
            errors="strict",
            max_num_fields=_FIELDS,
        )
    except ValueError:
        told = f"The query is not percent-encoded UTF-8, or has over {_FIELDS} fields."
        raise refused(400, told) from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given and name in shape.__annotations__:
            raise Refused(unfit(f"/{name}", "Expected it once."))
        given[name] = value
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _misfit(error) from None


def _misfit(error: msgspec.ValidationError) -> Refused:
    """What does not fit, and where."""
    expected, _, path = str(error).partition(" - at `$")
    pointer = path.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
    if "missing required field" in expected:
        pointer += "/" + expected.split("`")[1]
        expected = "Expected a value."
    return Refused(unfit(pointer, expected))
