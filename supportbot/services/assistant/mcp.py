"""The client of a shop's MCP server: which tools it has, and calls of them.

What may be repeated is repeated until it succeeds or patience ends. What may not is
sent at most once; and when nobody can know whether it was carried out, `CallLost` says
so.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from supportbot.context import Logger
from supportbot.errors import (
    AnswerUnusable,
    CallLost,
    CallRefused,
    ServiceError,
    ServiceRefused,
)
from supportbot.interfaces import Tool
from supportbot.services.assistant.mcp_session import McpSession
from supportbot.services.assistant.trace import Trace
from supportbot.services.attempts import Attempts, Breaker
from supportbot.services.call import Target
from supportbot.services.turns import Turns
from supportbot.settings import ShopSettings

_PAGES = 50  # of a list of tools
_TOOLS = 1_000
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")

_T = TypeVar("_T")

_log = Logger()


class ToolResult(msgspec.Struct, frozen=True):
    """What came of a call.

    Attributes:
        text: all parts of the result that are text, a line each or more.
        failed: the tool itself says that it could not do it.
    """

    text: str
    failed: bool

    def __repr__(self) -> str:  # the text may be about anybody
        return f"ToolResult({len(self.text)} characters, failed={self.failed})"


def target_of(settings: ShopSettings) -> Target:
    """Where the shop's server is.

    Raises:
        ValueError: nowhere.
    """
    if settings.url is None:
        raise ValueError("a shop without a URL")
    return Target(settings.url, settings.ca_file, settings.deadlines, settings.bounds)


class McpClient:
    """Calls the tools of one server.

    Args:
        settings: of the shop; they have a URL.
        reactor: for the deadlines.
        endpoint: where to connect.
        observe: is told how each attempt went: None if it was whole.
        jitter: see `Attempts`.
    """

    def __init__(
        self,
        settings: ShopSettings,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        observe: Callable[[ServiceError | None], None] = lambda error: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.title = settings.title
        self._settings, self._reactor, self._observe = settings, reactor, observe
        self._breaker = Breaker(reactor, settings.breaker)
        self._attempts = Attempts(
            reactor, settings.title, settings.retry, self._breaker, jitter, observe
        )
        self._turns = Turns(
            reactor, settings.title, settings.at_once, settings.retry.budget
        )
        self._listing = DeferredLock()
        self._tools: tuple[Tool, ...] | None = None
        self._changes = 0  # of them, that the server has told us
        self._fresh_until = 0.0
        self._session = McpSession(
            target_of(settings), settings.token, reactor, endpoint, self._changed
        )

    @property
    def resting(self) -> bool:
        """Whether the server is left alone, since it failed again and again."""
        return self._breaker.open

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return self._turns.waiting

    async def tools(self) -> Sequence[Tool]:
        """All tools that the server has, as it said not long ago.

        Raises:
            ServiceError: it never said.
        """
        if (tools := self._fresh()) is not None:
            return tools
        await self._listing.acquire()
        try:
            if (tools := self._fresh()) is not None:  # while we waited
                return tools
            changes, fresh = self._changes, self._settings.refresh
            try:
                listed = await self._repeated(self._listed)
            except ServiceError:
                if self._tools is None:
                    raise
                listed = self._tools  # they are not worse than none
                fresh = min(fresh, self._settings.breaker.rest)
            if self._tools is not None:
                _tell_changes(self.title, self._tools, listed)
            self._tools = listed
            if self._changes == changes:
                self._fresh_until = self._reactor.seconds() + fresh
            return listed
        finally:
            self._listing.release()

    async def call(
        self, name: str, arguments: Mapping[str, object], *, safe: bool
    ) -> ToolResult:
        """Have a tool do something.

        Args:
            safe: whether it may be done twice, as everything that only reads.

        Raises:
            ServiceError: the tool gave no result. If the call is not safe, `CallLost`
                means that it may have been carried out, and any other that it was not.
        """
        params = {"name": name, "arguments": dict(arguments)}

        async def ask(trace: Trace | None = None) -> ToolResult:
            again = trace is None
            session = self._session
            return _read(await session.ask("tools/call", params, trace, again=again))

        await self._turns.take()
        try:
            if safe:
                return await self._repeated(ask)
            if not self._session.agreed:
                await self._repeated(self._session.agree)
            return await self._once(ask)
        finally:
            self._turns.give_back()

    async def close(self) -> None:
        """Say good-bye to the server, which takes a moment at the most."""
        await self._session.close()

    async def _repeated(
        self, ask: Callable[[], Coroutine[Deferred[Any], Any, _T]]
    ) -> _T:
        """What comes of it as soon as it succeeds."""
        results: list[_T] = []

        async def attempt() -> None:
            results.append(await ask())

        await self._attempts.make(attempt, lambda line: None)
        return results[0]

    async def _once(
        self, ask: Callable[[Trace], Coroutine[Deferred[Any], Any, _T]]
    ) -> _T:
        """What comes of it, if it does."""
        self._breaker.check()
        trace = Trace()
        try:
            result = await ask(trace)
        except ServiceError as error:
            outcome = error
            if trace.sent and not _not_done(error):
                outcome = CallLost(f"{type(error).__name__}: {error}")
            _log.info(
                "a call of the {title} failed: {kind}: {error}",
                title=self.title,
                kind=type(outcome).__name__,
                error=str(outcome),
            )
            self._observe(outcome)
            self._breaker.heard(outcome)
            if outcome is error:
                raise
            raise outcome from error
        self._observe(None)
        self._breaker.reached()
        return result

    # The list of tools

    def _fresh(self) -> tuple[Tool, ...] | None:
        fresh = self._reactor.seconds() < self._fresh_until
        return self._tools if fresh else None

    def _changed(self) -> None:
        self._changes += 1
        self._fresh_until = 0.0

    async def _listed(self) -> tuple[Tool, ...]:
        tools: dict[str, Tool] = {}
        cursor: str | None = None
        seen = set[str]()
        for _ in range(_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            page = _page(await self._session.ask("tools/list", params, again=True))
            for tool in page.tools:
                tools.setdefault(tool.name, tool)
            if len(tools) > _TOOLS:
                raise AnswerUnusable(f"more than {_TOOLS} tools")
            cursor = page.cursor
            if not cursor:
                return tuple(tools.values())
            if cursor in seen:
                raise AnswerUnusable("the list of tools goes round in circles")
            seen.add(cursor)
        raise AnswerUnusable(f"the list of tools has more than {_PAGES} pages")


def _not_done(error: ServiceError) -> bool:
    """Whether the server has said that it did nothing."""
    if isinstance(error, CallRefused):
        return not error.done
    if isinstance(error, ServiceRefused):
        return 400 <= error.status < 500 or error.status in {307, 308}
    return False


class _Page(msgspec.Struct, frozen=True):
    tools: list[Tool]
    cursor: str | None


class _ListedTool(msgspec.Struct):
    name: str
    schema: dict[str, Any] = msgspec.field(name="inputSchema")
    description: str | None = None


class _Listed(msgspec.Struct):
    tools: list[dict[str, Any]]
    cursor: str | None = msgspec.field(name="nextCursor", default=None)


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Called(msgspec.Struct):
    content: list[_Part]
    failed: bool = msgspec.field(name="isError", default=False)


def _converted(result: Mapping[str, Any], type: type[_T]) -> _T:
    try:
        return msgspec.convert(result, type)
    except msgspec.ValidationError as error:
        raise AnswerUnusable("a result of another shape than MCP's") from error


def _page(result: Mapping[str, Any]) -> _Page:
    listed = _converted(result, _Listed)
    tools = []
    for entry in listed.tools:
        try:
            tool = msgspec.convert(entry, _ListedTool)
        except msgspec.ValidationError:
            continue  # nobody can call it, and the others are as good as ever
        if _NAME.fullmatch(tool.name):
            tools.append(Tool(tool.name, tool.description or "", tool.schema))
    return _Page(tools, listed.cursor)


def _read(result: Mapping[str, Any]) -> ToolResult:
    called = _converted(result, _Called)
    texts = [part.text or "" for part in called.content if part.type == "text"]
    return ToolResult("\n".join(texts), called.failed)


def _tell_changes(title: str, old: Sequence[Tool], new: Sequence[Tool]) -> None:
    """Tell the operator: tools that change may be a sign of somebody else's hand."""
    before = {tool.name: tool for tool in old}
    after = {tool.name: tool for tool in new}
    if before == after:
        return
    both = before.keys() & after.keys()
    _log.warn(
        "the {title} has other tools now: {added} added, {removed} removed,"
        " {changed} changed",
        title=title,
        added=_names(after.keys() - before.keys()),
        removed=_names(before.keys() - after.keys()),
        changed=_names({name for name in both if before[name] != after[name]}),
    )


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
