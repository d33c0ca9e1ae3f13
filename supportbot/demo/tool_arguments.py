"""Arguments of tools, checked and complained about as FastMCP does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Schemas = Mapping[str, Mapping[str, Any]]
"""The JSON schemas of arguments, by name; those with a default may be left out."""

_HELP = "For further information visit https://errors.pydantic.dev/2.12/v/"
_SHOWN = 50  # characters of a wrong value that are told back

TEXT: Mapping[str, Any] = {"type": "string"}
MAYBE_TEXT: Mapping[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "null"}],
    "default": None,
}
MAYBE_BOOLEAN: Mapping[str, Any] = {
    "anyOf": [{"type": "boolean"}, {"type": "null"}],
    "default": None,
}
OBJECTS: Mapping[str, Any] = {
    "items": {"additionalProperties": True, "type": "object"},
    "type": "array",
}
_KINDS: Mapping[str, tuple[type, str, str]] = {
    "string": (str, "Input should be a valid string", "string_type"),
    "boolean": (bool, "Input should be a valid boolean", "bool_type"),
    "array": (list, "Input should be a valid list", "list_type"),
    "object": (dict, "Input should be a valid dictionary", "dict_type"),
    "null": (type(None), "Input should be None", "none_required"),
}


class Misfit(Exception):
    """Arguments that are not the tool's; the message says which, and why."""


def fitting(
    tool: str, schemas: Schemas, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a tool, checked; others than its own are passed over.

    Raises:
        Misfit: one is missing, or is of a wrong type.
    """
    given: dict[str, Any] = {}
    faults: list[str] = []
    for name, schema in schemas.items():
        if name not in arguments:
            if "default" in schema:
                given[name] = schema["default"]
            else:
                shown = _fault(name, "Field required", "missing", dict(arguments))
                faults.append(shown)
            continue
        value = arguments[name]
        if schema.get("type") == "array" and isinstance(value, str):
            value = _unpacked(value)
        given[name] = value
        faults += _faults(name, schema, value)
    if faults:
        many = "s" if len(faults) > 1 else ""
        what = f"{len(faults)} validation error{many} for {tool}Arguments"
        raise Misfit("\n".join((what, *faults)))
    return given


def _unpacked(text: str) -> Any:
    """A list that came as text, as models write them."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _faults(where: str, schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with a value; with a choice, what is wrong with the first of it."""
    choices = schema.get("anyOf", (schema,))
    if any(isinstance(value, _KINDS[one["type"]][0]) for one in choices):
        if isinstance(value, list):
            each = enumerate(value)
            return [
                fault
                for number, item in each
                for fault in _faults(f"{where}.{number}", schema["items"], item)
            ]
        return []
    _, expected, code = _KINDS[choices[0]["type"]]
    return [_fault(where, expected, code, value)]


def _fault(where: str, expected: str, code: str, value: object) -> str:
    kind = type(value).__name__
    about = f"[type={code}, input_value={repr(value)[:_SHOWN]}, input_type={kind}]"
    return f"{where}\n  {expected} {about}\n    {_HELP}{code}"
