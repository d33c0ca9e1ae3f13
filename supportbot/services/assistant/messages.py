"""Messages as the chat API has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

Message = Mapping[str, Any]
"""One message, or one tool."""

_GAP = "\n[…]\n"
_LAST = 120  # characters of the last two lines, if they are no longer: what closes it
_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]")
_NAME = 64  # characters of a tool's name


def system(text: str) -> Message:
    """What we say, or the client."""
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    """What the customer says."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """What the model, or another service, answered."""
    return {"role": "assistant", "content": text}


def shortened(text: str, most: int) -> str:
    """A tool's result in so many characters, with the last lines, which close it."""
    if len(text) <= most:
        return text
    last = "\n".join(text[-_LAST:].split("\n")[-2:])
    end = _GAP + last if len(last) < min(_LAST, most // 2) else _GAP
    return text[: max(0, most - len(end))] + end


def call(id: str, name: str, arguments: str) -> Message:
    """A tool's call as the API has it, whatever the model had written."""
    try:
        fits = isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        fits = False
    name = _UNNAMEABLE.sub("_", name)[:_NAME] or "_"
    function = {"name": name, "arguments": arguments if fits else "{}"}
    return {"id": id, "type": "function", "function": function}


def asking(text: str, calls: Sequence[Message]) -> Message:
    """The model's message that calls tools."""
    return {"role": "assistant", "content": text or None, "tool_calls": [*calls]}


def result(id: str, text: str) -> Message:
    """A tool's answer."""
    return {"role": "tool", "tool_call_id": id, "content": text}
