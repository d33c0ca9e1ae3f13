"""Whether messages are as the AsyncAPI document says."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec

from supportbot.channels.websocket.asyncapi import document
from supportbot.channels.websocket.shapes import Action, Sent

MADE = document()


def fits(message: dict[str, Any], of: dict[str, Any] = MADE) -> None:
    """Check a message of either side, as it is on the wire.

    Args:
        of: the document.

    Raises:
        jsonschema.ValidationError: it is not as its schema says.
        msgspec.ValidationError: it is no message, or has not the types of one.
        AssertionError: we send what the document does not speak of.
    """
    by_client = "action" in message
    decoded: Any = msgspec.convert(message, Action if by_client else Sent)
    (channel,) = of["channels"].values()
    described = channel["messages"][decoded.__struct_config__.tag]
    validator(described["payload"], of).validate(message)
    if not by_client:
        assert msgspec.to_builtins(decoded) == message


def validator(schema: dict[str, Any], of: dict[str, Any]) -> jsonschema.Draft7Validator:
    """A validator of what a schema in a document describes."""
    whole = {"allOf": [schema], "components": of["components"]}
    return jsonschema.Draft7Validator(whole)
