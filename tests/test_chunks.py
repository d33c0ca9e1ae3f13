"""A model's answer is read the same however it is cut, and as its makers read it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from supportbot.errors import (
    AnswerUnusable,
    AnswerWithheld,
    BodyBroken,
    BodyCut,
    BodyRunaway,
    ModelRefused,
    ServiceError,
)
from supportbot.services.assistant.calls import ToolCall
from supportbot.services.assistant.chunks import Chunks, Completion
from tests.test_json_text import cut, one_by_one

DONE = b"data: [DONE]\n\n"
HELLO = Completion("Hello!", (), "stop", 0, 0)


def numbered() -> Callable[[], str]:
    """Ids: `made-1` and so on."""
    numbers = itertools.count(1)
    return lambda: f"made-{next(numbers)}"


def sent(*chunks: object) -> bytes:
    """A stream of these chunks, and no end."""
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks)


def choice(finish: str | None = None, **delta: object) -> dict[str, Any]:
    """A chunk that says something."""
    one = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [one]}


def fragment(arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with a fragment of a call; `name` goes where it belongs."""
    function = {"arguments": arguments, "name": fields.pop("name", None)}
    said = {key: value for key, value in function.items() if value is not None}
    return choice(tool_calls=[{**fields, "function": said}])


STOP = choice("stop")
CALLED = choice("tool_calls")


class Reading(NamedTuple):
    """What a reader gave, the whole answer, and the error that ended it."""

    given: list[str]
    completion: Completion
    error: ServiceError | None
    complete: bool

    @property
    def text(self) -> str:
        return "".join(self.given)

    @property
    def broken(self) -> str | None:
        return None if self.error is None else type(self.error).__name__


def read(chunks: Iterable[bytes], end: bool = True, **limits: int) -> Reading:
    """Feed all of it, as `Body` does."""
    reader, pieces = Chunks(numbered(), **limits), []
    error = None
    try:
        for chunk in chunks:
            for piece in reader.feed(chunk):
                pieces.append(piece)
            if reader.complete:
                break
        else:
            if end:
                pieces.extend(reader.end())
    except ServiceError as caught:
        error = caught
    return Reading(pieces, reader.completion(), error, reader.complete)


def answered(*chunks: object) -> Completion:
    """The answer in a stream that is all right."""
    reading = read([sent(*chunks) + DONE])
    assert reading.error is None
    assert reading.text == reading.completion.text
    return reading.completion


def refused(*chunks: object, end: bytes = DONE) -> ServiceError:
    """What is wrong with a stream."""
    error = read([sent(*chunks) + end]).error
    assert error is not None
    return error


# Text


def test_pieces_are_given_as_they_come() -> None:
    reader = Chunks(numbered())
    assert list(reader.feed(sent(choice(role="assistant", content="")))) == []
    assert list(reader.feed(sent(choice(content="Hel")))) == ["Hel"]
    assert list(reader.feed(sent(choice(content="lo"), choice(content="!")))) == [
        "lo",
        "!",
    ]
    assert list(reader.feed(sent(STOP))) == [""]
    assert (reader.complete, reader.finish) == (False, "stop")
    assert list(reader.feed(DONE)) == []
    assert (reader.complete, reader.completion()) == (True, HELLO)


