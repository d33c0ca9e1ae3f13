"""The shape of the route table: from it come dispatch, validation and OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

JSON, SSE = "application/json", "text/event-stream"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        method: of HTTP, in capitals; `GET` answers `HEAD` too, where it is safe.
        path: with one parameter at the most, such as `{session_id}`: a whole segment,
            or, as `{path}`, all the rest.
        name: unique; the operation's id.
        answer: the handler. What it returns is sent as JSON; None if it has answered,
            or will.
        summary: in one line.
        about: more, in Markdown.
        tag: the group that it is shown in.
        body: the shape of the request's JSON, if it has one.
        query: the shape of the query string.
        headers: those of the request that mean something here, with what.
        returns: the shape of the answer's JSON.
        streams: the shape of `data` in server-sent events, if it may send such.
        media: of an answer that is neither.
        safe: whether a `GET` only looks.
        upgrades: whether it makes a WebSocket of the connection, which is not safe.
        operator: whether it wants the operator's token.
        problems: statuses of errors that it may answer with, besides those that
            follow from the rest: 400, 404 for a session, 422, 401 and 403.
        hidden: whether the OpenAPI document leaves it out.
    """

    method: str
    path: str
    name: str
    answer: Callable[[Any], Awaitable[Any] | Any]
    summary: str = ""
    about: str = ""
    tag: str = "chat"
    body: type | None = None
    query: type | None = None
    headers: dict[str, str] = {}
    returns: type | None = None
    streams: Any = None
    media: str = JSON
    safe: bool = True
    upgrades: bool = False
    operator: bool = False
    problems: tuple[int, ...] = ()
    hidden: bool = False

    @property
    def guarded(self) -> bool:
        """Whether pages of other origins may not ask, unless the settings name them."""
        return self.upgrades or self.path.startswith("/api/")

    @property
    def names_session(self) -> bool:
        """Whether the path has a session's id; `@me` stands for that of a header."""
        return "{session_id}" in self.path
