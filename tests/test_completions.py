"""A language model's server and all that it can get wrong, without a socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import (
    AnswerWithheld,
    ModelRefused,
    ServiceError,
    ServiceTimedOut,
    ServiceUnreachable,
    TextRepeated,
)
from supportbot.services.assistant.chunks import Completion
from supportbot.services.assistant.completions import Completions, ToolCall
from supportbot.settings import AssistantSettings, Bounds, Deadlines
from tests.test_chunks import CALLED, DONE, STOP, choice, fragment, numbered, sent
from tests.test_chunks import whole as in_one_piece
from tests.wire import Connection, Endpoint

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
SAID = [{"role": "user", "content": "I am Rumpelstilzchen é"}]
TOOL = {"type": "function", "function": {"name": "find", "parameters": {}}}
HELLO = sent(choice(role="assistant", content=""), choice(content="Hello"))
GOOD = HELLO + sent(choice(content="!"), STOP) + DONE
ANSWERED = Completion("Hello!", (), "stop", 0, 0)
KEY = "sk-very-secret"
RENAME = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model."
    " Use 'max_completion_tokens' instead.",
    "type": "invalid_request_error",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}


def refusing(status: int, body: object = b"", *headers: bytes) -> bytes:
    """A response that is not 200."""
    if not isinstance(body, bytes):
        body = json.dumps({"error": body}).encode()
    lines = [b"HTTP/1.1 %d No" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


class CompletionsTestCase(SynchronousTestCase):
    """A model on a wire that the test holds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint(self.clock)
        self.heard: list[str] = []
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def model(self, **changes: Any) -> Completions:
        changes = {"url": "http://model.test/v1", "api_key": KEY, **changes}
        settings = AssistantSettings(**changes)
        return Completions(settings, self.clock, self.endpoint, numbered())

    def ask(
        self,
        completions: Completions | None = None,
        tools: Sequence[Mapping[str, object]] = (),
        **more: Any,
    ) -> Deferred[Completion]:
        hear = more.pop("hear", self.heard.append)
        asking = (completions or self.model()).ask(SAID, tools, hear, **more)
        return Deferred.fromCoroutine(asking)

    def request(self) -> tuple[list[str], dict[str, Any]]:
        """The newest request: its head's lines in lower case, and its body."""
        head, _, body = self.endpoint.last.request.partition(b"\r\n\r\n")
        return head.decode().lower().split("\r\n"), json.loads(body)

    def told(self) -> list[str]:
        """What the operator was told."""
        return [
            formatEvent(event)
            for event in self.logged
            if event["log_level"] is LogLevel.error
        ]

    def assert_at_rest(self) -> None:
        """No timer is left, and no connection."""
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([c for c in self.endpoint.connections if c.open], [])


class AskingTests(CompletionsTestCase):
    """What goes over the wire."""

    def test_the_request(self) -> None:
        self.ask()
        head, body = self.request()
        self.assertEqual(head[0], "post /v1/chat/completions http/1.1")
        for line in (
            "host: model.test",
            f"authorization: bearer {KEY}",
            "content-type: application/json",
            "accept: text/event-stream, application/json",
            "accept-encoding: identity",
            "connection: close",
        ):
            self.assertIn(line, head)
        self.assertEqual(
            body,
            {
                "model": "gpt-4o-mini",
                "messages": SAID,
                "stream": True,
                "stream_options": {"include_usage": True},
                "max_tokens": 1_000,
            },
        )

    def test_where_it_goes(self) -> None:
        for url, target in (
            ("http://model.test/v1/", "/v1/chat/completions"),
            ("http://model.test", "/chat/completions"),
            ("http://model.test/x/v1?v=1", "/x/v1/chat/completions?v=1"),
        ):
            self.ask(self.model(url=url))
            self.assertEqual(self.request()[0][0], f"post {target} http/1.1")

    def test_no_key_no_authorization(self) -> None:
        for key in (None, ""):
            self.ask(self.model(api_key=key))
            self.assertNotIn("authorization", "\n".join(self.request()[0]))

    def test_what_the_settings_say(self) -> None:
        self.ask(self.model(model="one", answer=300, window=9_000, temperature=0.0))
        _, body = self.request()
        self.assertEqual(
            (body["model"], body["max_tokens"], body["temperature"]), ("one", 300, 0.0)
        )
        self.ask(self.model(model="one"), model="two")
        self.assertEqual(self.request()[1]["model"], "two")

    def test_tools_are_only_named_if_there_are_some(self) -> None:
        self.ask(tools=[TOOL])
        _, body = self.request()
        self.assertEqual((body["tools"], body.get("tool_choice")), ([TOOL], None))
        self.ask(tools=[TOOL], may_call=False)
        _, body = self.request()
        self.assertEqual((body["tools"], body["tool_choice"]), ([TOOL], "none"))
        self.ask(may_call=False)
        _, body = self.request()
        self.assertEqual((body.get("tools"), body.get("tool_choice")), (None, None))