@pytest.mark.parametrize(
    "whole",
    [
        sent(choice(content="Hello!"), STOP) + DONE,
        sent(choice(content="Hello!"), STOP),  # without [DONE]
        sent(choice("stop", content="Hello!")),
        sent(choice(content="Hello!")).replace(b"data: ", b"data:"),
        b"\xef\xbb\xbf" + sent(choice(content="Hello!"), STOP).replace(b"\n", b"\r\n"),
        b": hi\n\ndata:\n\ndata: \n\ndata:  \n\n"
        + sent(choice(content="Hello!"), STOP),
        b"event: x\nid: 1\nretry: 9\n" + sent(choice(content="Hello!"), STOP),
        b'data: {"choices": [{"delta":\ndata: {"content": "Hello!"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "Hello!"}}]}\n\n',
        b'data: {"choices": [{"index": null, "delta": {"content": "Hello!", "role":'
        b' null, "refusal": null, "tool_calls": null, "function_call": null, "x": {}},'
        b' "x": 1, "finish_reason": null}], "usage": null, "error": null}\n\n',
        sent(choice(refusal="Hello!", content=None), STOP),
        sent({"choices": []}, {}, {"choices": None}, choice(content="Hello!"), STOP),
        sent({"choices": [{"index": 0, "delta": None}]}, choice(content="Hello!")),
        sent(choice(content="Hello!"), STOP) + b"data: [DONE]\n\n\xffdata: x\n\n",
        sent(choice(content="Hello!"), STOP) + DONE + sent(choice(content=" More.")),
        sent(choice(content="Hello!", tool_calls=[]), STOP),
        sent(choice("", content="Hello!"), STOP),
    ],
)
def test_one_text_told_in_many_ways(whole: bytes) -> None:
    end = b"" if b"finish_reason" in whole and b'"stop"' in whole else DONE
    for chunks in ([whole + end], one_by_one(whole + end)):
        reading = read(chunks)
        assert (reading.text, reading.error) == ("Hello!", None)
        finish = "" if end else "stop"
        assert reading.completion == Completion("Hello!", (), finish, 0, 0)


def test_only_the_first_choice_counts() -> None:
    both = choice(content="Hello!")
    both["choices"].append({"index": 1, "delta": {"content": "Bye!"}})
    other = {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    assert answered(both, other, STOP) == HELLO


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
        ("model_length", "length"),
        ("insufficient_system_resource", "insufficient_system_resource"),
        ("Ask me\n", "other"),
    ],
)
def test_why_it_ended(reason: str, finish: str) -> None:
    assert answered(choice(content="Hello!"), choice(reason)).finish == finish


def test_the_last_reason_counts() -> None:
    assert answered(choice("stop"), choice("length"), choice(None)).finish == "length"


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}, (12, 34)),
        ({"prompt_tokens": 12, "completion_tokens": None}, (12, 0)),
        ({"prompt_tokens": 1.5, "completion_tokens": "7"}, (0, 0)),
        ({"prompt_tokens": -5, "completion_tokens": 10**30}, (0, 0)),
        ({}, (0, 0)),
        (None, (0, 0)),
        ("many", (0, 0)),
    ],
)
def test_tokens_are_counted_by_the_server(
    usage: object, counted: tuple[int, int]
) -> None:
    counts = {"choices": [], "usage": usage}
    completion = answered(choice(content="Hello!"), STOP, counts)
    assert (completion.read, completion.written) == counted
    along = answered(choice(content="Hello!") | {"usage": usage}, STOP)
    assert (along.read, along.written) == counted


def test_what_is_counted_again_and_again_counts_once() -> None:
    counts = [
        choice(content="a")
        | {"usage": {"prompt_tokens": 9, "completion_tokens": number}}
        for number in range(5)
    ]
    completion = answered(*counts, STOP | {"usage": None}, {"usage": {}})
    assert (completion.read, completion.written) == (9, 4)


# What gets on, and what only seems to


@pytest.mark.parametrize(
    ("chunk", "gets_on"),
    [
        (choice(content="a"), True),
        (choice(refusal="a"), True),
        (choice(reasoning_content="Hm."), True),
        (choice(reasoning="Hm."), True),
        (fragment("{", index=0), True),
        (fragment("", index=0, id="a", name="find"), True),
        (choice(function_call={"name": "find"}), True),
        (STOP, True),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, True),
        (choice(role="assistant", content=""), False),
        (choice(), False),
        (choice(tool_calls=[{}]), False),
        (choice(tool_calls=[{"index": 0, "function": {"arguments": ""}}]), False),
        (choice(function_call={}), False),
        ({"choices": []}, False),
        ({}, False),
    ],
)
def test_something_is_given_whenever_something_is_said(
    chunk: object, gets_on: bool
) -> None:
    assert bool(list(Chunks(numbered()).feed(sent(chunk)))) == gets_on
    assert list(Chunks(numbered()).feed(b": still here\n\ndata:\n\n")) == []


# Calls of tools


FIND = ToolCall("a", "find", '{"q": "mouse"}')
ORDER = ToolCall("b", "order", '{"sku": "X"}')


