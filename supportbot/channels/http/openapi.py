"""The OpenAPI document, made from the route table.

Nothing is written twice: what goes over the wire is described by the classes that read
and write it, and what it means by their docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import msgspec

from supportbot.channels.http.operations import JSON, SSE, Operation
from supportbot.channels.http.problems import CONTENT_TYPE, Fault, Problem, phrase
from supportbot.channels.http.shapes import SessionInPath
from supportbot.channels.schemas import Schema, Schemas

_PARAMETER = re.compile(r"\{(\w+)\}")
_PARAMETERS: dict[str, Any] = {"session_id": SessionInPath}
"""Types of parameters in paths; the others are text."""
_ME = {"Session-Id": "The session's id, where the path says `@me`."}
_SCHEME = "operator"
_NOT_PARAMETERS = {"accept", "authorization", "content-type"}
"""Headers that OpenAPI speaks of elsewhere."""

_MEANT: dict[int, str] = {
    400: "The request can't be understood.",
    401: "The operator's token is missing, or another one was sent.",
    403: "Not from this page, or not while the operator has no token.",
    404: "There is no such session.",
    405: "The path has other methods.",
    406: "The answer does not come in a form that was asked for.",
    413: "The body is longer than is taken.",
    415: "The body is not JSON.",
    422: "It is well-formed, but does not fit.",
    426: "Here only WebSocket is spoken.",
    429: "Too much at a time; later it is welcome.",
    503: "It can't be done at the moment; later it may be.",
}
"""What has happened, where the status alone does not say it."""
_FAULTS = (Fault("#/message", "Expected `str`, got `int`"),)
_HEADERS: dict[int, tuple[str, str, Schema]] = {
    401: ("WWW-Authenticate", "How to say who one is.", {"type": "string"}),
    405: ("Allow", "The methods that the path has.", {"type": "string"}),
    426: ("Upgrade", "What is spoken here.", {"type": "string"}),
    429: ("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 0}),
    503: ("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 0}),
}


def document(
    operations: Sequence[Operation],
    *,
    title: str,
    version: str,
    description: str,
    operator_scheme: bool = True,
) -> dict[str, Any]:
    """The OpenAPI 3.1 document; the same table gives the same, in the same order.

    Args:
        operator_scheme: whether operators have a token. Without one, what is theirs is
            closed, and left out.

    Raises:
        Undocumented: a docstring of a shape speaks of what there is not.
    """
    shown = [
        operation
        for operation in operations
        if not operation.hidden and (operator_scheme or not operation.operator)
    ]
    schemas = Schemas(_asked(shown), [Problem, *_answered(shown)])
    _as_sent(schemas.resolved(schemas.of(Problem)))
    paths: dict[str, dict[str, Any]] = {}
    for operation in shown:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation, schemas)
    statuses = sorted({status for one in shown for status in _errors(one)})
    responses = {_name(status): _error(status, schemas) for status in statuses}
    components: dict[str, Any] = {
        "schemas": schemas.used([paths, responses]),  # a query is shown field by field
        "responses": responses,
    }
    if any(operation.operator for operation in shown):
        scheme = {"type": "http", "scheme": "bearer"}
        meaning = "The operator's token."
        components["securitySchemes"] = {_SCHEME: {**scheme, "description": meaning}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in shown)],
        "paths": paths,
        "components": components,
    }


def _asked(operations: Sequence[Operation]) -> Iterator[Any]:
    yield str
    yield from _PARAMETERS.values()
    for operation in operations:
        yield from (kind for kind in (operation.body, operation.query) if kind)
        if operation.query is not None:
            fields = msgspec.structs.fields(operation.query)
            yield from (_sent_in_query(field.type) for field in fields)


def _answered(operations: Sequence[Operation]) -> Iterator[Any]:
    for operation in operations:
        if operation.returns is not None:
            yield operation.returns
        yield from _members(operation.streams)


def _members(streams: Any) -> tuple[Any, ...]:
    """The types in a union, which on the wire need nothing to tell them apart."""
    return () if streams is None else get_args(streams) or (streams,)


def _sent_in_query(kind: Any) -> Any:
    """The type without None: nobody can send that in a query string."""
    rest = [one for one in get_args(kind) if one is not type(None)]
    return rest[0] if type(None) in get_args(kind) and len(rest) == 1 else kind


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": operation.name, "tags": [operation.tag]}
    if operation.summary:
        made["summary"] = operation.summary
    if about := "\n\n".join(_about(operation)):
        made["description"] = about
    if parameters := list(_parameters(operation, schemas)):
        made["parameters"] = parameters
    if operation.body is not None:
        schema = schemas.of(operation.body)
        content: dict[str, Any] = {"schema": schema, "example": schemas.sample(schema)}
        made["requestBody"] = {"required": True, "content": {JSON: content}}
    made["responses"] = _responses(operation, schemas)
    if operation.operator:
        made["security"] = [{_SCHEME: []}]
    return made


def _about(operation: Operation) -> Iterator[str]:
    if operation.about:
        yield operation.about
    for name, meaning in operation.headers.items():
        if name.lower() in _NOT_PARAMETERS:
            yield f"`{name}`: {meaning}"


def _parameters(operation: Operation, schemas: Schemas) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(operation.path):
        schema = schemas.of(_PARAMETERS.get(name, str))
        yield _parameter(name, "path", schema, required=True)
    if operation.query is not None:
        described = schemas.resolved(schemas.of(operation.query))["properties"]
        for field in msgspec.structs.fields(operation.query):
            schema = dict(schemas.of(_sent_in_query(field.type)))
            meaning = described[field.encode_name].get("description")
            default = described[field.encode_name].get("default")
            if default is not None:
                schema["default"] = default
            yield _parameter(
                field.encode_name, "query", schema, field.required, meaning
            )
    shared = _ME if operation.names_session else {}
    for name, meaning in {**shared, **operation.headers}.items():
        if name.lower() not in _NOT_PARAMETERS:
            yield _parameter(name, "header", {"type": "string"}, False, meaning)


def _parameter(
    name: str, place: str, schema: Schema, required: bool, meaning: str | None = None
) -> dict[str, Any]:
    schema = dict(schema)
    about = schema.pop("description", None)
    made: dict[str, Any] = {"name": name, "in": place, "required": required}
    if meaning or about:
        made["description"] = meaning or about
    return {**made, "schema": schema}


def _responses(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {}
    about, content = _done(operation, schemas)
    if operation.upgrades:
        made["101"] = {"description": "From here on WebSocket is spoken."}
    silent = 204 in operation.problems or re.search(r"\b204\b", operation.about)
    if content or not (silent or operation.upgrades):
        made["200"] = {
            "description": about,
            **({"content": content} if content else {}),
        }
    if silent:
        made["204"] = {"description": "There is nothing to tell."}
    for status in _errors(operation):
        made[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    return made


def _done(operation: Operation, schemas: Schemas) -> tuple[str, dict[str, Any]]:
    """What is answered when all is well: in words, and by media type."""
    about, content = "Done.", {}
    if operation.streams is not None:
        about = "Server-sent events."
        content[SSE] = _stream(operation.streams, schemas)
    if operation.returns is not None:
        schema = schemas.of(operation.returns)
        about = schemas.resolved(schema).get("description", about)
        content = {JSON: {"schema": schema}, **content}
    if not content and operation.media != JSON:
        content[operation.media.partition(";")[0]] = {"schema": {"type": "string"}}
    return about, content


def _stream(streams: Any, schemas: Schemas) -> dict[str, Any]:
    """Server-sent events, which this version of OpenAPI has no words for.

    The body is text; what stands in `data`, event by event, is its `contentSchema`.
    """
    members = [schemas.of(kind) for kind in _members(streams)]
    names = ", ".join(f"`{one['$ref'].rpartition('/')[2]}`" for one in members)
    events = [msgspec.json.encode(schemas.sample(one)).decode() for one in members]
    schema: Schema = {
        "type": "string",
        "description": f"Events. The `data` of each is JSON, one of {names}.",
        "contentMediaType": SSE,
        "contentSchema": {"type": "array", "items": {"anyOf": members}},
    }
    return {
        "schema": schema,
        "example": "".join(f"data: {event}\n\n" for event in events),
    }


def _errors(operation: Operation) -> list[int]:
    """Statuses of errors: those that follow from the row, and those that it names."""
    session = operation.names_session
    reads = operation.body is not None or operation.query is not None
    changes = operation.method != "GET"
    streams = operation.streams is not None
    rules = {
        (400,): True,
        (401,): operation.operator,
        (403,): operation.operator or operation.guarded,
        (404,): session,
        (413, 415): operation.body is not None,
        (422,): reads,
        (426,): operation.upgrades,
        (429,): changes or streams,
        (503,): changes
        or streams
        or session
        or operation.operator
        or operation.upgrades,
    }
    follow = {status for some, holds in rules.items() if holds for status in some}
    return sorted(follow | {status for status in operation.problems if status >= 400})


def _name(status: int) -> str:
    return re.sub(r"\W", "", phrase(status).title())


def _error(status: int, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"description": _MEANT.get(status, f"{phrase(status)}.")}
    if status in _HEADERS:
        header, about, schema = _HEADERS[status]
        made["headers"] = {header: {"description": about, "schema": schema}}
    example = Problem(status, errors=_FAULTS if status == 422 else ())
    content = {
        "schema": schemas.of(Problem),
        "example": msgspec.json.decode(example.encode()),
    }
    return {**made, "content": {CONTENT_TYPE: content}}


def _as_sent(problem: Schema) -> None:
    """Describe a problem as `Problem.encode` writes it: with a title, and no blanks."""
    title = {"type": "string", "description": "The status in words."}
    described = problem["properties"]
    for name in ("detail", "errors"):
        described[name].pop("default", None)
    kind = described.pop("type")
    problem["properties"] = {"type": kind, "title": title, **described}
    problem["required"] = ["type", "title", "status"]
