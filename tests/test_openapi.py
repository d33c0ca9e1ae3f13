"""The OpenAPI document says what goes over the wire."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from supportbot.channels.http import shapes
from supportbot.channels.http.openapi import document
from supportbot.channels.http.operations import JSON, SSE, TEXT, Operation
from supportbot.channels.http.problems import CONTENT_TYPE, Fault, Problem
from supportbot.channels.schemas import Schemas, structs
from supportbot.docstrings import Undocumented
from supportbot.events import CustomerSaid


async def nothing(call: object) -> None:
    """Nobody calls it."""


class Colour(enum.StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Wish(msgspec.Struct, frozen=True):
    """What somebody wants.

    Attributes:
        many: how many of them,
            and no more.
        colour: or none.
        name: the one name.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z]+\Z", examples=["sock"])]
    many: Annotated[int, msgspec.Meta(ge=1, le=9, description="Some.")] = 2
    colour: Colour | None = None
    near: tuple[str, ...] = ()


class Gift(msgspec.Struct, frozen=True, rename="camel"):
    """What there is.

    Attributes:
        wished_for: by somebody.
    """

    wished_for: Wish
    kind: str = "gift"
    later: int | msgspec.UnsetType = msgspec.UNSET


class Wrong(msgspec.Struct):
    """Speaks of what there is not.

    Attributes:
        absent: nowhere.
    """

    present: int = 1


def row(method: str, path: str, name: str, **others: Any) -> Operation:
    return Operation(method=method, path=path, name=name, answer=nothing, **others)


ROWS = [
    row(
        "POST",
        "/api/gifts",
        "wish",
        summary="Wish for it",
        about="It is *free*.",
        tag="gifts",
        body=Wish,
        returns=Gift,
        streams=Gift | Wish,
        headers={"Idempotency-Key": "Once.", "Accept": "Whole or not."},
        problems=(409,),
    ),
    row("GET", "/api/gifts", "gifts", tag="gifts", query=Wish, returns=list[Gift]),
    row(
        "GET",
        "/api/session/{session_id}/events",
        "events",
        streams=CustomerSaid | shapes.Delta,
        about="204 when there is nothing.",
    ),
    row("DELETE", "/api/session/{session_id}", "end", problems=(204,)),
    row("GET", "/metrics", "metrics", tag="operators", media=TEXT, operator=True),
    row("GET", "/static/{path}", "static", hidden=True),
]


def made(rows: list[Operation] = ROWS, **others: Any) -> dict[str, Any]:
    told = {"title": "gifts", "version": "1", "description": "All of *them*."}
    return document(rows, **told, **others)


MADE = made()


def operation(name: str, of: dict[str, Any] = MADE) -> dict[str, Any]:
    for path in of["paths"].values():
        for found in path.values():
            if found["operationId"] == name:
                return dict(found)
    raise LookupError(name)


def parameter(name: str, of: str) -> dict[str, Any]:
    (found,) = [p for p in operation(of)["parameters"] if p["name"] == name]
    return dict(found)


def fits(value: object, schema: dict[str, Any], of: dict[str, Any] = MADE) -> bool:
    whole = {**schema, "components": of["components"]}
    return jsonschema.Draft202012Validator(whole).is_valid(value)