def test_fragments_become_calls() -> None:
    said = answered(
        choice(role="assistant", content=None),
        choice(content="One moment."),
        fragment("", index=0, id="a", type="function", name="find"),
        fragment('{"q": ', index=0),
        fragment("", index=1, id="b", type="function", name="order"),
        fragment('"mou', index=0),
        fragment('{"sku": "X"', index=1),
        fragment('se"}', index=0),
        fragment("}", index=1),
        CALLED,
    )
    assert said == Completion("One moment.", (FIND, ORDER), "tool_calls", 0, 0)


def test_several_fragments_in_one_chunk() -> None:
    both = fragment(FIND.arguments, index=0, id="a", name="find")
    both["choices"][0]["delta"]["tool_calls"] += [
        {"index": 1, "id": "b", "function": {"name": "order", "arguments": "{"}},
        {"index": 1, "function": {"arguments": '"sku": "X"}'}},
    ]
    assert answered(both, CALLED).calls == (FIND, ORDER)


@pytest.mark.parametrize(
    "fragments",
    [
        # all at index 0
        [
            fragment(FIND.arguments, index=0, id="a", name="find"),
            fragment(ORDER.arguments, index=0, id="b", name="order"),
        ],
        [
            fragment(FIND.arguments[:5], index=0, id="a", name="find"),
            fragment(FIND.arguments[5:], index=0),
            fragment(ORDER.arguments[:5], index=0, id="b", name="order"),
            fragment(ORDER.arguments[5:], index=0),
        ],
        # no index at all
        [
            fragment(FIND.arguments[:5], id="a", name="find"),
            fragment(FIND.arguments[5:]),
            fragment(ORDER.arguments[:5], id="b", name="order"),
            fragment(ORDER.arguments[5:]),
        ],
        # told apart by ids alone
        [
            fragment("", id="a", name="find"),
            fragment("", id="b", name="order"),
            fragment(FIND.arguments[:5], id="a"),
            fragment(ORDER.arguments[:5], id="b"),
            fragment(FIND.arguments[5:], id="a", name="find"),
            fragment(ORDER.arguments[5:], id="b", name="order"),
        ],
        # name and id again and again
        [
            fragment(FIND.arguments[:5], index=0, id="a", name="find"),
            fragment(FIND.arguments[5:], index=0, id="a", name="find"),
            fragment(ORDER.arguments[:5], index=1, id="b", name="order"),
            fragment(ORDER.arguments[5:], index=1, id="b", name="order"),
        ],
        # an id of its own for each fragment
        [
            fragment(FIND.arguments[:5], index=0, id="a", name="find"),
            fragment(FIND.arguments[5:], index=0, id="x"),
            fragment(ORDER.arguments[:5], index=1, id="b", name="order"),
            fragment(ORDER.arguments[5:], index=1, id="y"),
        ],
        # the name late, and the arguments no text
        [
            fragment("", index=3, id="a"),
            fragment(None, index=3, name="find"),
            fragment(FIND.arguments, index=3),
            choice(
                tool_calls=[
                    {
                        "index": -1,
                        "id": "b",
                        "function": {"name": "order", "arguments": '{"sku": "X"}'},
                    }
                ]
            ),
        ],
    ],
)
def test_calls_are_told_apart_however_servers_number_them(
    fragments: Sequence[Mapping[str, object]],
) -> None:
    assert answered(*fragments, CALLED).calls == (FIND, ORDER)


def test_ids_that_are_missing_or_repeated_or_odd_are_made_up() -> None:
    ids = ["a", None, "a", "", "x y", "z" * 129, "é", "made-2"]
    fragments = [
        fragment("{}", index=index, id=id, name="find") for index, id in enumerate(ids)
    ]
    assert [call.id for call in answered(*fragments, CALLED).calls] == [
        "a",
        "made-1",
        "made-2",
        "made-3",
        "made-4",
        "made-5",
        "made-6",
        "made-7",
    ]


def test_neither_index_nor_id() -> None:
    calls = answered(
        fragment(FIND.arguments[:5], name="find"),
        fragment(FIND.arguments[5:]),
        fragment(ORDER.arguments[:5], name="order"),
        fragment(ORDER.arguments[5:]),
        CALLED,
    ).calls
    assert [(call.name, call.arguments) for call in calls] == [
        ("find", FIND.arguments),
        ("order", ORDER.arguments),
    ]


