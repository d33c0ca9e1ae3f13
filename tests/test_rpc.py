"""JSON-RPC: what is sent, and how an answer is found whatever else there is."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import BodyBroken, BodyCut, BodyRunaway, CallRefused
from supportbot.services.assistant import rpc
from supportbot.services.assistant.rpc import (
    Answered,
    Asked,
    Fault,
    Result,
    Told,
)

RESULT = {"jsonrpc": "2.0", "id": 7, "result": {"ok": "✓"}}
FAULT = {"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "1234"}}
PING = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
OTHER = {"jsonrpc": "2.0", "id": "7", "result": {"ok": "another's"}}


@st.composite
def cuts(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """A body, cut anywhere."""
    places = st.lists(st.integers(0, len(body)), max_size=10).map(sorted)
    ends = [0, *draw(places), len(body)]
    return [body[start:end] for start, end in pairwise(ends)]


def text(*messages: object) -> bytes:
    """Messages as a stream of events."""
    return b"".join(
        b"event: message\r\ndata: %b\r\n\r\n"
        % json.dumps(message, ensure_ascii=False).encode()
        for message in messages
    )


def read(*pieces: bytes, stream: bool = True, limit: int = 10_000) -> Any:
    """What was told beside the answer, and what was read."""
    answered = Answered(7, stream=stream, limit=limit)
    beside = list[object]()
    for piece in pieces:
        if not answered.complete:  # nothing more is read then
            beside += answered.feed(piece)
    if not answered.complete:
        beside += answered.end()
    return beside, answered


def result(*pieces: bytes, stream: bool) -> object:
    """What came of it."""
    return read(*pieces, stream=stream)[1].result()


def test_what_is_sent() -> None:
    sent = rpc.request(7, "tools/call", {"name": "a", "arguments": {"pin": "0123"}})
    assert json.loads(sent) == {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "a", "arguments": {"pin": "0123"}},
    }
    told = rpc.notification("notifications/initialized", {})
    assert json.loads(told) == {
        "jsonrpc": "2.0",
        "method": "notifications/initialized",
        "params": {},
    }


@pytest.mark.parametrize("id", [0, 7, "a"])
def test_a_ping_is_answered_with_nothing(id: int | str) -> None:
    answer = json.loads(rpc.response(Asked(id, "ping")))
    assert answer == {"jsonrpc": "2.0", "id": id, "result": {}}


def test_nothing_else_can_be_asked_of_us() -> None:
    answer = json.loads(rpc.response(Asked("x", "sampling/createMessage")))
    assert answer["error"]["code"] == -32601
    assert (answer["id"], "result" in answer) == ("x", False)


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        (RESULT, Result(7, {"ok": "✓"})),
        (FAULT, Fault(7, -32602)),
        (FAULT | {"id": None}, Fault(None, -32602)),
        ({"jsonrpc": "2.0", "error": {"code": 1}}, Fault(None, 1)),
        (PING | {"params": {"a": 1}}, Asked(7, "ping")),
        (CHANGED, Told("notifications/tools/list_changed")),
    ],
)
def test_what_a_message_is(message: object, meant: object) -> None:
    assert rpc.parsed(json.dumps(message)) == meant


@pytest.mark.parametrize(
    "message",
    [
        RESULT | {"jsonrpc": "1.0"},
        {"id": 7, "result": {}},
        RESULT | {"id": None},
        RESULT | {"id": True},
        {"jsonrpc": "2.0", "result": {}},
        RESULT | {"result": [1]},
        RESULT | {"result": None},
        RESULT | {"error": {"code": 1}},
        RESULT | {"method": "ping"},
        FAULT | {"error": {"message": "no code"}},
        FAULT | {"error": {"code": "1"}},
        FAULT | {"error": {"code": True}},
        PING | {"id": None},
        {"jsonrpc": "2.0", "id": 7},
        [RESULT],
        "text",
        None,
    ],
)
def test_what_is_no_message(message: object) -> None:
    with pytest.raises(BodyBroken, match="JSON-RPC"):
        rpc.parsed(json.dumps(message))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        json.dumps(RESULT).encode()[:-1],
        b'{"jsonrpc":"2.0","id":7,"result":{"a":"\xff"}}',
        b'{"jsonrpc":"2.0","id":7,"result":{"a":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}}",
    ],
)
def test_what_is_no_json(broken: bytes) -> None:
    with pytest.raises(BodyBroken):
        rpc.parsed(broken)


@pytest.mark.parametrize("secret", ["1234", "alice@example.com"])
def test_errors_repeat_nothing_of_what_came(secret: str) -> None:
    for message in (
        FAULT | {"error": {"code": -32602, "message": secret, "data": secret}},
        RESULT | {"jsonrpc": secret},
        FAULT | {"error": {"code": secret}},
    ):
        with pytest.raises((BodyBroken, CallRefused)) as caught:
            result(json.dumps(message).encode(), stream=False)
        assert secret not in str(caught.value)
    assert secret not in repr(Result(7, {"a": secret}))


@given(cuts(text(PING, OTHER, CHANGED, RESULT, FAULT)))
def test_a_stream_s_answer_is_the_one_with_our_id(pieces: list[bytes]) -> None:
    beside, answered = read(*pieces)
    assert beside == [Asked(7, "ping"), Told("notifications/tools/list_changed")]
    assert answered.complete
    assert answered.result() == {"ok": "✓"}


@given(cuts(json.dumps(RESULT).encode()))
def test_one_object_is_read_at_its_end(pieces: list[bytes]) -> None:
    beside, answered = read(*pieces, stream=False)
    assert beside == []
    assert answered.result() == {"ok": "✓"}


def test_what_is_behind_the_answer_is_not_looked_at() -> None:
    _, answered = read(text(RESULT) + b"data: \xff\n\ndata: {\n\n")
    assert answered.result() == {"ok": "✓"}


def test_comments_other_events_and_empty_ones_are_passed_over() -> None:
    noise = b": ping\n\nevent: endpoint\ndata: {\n\nid: 1\ndata:\n\ndata: \n\n"
    beside, answered = read(noise + text(RESULT))
    assert (beside, answered.result()) == ([], {"ok": "✓"})


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_is_the_servers_word(stream: bool) -> None:
    for fault in (FAULT, FAULT | {"id": None}):
        body = text(fault) if stream else json.dumps(fault).encode()
        _, answered = read(body, stream=stream)
        with pytest.raises(CallRefused) as caught:
            answered.result()
        assert caught.value.code == -32602


def test_a_stream_without_our_answer_was_cut() -> None:
    for body in (b"", text(PING, OTHER), text(RESULT)[:-2]):
        _, answered = read(body)
        with pytest.raises(BodyCut):
            answered.result()


def test_an_object_that_answers_somebody_else_is_broken() -> None:
    for message in (OTHER, RESULT | {"id": 8}, FAULT | {"id": "server-error"}, PING):
        with pytest.raises(BodyBroken, match="another request"):
            read(json.dumps(message).encode(), stream=False)


def test_no_body_is_no_answer() -> None:
    _, answered = read(b"", stream=False)
    with pytest.raises(BodyCut):
        answered.result()


def test_events_have_a_limit() -> None:
    assert read(text(RESULT), limit=100)[1].complete
    with pytest.raises(BodyRunaway):
        read(b"data: " + b"0" * 101, limit=100)


def test_a_broken_message_in_a_stream_ends_it() -> None:
    with pytest.raises(BodyBroken):
        read(b"data: {\n\n" + text(RESULT))


@pytest.mark.parametrize(
    ("code", "status", "transient", "done"),
    [
        (-32700, 200, False, False),
        (-32600, 200, False, False),
        (-32601, 200, False, False),
        (-32602, 200, False, False),
        (-32020, 200, False, False),
        (-32021, 200, False, False),
        (-32022, 200, False, False),
        (-32603, 200, True, True),
        (-32000, 200, False, True),
        (-32019, 200, False, True),
        (-32023, 200, False, True),
        (1, 200, False, True),
        (1, 400, False, False),
        (1, 499, False, False),
        (1, 500, False, True),
    ],
)
def test_which_errors_leave_something_undone(
    code: int, status: int, transient: bool, done: bool
) -> None:
    error = CallRefused(code, status)
    assert (error.transient, error.done, error.trips) == (transient, done, False)
    assert str(error) == f"JSON-RPC error {code}"


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_are_taken_for_an_answer_that_is_none(
    body: bytes, stream: bool
) -> None:
    try:
        _, answered = read(body, stream=stream)
        answered.result()
    except (BodyBroken, CallRefused):
        return
    raise AssertionError("random bytes can't have our id")
