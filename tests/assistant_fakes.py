"""A language model, tools, orders and a login that do what the test says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from supportbot.errors import ServiceError
from supportbot.events import Called
from supportbot.interfaces import Customer, Question, Reply
from supportbot.services.assistant.calls import ToolCall
from supportbot.services.assistant.chunks import Completion
from supportbot.services.assistant.results import Used

ALICE = Customer(
    "6b9e0f6e-0000-4000-8000-00000000a11c", "Alice Johnson", "alice@a.test"
)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}


def complaint(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
) -> str | None:
    """Why the real API would refuse it with a 400; None if it would not."""
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        role = message.get("role")
        if role not in _KEYS or not set(message) <= _KEYS[role]:
            return f"message {at} is none: {set(message)}"
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                return f"message {at} is an orphan"
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            return f"message {at} stands between a call and its result"
        content, calls = message["content"], message.get("tool_calls")
        if calls is not None:
            if not calls:
                return f"message {at} has an empty list of calls"
            for one in calls:
                if why := _wrong(one):
                    return f"message {at}: {why}"
            open_calls = [one["id"] for one in calls]
            if len(set(open_calls)) < len(open_calls):
                return f"message {at} has an id twice"
        if not isinstance(content, str) and not (content is None and calls):
            return f"message {at} has no content"
        if content == "":
            return f"message {at} is empty"
    if open_calls:
        return "a call has no result"
    if not messages:
        return "there are no messages"
    for tool in tools:
        if not _NAME.fullmatch(tool["function"]["name"]):
            return f"no name of a tool: {tool['function']['name']}"
    return None


def _wrong(call: Mapping[str, Any]) -> str | None:
    if set(call) != {"id", "type", "function"} or call["type"] != "function":
        return "no call"
    if not isinstance(call["id"], str) or not call["id"]:
        return "a call without an id"
    function = call["function"]
    if set(function) != {"name", "arguments"}:
        return "no function"
    if not _NAME.fullmatch(function["name"]):
        return f"no name: {function['name']!r}"
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return "arguments that are no JSON"
    return None if isinstance(arguments, dict) else "arguments that are no object"


class Asked:
    """One question to the model, and its answer in the test's hands.

    Attributes:
        messages, tools, model, may_call: as it was asked.
        cancelled: the answer was not wanted any more.
    """

    def __init__(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        hear: Callable[[str], None],
        model: str | None,
        may_call: bool,
    ) -> None:
        self.messages, self.tools = list(messages), list(tools)
        self.model, self.may_call = model, may_call
        self.cancelled = False
        self._hear, self._text = hear, ""
        self.done: Deferred[Completion] = Deferred()

    def say(self, *pieces: str) -> Asked:
        """The model writes; what can't be heard ends the answer."""
        for piece in pieces:
            self._text += piece
            try:
                self._hear(piece)
            except ServiceError as error:
                self.done.errback(error)
                break
        return self

    def end(
        self,
        *calls: ToolCall,
        finish: str | None = None,
        read: int = 0,
        written: int = 0,
    ) -> None:
        """The answer is whole."""
        finish = finish or ("tool_calls" if calls else "stop")
        self.done.callback(Completion(self._text, calls, finish, read, written))

    def fail(self, error: Exception) -> None:
        """The answer breaks off."""
        self.done.errback(error)

    async def until_done(self) -> Completion:
        try:
            return await self.done
        except CancelledError:
            self.cancelled = True
            raise


class ScriptedModel:
    """In place of `Completions`: what the test says, or what the script does.

    Args:
        script: is called with one question after the other, instead of the test.

    Attributes:
        asked: all questions so far.
    """

    def __init__(self, *script: Callable[[Asked], object]) -> None:
        self.script = list(script)
        self.asked: list[Asked] = []

    @property
    def last(self) -> Asked:
        """The question that came last."""
        return self.asked[-1]

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        hear: Callable[[str], None],
        model: str | None = None,
        may_call: bool = True,
    ) -> Completion:
        if (why := complaint(messages, tools)) is not None:
            raise AssertionError(f"the API would refuse this for ever: {why}")
        asked = Asked(messages, tools, hear, model, may_call)
        self.asked.append(asked)
        if self.script:
            self.script.pop(0)(asked)
        return await asked.until_done()


def says(text: str, *calls: ToolCall, **how: Any) -> Callable[[Asked], object]:
    """For a script: the model writes this, and calls these tools."""
    return lambda asked: asked.say(text).end(*calls, **how)


def wants(name: str, id: str = "", **arguments: object) -> ToolCall:
    """A call of a tool."""
    return ToolCall(id or f"call-{name}", name, json.dumps(arguments))


class ScriptedTools:
    """In place of `Toolbox`.

    Attributes:
        results: by the tools' names; a Deferred is waited for.
        used: all calls so far.
        customers: who was offered tools.
    """

    def __init__(self, **results: Any) -> None:
        self.results = results
        self.used: list[ToolCall] = []
        self.customers: list[Customer | None] = []

    async def offered(self, customer: Customer | None) -> Sequence[Mapping[str, Any]]:
        self.customers.append(customer)
        return [
            {"type": "function", "function": {"name": name, "parameters": {}}}
            for name in self.results
        ]

    async def use(self, call: ToolCall, question: Question, reply: Reply) -> Used:
        self.used.append(call)
        result = self.results.get(call.name)
        if result is None:
            return Used("There is no such tool.", Called.FAILED, mistake=True)
        if callable(result):
            result = result(reply)
        if isinstance(result, Deferred):
            result = await result
        if isinstance(result, Used):
            return result
        return Used(result, Called.OK, call.arguments)


class ScriptedDesk:
    """In place of `Orders` and of `Login`; tells what it was asked for.

    Attributes:
        settled: whether it can tell what became of an unsettled order.
        verified: how logging in goes.
    """

    def __init__(self, *, settled: bool = True, verified: bool = True) -> None:
        self.settled, self.verified = settled, verified

    async def confirmed(self, question: Question, reply: Reply) -> None:
        reply.paragraph("Ordered.", "markdown")

    async def declined(self, question: Question, reply: Reply) -> None:
        reply.paragraph("Not ordered.", "markdown")

    async def settle(self, question: Question, reply: Reply) -> bool:
        standing = question.standing
        asked_again = any(sent.to == question.seq for sent in standing.placed)
        if told := self.settled and (asked_again or standing.unsettled is not None):
            reply.paragraph("It was placed.", "markdown")
        return told

    async def answer(self, question: Question, reply: Reply) -> bool:
        reply.paragraph("Welcome!" if self.verified else "Wrong.", "plain")
        return self.verified
