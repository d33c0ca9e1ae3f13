"""A server that others wrote, and all that it can be told to get wrong."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from supportbot.errors import ModelRefused, ServiceError
from supportbot.services.assistant.calls import ToolCall
from supportbot.services.assistant.chunks import Completion
from supportbot.services.assistant.completions import Completions
from supportbot.services.attempts import Attempts, Breaker
from supportbot.services.call import endpoint_of
from supportbot.settings import AssistantSettings, Breaking, Deadlines, Retry
from tests.aimock import aimock

KEY = "test-key"
FOR_EVER = 30_000  # milliseconds that nobody waits here
PATIENT = Deadlines(headers=60.0, idle=60.0, progress=60.0, total=60.0)
HASTY = Deadlines(headers=0.5, idle=0.5, progress=0.5, total=0.5)
TEXT = "Grüße, 🙂🙂🙂 dear customer! " * 20
TOOL = {
    "type": "function",
    "function": {
        "name": "get_product",
        "description": "Look up a product.",
        "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}},
    },
}
GET = {"name": "get_product", "arguments": '{"sku": "MON-0052"}', "id": "call_1"}
BROKEN = {"name": "no such tool", "arguments": '{"sku": ', "id": "call_2"}
USAGE = {"prompt_tokens": 12, "completion_tokens": 34}


def ends(reason: str) -> dict[str, object]:
    """An answer that ends for this reason."""
    return {"response": {"content": "Well", "finishReason": reason, "usage": USAGE}}


def fails(status: int, code: str, **more: object) -> dict[str, object]:
    """An error of the API."""
    error = {"message": f"Rumpelstilzchen {KEY}", "type": "t", "code": code}
    return {"response": {"error": error, "status": status, **more}}


def chaos(**rates: float) -> dict[str, object]:
    """What aimock calls chaos."""
    return {"response": {"content": "Well", "usage": USAGE}, "chaos": rates}


def says(content: str, **more: object) -> dict[str, object]:
    """A text, told in a way of its own."""
    return {"response": {"content": content, "usage": USAGE}, **more}


class Case(NamedTuple):
    """What the server does, and what is made of it.

    Attributes:
        does: as aimock's documentation has it.
        completion: the whole answer.
        error: in place of one.
        again: whether another attempt may fare better.
        heard: of the text.
    """

    does: dict[str, object]
    completion: Completion | None = None
    error: str = ""
    again: bool = True
    heard: str = ""


def right(text: str, *calls: ToolCall, finish: str = "stop") -> Completion:
    return Completion(text, calls, finish, 12, 34)


_CALLS = (
    ToolCall("call_1", "get_product", '{"sku": "MON-0052"}'),
    ToolCall("call_2", "no_such_tool", '{"sku": '),
)
CASES = {
    "a text": Case(says(TEXT), right(TEXT)),
    "a text in crumbs": Case(says(TEXT, chunkSize=1), right(TEXT)),
    "a text in one piece": Case(says(TEXT, chunkSize=9999), right(TEXT)),
    "a text at leisure": Case(
        says("Well, well", chunkSize=1, latency=5), right("Well, well")
    ),
    "a text at its own pace": Case(
        says("Well, well", streamingProfile={"ttft": 20, "tps": 500, "jitter": 0.5}),
        right("Well, well"),
    ),
    "a thought": Case(
        {"response": {"content": "Well", "reasoning": "Hm. " * 99, "usage": USAGE}},
        right("Well"),
    ),
    "no words": Case(says(""), right("")),
    "a call": Case(
        {"response": {"toolCalls": [GET], "usage": USAGE}},
        right("", _CALLS[0], finish="tool_calls"),
    ),
    "two calls in crumbs": Case(
        {"response": {"toolCalls": [GET, BROKEN], "usage": USAGE}, "chunkSize": 1},
        right("", *_CALLS, finish="tool_calls"),
    ),
    "a text and a call": Case(
        {"response": {"content": "Well", "toolCalls": [GET], "usage": USAGE}},
        right("Well", _CALLS[0], finish="tool_calls"),
    ),
    "calls between texts": Case(
        {
            "response": {
                "blocks": [
                    {"type": "toolCall", **GET},
                    {"type": "text", "text": "Well"},
                    {"type": "toolCall", **BROKEN},
                ],
                "usage": USAGE,
            }
        },
        right("Well", *_CALLS, finish="tool_calls"),
    ),
    "the end of its room": Case(ends("length"), right("Well", finish="length")),
    "a filter": Case(ends("content_filter"), right("Well", finish="content_filter")),
    "a wrong model": Case(
        fails(404, "model_not_found"), error="404 model_not_found", again=False
    ),
    "too long a question": Case(
        fails(400, "context_length_exceeded"),
        error="400 context_length_exceeded",
        again=False,
    ),
    "too many questions": Case(
        fails(429, "rate_limit_exceeded", retryAfter=7),
        error="429 rate_limit_exceeded",
    ),
    "no quota": Case(
        fails(429, "insufficient_quota"),
        error="429 insufficient_quota",
        again=False,
    ),
    "a trouble of its own": Case(fails(500, "server_error"), error="500 server_error"),
    "an overload": Case(fails(503, "overloaded"), error="503 overloaded"),
    "a request that is dropped": Case(chaos(dropRate=1), error="500 chaos_drop"),
    "a limit by chance": Case(chaos(rateLimitRate=1), error="429 chaos_ratelimit"),
    "broken JSON": Case(chaos(malformedRate=1), error="BodyBroken"),
    "a hang-up": Case(chaos(disconnectRate=1), error="ServiceUnreachable"),
    "a late answer": Case(chaos(latencyMs=20), right("Well")),
    "no answer in time": Case(chaos(latencyMs=FOR_EVER), error="ServiceTimedOut"),
    "an end after some words": Case(
        says("One, two, three", chunkSize=5, latency=5, truncateAfterChunks=4),
        error="BodyCut",
        heard="One, two, ",
    ),
    "an end after some arguments": Case(
        {
            "response": {"toolCalls": [GET]},
            "chunkSize": 5,
            "latency": 5,
            "truncateAfterChunks": 4,
        },
        error="BodyCut",
    ),
    "an end before any": Case(
        says("Well", truncateAfterChunks=1), error="BodyCut|ServiceUnreachable"
    ),
    "silence after the first words": Case(
        says("Well", streamingProfile={"ttft": 0, "tps": 1000 / FOR_EVER}),
        error="ServiceTimedOut",
    ),
    "silence and then an end": Case(
        says("Well", latency=FOR_EVER, disconnectAfterMs=20),
        error="BodyCut|ServiceUnreachable",
    ),
}
_MORE = [
    {"match": {"userMessage": "once more", "sequenceIndex": 0}, **fails(503, "busy")},
    {
        "match": {"userMessage": "once more", "sequenceIndex": 1},
        **says("One, two", chunkSize=3, latency=5, truncateAfterChunks=3),
    },
    {"match": {"userMessage": "once more", "sequenceIndex": 2}, **says("One, two")},
    {
        "match": {"userMessage": "keep in touch"},
        **says(TEXT),
        "openRouterProcessing": True,
    },
    {"match": {"userMessage": "for nothing"}, **fails(402, "")},
    {"match": {"userMessage": "for long"}, **says("on " * 99, latency=50)},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    fixtures = [
        {"match": {"userMessage": f"give me {name}."}, **case.does}
        for name, case in CASES.items()
    ]
    with aimock(tmp_path_factory.mktemp("aimock"), [*fixtures, *_MORE], KEY) as url:
        yield url


class Client:
    """Asks the server.

    Attributes:
        heard: all text, in pieces.
        begun: fires at the first of them.
    """

    def __init__(self, url: str, **changes: Any) -> None:
        from twisted.internet import reactor as running

        self.reactor: Any = running
        settings = AssistantSettings(
            **{
                "url": url,
                "api_key": KEY,
                "deadlines": PATIENT,
                **changes,
            }
        )
        endpoint = endpoint_of(settings, self.reactor)
        self._completions = Completions(settings, self.reactor, endpoint)
        self.heard: list[str] = []
        self.begun: Deferred[None] = Deferred()

    def _hear(self, piece: str) -> None:
        self.heard.append(piece)
        if not self.begun.called:
            self.begun.callback(None)

    async def ask(
        self,
        text: str,
        tools: Sequence[Mapping[str, object]] = (),
        may_call: bool = True,
    ) -> Completion:
        """Ask once, and leave nothing behind."""
        messages = [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": text},
        ]
        try:
            return await self._completions.ask(
                messages, tools, self._hear, may_call=may_call
            )
        finally:
            await deferLater(self.reactor, 0)  # who hangs up is told so


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", CASES)
async def test_what_comes_of_it(name: str, server: str) -> None:
    case = CASES[name]
    hasty = case.error == "ServiceTimedOut"
    client = Client(server, deadlines=HASTY if hasty else PATIENT)
    asking = client.ask(f"Please give me {name}.", [TOOL])
    if not case.error:
        assert await asking == case.completion
        assert case.completion is not None
        assert "".join(client.heard) == case.completion.text
        return
    with pytest.raises(ServiceError) as caught:
        await asking
    error = caught.value
    outcome = type(error).__name__
    if isinstance(error, ModelRefused):
        outcome = f"{error.status} {error.code}"
    assert outcome in case.error.split("|")
    assert error.transient == case.again
    assert KEY not in f"{error!r} {error}"
    assert "".join(client.heard).startswith(case.heard)


@pytest_twisted.ensureDeferred
async def test_seconds_to_wait(server: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        await Client(server).ask("Please give me too many questions.")
    assert caught.value.retry_after == 7


@pytest_twisted.ensureDeferred
async def test_a_question_that_it_has_no_answer_to(server: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        await Client(server).ask("Something else")
    assert (caught.value.status, caught.value.transient) == (404, False)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("key", ["wrong", None])
async def test_a_key_that_it_does_not_take(key: str | None, server: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        await Client(server, api_key=key).ask("Please give me a text.")
    assert (caught.value.status, caught.value.transient) == (401, False)


@pytest_twisted.ensureDeferred
async def test_asked_again_it_comes_to_an_end(server: str) -> None:
    client = Client(server)
    answers: list[Completion] = []
    errors: list[str] = []

    async def attempt() -> None:
        client.heard.clear()
        answers.append(await client.ask("And once more"))

    attempts = Attempts(
        client.reactor,
        "assistant",
        Retry(attempts=3, first=0.01),
        Breaker(client.reactor, Breaking()),
        observe=lambda error: errors.append(type(error).__name__),
    )
    await attempts.make(attempt, lambda line: None)
    assert errors == ["ModelRefused", "BodyCut", "NoneType"]
    assert answers == [right("One, two")]
    assert "".join(client.heard) == "One, two"


@pytest_twisted.ensureDeferred
async def test_who_stops_it_hears_no_more(server: str) -> None:
    client = Client(server)
    asking = Deferred.fromCoroutine(client.ask("Go on for long"))
    await client.begun
    asking.cancel()
    heard = len(client.heard)
    with pytest.raises(CancelledError):
        await asking
    await Client(server).ask("Please give me a text at leisure.")
    assert len(client.heard) == heard


@pytest_twisted.ensureDeferred
async def test_the_api_of_openrouter(server: str) -> None:
    client = Client(server.replace("/v1", "/api/v1"))
    completion = await client.ask("Please keep in touch.")
    assert (completion.text, completion.finish) == (TEXT, "stop")
    with pytest.raises(ModelRefused) as caught:
        await client.ask("Work for nothing!")
    assert (caught.value.status, caught.value.transient) == (402, False)


@pytest_twisted.ensureDeferred
async def test_what_it_was_asked(server: str) -> None:
    text = "Please give me a text."
    await Client(server, temperature=0.5).ask(text, [TOOL], may_call=False)
    journal = f"{server.removesuffix('/v1')}/__aimock/journal"
    request = urllib.request.Request(
        journal, headers={"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        entries = msgspec.json.decode(response.read())
    asked = entries[-1]["body"]
    assert {name: asked.get(name) for name in asked if not name.startswith("_")} == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": text},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 1_000,
        "temperature": 0.5,
        "tools": [TOOL],
        "tool_choice": "none",
    }


def test_a_machine_without_it_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.npm._CACHE", tmp_path)
    with (
        pytest.raises(AssertionError, match=r"run \.ci/packages"),
        aimock(tmp_path, [], KEY),
    ):
        pass
