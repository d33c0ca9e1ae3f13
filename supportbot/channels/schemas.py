"""JSON Schemas of our shapes, with what their docstrings say of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from supportbot.docstrings import Undocumented, documentation

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_KEYS_WITH_SCHEMAS = ("properties", "$defs")


class Schemas:
    """The schemas of all types that a document speaks of.

    Attributes:
        components: by name, those that others refer to.
    """

    def __init__(self, asked: Iterable[Any], answered: Iterable[Any]) -> None:
        """Describe the types.

        Args:
            asked: types that clients send. What has a default may be left out.
            answered: types that we send. What has a default is there nevertheless.

        Raises:
            Undocumented: a docstring speaks of an attribute that there is not.
        """
        sent, got = list(dict.fromkeys(asked)), list(dict.fromkeys(answered))
        in_asked, in_answered = list(structs(sent)), list(structs(got))
        kinds = list(dict.fromkeys([*sent, *got, *in_asked, *in_answered]))
        described, components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self._of: dict[Any, Schema] = dict(
            zip(kinds, map(_tidy, described), strict=True)
        )
        self.components = {name: _tidy(one) for name, one in sorted(components.items())}
        for shape in dict.fromkeys([*in_asked, *in_answered]):
            component = self.resolved(self._of[shape])
            _explain(component, shape)
            if shape not in in_asked:
                component["required"] = list(_always(shape))

    def of(self, kind: Any) -> Schema:
        """The schema of one of the types: a reference, if it is a component."""
        return self._of[kind]

    def resolved(self, schema: Schema) -> Schema:
        """The schema itself, where a reference to a component may stand."""
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.components[name] if name else schema

    def used(self, tree: Any) -> dict[str, Schema]:
        """The components that something refers to, or that these refer to."""
        names: set[str] = set()
        waiting = [tree]
        while waiting:
            match waiting.pop():
                case dict() as node:
                    name = str(node.get("$ref", "")).rpartition("/")[2]
                    if name in self.components and name not in names:
                        names.add(name)
                        waiting.append(self.components[name])
                    waiting += node.values()
                case list() as nodes:
                    waiting += nodes
        return {name: self.components[name] for name in sorted(names)}

    def sample(self, schema: Schema) -> Any:
        """A short value that fits: what is optional is left out."""
        schema = self.resolved(schema)
        for key in ("default", "const"):
            if key in schema:
                return schema[key]
        for key in ("examples", "enum", "anyOf"):
            if key in schema:
                first = schema[key][0]
                return self.sample(first) if key == "anyOf" else first
        if "properties" in schema:
            some = schema.get("required", ())
            return {name: self.sample(schema["properties"][name]) for name in some}
        kind = schema.get("type", "object")
        low = schema.get("minimum", 0)
        plain = {"integer": low, "number": low, "boolean": True, "string": "text"}
        return [] if kind == "array" else plain.get(kind, {})


def structs(kinds: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """The classes that the types consist of, each once."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting: list[Any] = [inspect.type_info(kind) for kind in kinds]
    while waiting:
        match waiting.pop(0):
            case inspect.StructType(cls=cls) as kind if cls not in found:
                found[cls] = None
                waiting += [field.type for field in kind.fields]
            case inspect.StructType():
                pass
            case inspect.Type() as kind:
                waiting += msgspec.structs.astuple(kind)
            case tuple() as several:
                waiting += several
    yield from found


def _tidy(schema: Schema) -> Schema:
    """The schema as other programs want to have it."""
    schema = dict(schema)
    if "pattern" in schema:  # theirs are those of ECMA, where `$` is what `\Z` is here
        schema["pattern"] = schema["pattern"].replace(r"\Z", "$")
    if all(isinstance(value, str) for value in schema.get("enum", [None])):
        schema = {"type": "string", **schema}
    for key, value in schema.items():
        if key == "default" and isinstance(value, tuple):
            schema[key] = list(value)
        if key in _KEYS_WITH_SCHEMAS:
            schema[key] = {name: _tidy(inner) for name, inner in value.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, dict):
            schema[key] = _tidy(value)
        elif key in {"anyOf", "prefixItems"}:
            schema[key] = [_tidy(inner) for inner in value]
    return schema


def _explain(component: Schema, shape: type[msgspec.Struct]) -> None:
    """Say of a class and its attributes what the docstring says, and nothing else."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(shape)}
    about = documentation(shape)[0]
    if about:
        component["description"] = about
    for ancestor in reversed(shape.__mro__):
        if not issubclass(ancestor, msgspec.Struct) or ancestor is msgspec.Struct:
            continue
        for name, meaning in documentation(ancestor)[1].items():
            if name not in names:
                raise Undocumented(f"{ancestor.__name__} has no {name}")
            component["properties"][names[name]]["description"] = _sentence(meaning)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _always(shape: type[msgspec.Struct]) -> Iterator[str]:
    """Names of what is there in all that we send of a class."""
    if tag_field := shape.__struct_config__.tag_field:
        yield tag_field
    short = shape.__struct_config__.omit_defaults
    for field in msgspec.structs.fields(shape):
        if field.required or not (short or field.default is msgspec.UNSET):
            yield field.encode_name