def test_no_index_and_all_the_same_id() -> None:
    calls = answered(
        fragment(FIND.arguments, id="a", name="find"),
        fragment(ORDER.arguments[:5], id="a", name="order"),
        fragment(ORDER.arguments[5:], id="a", name="order"),
        CALLED,
    ).calls
    assert calls == (FIND, ToolCall("made-1", "order", ORDER.arguments))


def test_the_same_tool_twice_without_an_id() -> None:
    twice = [fragment(arguments, index=0, id="", name="get") for arguments in "AB"]
    calls = answered(*twice, CALLED).calls
    assert [call.arguments for call in calls] == ["A", "B"]


def test_the_same_tool_twice_before_the_arguments() -> None:
    begun = [fragment("", index=n, id=id, name="get") for n, id in enumerate("ab")]
    more = [fragment(id, index=n) for n, id in enumerate("ab")]
    assert answered(*begun, *more).calls == (
        ToolCall("a", "get", "a"),
        ToolCall("b", "get", "b"),
    )
    no_index = [fragment("", id=id, name="get") for id in "ab"]
    assert [call.id for call in answered(*no_index).calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("get_product-2", "get_product-2"),
        ("functions.get", "functions_get"),
        ("ge\nt", "ge_t"),
        ("prüfe", "pr_fe"),
        ("x" * 100, "x" * 64),
        ("", "unnamed"),
    ],
)
def test_names_are_such_as_the_api_takes_back(name: str, called: str) -> None:
    (call,) = answered(fragment("{}", index=0, id="a", name=name), CALLED).calls
    assert call == ToolCall("a", called, "{}")


@pytest.mark.parametrize(
    "arguments", ["", "{", "[1]", "null", '{"a": 1}{"a": 1}', "no"]
)
def test_arguments_are_left_as_they_are(arguments: str) -> None:
    (call,) = answered(fragment(arguments, index=0, id="a", name="find"), CALLED).calls
    assert call.arguments == arguments


