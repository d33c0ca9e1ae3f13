"""Requests to the simulated model, refused for what the real API refuses them for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

Message = Mapping[str, Any]
"""One message of a chat, as the API takes it."""

UNKNOWN_MODEL = "unknown-model"
"""The one model that there is not."""

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refusal(Exception):
    """An error of the API.

    Attributes:
        status: of HTTP.
        param: the part of the request that it is about, or None.
        code: a word for programs, or None.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    @property
    def body(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "error": {
                "message": str(self),
                "type": "invalid_request_error",
                "param": self.param,
                "code": self.code,
            }
        }


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, checked.

    Attributes:
        tools: that may be called now.
        stream: whether the answer is wanted piece by piece.
        usage: whether a stream ends with the number of tokens.
        most: tokens of the answer; None for no limit.
    """

    model: str
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]
    stream: bool
    usage: bool
    most: int | None


def chat_request(body: bytes) -> ChatRequest:
    """The request in this body.

    Raises:
        Refusal: the real API would not take it either.
    """
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise Refusal(400, "We could not parse the JSON body of your request.")
    model = asked.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter")
    if model == UNKNOWN_MODEL:
        raise model_not_found(model)
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "expected an array with at least one message")
    _check_messages(messages)
    tools = _tools(asked)
    stream, options = asked.get("stream") or False, asked.get("stream_options")
    if options is not None and not stream:
        raise _invalid("stream_options", "only allowed when 'stream' is enabled")
    most = asked.get("max_completion_tokens", asked.get("max_tokens"))
    if most is not None and (type(most) is not int or most < 1):
        raise _invalid("max_tokens", "expected a whole number above 0")
    return ChatRequest(
        model=model,
        messages=messages,
        tools=() if asked.get("tool_choice") == "none" else tools,
        stream=bool(stream),
        usage=isinstance(options, dict) and options.get("include_usage") is True,
        most=most,
    )


def model_not_found(model: str) -> Refusal:
    """There is no such model."""
    what = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(404, what, "model", "model_not_found")


def _invalid(param: str, why: str, code: str | None = "invalid_value") -> Refusal:
    return Refusal(400, f"Invalid '{param}': {why}.", param, code)


def _tools(asked: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    tools = asked.get("tools")
    if tools is None:
        if asked.get("tool_choice") is not None:
            raise _invalid("tool_choice", "only allowed when 'tools' are specified")
        return ()
    if not isinstance(tools, list):
        raise _invalid("tools", "expected an array", "invalid_type")
    if not tools:
        raise _invalid("tools", "expected an array with a tool", "empty_array")
    for number, tool in enumerate(tools):
        where = f"tools[{number}].function"
        _check_name(tool, f"{where}.name")
        if not isinstance(tool["function"].get("parameters") or {}, dict):
            raise _invalid(f"{where}.parameters", "expected an object", "invalid_type")
    return tools


def _check_messages(messages: Sequence[Any]) -> None:
    waiting: list[str] = []  # ids of calls that have no answer yet
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise _invalid(f"{where}.role", f"expected one of {', '.join(_ROLES)}")
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                what = (
                    "messages with role 'tool' must be a response to a preceding"
                    " message with 'tool_calls'"
                )
                raise _invalid(f"{where}.role", what, None)
            waiting.remove(message["tool_call_id"])
        elif waiting:
            raise _unanswered(waiting)
        _check_content(message, where)
        waiting += _calls(message, where)
    if waiting:
        raise _unanswered(waiting)


def _calls(message: Message, where: str) -> Iterator[str]:
    """The ids of the calls in a message."""
    calls = message.get("tool_calls")
    if calls is None:
        return
    if message["role"] != "assistant" or not isinstance(calls, list) or not calls:
        what = "expected a call of an assistant"
        raise _invalid(f"{where}.tool_calls", what, "empty_array")
    for number, call in enumerate(calls):
        at = f"{where}.tool_calls[{number}]"
        _check_name(call, f"{at}.function.name")
        if not isinstance(call.get("id"), str):
            raise _invalid(f"{at}.id", "expected a string", "invalid_type")
        if not isinstance(call["function"].get("arguments"), str):
            what = "expected a string"
            raise _invalid(f"{at}.function.arguments", what, "invalid_type")
        yield call["id"]


def _unanswered(waiting: Sequence[str]) -> Refusal:
    what = (
        "An assistant message with 'tool_calls' must be followed by tool messages"
        " responding to each 'tool_call_id'. The following tool_call_ids did not have"
        f" response messages: {', '.join(waiting)}"
    )
    return Refusal(400, what, "messages")


def _check_content(message: Message, where: str) -> None:
    content = message.get("content")
    fits = isinstance(content, str) or (
        isinstance(content, list)
        and content
        and all(
            isinstance(part, dict) and isinstance(part.get("text", ""), str)
            for part in content
        )
    )
    if content is None and message["role"] == "assistant":
        fits = bool(message.get("tool_calls") or message.get("refusal"))
    if not fits:
        what = "expected a string or an array of parts"
        raise _invalid(f"{where}.content", what, "invalid_type")


def _check_name(holder: Any, where: str) -> None:
    function = holder.get("function") if isinstance(holder, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _invalid(where, f"expected a name that matches '^{_NAME.pattern}$'")
