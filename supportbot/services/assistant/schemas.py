"""The JSON Schema of a tool's arguments: tamed, shown to the model, and checked.

A schema comes from outside and is worked with in the reactor's thread. So only those
keywords are kept whose cost is known: no patterns, no references to elsewhere or round
and round. What is dropped makes a schema laxer, never stricter; the tool's own server
checks everything again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from supportbot.services.assistant.results import cleaned

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_TEXTS = {"title", "description"}
_LONGEST_TEXT = 1_000  # characters
_ONE = {"additionalProperties"}
_MANY = {"anyOf", "oneOf", "allOf", "prefixItems"}
_NAMED = {"properties", "$defs", "definitions"}
_NUMBERS = {
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
}
_VALUES = {"type", "enum", "const", "default", "examples", "format"}
_REFERENCE = re.compile(r"#/(\$defs|definitions)/([A-Za-z0-9_.-]{1,100})")
_DEEPEST = 16
_LARGEST = 32_768  # bytes of a schema
_COSTLIEST = 2_000  # subschemas, with references followed
_WORK = 100_000  # subschemas times values
_COMPLAINTS = 3
_SHOWN = 200  # characters of what was expected


class SchemaUnusable(Exception):
    """There is no safe way to work with this schema."""


class ArgumentSchema:
    """What a tool takes, from the model.

    Args:
        schema: as the server sent it.
        bound: names of arguments that we fill in ourselves.

    Attributes:
        shown: JSON Schema for the model, without what is bound.
        filled: what is bound and the tool takes, in the tool's spelling.

    Raises:
        SchemaUnusable: then the tool can't be offered.
    """

    def __init__(self, schema: Mapping[str, Any], bound: Collection[str] = ()) -> None:
        self._bound = {plain(name) for name in bound}
        self.filled: tuple[str, ...] = ()
        self.binds = False
        tame = self._tamed(schema, 0)
        if not isinstance(tame, dict) or tame.setdefault("type", "object") != "object":
            raise SchemaUnusable("arguments are an object")
        names = schema.get("properties", {})
        self.filled = tuple(name for name in names if plain(name) in self._bound)
        tame.setdefault("properties", {})
        try:
            size = len(msgspec.json.encode(tame))
        except (TypeError, ValueError, RecursionError) as error:
            raise SchemaUnusable("it is no JSON") from error
        if size > _LARGEST:
            raise SchemaUnusable("it is too large")
        self._definitions = {
            (kind, name): definition
            for kind in ("$defs", "definitions")
            for name, definition in tame.get(kind, {}).items()
        }
        self._costs: dict[tuple[str, str], int | None] = {}
        try:
            self._cost = self._costs_of(tame)
        except RecursionError as error:
            raise SchemaUnusable("its references are too deep") from error
        if self._cost > _COSTLIEST:
            raise SchemaUnusable("it is too costly")
        self.shown: Mapping[str, Any] = tame
        self._validator = _validator(schema.get("$schema"), tame)

    def complaint(self, arguments: Mapping[str, Any]) -> str:
        """What is wrong with the arguments, in words for the model; empty if nothing.

        Nothing of them is repeated but the names.
        """
        known = self.shown["properties"]
        if unknown := [name for name in arguments if name not in known]:
            names = ", ".join(_quoted(name) for name in unknown[:_COMPLAINTS])
            allowed = ", ".join(known) or "none"
            return f"There is no argument {names}; there are: {allowed}."
        if _size(arguments) * self._cost > _WORK:
            return "These are too many values."
        try:
            errors = list(islice(self._validator.iter_errors(arguments), _COMPLAINTS))
        except Exception as error:  # whatever a foreign schema brings about
            return f"They can't be checked ({type(error).__name__})."
        return " ".join(_worded(error) for error in errors)

    def _tamed(self, schema: object, depth: int) -> dict[str, Any] | bool:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            raise SchemaUnusable("it is not made of objects, or too deep")
        kept: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in _TEXTS:
                if isinstance(value, str):
                    kept[keyword] = cleaned(value)[:_LONGEST_TEXT]
            elif keyword in _ONE or (keyword == "items" and not _is_list(value)):
                kept[keyword] = self._tamed(value, depth + 1)
            elif keyword in _MANY or keyword == "items":
                if not _is_list(value):
                    raise SchemaUnusable(f"{keyword} is no list")
                # Without their patterns several may fit where one did.
                keyword = "anyOf" if keyword == "oneOf" else keyword
                kept[keyword] = [self._tamed(one, depth + 1) for one in value]
            elif keyword in _NAMED:
                kept[keyword] = self._named(keyword, value, depth)
            elif keyword == "required":
                kept[keyword] = self._required(value)
            elif keyword == "$ref":
                if not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
                    raise SchemaUnusable("it refers to elsewhere")
                kept[keyword] = value
            elif keyword in _VALUES or keyword in _NUMBERS:
                kept[keyword] = value
        return kept

    def _named(self, keyword: str, value: object, depth: int) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SchemaUnusable(f"{keyword} is no object")
        kept = {}
        for name, one in value.items():
            if keyword == "properties" and plain(name) in self._bound:
                self.binds = True
                continue
            if not name.isprintable() or len(name) > 64:
                raise SchemaUnusable("an argument has a strange name")
            kept[name] = self._tamed(one, depth + 1)
        return kept

    def _required(self, value: object) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(n, str) for n in value):
            raise SchemaUnusable("required is no list of names")
        return [name for name in value if plain(name) not in self._bound]

    def _costs_of(self, schema: Any) -> int:
        """How many subschemas one value may be checked against."""
        if isinstance(schema, bool):
            return 1
        below: list[Any] = [schema[key] for key in _ONE if key in schema]
        for key in (*_MANY, "items"):
            if key in schema:
                below += schema[key] if _is_list(schema[key]) else [schema[key]]
        below += schema.get("properties", {}).values()
        cost = 1 + sum(self._costs_of(one) for one in below)
        if "$ref" in schema:
            cost += self._costs_of_definition(_named_by(schema["$ref"]))
        return cost

    def _costs_of_definition(self, name: tuple[str, str]) -> int:
        if name not in self._definitions:
            raise SchemaUnusable("it refers to nothing")
        if name not in self._costs:
            self._costs[name] = None  # while it is worked out
            self._costs[name] = self._costs_of(self._definitions[name])
        cost = self._costs[name]
        if cost is None:
            raise SchemaUnusable("it refers to itself")
        return cost


def plain(name: object) -> str:
    """A name as it is compared: `customerId` is the same as `CUSTOMER_ID`."""
    folded = unicodedata.normalize("NFKC", str(name)).casefold()
    return "".join(character for character in folded if character.isalnum())


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _named_by(reference: str) -> tuple[str, str]:
    match = _REFERENCE.fullmatch(reference)
    assert match is not None  # it was checked when the schema was tamed
    return match[1], match[2]


def _validator(dialect: object, schema: dict[str, Any]) -> Any:
    # Here, since it takes a tenth of the program's start, and only a shop needs it.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    named = {"$schema": dialect} if isinstance(dialect, str) else {}
    kind = validator_for(named, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise SchemaUnusable("it is no valid schema") from error
    except Exception as error:  # whatever a foreign schema brings about
        raise SchemaUnusable(f"checking it failed: {type(error).__name__}") from error
    return kind(schema, registry=Registry())  # which fetches nothing


def _size(value: object) -> int:
    """How many values there are in one."""
    if isinstance(value, Mapping):
        return 1 + sum(_size(one) for one in value.values())
    if isinstance(value, list):
        return 1 + sum(_size(one) for one in value)
    return 1


def _worded(error: ValidationError) -> str:
    where = _path(error.absolute_path) or "the arguments"
    given: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    if error.validator == "required":
        missing = ", ".join(name for name in wanted if name not in given)
        return f"{where}: missing: {missing}."
    if error.validator == "additionalProperties":
        allowed = ", ".join(schema.get("properties", {}))
        return f"{where}: expected nothing besides: {allowed}."
    expected = msgspec.json.encode({str(error.validator): wanted})
    return f"{where}: expected {expected.decode()[:_SHOWN]}."


def _path(steps: Iterable[str | int]) -> str:
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return cleaned(path)[:100]


def _quoted(name: str) -> str:
    return f"“{cleaned(name)[:40]}”"