def test_arguments_that_are_no_text_become_json() -> None:
    call = fragment(index=0, id="a", name="find")
    call["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] = {"q": "?"}
    assert answered(call, CALLED).calls == (ToolCall("a", "find", '{"q": "?"}'),)


def test_the_older_way_to_call() -> None:
    called = answered(
        choice(content=None, function_call={"name": "find", "arguments": ""}),
        choice(function_call={"arguments": '{"q": '}),
        choice(function_call={"arguments": '"mouse"}'}),
        choice("function_call"),
    )
    call = ToolCall("made-1", "find", '{"q": "mouse"}')
    assert called == Completion("", (call,), "tool_calls", 0, 0)


def test_there_may_be_only_so_many_calls() -> None:
    calls = [fragment("{}", index=n, id=f"c{n}", name="find") for n in range(33)]
    assert len(answered(*calls[:32], CALLED).calls) == 32
    assert isinstance(refused(*calls), BodyRunaway)
    same = [fragment("{}", index=0, id=f"c{n}", name="find") for n in range(33)]
    assert isinstance(refused(*same), BodyRunaway)


def test_arguments_may_be_only_so_long() -> None:
    begun = [
        fragment("", index=0, id="a", name="find"),
        fragment("", index=1, id="b", name="find"),
    ]
    long = [fragment("x" * 5, index=n % 2) for n in range(20)]
    reading = read([sent(*begun, *long)], end=False, arguments=100)
    assert [len(call.arguments) for call in reading.completion.calls] == [50, 50]
    assert reading.error is None
    reading = read([sent(*begun, *long, fragment("x", index=0))], arguments=100)
    assert reading.broken == "BodyRunaway"


# Characters that servers cut as UTF-16 does


@pytest.mark.parametrize(
    "pieces",
    [
        ["a\ud83d", "\ude42b"],
        ["a", "\ud83d", "\ude42", "b"],
        ["a\ud83d", "", "\ude42b"],
        ["a🙂", "b"],
    ],
)
def test_half_a_character_waits_for_the_other(pieces: list[str]) -> None:
    reading = read([sent(*[choice(content=piece) for piece in pieces], STOP)])
    assert (reading.text, reading.error) == ("a🙂b", None)
    assert reading.completion.text == "a🙂b"
    for piece in reading.given:
        piece.encode()
    halves = [fragment(piece, index=0, name="") for piece in pieces]
    begun = fragment("", index=0, id="a", name="find")
    assert answered(begun, *halves).calls == (ToolCall("a", "find", "a🙂b"),)


@pytest.mark.parametrize(
    "pieces",
    [["a\ud83d", "b"], ["a\ude42"], ["\ude42\ud83d"], ["\ud83d\ud83d", "\ude42"],
     ["some\ud83d"]],
)  # fmt: skip
@pytest.mark.parametrize("end", [sent(STOP), DONE, sent(STOP) + DONE])
def test_half_a_character_alone_is_none(pieces: list[str], end: bytes) -> None:
    reading = read([sent(*[choice(content=piece) for piece in pieces]) + end])
    assert reading.broken == "BodyBroken"
    reading.text.encode()
    begun = [fragment("", index=0, id="a", name="find")]
    begun += [fragment(piece, index=0) for piece in pieces]
    (call,) = answered(*begun).calls
    assert "\ufffd" in call.arguments
    call.arguments.encode()


def test_half_a_character_is_nothing_else() -> None:
    odd = "\ud800"
    call = fragment(index=0, id=odd, name=odd)
    call["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] = {odd: odd}
    (called,) = answered(call, choice(odd)).calls
    assert called == ToolCall("made-1", "_", r'{"\ud800": "\ud800"}')
    assert answered(choice(odd)).finish == "other"
    unfinished = {"choices": [{"message": {"content": odd}}]}
    for body in (whole({"content": odd}), json.dumps(unfinished).encode()):
        with pytest.raises(BodyBroken):
            list(Chunks(numbered()).whole(body))
    assert isinstance(refused({"error": odd}), ModelRefused)


# What goes wrong


@pytest.mark.parametrize(
    "event",
    [
        b"data: {",
        b"data: hello",
        b"data: 7",
        b"data: []",
        b"data: null",
        b'data: "[DONE]"',
        b'data: {"choices": {}}',
        b'data: {"choices": [{"delta": {"content": 7}}]}',
        b'data: {"choices": [{"delta": {"content": ["a"]}}]}',
        b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}',
        b'data: {"choices": [{"delta": {"content": "\\udc00a"}}]}',
        b'data: {"choices": [{"delta": {"content": "a\\u0000b"}}]}',
        b'data: {"choices": [{"delta": {"refusal": "\\u0000"}}]}',
        b'data: {"choices": [{"delta": {"tool_calls": [{"function":'
        b' {"name": "f", "arguments": "\\u0000"}}]}}]}',
        b'data: {"choices": [{"delta": {"content": "\xff"}}]}',
        b"data: " + b"[" * 100_000,
        b'data: {"choices": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_chunk_ends_it_after_what_came_before(event: bytes) -> None:
    whole = sent(choice(content="Hello")) + event + b"\n\n" + DONE
    reading = read([whole])
    assert (reading.text, reading.broken) == ("Hello", "BodyBroken")
    assert reading.error is not None
    assert reading.error.transient


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b": nothing\n\n",
        sent(choice(content="Hello")),
        sent(choice(content="Hello"), {"choices": [], "usage": {"prompt_tokens": 1}}),
        sent(choice(content="Hello")) + b"data: [DONE]",  # not an event yet
        sent(choice(content="Hello")) + b'data: {"choices": [{"finish_reason": "sto',
        sent(fragment("{}", index=0, id="a", name="find")),
    ],
)
def test_an_end_alone_proves_nothing(whole: bytes) -> None:
    assert isinstance(read([whole]).error, BodyCut)


@pytest.mark.parametrize(
    ("event", "status", "code", "transient"),
    [
        ({"error": {"message": "?", "type": "server_error"}}, 500, "server_error", 1),
        ({"error": {"message": "?", "code": "rate_limit_exceeded"}}, 429,
         "rate_limit_exceeded", 1),
        ({"error": {"type": "insufficient_quota"}}, 429, "insufficient_quota", 0),
        ({"error": {"code": "context_length_exceeded"}}, 400,
         "context_length_exceeded", 0),
        ({"error": {"code": 502, "message": "Bad gateway"}}, 502, "", 1),
        ({"error": {"code": "401", "type": "auth"}}, 401, "auth", 0),
        ({"error": {"code": "model_not_found"}}, 404, "model_not_found", 0),
        ({"error": "upstream went away"}, 500, "", 1),
        ({"error": {"code": "<b>\n", "message": "sk-secret"}}, 500, "", 1),
        ({"error": True}, 500, "", 1),
        ({"error": {"code": 7}}, 500, "", 1),
        ({"error": {"code": "4" * 5000}}, 500, "", 1),
        ({"object": "error", "message": "?", "code": 400, "type": "BadRequest"}, 400,
         "BadRequest", 0),
        (choice("error") | {"error": {"code": 503}}, 503, "", 1),
        (choice("error", content=""), 500, "", 1),
    ],
)  # fmt: skip
def test_an_error_in_mid_stream_is_one_even_if_it_is_done(
    event: object, status: int, code: str, transient: int
) -> None:
    reading = read([sent(choice(content="Hello"), event) + DONE])
    error = reading.error
    assert reading.text == "Hello"
    assert isinstance(error, ModelRefused)
    assert (error.status, error.code) == (status, code)
    assert error.transient == bool(transient)
    assert "secret" not in str(error)


@pytest.mark.parametrize("told", [b'{"message": "Oops"}', b"Oops", b'{"error": {}}'])
def test_an_event_that_is_named_error_is_one(told: bytes) -> None:
    reading = read([sent(STOP) + b"event: error\ndata: " + told + b"\n\n" + DONE])
    assert isinstance(reading.error, ModelRefused)
    assert reading.error.status == 500


def test_what_the_maker_does_not_allow() -> None:
    assert isinstance(refused({"error": {"code": "content_filter"}}), AnswerWithheld)


def test_nothing_of_an_answer_is_in_its_repr() -> None:
    completion = answered(
        choice(content="Rumpelstilzchen"),
        fragment('{"name": "Rumpelstilzchen"}', index=0, id="a", name="find"),
    )
    assert "Rumpelstilzchen" not in repr(completion)
    assert "find" in repr(completion)


# Answers that are not streamed


def whole(message: object, **more: object) -> bytes:
    """An answer in one piece."""
    one = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "c", "object": "chat.completion", "choices": [one], **more}
    return json.dumps(answer).encode()


