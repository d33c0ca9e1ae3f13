"""The AsyncAPI document says what goes over a WebSocket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot import __version__
from supportbot.channels.http.routing import Router
from supportbot.channels.websocket.asyncapi import document, operation
from supportbot.channels.websocket.frames import Close
from supportbot.channels.websocket.shapes import (
    Action,
    Chunk,
    Error,
    Message,
    MessageChunk,
    Post,
    ProcessingStart,
    Sent,
    SessionEnd,
)
from supportbot.docstrings import documentation
from supportbot.events import Outcome
from tests.asyncapi_check import MADE, fits, validator
from tests.http_fakes import HttpScene

OFFICIAL = Path(__file__).parent / "assets" / "asyncapi" / "3.0.0.json"
CHANNEL = MADE["channels"]["ws"]
MESSAGES = CHANNEL["messages"]
ACTIONS, OURS = get_args(Action), get_args(Sent)
NEVER_SENT = {1005, 1006}
"""Codes that stand for none. RFC 6455, 7.4.1."""


def tag(shape: type[msgspec.Struct]) -> str:
    return str(shape.__struct_config__.tag)


def every(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """All that is in a tree, with where it stands."""
    yield path, node
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from every(inner, (*path, key))
    if isinstance(node, list):
        for number, inner in enumerate(node):
            yield from every(inner, (*path, str(number)))


def found(reference: str) -> Any:
    """What a reference within the document leads to."""
    start, *path = reference.split("/")
    assert start == "#"
    node: Any = MADE
    for key in path:
        node = node[key]
    return node


def schema_of(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return dict(found(MESSAGES[tag(shape)]["payload"]["$ref"]))


def official(made: dict[str, Any]) -> list[str]:
    """What the authors of the standard find wrong."""
    schema = json.loads(OFFICIAL.read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    errors = jsonschema.Draft7Validator(schema).iter_errors(made)
    return [f"{error.json_path}: {error.message}" for error in errors]


def test_the_document_is_valid() -> None:
    assert official(MADE) == []
    assert MADE["asyncapi"] == "3.0.0"
    assert MADE["info"]["version"] == __version__
    assert MADE["defaultContentType"] == "application/json"
    assert json.dumps(document()) == json.dumps(MADE)


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (("operations", "chatbot_stop", "action"), "reply"),
        (("servers", "plain", "host"), None),
        (("channels", "ws", "bindings", "ws", "method"), "PUT"),
        (("channels", "ws", "messages", "error", "examples"), [{"data": "text"}]),
        (("components", "schemas", "Post", "required"), "session_id"),
        (("components", "schemas", "Post", "properties", "stream", "anyOf"), []),
    ],
)
def test_one_that_is_not_would_be_noticed(where: tuple[str, ...], wrong: Any) -> None:
    broken = document()
    node = broken
    for key in where[:-1]:
        node = node[key]
    assert where[-1] in node
    node[where[-1]] = wrong
    assert official(broken)


def test_every_reference_leads_somewhere() -> None:
    references = [node for path, node in every(MADE) if path[-1:] == ("$ref",)]
    assert len(references) > len(MESSAGES)
    for reference in references:
        assert isinstance(found(reference), dict), reference


def test_nothing_stands_beside_a_reference() -> None:
    # It would not count; and what is said of an enumeration is still said.
    nodes = [node for _, node in every(MADE) if isinstance(node, dict)]
    assert all(len(node) == 1 for node in nodes if "$ref" in node)
    outcome = schema_of(Error)["properties"]["outcome"]
    assert outcome["description"] == "How it ended."
    assert outcome["allOf"] == [{"$ref": "#/components/schemas/Outcome"}]


def test_every_message_is_there_once() -> None:
    assert [*MESSAGES] == [tag(shape) for shape in (*ACTIONS, *OURS)]
    assert [message["name"] for message in MESSAGES.values()] == [*MESSAGES]
    payloads = [message["payload"]["$ref"] for message in MESSAGES.values()]
    assert len(set(payloads)) == len(payloads)
    used = {node for path, node in every(MADE) if path[-1:] == ("$ref",)}
    for name in MADE["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in used


@pytest.mark.parametrize("shape", [*ACTIONS, *OURS], ids=tag)
def test_a_message_is_described_by_its_class(shape: type[msgspec.Struct]) -> None:
    about, _ = documentation(shape)
    assert about
    assert MESSAGES[tag(shape)]["summary"] == " ".join(about.split())
    schema = schema_of(shape)
    assert (schema["title"], schema["description"]) == (shape.__name__, about)
    for name, meaning in documentation(shape)[1].items():
        told = schema["properties"][name]["description"]
        assert told == meaning[0].upper() + meaning[1:]
    names = [field.encode_name for field in msgspec.structs.fields(shape)]
    assert {*schema["properties"]} == {shape.__struct_config__.tag_field, *names}


@pytest.mark.parametrize("shape", [*ACTIONS, *OURS], ids=tag)
def test_the_tag_tells_which_message_it_is(shape: type[msgspec.Struct]) -> None:
    field = "action" if shape in ACTIONS else "type"
    schema = schema_of(shape)
    assert schema["properties"][field] == {"type": "string", "const": tag(shape)}
    assert field in schema["required"]


def test_clients_may_leave_out_what_has_a_default() -> None:
    post = schema_of(Post)
    assert post["required"] == ["action", "session_id", "user_message"]
    assert {"type": "null"} in post["properties"]["gpt_model"]["anyOf"]


def test_what_we_may_leave_out_is_not_required() -> None:
    assert schema_of(ProcessingStart)["required"] == ["type", "data"]
    assert schema_of(ProcessingStart)["properties"]["data"]["type"] == "null"
    assert schema_of(Error)["required"] == ["type", "data"]
    assert schema_of(Message)["required"] == ["type", "data", "seq"]
    chunk = found(schema_of(MessageChunk)["properties"]["data"]["$ref"])
    assert chunk["required"] == ["seq", "text", "format"]


@pytest.mark.parametrize("shape", [*ACTIONS, *OURS], ids=tag)
def test_every_example_is_a_message(shape: type[msgspec.Struct]) -> None:
    examples = [example["payload"] for example in MESSAGES[tag(shape)]["examples"]]
    assert examples
    for example in examples:
        decoded = msgspec.json.decode(json.dumps(example), type=shape)
        encoded = json.loads(msgspec.json.encode(decoded))
        assert encoded.items() >= example.items()
        if shape in OURS:
            assert encoded == example
        assert None not in [example[name] for name in example if shape in ACTIONS]
        validator(MESSAGES[tag(shape)]["payload"], MADE).validate(example)
        fits(example)


def test_every_action_is_an_operation() -> None:
    assert [*MADE["operations"]] == [tag(shape) for shape in ACTIONS]
    for name, made in MADE["operations"].items():
        assert made["action"] == "receive"  # by us
        assert found(made["channel"]["$ref"]) is CHANNEL
        assert found(made["reply"]["channel"]["$ref"]) is CHANNEL
        (message,) = made["messages"]
        assert found(message["$ref"]) is MESSAGES[name]
        assert made["summary"] == MESSAGES[name]["summary"]


def replies(name: str) -> list[str]:
    references = MADE["operations"][name]["reply"]["messages"]
    return [found(one["$ref"])["name"] for one in references]


def test_each_action_has_its_replies() -> None:
    answer = [
        "processing_start",
        "message_chunk",
        "message_delta",
        "message_revised",
        "message",
        "processing_end",
        "error",
    ]
    assert {name: replies(name) for name in MADE["operations"]} == {
        "chatbot_session_start": ["session_start", "error"],
        "chatbot_post_message": answer,
        "chatbot_session_end": ["session_end", "error"],
        "chatbot_session_resume": ["session_resume", *answer],
        "chatbot_stop": ["error"],
    }


def test_all_that_we_send_comes_of_an_action() -> None:
    sent = {reply for name in MADE["operations"] for reply in replies(name)}
    assert sent == {tag(shape) for shape in OURS}


def test_clients_connect_to_where_the_document_came_from() -> None:
    assert CHANNEL["address"] == "/ws"
    assert CHANNEL["bindings"]["ws"]["method"] == "GET"
    servers = MADE["servers"].values()
    assert {server["protocol"] for server in servers} == {"ws", "wss"}
    assert {server["host"] for server in servers} == {"{host}"}
    assert all([*server["variables"]] == ["host"] for server in servers)
    assert "localhost" not in json.dumps(MADE)


def test_each_close_code_that_we_send_has_its_meaning() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (\w.*\.) \|$", CHANNEL["description"], re.MULTILINE
    )
    codes = [int(code) for code, _ in rows]
    assert codes == sorted({*Close} - NEVER_SENT)
    head = CHANNEL["description"].partition("| 1000 |")[0]
    assert head.endswith("\n\n| Code | Meaning |\n| --- | --- |\n")


def test_patterns_are_those_of_other_languages() -> None:
    patterns = [
        node
        for path, node in every(MADE["components"])
        if path[-1:] == ("pattern",) and isinstance(node, str)
    ]
    assert patterns
    assert not [one for one in patterns if re.search(r"\\[AZz]|\(\?P", one)]


def test_no_docstring_shows_through() -> None:
    for path, node in every(MADE):
        if path[-1:] in [("description",), ("summary",)] and isinstance(node, str):
            assert node.strip() == node
            assert not re.search(r"Attributes:|\n {2,}", node)


@pytest.mark.parametrize("name", MADE["components"]["schemas"])
def test_schemas_are_of_draft_7(name: str) -> None:
    schema = MADE["components"]["schemas"][name]
    jsonschema.Draft7Validator.check_schema(schema)
    later = {"prefixItems", "$defs", "dependentRequired", "unevaluatedProperties"}
    assert not [path for path, _ in every(schema) if {*path} & later]


# Whether a message fits.

TEXT = st.text(max_size=5)
SENT = st.one_of(
    st.builds(Message, data=TEXT, seq=st.integers(0, 9)),
    st.builds(
        Error,
        data=TEXT,
        seq=st.integers(0, 9),
        outcome=st.sampled_from(Outcome),
        detail=TEXT,
        session_id=TEXT,
        message_id=TEXT,
    ),
    st.builds(
        MessageChunk,
        data=st.builds(
            Chunk, st.integers(0, 9), TEXT, st.sampled_from(["html", "plain"])
        ),
    ),
    st.builds(SessionEnd),
)


@given(SENT)
def test_what_we_send_fits(message: Sent) -> None:
    fits(json.loads(msgspec.json.encode(message)))


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "mesage", "data": "Hello", "seq": 1},
        {"type": "message", "seq": 1},
        {"type": "message", "data": "Hello"},
        {"type": "message", "data": None, "seq": 1},
        {"type": "message", "data": "Hello", "seq": 1, "more": 1},
        {"type": "message", "data": "Hello", "seq": 1, "session_id": None},
        {"type": "message", "data": "Hello", "seq": 1, "outcome": "over"},
        {"type": "message_chunk", "data": {"seq": 1, "text": "", "format": "pdf"}},
        {"type": "session_start", "data": {}},
        {"type": "session_end"},
        {"type": "session_end", "data": {}},
        {"action": "chatbot_post_message", "session_id": "a"},
        {"action": "chatbot_session_start", "gpt_model": 4},
        {"action": "chatbot_post"},
    ],
)
def test_another_does_not_fit(message: dict[str, Any]) -> None:
    with pytest.raises(
        (AssertionError, jsonschema.ValidationError, msgspec.ValidationError)
    ):
        fits(message)


def test_the_document_has_the_last_word() -> None:
    message = {"type": "message", "data": "Hello", "seq": 1}
    other = document()
    fits(message, other)
    other["components"]["schemas"]["Message"]["properties"]["data"]["maxLength"] = 4
    with pytest.raises(jsonschema.ValidationError):
        fits(message, other)


def test_clients_may_send_more_than_is_known() -> None:
    fits({"action": "chatbot_session_start", "colour": "red"})


class TheDocumentTest(HttpScene):
    """It is served beside that of the HTTP API."""

    def test_it_is_served(self) -> None:
        row = operation()
        self.listen(Router([row], self.settings.http))
        response = self.call("GET", "/asyncapi.json")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.json, MADE)
        self.assertTrue(row.hidden)