class AnsweringTests(CompletionsTestCase):
    """Answers that are all right."""

    def test_pieces_are_heard_the_moment_they_come(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(STREAM, HELLO)
        self.assertEqual(self.heard, ["Hello"])
        self.endpoint.last.answer(sent(choice(content="!")))
        self.assertEqual(self.heard, ["Hello", "!"])
        self.assertNoResult(done)
        self.endpoint.last.answer(sent(STOP), DONE)
        self.assertEqual(self.successResultOf(done), ANSWERED)
        self.assertTrue(self.endpoint.last.aborted)
        self.assert_at_rest()

    def test_byte_by_byte(self) -> None:
        done = self.ask()
        for at in range(len(STREAM + GOOD)):
            self.endpoint.last.answer((STREAM + GOOD)[at : at + 1])
        self.assertEqual(self.successResultOf(done), ANSWERED)
        self.assertEqual(self.heard, ["Hello", "!"])

    def test_calls_and_tokens(self) -> None:
        done = self.ask(tools=[TOOL])
        usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 8}, "choices": []}
        call = fragment("{}", index=0, name="find")
        self.endpoint.last.answer(STREAM, sent(call, CALLED, usage), DONE)
        self.assertEqual(
            self.successResultOf(done),
            Completion("", (ToolCall("made-1", "find", "{}"),), "tool_calls", 7, 8),
        )
        self.assertEqual(self.heard, [])

    def test_in_chunks_of_http(self) -> None:
        done = self.ask()
        head = STREAM[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
        chunks = [
            b"%x\r\n%b\r\n" % (len(GOOD[at : at + 7]), GOOD[at : at + 7])
            for at in range(0, len(GOOD), 7)
        ]
        self.endpoint.last.answer(head, *chunks, b"0\r\n\r\n")
        self.assertEqual(self.successResultOf(done), ANSWERED)

    def test_no_content_type_is_a_stream(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(b"HTTP/1.1 200 OK\r\n\r\n", GOOD)
        self.assertEqual(self.successResultOf(done), ANSWERED)

    def test_a_server_that_never_streams(self) -> None:
        done = self.ask()
        body = in_one_piece({"content": "Hello!"})
        # Some servers keep such a connection busy with empty lines.
        self.endpoint.last.answer(JSON, b"\n" * 2_000, body[:20], body[20:])
        self.assertEqual(self.heard, [])
        self.endpoint.last.finish()
        self.assertEqual(self.successResultOf(done), ANSWERED)
        self.assertEqual(self.heard, ["Hello!"])
        self.assert_at_rest()

    def test_a_long_thought_is_no_silence(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(STREAM)
        for _ in range(5):
            self.clock.advance(15.0)
            self.endpoint.last.answer(sent(choice(reasoning_content="Hm.")))
        self.endpoint.last.answer(GOOD)
        self.assertEqual(self.successResultOf(done), ANSWERED)

    def test_an_end_without_done_is_an_end_if_its_reason_came(self) -> None:
        unfinished = HELLO + sent(choice(content="!"), STOP)
        ends: list[Callable[[Connection], object]] = [
            lambda c: c.finish(),
            lambda c: c.reset(),
            lambda c: self.clock.advance(2.0),
        ]
        for end in ends:
            self.heard.clear()
            done = self.ask()
            self.endpoint.last.answer(STREAM, unfinished)
            self.assertNoResult(done)
            end(self.endpoint.last)
            self.assertEqual(self.successResultOf(done), ANSWERED)
            self.assert_at_rest()

    def test_an_impatient_setting_ends_it_too(self) -> None:
        for name in ("idle", "progress", "total"):
            limits: dict[str, float] = {"idle": 9.0, "progress": 9.0, "total": 9.0}
            deadlines = Deadlines(**{**limits, name: 1.0})
            done = self.ask(self.model(deadlines=deadlines))
            self.endpoint.last.answer(STREAM, GOOD[: -len(DONE)])
            self.clock.advance(1.0)
            self.assertEqual(self.successResultOf(done), ANSWERED)
            self.assert_at_rest()

    def test_what_follows_the_reason_is_waited_for_as_long_as_it_comes(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(STREAM, GOOD[: -len(DONE)])
        self.clock.advance(1.9)
        self.endpoint.last.answer(sent(choice(content="!")))
        self.clock.advance(1.9)
        self.endpoint.last.answer(b": still here\n\n")
        self.assertNoResult(done)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(done).text, "Hello!!")
        self.assert_at_rest()

    def test_an_error_behind_the_reason_is_one(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(STREAM, GOOD[: -len(DONE)], sent({"error": "Oops"}))
        self.failureResultOf(done, ModelRefused)
        self.assert_at_rest()

    def test_length_and_filter_are_for_others_to_judge(self) -> None:
        for reason in ("length", "content_filter"):
            done = self.ask()
            self.endpoint.last.answer(STREAM, HELLO, sent(choice(reason)), DONE)
            self.assertEqual(self.successResultOf(done).finish, reason)


class StoppingTests(CompletionsTestCase):
    """Nobody wants the answer any more."""

    def test_cancelling_closes_the_connection_at_once(self) -> None:
        begun = in_one_piece({"content": "Hello!"})[:20]
        for pieces in (
            [],
            [STREAM[:20]],
            [STREAM],
            [STREAM, HELLO],
            [STREAM, HELLO, sent(STOP)],
            [JSON, begun],
            [refusing(503, b"x" * 99)[:-9]],
        ):
            done = self.ask()
            self.endpoint.last.answer(*pieces)
            done.cancel()
            self.assertFalse(self.endpoint.last.open)
            self.clock.advance(0)
            self.failureResultOf(done, CancelledError)
            self.assert_at_rest()

    def test_cancelling_while_it_connects(self) -> None:
        self.endpoint.silent = True
        done = self.ask()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assert_at_rest()

    def test_cancelling_between_two_requests(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(refusing(400, RENAME))
        self.assertEqual(len(self.endpoint.connections), 2)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assert_at_rest()

    def test_who_listens_may_end_it(self) -> None:
        def hear(piece: str) -> None:
            raise TextRepeated(3)

        for head, body in ((STREAM, GOOD), (JSON, in_one_piece({"content": "a"}))):
            done = self.ask(hear=hear)
            self.endpoint.last.answer(head, body)
            self.endpoint.last.finish()
            self.failureResultOf(done, TextRepeated)
            self.assert_at_rest()

    def test_who_listens_may_cancel_it(self) -> None:
        late = sent(STOP, choice(content="Hello"), choice(content="!"))
        for body in (GOOD, late, late + DONE):
            done = self.ask(hear=lambda piece: done.cancel())  # noqa: B023
            self.endpoint.last.answer(STREAM, body)
            self.failureResultOf(done, CancelledError)
            self.assert_at_rest()


class RenamedTests(CompletionsTestCase):
    """Models that know `max_tokens` by another name."""

    def test_are_asked_again_at_once_and_then_rightly(self) -> None:
        model = self.model(answer=300)
        for asked in (2, 3):
            done = self.ask(model)
            if asked == 2:
                self.assertEqual(self.request()[1]["max_tokens"], 300)
                self.endpoint.last.answer(refusing(400, RENAME))
            _, body = self.request()
            self.assertEqual(body["max_completion_tokens"], 300)
            self.assertNotIn("max_tokens", body)
            self.endpoint.last.answer(STREAM, GOOD)
            self.assertEqual(self.successResultOf(done), ANSWERED)
            self.assertEqual(len(self.endpoint.connections), asked)
        self.assertEqual(self.told(), [])
        self.assert_at_rest()

    def test_are_known_one_by_one(self) -> None:
        model = self.model()
        self.ask(model, model="new")
        self.endpoint.last.answer(refusing(400, RENAME))
        self.ask(model, model="old")
        self.assertIn("max_tokens", self.request()[1])

    def test_side_by_side(self) -> None:
        model = self.model()
        asking = [self.ask(model), self.ask(model)]
        for connection in self.endpoint.connections[:]:
            connection.answer(refusing(400, RENAME))
        for connection in self.endpoint.connections[2:]:
            connection.answer(STREAM, GOOD)
        for done in asking:
            self.assertEqual(self.successResultOf(done), ANSWERED)
        self.assertEqual(len(self.endpoint.connections), 4)

    def test_are_not_asked_for_ever(self) -> None:
        done = self.ask()
        for _ in range(2):
            self.endpoint.last.answer(refusing(400, RENAME))
        self.failureResultOf(done, ModelRefused)
        self.assertEqual(len(self.endpoint.connections), 2)
        self.assertEqual(len(self.told()), 1)
        self.assert_at_rest()

    def test_another_parameter_is_another_matter(self) -> None:
        for change in ({"param": "temperature"}, {"code": "x"}):
            done = self.ask()
            count = len(self.endpoint.connections)
            self.endpoint.last.answer(refusing(400, {**RENAME, **change}))
            self.failureResultOf(done, ModelRefused)
            self.assertEqual(len(self.endpoint.connections), count)


class Refused(NamedTuple):
    """A server's no, and what is made of it."""

    response: bytes
    status: int
    code: str = ""
    transient: bool = False
    retry_after: float | None = None
    told: str = ""


LIMITED = {"message": f"{KEY} Rumpelstilzchen", "code": "rate_limit_exceeded"}
REFUSALS = [
    Refused(refusing(429, LIMITED), 429, "rate_limit_exceeded", True),
    Refused(
        refusing(429, LIMITED, b"Retry-After: 7", b"retry-after-ms: 1500"),
        429, "rate_limit_exceeded", True, 1.5,
    ),
    Refused(
        refusing(429, LIMITED, b"Retry-After: 7"), 429, "rate_limit_exceeded", True, 7
    ),
    Refused(
        refusing(429, {"code": "insufficient_quota", "type": "insufficient_quota"}),
        429, "insufficient_quota", told="the account has no quota left",
    ),
    Refused(
        refusing(429, {"code": "billing", "type": "insufficient_quota"}),
        429, "insufficient_quota", told="the account has no quota left",
    ),
    Refused(refusing(402, {"code": 402}), 402, told="the account has no quota left"),
    Refused(
        refusing(401, {"message": f"Incorrect API key {KEY}", "param": None,
                       "type": "invalid_request_error", "code": "invalid_api_key"}),
        401, "invalid_api_key", told="the key is not taken",
    ),
    Refused(refusing(403, b"<html>No"), 403, told="the key is not taken"),
    Refused(
        refusing(404, {"code": "model_not_found"}), 404, "model_not_found",
        told="it is not known there",
    ),
    Refused(refusing(404, b"404 page not found"), 404, told="it is not known there"),
    Refused(
        refusing(400, {"code": "context_length_exceeded"}),
        400, "context_length_exceeded", told="it can't read that much",
    ),
    Refused(
        refusing(400, {"code": 400, "type": "BadRequestError", "message":
                       "This model's maximum context length is 4096 tokens."}),
        400, "context_length_exceeded", told="it can't read that much",
    ),
    Refused(
        refusing(400, {"code": 400, "type": "exceed_context_size_error"}),
        400, "context_length_exceeded", told="it can't read that much",
    ),
    Refused(
        refusing(400, {"type": "invalid_request_error", "code": None}),
        400, "invalid_request_error", told="our questions are not taken",
    ),
    Refused(
        refusing(422, b'[{"error": {"code": 422, "type": "X"}}]'), 422, "X",
        told="our questions are not taken",
    ),
    Refused(
        refusing(400, b'{"error": "The context size was exceeded."}'),
        400, "context_length_exceeded", told="it can't read that much",
    ),
    Refused(
        refusing(500, {"message": "context size unknown"}), 500, transient=True
    ),
    Refused(refusing(405), 405, told="our questions are not taken"),
    Refused(refusing(204), 204, told="our questions are not taken"),
    Refused(
        refusing(307, b"", b"Location: http://169.254.169.254/"), 307,
        told="our questions are not taken",
    ),
    Refused(refusing(408), 408, transient=True),
    Refused(refusing(409, {"code": "conflict"}), 409, "conflict", True),
    Refused(refusing(500, {"type": "server_error"}), 500, "server_error", True),
    Refused(refusing(502, b"<html><h1>Bad gateway"), 502, transient=True),
    Refused(
        refusing(503, b'"down"', b"Retry-After: soon"), 503, transient=True
    ),
    Refused(refusing(503, {"code": "<b>", "type": "x" * 65}), 503, transient=True),
    Refused(refusing(500, b'{"error": "oops"}'), 500, transient=True),
    Refused(refusing(500, b"[" * 60_000), 500, transient=True),
    Refused(refusing(500, b"x" * 65_537), 500, transient=True),
    Refused(refusing(500, b'{"error": {"code": "gone"}'), 500, transient=True),
]  # fmt: skip


class RefusedTests(CompletionsTestCase):
    """Servers that don't take the question."""

    def test_each_has_its_error_and_its_line_for_the_operator(self) -> None:
        for case in REFUSALS:
            self.setUp()
            done = self.ask()
            self.endpoint.last.answer(case.response)
            error = self.failureResultOf(done, ModelRefused).value
            self.assertEqual(
                (error.status, error.code, error.transient, error.retry_after),
                case[1:5],
            )
            self.assertEqual(len(self.endpoint.connections), 1)
            self.assertEqual(len(self.told()), 1 if case.told else 0, case)
            for line in self.told():
                self.assertIn(case.told, line)
                self.assertIn("gpt-4o-mini", line)
            self.assertNotIn("secret", repr(self.logged) + str(error))
            self.assertNotIn("Rumpelstilzchen", repr(self.logged) + str(error))
            self.assert_at_rest()

    def test_a_date_to_come_back_at(self) -> None:
        done = self.ask()
        date = formatdate(4_000_000_000, usegmt=True).encode()
        self.endpoint.last.answer(refusing(429, LIMITED, b"Retry-After: " + date))
        asked = self.failureResultOf(done, ModelRefused).value.retry_after
        self.assertGreater(asked, 1_000_000)

    def test_what_the_maker_does_not_allow(self) -> None:
        done = self.ask()
        self.endpoint.last.answer(refusing(400, {"code": "content_filter"}))
        self.failureResultOf(done, AnswerWithheld)
        self.assertEqual(self.told(), [])

    def test_the_reason_need_not_come(self) -> None:
        ends: list[Callable[[Connection], object]] = [
            lambda c: c.finish(),
            lambda c: c.reset(),
            lambda c: self.clock.advance(20.0),
        ]
        for end in ends:
            done = self.ask()
            self.endpoint.last.answer(refusing(503, b"x" * 99)[:-9])
            self.assertNoResult(done)
            end(self.endpoint.last)
            self.assertEqual(self.failureResultOf(done).value.status, 503)
            self.assert_at_rest()

    def test_the_operator_is_told_once_a_minute(self) -> None:
        model = self.model()

        def refuse(response: bytes, *more: bytes) -> int:
            done = self.ask(model)
            self.endpoint.last.answer(response, *more)
            self.failureResultOf(done, ServiceError)
            return len(self.told())

        key = refusing(401, {"code": "invalid_api_key"})
        quota = sent({"error": {"code": "insufficient_quota"}})
        self.assertEqual(refuse(key), 1)
        self.assertEqual(refuse(key), 1)
        self.assertEqual(refuse(STREAM, quota), 2)
        self.clock.advance(59.0)
        self.assertEqual(refuse(key), 2)
        self.assertEqual(refuse(refusing(429, LIMITED)), 2)
        self.clock.advance(1.0)
        self.assertEqual(refuse(key), 3)
        self.assertEqual(refuse(key), 3)
        self.assertEqual(
            self.told()[0],
            "the language model does not answer: the key is not taken: mend"
            " assistant.api_key (OPENAI_API_KEY) (model gpt-4o-mini, status 401,"
            " code invalid_api_key)",
        )


class Fault(NamedTuple):
    """Something that a server does, and the error that is made of it."""

    does: Callable[[CompletionsTestCase], object]
    error: str
    again: bool = True


def sends(*pieces: bytes, end: str = "") -> Callable[[CompletionsTestCase], object]:
    """A fault: the server sends these bytes, then finishes, resets or waits."""

    def does(test: CompletionsTestCase) -> None:
        test.endpoint.last.answer(*pieces)
        if end:
            getattr(test.endpoint.last, end)()

    return does


def drips(
    seconds: float, piece: bytes, times: int, *before: bytes
) -> Callable[[CompletionsTestCase], object]:
    """A fault: after some bytes the server sends the same ones over and over."""

    def does(test: CompletionsTestCase) -> None:
        test.endpoint.last.answer(*before)
        for _ in range(times):
            test.clock.advance(seconds)
            test.endpoint.last.answer(piece)

    return does


ROLE = sent(choice(role="assistant", content=""))
FAULTS = {
    "closes without a word": Fault(sends(end="finish"), "ServiceUnreachable"),
    "resets before the headers": Fault(
        sends(STREAM[:9], end="reset"), "ServiceUnreachable"
    ),
    "is silent": Fault(drips(20.0, b"", 1), "ServiceTimedOut"),
    "trickles headers": Fault(drips(1.0, b"H", 20, b"HTTP/1.1 2"), "ServiceTimedOut"),
    "speaks no HTTP": Fault(sends(b"SSH-2.0-x\r\n\r\n"), "BodyBroken"),
    "sends endless headers": Fault(
        sends(b"HTTP/1.1 200 OK\r\n", *[b"X-Y: %s\r\n" % (b"z" * 9000)] * 9),
        "BodyBroken",
    ),
    "sends HTML": Fault(
        sends(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"),
        "AnswerUnusable",
        False,
    ),
    "compresses a bomb": Fault(
        sends(
            STREAM[:-2] + b"Content-Encoding: gzip\r\n\r\n",
            gzip.compress(b"0" * 1_000_000),
        ),
        "AnswerUnusable",
        False,
    ),
    "ends too early": Fault(sends(STREAM, HELLO, end="finish"), "BodyCut"),
    "resets in the answer": Fault(sends(STREAM, HELLO, end="reset"), "BodyCut"),
    "ends in the middle of an event": Fault(
        sends(STREAM, GOOD[: len(HELLO) + 20], end="finish"), "BodyCut"
    ),
    "promises more than it sends": Fault(
        sends(STREAM[:-2] + b"Content-Length: 9999\r\n\r\n", HELLO, end="finish"),
        "BodyCut",
    ),
    "cuts a chunk": Fault(
        sends(
            STREAM[:-2] + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n",
            HELLO,
            end="finish",
        ),
        "BodyCut",
    ),
    "falls silent": Fault(drips(20.0, b"", 1, STREAM, HELLO), "ServiceTimedOut"),
    "never begins": Fault(drips(20.0, b"", 1, STREAM), "ServiceTimedOut"),
    "sends comments for ever": Fault(
        drips(5.0, b": keep-alive\n\n", 4, STREAM, HELLO), "NoProgress"
    ),
    "sends comments before anything": Fault(
        drips(5.0, b": keep-alive\n\n", 4, STREAM), "NoProgress"
    ),
    "says nothing in many chunks": Fault(
        drips(5.0, ROLE, 4, STREAM, HELLO), "NoProgress"
    ),
    "drips for ever": Fault(
        drips(9.0, sent(choice(content="a")), 10, STREAM, HELLO), "ServiceTimedOut"
    ),
    "repeats one byte": Fault(sends(STREAM, HELLO, b"0" * 600), "ByteRepeated"),
    "repeats one byte in the text": Fault(
        sends(STREAM, HELLO, sent(choice(content="0" * 600))), "ByteRepeated"
    ),
    "never ends its answer": Fault(
        sends(STREAM, HELLO, sent(*[choice(content="on and on ")] * 700)),
        "BodyTooLong",
    ),
    "never ends an event": Fault(
        sends(STREAM, HELLO, b"data: ", *[b"on and on "] * 7_000), "BodyTooLong"
    ),
    "sends no UTF-8": Fault(sends(STREAM, HELLO, b"\xff"), "BodyBroken"),
    "sends no JSON": Fault(sends(STREAM, HELLO, b"data: Oops\n\n"), "BodyBroken"),
    "sends half a character": Fault(
        sends(STREAM, HELLO, sent(choice(content="\ud83d!"))), "BodyBroken"
    ),
    "sends a NUL": Fault(
        sends(STREAM, HELLO, sent(choice(content="\0"))), "BodyBroken"
    ),
    "gives up": Fault(
        sends(STREAM, HELLO, sent({"error": {"type": "server_error"}}), DONE),
        "ModelRefused",
    ),
    "calls without end": Fault(
        sends(
            STREAM,
            sent(*[fragment("{}", index=n, id=f"c{n}", name="f") for n in range(40)]),
        ),
        "BodyRunaway",
    ),
    "argues without end": Fault(
        sends(
            STREAM,
            sent(fragment("", index=0, id="a", name="f")),
            *[sent(fragment("so on " * 500, index=0))] * 22,
        ),
        "BodyRunaway",
    ),
    "sends no answer in one piece": Fault(
        sends(JSON, b"{}", end="finish"), "AnswerUnusable", False
    ),
    "cuts an answer in one piece": Fault(
        sends(JSON, in_one_piece({"content": "a"})[:-1], end="finish"), "BodyBroken"
    ),
    "promises more of an answer in one piece": Fault(
        sends(
            JSON[:-2] + b"Content-Length: 9999\r\n\r\n",
            in_one_piece({"content": "a"}),
            end="finish",
        ),
        "BodyCut",
    ),
    "sends too much in one piece": Fault(
        sends(JSON, in_one_piece({"content": "a" * 70_000})), "BodyTooLong"
    ),
    "stalls an answer in one piece": Fault(
        drips(20.0, b"", 1, JSON, b"{"), "ServiceTimedOut"
    ),
}


class FaultTests(CompletionsTestCase):
    """Each fault has its error, and none leaves anything behind."""

    def provoke(self, fault: Fault) -> ServiceError:
        """Let the server have the fault, once."""
        self.setUp()
        wide = fault.error == "BodyRunaway"
        bounds = Bounds(body=1_000_000 if wide else 65_536)
        done = self.ask(self.model(bounds=bounds))
        fault.does(self)
        self.clock.advance(0)
        error: ServiceError = self.failureResultOf(done, ServiceError).value
        return error

    def test_each_has_its_error(self) -> None:
        for name, fault in FAULTS.items():
            error = self.provoke(fault)
            kind = type(error).__name__
            self.assertEqual((name, kind), (name, fault.error))
            self.assertEqual((name, error.transient), (name, fault.again))

    def test_what_came_before_it_was_heard(self) -> None:
        for name, fault in FAULTS.items():
            self.provoke(fault)
            text = "".join(self.heard)
            self.assertIn(text[:5], ("", "Hello"), name)
            self.assertIn(set(text[5:].replace("on and on ", "")), (set(), {"a"}), name)

    def test_none_leaves_anything_open(self) -> None:
        for name, fault in FAULTS.items():
            self.provoke(fault)
            self.assertEqual((name, self.endpoint.last.open), (name, False))
            self.assert_at_rest()

    def test_none_puts_words_or_keys_into_the_log(self) -> None:
        for fault in FAULTS.values():
            error = self.provoke(fault)
            logged = repr(self.logged) + str(error) + error.told + error.again
            self.assertNotIn("Rumpelstilzchen", logged)
            self.assertNotIn(KEY, logged)

    def test_a_server_that_is_not_there(self) -> None:
        self.endpoint.refusal = ConnectionRefusedError()
        self.failureResultOf(self.ask(), ServiceUnreachable)
        self.assert_at_rest()

    def test_a_server_that_can_not_be_found(self) -> None:
        self.endpoint.silent = True
        done = self.ask()
        self.clock.advance(20.0)
        self.assertEqual(self.failureResultOf(done, ServiceTimedOut).value.trips, True)
        self.assert_at_rest()

    def test_the_total_counts_from_the_request(self) -> None:
        done = self.ask()
        self.clock.advance(19.0)
        self.endpoint.last.answer(STREAM)
        for _ in range(7):
            self.clock.advance(10.0)
            self.endpoint.last.answer(sent(choice(content="a")))
        self.assertNoResult(done)
        self.clock.advance(1.0)
        error = self.failureResultOf(done, ServiceTimedOut).value
        self.assertEqual(error.phase, "total")


def test_the_settings_are_not_in_the_repr() -> None:
    clock = Clock()
    settings = AssistantSettings(api_key=KEY)
    assert KEY not in repr(Completions(settings, clock, Endpoint(clock)))


def test_ids_of_our_own_differ() -> None:
    clock = Clock()
    endpoint = Endpoint(clock)
    settings = AssistantSettings(url="http://model.test/v1")
    done = Deferred.fromCoroutine(
        Completions(settings, clock, endpoint).ask(SAID, [TOOL], lambda piece: None)
    )
    results: list[Completion] = []
    done.addCallback(results.append)
    calls = [fragment("{}", index=index, name="find") for index in range(2)]
    endpoint.last.answer(STREAM, sent(*calls, CALLED), DONE)
    one, two = results[0].calls
    assert one.id != two.id
    assert one.id.startswith("call_")
    assert len(one.id) <= 40  # as the API wants it