def test_a_whole_answer() -> None:
    reader = Chunks(numbered())
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    calls = [
        {"id": "a", "function": {"name": "find", "arguments": FIND.arguments}},
        {"id": "a", "function": {"name": "find", "arguments": FIND.arguments}},
        {"index": 0, "function": {"name": "order", "arguments": {"sku": "X"}}},
    ]
    message = {"role": "assistant", "content": "Hello!", "tool_calls": calls}
    pieces = list(reader.whole(whole(message, usage=usage)))
    assert "".join(pieces) == "Hello!"
    assert reader.complete
    again = ToolCall("made-1", "find", FIND.arguments)
    order = ToolCall("made-2", "order", '{"sku": "X"}')
    assert reader.completion() == Completion(
        "Hello!", (FIND, again, order), "stop", 3, 4
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BodyBroken),
        (b"<html>", BodyBroken),
        (b"[]", BodyBroken),
        (whole({"content": 7}), BodyBroken),
        (whole({"content": "\0"}), BodyBroken),
        (whole({"content": "a"})[:-1], BodyBroken),
        (b"{}", AnswerUnusable),
        (b'{"choices": []}', AnswerUnusable),
        (b'{"error": {"message": "Oops"}}', ModelRefused),
        (b'{"object": "error", "message": "Oops"}', ModelRefused),
    ],
)
def test_a_whole_answer_that_is_none(body: bytes, kind: type[ServiceError]) -> None:
    with pytest.raises(kind) as caught:
        list(Chunks(numbered()).whole(body))
    assert caught.type is kind


# Any answer, cut anywhere, and told in any of the ways that the standards allow


_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_WORDS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


class Told(NamedTuple):
    """A stream, and what is in it."""

    chunks: list[dict[str, Any]]
    completion: Completion