def every(value: object, key: str) -> Iterator[Any]:
    """All that stands behind a key, however deep."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from every(inner, key)


def our_shapes() -> list[type[msgspec.Struct]]:
    return [
        shape
        for shape in vars(shapes).values()
        if isinstance(shape, type) and issubclass(shape, msgspec.Struct)
    ]


def our_rows() -> list[Operation]:
    """Each shape of ours as a body, a query or an answer, as its name says."""
    rows = []
    for shape in our_shapes():
        name = shape.__name__
        if name.endswith("Query"):
            rows.append(row("GET", f"/{name}", name, query=shape))
        elif name.endswith("Request"):
            rows.append(row("POST", f"/{name}", name, body=shape))
        else:
            rows.append(row("GET", f"/{name}", name, returns=shape))
    for stream in ("ChatStream", "EventStream"):
        rows.append(row("GET", f"/{stream}", stream, streams=getattr(shapes, stream)))
    return rows


@pytest.mark.parametrize("rows", [ROWS, our_rows(), []], ids=["few", "ours", "none"])
def test_the_document_is_valid(rows: list[Operation]) -> None:
    made_of = made(rows)
    assert list(OpenAPIV31SpecValidator(made_of).iter_errors()) == []
    assert made_of["openapi"] == "3.1.0"
    assert made_of["servers"] == [{"url": "/"}]
    assert "localhost" not in json.dumps(made_of)
    assert "://" not in json.dumps(made_of)


def test_the_same_table_makes_the_same_document() -> None:
    again = made([msgspec.structs.replace(one) for one in ROWS])
    assert json.dumps(again) == json.dumps(MADE)


def test_each_operation_stands_at_its_path_and_in_its_group() -> None:
    assert {path: [*methods] for path, methods in MADE["paths"].items()} == {
        "/api/gifts": ["post", "get"],
        "/api/session/{session_id}/events": ["get"],
        "/api/session/{session_id}": ["delete"],
        "/metrics": ["get"],
    }
    assert MADE["tags"] == [{"name": n} for n in ("gifts", "chat", "operators")]
    wish = operation("wish")
    assert (wish["summary"], wish["tags"]) == ("Wish for it", ["gifts"])
    assert wish["description"] == "It is *free*.\n\n`Accept`: Whole or not."


def test_a_body_is_described_by_its_class() -> None:
    asked = operation("wish")["requestBody"]
    assert asked == {
        "required": True,
        "content": {
            JSON: {
                "schema": {"$ref": "#/components/schemas/Wish"},
                "example": {"name": "sock"},
            }
        },
    }
    wish = MADE["components"]["schemas"]["Wish"]
    assert wish["description"] == "What somebody wants."
    assert wish["required"] == ["name"]
    assert wish["properties"]["many"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "default": 2,
        "description": "How many of them, and no more.",
    }
    assert wish["properties"]["near"]["default"] == []


def test_a_query_is_described_field_by_field() -> None:
    name, many, colour = (parameter(n, "gifts") for n in ("name", "many", "colour"))
    assert name["required"]
    assert not many["required"]
    assert name["description"] == "The one name."
    assert many["description"] == "How many of them, and no more."
    assert many["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "default": 2,
    }
    colours = MADE["components"]["schemas"]["Colour"]
    assert (colours["type"], colours["enum"]) == ("string", ["blue", "red"])
    assert colour["schema"] == {"$ref": "#/components/schemas/Colour"}  # never null
    assert {p["in"] for p in operation("gifts")["parameters"]} == {"query"}


def test_headers_and_paths_have_parameters_too() -> None:
    assert [p["name"] for p in operation("wish")["parameters"]] == ["Idempotency-Key"]
    once = parameter("Idempotency-Key", "wish")
    assert (once["in"], once["description"]) == ("header", "Once.")
    session = parameter("session_id", "events")
    assert (session["in"], session["required"]) == ("path", True)
    assert session["schema"]["pattern"] == r"^([A-Za-z0-9._~-]{1,128}|@me)$"


def test_a_header_may_name_the_session() -> None:
    for name in ("events", "end"):
        header = parameter("Session-Id", name)
        assert (header["in"], header["required"]) == ("header", False)
        assert "@me" in header["description"]
        pattern = parameter("session_id", name)["schema"]["pattern"]
        assert re.search(pattern, "@me")
        assert re.search(pattern, "2Sa9mRZyQ0uNfJ3wq8n4Xg")
        for other in ("@you", "a@me", "@mes", ""):
            assert not re.search(pattern, other)
    for name in ("wish", "gifts", "metrics"):
        others = operation(name).get("parameters", [])
        assert "Session-Id" not in [one["name"] for one in others]


def test_an_answer_has_all_that_we_send() -> None:
    gift = MADE["components"]["schemas"]["Gift"]
    assert gift["required"] == ["wishedFor", "kind"]
    assert gift["properties"]["wishedFor"]["description"] == "By somebody."
    answers = operation("wish")["responses"]["200"]
    assert answers["description"] == "What there is."
    assert answers["content"][JSON] == {"schema": {"$ref": "#/components/schemas/Gift"}}
    sent = msgspec.json.decode(msgspec.json.encode(Gift(Wish("sock"))))
    assert fits(sent, answers["content"][JSON]["schema"])
    assert not fits({"kind": "gift"}, answers["content"][JSON]["schema"])


def test_what_servers_send_bit_by_bit_is_described_by_its_data() -> None:
    content = operation("events")["responses"]["200"]["content"]
    assert [*content] == [SSE]
    schema = content[SSE]["schema"]
    assert schema["type"] == "string"
    assert "`CustomerSaid`, `Delta`" in schema["description"]
    sent = [CustomerSaid(seq=1, at=2.0, text="Hello", message_id="a")]
    assert fits(msgspec.to_builtins(sent), schema["contentSchema"])
    assert not fits([{"type": "customer_said"}], schema["contentSchema"])
    data = re.findall(r"^data: (.*)$", content[SSE]["example"], re.MULTILINE)
    assert len(data) == 2
    assert fits([*map(json.loads, data)], schema["contentSchema"])
    said = MADE["components"]["schemas"]["CustomerSaid"]["properties"]
    assert said["seq"]["description"].startswith("The event's number")  # inherited


def test_an_answer_may_be_text_or_nothing() -> None:
    metrics = operation("metrics")["responses"]["200"]["content"]
    assert metrics == {"text/plain": {"schema": {"type": "string"}}}
    assert operation("events")["responses"]["204"].keys() == {"description"}
    assert operation("end")["responses"]["204"].keys() == {"description"}
    assert "200" not in operation("end")["responses"]


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("wish", {200, 400, 403, 409, 413, 415, 422, 429, 503}),
        ("gifts", {200, 400, 403, 422}),
        ("events", {200, 204, 400, 403, 404, 429, 503}),
        ("end", {204, 400, 403, 404, 429, 503}),
        ("metrics", {200, 400, 401, 403, 503}),
    ],
)
def test_each_error_stands_where_it_can_occur(name: str, statuses: set[int]) -> None:
    assert {int(status) for status in operation(name)["responses"]} == statuses


def test_an_error_is_described_as_it_is_sent() -> None:
    responses = MADE["components"]["responses"]
    for name, response in responses.items():
        ((media, content),) = response["content"].items()
        assert media == "application/problem+json"
        assert fits(content["example"], content["schema"]), name
    misfit = responses["UnprocessableContent"]["content"][media]
    assert misfit["example"]["errors"][0]["pointer"].startswith("#/")
    for problem in (
        Problem(404),
        Problem(404, "Session X not found"),
        Problem(422, errors=(Fault("#/message", "Expected it."),)),
    ):
        assert fits(json.loads(problem.encode()), misfit["schema"])
    assert not fits({"status": 404}, misfit["schema"])


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("TooManyRequests", "Retry-After"),
        ("ServiceUnavailable", "Retry-After"),
        ("Unauthorized", "WWW-Authenticate"),
    ],
)
def test_an_error_names_the_header_that_helps(name: str, header: str) -> None:
    assert [*MADE["components"]["responses"][name]["headers"]] == [header]


def test_operators_show_their_token() -> None:
    assert operation("metrics")["security"] == [{"operator": []}]
    assert "security" not in operation("wish")
    scheme = MADE["components"]["securitySchemes"]["operator"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_where_no_token_is_set_nothing_is_for_operators() -> None:
    closed = made(operator_scheme=False)
    assert "/metrics" not in closed["paths"]
    assert "securitySchemes" not in closed["components"]
    assert list(OpenAPIV31SpecValidator(closed).iter_errors()) == []


def test_no_docstring_shows_through() -> None:
    for description in every([MADE, made(our_rows())], "description"):
        if isinstance(description, str):
            assert description.strip() == description
            assert not re.search(r"Attributes:|Args:|Returns:|\n {2,}", description)


def test_patterns_are_those_of_other_languages() -> None:
    patterns = [p for p in every(made(our_rows()), "pattern") if isinstance(p, str)]
    assert patterns
    assert not [p for p in patterns if re.search(r"\\[AZz]|\(\?P", p)]


def test_every_example_fits() -> None:
    of = made(our_rows())
    for content in every(of, "content"):
        for media in content.values():
            if "example" in media and media["schema"].get("type") != "string":
                assert fits(media["example"], media["schema"], of), media


@pytest.mark.parametrize("shape", our_shapes(), ids=lambda shape: shape.__name__)
def test_every_shape_takes_its_own_sample(shape: type[msgspec.Struct]) -> None:
    schemas = Schemas([shape], [])
    sample = schemas.sample(schemas.of(shape))
    assert isinstance(msgspec.convert(sample, shape), shape)


def test_a_docstring_must_not_speak_of_what_there_is_not() -> None:
    with pytest.raises(Undocumented, match="Wrong has no absent"):
        made([row("GET", "/", "wrong", returns=Wrong)])


def test_classes_are_found_wherever_they_stand() -> None:
    nested = dict[str, list[tuple[Gift, int]]] | None
    assert [*structs([nested, Wish])] == [Wish, Gift]


def test_what_becomes_a_websocket_has_no_answer() -> None:
    of = made([row("GET", "/ws", "talk", upgrades=True)])
    assert list(OpenAPIV31SpecValidator(of).iter_errors()) == []
    responses = operation("talk", of)["responses"]
    assert [*responses] == ["101", "400", "403", "426", "503"]
    assert "content" not in responses["101"]
    wants = of["components"]["responses"]["UpgradeRequired"]
    assert wants["headers"]["Upgrade"]["schema"] == {"type": "string"}
    assert wants["content"][CONTENT_TYPE]["example"]["status"] == 426