@st.composite
def answers(draw: st.DrawFn) -> Told:
    """Answers as the API itself gives them."""
    chunks: list[dict[str, Any]] = [choice(role="assistant", content="")]
    texts = draw(st.lists(_TEXTS, max_size=6))
    chunks += [choice(content=text) for text in texts]
    calls = [
        ToolCall(f"call_{number}", draw(_WORDS), draw(_TEXTS))
        for number in range(draw(st.integers(0, 3)))
    ]
    fragments: list[list[dict[str, Any]]] = []
    for index, call in enumerate(calls):
        at = draw(st.integers(0, len(call.arguments)))
        chunks.append(
            fragment("", index=index, id=call.id, name=call.name, type="function")
        )
        halves = [call.arguments[:at], call.arguments[at:]]
        fragments.append([fragment(half, index=index) for half in halves])
    while any(fragments):  # the calls' fragments interleave
        chunks.append(draw(st.sampled_from([f for f in fragments if f])).pop(0))
    finish = "tool_calls" if calls else "stop"
    chunks.append(choice(finish))
    read, written = draw(st.tuples(st.integers(0, 99), st.integers(0, 99)))
    usage = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    chunks.append({"id": "c", "object": "chat.completion.chunk", "choices": [],
                   "usage": usage})  # fmt: skip
    for chunk in chunks:
        chunk |= {"created": 1, "model": "m"}
    right = Completion("".join(texts), tuple(calls), finish, read, written)
    return Told(chunks, right)


_BETWEEN = st.sampled_from([b"", b": hm", b"data", b"data:", b"id: 7", b"retry: 1"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Completion]:
    """The same as bytes, in any of the ways that are allowed."""
    told, end = draw(answers()), draw(st.sampled_from([b"\n", b"\r", b"\r\n"]))
    space = draw(st.sampled_from([b"", b" "]))
    lines = [draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))]
    ascii = draw(st.booleans())
    for chunk in told.chunks:
        indent = draw(st.sampled_from([None, 0, 2]))
        text = json.dumps(chunk, ensure_ascii=ascii, indent=indent)
        for line in text.split("\n"):
            lines += [b"data:" + space + line.encode()]
        lines += [b"", draw(_BETWEEN), b""]
    lines += draw(st.sampled_from([[], [b"data:" + space + b"[DONE]", b"", b""]]))
    return lines[0] + end.join(lines[1:]), told.completion


@given(st.data())
def test_an_answer_is_the_same_however_it_is_told_and_cut(data: st.DataObject) -> None:
    raw, right = data.draw(streams())
    _, chunks = data.draw(cut(st.just(raw)))
    reading = read(chunks)
    assert (reading.completion, reading.error) == (right, None)
    assert reading.text == right.text


@given(st.data())
def test_a_broken_one_ends_the_same_however_it_is_cut(data: st.DataObject) -> None:
    raw, _ = data.draw(streams())
    at = data.draw(st.integers(0, len(raw)))
    odd = data.draw(st.sampled_from([b"", b"\xff", b"data: {\n\n", b"\n\ndata: 0\n\n"]))
    spoilt = raw[:at] + odd + raw[at + data.draw(st.integers(0, 9)) :]
    _, chunks = data.draw(cut(st.just(spoilt)))
    one, many = read([spoilt]), read(chunks)
    assert (one.text, one.broken, one.completion) == (
        many.text,
        many.broken,
        many.completion,
    )


# The makers' own client


def theirs(raw: bytes) -> Completion:
    """What OpenAI's client makes of a stream."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, content=raw)

    with (
        httpx2.Client(transport=httpx2.MockTransport(answer)) as http,
        OpenAI(api_key="k", base_url="http://m.test", http_client=http) as client,
        client.chat.completions.stream(
            model="m", messages=[], stream_options={"include_usage": True}
        ) as stream,
    ):
        final = stream.get_final_completion()
    message, usage = final.choices[0].message, final.usage
    calls = tuple(
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
    )
    assert usage is not None
    return Completion(
        message.content or "",
        calls,
        final.choices[0].finish_reason,
        usage.prompt_tokens,
        usage.completion_tokens,
    )


@given(answers())
def test_the_makers_own_client_reads_the_same(told: Told) -> None:
    raw = sent(*told.chunks) + DONE
    assert read([raw]).completion == theirs(raw) == told.completion
