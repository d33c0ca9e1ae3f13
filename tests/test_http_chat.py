"""Messages over HTTP: whole answers, streams, and saying the same thing again."""

from __future__ import annotations

from typing import cast

import msgspec
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from supportbot.errors import BodyCut, ServiceUnreachable, StoreError
from supportbot.events import Outcome
from supportbot.interfaces import Reply
from tests.fakes import ScriptedService
from tests.http_client import Response
from tests.http_fakes import JSON, KEY, HeldScene, HttpScene, comments, frames, said

TWO = "<p>One.</p><p>Two.</p>"
SESSION = "session-0"


class WholeTests(HttpScene):
    def test_an_answer_is_sent_when_it_is_over(self) -> None:
        client = self.chat(message_id="m")
        self.service.last.reply.paragraph("<p>One.</p>")
        self.assertEqual(client.take(), [])
        self.answer("<p>Two.</p>")
        response = client.take_one()
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(
            response.json,
            {
                "response": TWO,
                "session_id": SESSION,
                "tool_calls": None,
                "outcome": "complete",
                "message_id": "m",
                "detail": "",
            },
        )

    def test_what_is_not_known_is_ignored_and_null_is_nothing(self) -> None:
        response = self.answered(
            temperature=0.3,
            max_tokens=5,
            model="x",
            stream=None,
            message_id=None,
        )
        self.assertEqual(response.json["response"], TWO)

    def test_an_id_that_a_client_chose(self) -> None:
        self.assertEqual(
            self.answered("my-session-123").json["session_id"], "my-session-123"
        )
        self.assertEqual(
            self.answered("my-session-123").json["session_id"], "my-session-123"
        )
        found = self.call("GET", "/api/session/my-session-123").json
        self.assertEqual(found["message_count"], 4)

    def test_paragraphs_that_are_no_html_have_an_empty_line_between_them(self) -> None:
        client = self.chat()
        reply = self.service.last.reply
        reply.paragraph("<p>a</p>")
        reply.paragraph("b", "markdown")
        reply.paragraph("c", "plain")
        reply.paragraph("<p>d</p>")
        self.answer("<p>e</p>")
        told = client.take_one().json["response"]
        self.assertEqual(told, "<p>a</p>\n\nb\n\nc\n\n<p>d</p><p>e</p>")

    def test_only_what_stands_is_the_answer(self) -> None:
        client = self.chat()
        self.service.last.reply.paragraph("<p>Wrong.</p>")
        self.service.last.reply.revise(0)
        self.answer("<p>Right.</p>")
        self.assertEqual(client.take_one().json["response"], "<p>Right.</p>")

    def test_an_answer_that_was_cut_says_so(self) -> None:
        client = self.chat()
        self.service.last.reply.paragraph("<p>One.</p>")
        self.service.last.fail(BodyCut())
        answer = client.take_one().json
        self.assertEqual(answer["outcome"], "cut")
        self.assertEqual(answer["response"], "<p>One.</p>")
        self.assertIn("support service", answer["detail"])

    def test_messages_of_a_session_are_answered_one_after_the_other(self) -> None:
        clients = [self.chat(f"help {at}", session_id="s") for at in range(3)]
        for at, client in enumerate(clients):
            self.assertEqual(client.take(), [])
            self.assertEqual(self.service.texts, [f"help {n}" for n in range(at + 1)])
            self.answer(f"<p>{at}</p>")
            self.assertEqual(client.take_one().json["response"], f"<p>{at}</p>")

    def test_who_goes_away_is_answered_all_the_same(self) -> None:
        for reset in (False, True):
            client = self.chat(session_id="s")
            client.vanish() if reset else client.hang_up()
            self.assertEqual(self.desk.followers, 0)
            self.answer("<p>Stored.</p>")
        told = self.call("GET", "/api/session/s").json
        texts = [turn["content"] for turn in told["history"]]
        self.assertEqual(texts, ["help", "<p>Stored.</p>"] * 2)

    def test_a_failure_of_ours_is_told(self) -> None:
        client = self.chat()
        self.service.last.fail(RuntimeError("a bug"))
        answer = client.take_one().json
        self.assertEqual(answer["outcome"], "failed")
        self.assertIn("ask again", answer["detail"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class MisfitTests(HttpScene):
    """What is no message is refused, with a pointer to what is wrong."""

    def post(self, body: object, *headers: tuple[str, str]) -> Response:
        return self.call("POST", "/api/chat", body, headers)

    def test_fields_that_do_not_fit(self) -> None:
        for body, pointer in (
            ({}, "#/message"),
            ({"message": None}, "#/message"),
            ({"message": 1}, "#/message"),
            ({"message": ["help"]}, "#/message"),
            ({"message": "help", "stream": "yes"}, "#/stream"),
            ({"message": "help", "session_id": 7}, "#/session_id"),
            ({"message": "help", "session_id": ""}, "#/session_id"),
            ({"message": "help", "session_id": "a b"}, "#/session_id"),
            ({"message": "help", "session_id": "x" * 129}, "#/session_id"),
            ({"message": "help", "session_id": "x\n"}, "#/session_id"),
            ({"message": "help", "message_id": "é"}, "#/message_id"),
            ({"message": ""}, "#/message"),
            ({"message": " \n\t "}, "#/message"),
            ({"message": "x" * 4_001}, "#/message"),
            ([], "#"),
            ("help", "#"),
            (None, "#"),
        ):
            with self.subTest(body=body):
                response = self.post(msgspec.json.encode(body), JSON)
                self.refused(response, 422, pointer)

    def test_the_longest_message_is_taken(self) -> None:
        response = self.call("POST", "/api/chat", {"message": "x" * 4_000})
        self.assertEqual(response.status, 200)

    def test_what_is_no_json(self) -> None:
        json = ("Content-Type", "application/json; charset=utf-8")
        for body in (
            b"{",
            b"",
            b'{"message": "\xff"}',
            b'{"a": ' + b"[" * 5_000,
            b'{"a": NaN}',
        ):
            self.refused(self.post(body, json), 400)

    def test_what_is_no_json_by_its_own_words(self) -> None:
        body = b'{"message": "help"}'
        for media in ("text/plain", "application/x-www-form-urlencoded", ""):
            response = self.post(body, ("Content-Type", media))
            self.refused(response, 415)
            self.assertEqual(response.headers["accept"], "application/json")
        self.refused(self.post(body), 415)
        self.assertEqual(self.service.asked, [])

    def test_what_is_too_long(self) -> None:
        self.refused(self.post(b" " * 70_000, JSON), 413)

    def test_a_key_that_is_none(self) -> None:
        for key in ("a b", "x" * 129, "é"):
            told = self.post({"message": "help"}, ("Idempotency-Key", key))
            self.refused(told, 400)
        twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        self.refused(self.post({"message": "help"}, *twice), 400)

    def test_queries_that_do_not_fit(self) -> None:
        for query, status, pointers in (
            ("", 422, ["#/message"]),
            ("?message=", 422, ["#/message"]),
            ("?message=+", 422, ["#/message"]),
            ("?message=a&message=b", 422, ["#/message"]),
            ("?message=help&session_id=a%20b", 422, ["#/session_id"]),
            ("?message=%ff", 400, []),
            ("?message=help" + "&a=b" * 32, 400, []),
        ):
            with self.subTest(query=query):
                response = self.call("GET", f"/api/chat/stream{query}")
                self.refused(response, status, *pointers)
        self.assertEqual(self.service.asked, [])

    def test_a_session_id_that_is_left_empty_in_a_query_is_none(self) -> None:
        response = self.call("GET", "/api/chat/stream?message=hello&session_id=")
        self.assertEqual(said(response)[-1]["session_id"], SESSION)

    def test_methods_that_are_not_meant(self) -> None:
        for method, status in (("PUT", 405), ("GET", 405), ("BREW", 501)):
            response = self.call(method, "/api/chat")
            self.refused(response, status)
            self.assertEqual(response.headers["allow"], "OPTIONS, POST")

    def test_asking_for_the_head_of_a_stream_says_nothing(self) -> None:
        response = self.call("HEAD", "/api/chat/stream?message=help")
        self.assertEqual(response.status, 405)
        self.assertEqual(self.service.asked, [])

    def test_nothing_of_a_request_stands_in_its_problem_nor_in_the_log(self) -> None:
        secret = "{x.__class__}\n\x1b[31msecret"
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        bodies: tuple[object, ...] = (
            {"message": "help", "session_id": secret},
            {"message": "help", "message_id": secret},
            {"message": {"secret": secret}},
            {secret: secret},
            {"message": secret * 500},
        )
        for body in bodies:
            self.assertNotIn(b"secret", self.post(body).body)
        self.chat(f"help {secret}")
        self.answer(f"<p>{secret}</p>")
        self.assertTrue(events)
        self.assertNotIn("secret", repr(events))


class StreamTests(HttpScene):
    def test_the_headers_of_a_stream(self) -> None:
        for client in (
            self.chat(stream=True),
            self.ask("GET", "/api/chat/stream?message=help"),
        ):
            headers = client.take_one().headers
            self.assertEqual(
                headers["content-type"], "text/event-stream; charset=utf-8"
            )
            self.assertEqual(headers["cache-control"], "no-store, no-transform")
            self.assertEqual(headers["x-accel-buffering"], "no")
            self.assertNotIn("content-length", headers)

    def test_a_stream_begins_with_a_sign_of_life_and_when_to_come_back(self) -> None:
        first, second = frames(self.chat(stream=True, message_id="m").take_one())
        self.assertIsNone(first.data)
        self.assertTrue(1000 <= int(first.retry) <= 3000)
        self.assertEqual(second.id, f"{SESSION}:m:0")
        self.assertIsNone(second.data)

    def test_a_chunk_for_each_paragraph_and_done_at_the_end(self) -> None:
        client = self.chat(stream=True, message_id="m")
        reply = self.service.last.reply
        reply.delta("<p>On")
        reply.notice("It takes a while.")
        self.assertEqual(said(client.take_one()), [])
        reply.paragraph("<p>One.</p>")
        self.assertEqual(said(client.take_one()), [{"chunk": "<p>One.</p>"}])
        self.answer("<p>Two.</p>")
        done = {
            "done": True,
            "session_id": SESSION,
            "outcome": "complete",
            "message_id": "m",
        }
        response = client.take_one()
        self.assertTrue(response.whole)
        told = [{"chunk": "<p>One.</p>"}, {"chunk": "<p>Two.</p>"}, done]
        self.assertEqual(said(response), told)
        ids = [one.id for one in frames(response) if one.data is not None]
        self.assertEqual(ids, [f"{SESSION}:m:{seq}" for seq in (3, 4, 5)])
        self.assertTrue(all(not one.event for one in frames(response)))

    def test_chunks_together_are_the_response(self) -> None:
        client = self.chat(stream=True, session_id="s", message_id="m")
        reply = self.service.last.reply
        text = ""
        for told in ("<p>a</p>", "<p>b</p>"):
            reply.paragraph(told)
        reply.paragraph("c", "markdown")
        reply.revise(1)
        reply.paragraph("d", "plain")
        self.answer("<p>e</p>")
        for event in said(client.take_one()):
            text = event.get("replace", text) + event.get("chunk", "")
        again = self.chat(session_id="s", message_id="m").take_one().json
        self.assertEqual(text, "<p>a</p>\n\nd\n\n<p>e</p>")
        self.assertEqual(again["response"], text)

    def test_trouble_is_told_before_the_end(self) -> None:
        for error, outcome in ((BodyCut(), "cut"), (ValueError(), "failed")):
            client = self.chat(stream=True)
            self.service.last.reply.paragraph("<p>One.</p>")
            self.service.last.fail(error)
            chunk, trouble, done = said(client.take_one())
            self.assertEqual(chunk, {"chunk": "<p>One.</p>"})
            self.assertEqual(list(trouble), ["error"])
            self.assertTrue(trouble["error"])
            self.assertEqual(done["outcome"], outcome)
        self.flushLoggedErrors(ValueError)

    def test_a_reply_that_was_stopped_is_no_trouble(self) -> None:
        client = self.chat(stream=True, session_id="s")
        told = self.call("POST", "/api/session/s/stop").json
        self.assertEqual(told["status"], "success")
        (done,) = said(client.take_one())
        self.assertEqual(done["outcome"], "stopped")

    def test_silence_is_broken_more_and_more_rarely(self) -> None:
        self.serve(heartbeat=5.0)
        client = self.chat(stream=True)
        beats = []
        for second in range(1, 23):
            before = comments(client.take_one())
            self.clock.advance(1)
            if comments(client.take_one()) > before:
                beats.append(second)
        self.assertEqual(beats, [1, 3, 7, 12, 17, 22])

    def test_who_says_something_is_not_silent(self) -> None:
        client = self.chat(stream=True)
        for _ in range(20):
            self.clock.advance(0.5)
            self.service.last.reply.paragraph("<p>.</p>")
        self.assertEqual(comments(client.take_one()), 2)
        self.clock.pump([1] * 10)
        self.assertGreater(comments(client.take_one()), 2)

    def test_who_goes_away_is_answered_all_the_same(self) -> None:
        for reset in (False, True):
            client = self.chat(stream=True, session_id="s")
            self.service.last.reply.paragraph("<p>One.</p>")
            client.vanish() if reset else client.hang_up()
            self.assertEqual(self.desk.followers, 0)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.answer("<p>Two.</p>")
        told = self.call("GET", "/api/session/s").json["history"]
        self.assertEqual([turn["content"] for turn in told], ["help", TWO] * 2)

    def test_who_does_not_read_gets_it_all_later(self) -> None:
        client = self.chat(stream=True)
        client.stop_reading()
        long = [f"<p>{at:05} {'x' * 1_000}</p>" for at in range(400)]
        for paragraph in long:
            self.service.last.reply.paragraph(paragraph)
        self.service.last.end()
        self.assertLess(len(client._unread), 70_000)
        for _ in range(20):
            client.sip()
        client.read_on()
        events = said(client.take_one())
        self.assertEqual([one["chunk"] for one in events[:-1]], long)
        self.assertTrue(events[-1]["done"])

    def test_a_stream_over_http_1_0_ends_with_its_connection(self) -> None:
        client = self.join()
        client.request("GET", "/api/chat/stream?message=hello", version="1.0")
        self.clock.advance(0)
        response = client.take_one()
        self.assertTrue(response.whole)
        self.assertTrue(said(response)[-1]["done"])


class StoredFirstTests(HeldScene):
    """Nothing is shown that is not stored."""

    def test_a_paragraph_is_shown_the_moment_it_is_stored(self) -> None:
        client = self.chat(stream=True)
        self.assertEqual(client.take(), [])
        self.held.store()  # the message
        self.held.store()  # that its reply began
        self.assertEqual(said(client.take_one()), [])
        self.service.last.reply.paragraph("<p>One.</p>")
        self.assertEqual(said(client.take_one()), [])
        self.held.store()
        self.held.settle()
        self.assertEqual(said(client.take_one()), [{"chunk": "<p>One.</p>"}])
        self.service.last.end()
        self.assertFalse(client.take_one().whole)
        self.held.store()
        self.assertTrue(client.take_one().whole)

    def test_a_client_that_is_gone_before_its_message_is_stored(self) -> None:
        for stream in (False, True):
            client = self.chat(stream=stream)
            client.vanish()
            self.held.settle()
            self.assertEqual(self.desk.followers, 0)
            self.answer("<p>One.</p>")
            self.held.settle()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_message_that_is_not_stored(self) -> None:
        for stream in (False, True):
            client = self.chat(stream=stream, message_id=f"{KEY}{stream}")
            self.held.searches.pop(0).fire()
            self.held.lose()
            response = client.take_one()
            self.assertIn("send it again", self.refused(response, 503))
            self.assertEqual(response.headers["retry-after"], "5")
            self.assertEqual(self.service.asked, [])
        self.works()

    def test_a_reply_whose_beginning_is_not_stored(self) -> None:
        whole, streamed = self.chat(), self.chat(stream=True)
        self.held.store(2)
        self.held.lose(2)
        self.held.settle()
        self.refused(whole.take_one(), 503)
        self.troubled(streamed.take_one())
        self.works()

    def test_a_paragraph_that_is_not_stored(self) -> None:
        whole, streamed = self.chat(), self.chat(stream=True)
        self.held.settle()
        for asked in self.service.asked:
            asked.reply.paragraph("<p>One.</p>")
        self.held.lose(2)
        self.held.settle()
        self.assertEqual(whole.take_one().json["outcome"], "failed")
        error, done = said(streamed.take_one())
        self.assertIn("ask again", error["error"])
        self.assertEqual(done["outcome"], "failed")
        self.works()

    def test_a_reply_whose_end_is_not_stored(self) -> None:
        whole, streamed = self.chat(), self.chat(stream=True)
        self.held.settle()
        for asked in self.service.asked:
            asked.end()
        self.held.lose(2)
        self.held.settle()
        self.refused(whole.take_one(), 503)
        self.troubled(streamed.take_one())
        self.works()

    def test_a_transcript_that_can_not_be_read(self) -> None:
        client = self.chat(session_id="s", message_id="m")
        self.held.settle()
        self.answer("<p>One.</p>", "<p>Two.</p>")
        self.held.settle()
        for stream in (False, True):  # the transcript of one that is in memory
            client = self.chat(session_id="s", message_id="m", stream=stream)
            self.held.reads.pop(0).done.errback(StoreError("gone"))
            if stream:
                self.troubled(client.take_one())
            else:
                self.refused(client.take_one(), 503)
        self.serve(self.held)
        for stream in (False, True):  # and of one that has to be taken up first
            client = self.chat(session_id="s", message_id="m", stream=stream)
            while not self.held.reads:
                self.held.searches.pop(0).fire()
            self.held.reads.pop(0).done.errback(StoreError("gone"))
            self.refused(client.take_one(), 503)
        client = self.chat(session_id="s", message_id="m")
        self.held.settle()
        self.assertEqual(client.take_one().json["response"], TWO)
        self.flushLoggedErrors(StoreError)

    def troubled(self, response: Response) -> None:
        """A stream tells that something is wrong, and ends."""
        self.assertTrue(response.whole)
        error, done = said(response)
        self.assertIn("Nothing that was said is lost", error["error"])
        self.assertEqual((done["done"], done["outcome"]), (True, "failed"))

    def works(self) -> None:
        """And all is well again."""
        self.flushLoggedErrors(StoreError)
        self.assertEqual(self.desk.unanswered, 0)
        for stream in (False, True):
            client = self.chat(session_id="later", stream=stream)
            self.held.settle()
            self.answer("<p>One.</p>")
            self.held.settle()
            response = client.take_one()
            told = said(response)[0]["chunk"] if stream else response.json["response"]
            self.assertEqual(told, "<p>One.</p>")


class AgainTests(HttpScene):
    """The same id is the same message."""

    def test_a_message_that_was_answered(self) -> None:
        first = self.answered("s", message_id="m")
        again = self.chat(session_id="s", message_id="m").take_one()
        self.assertEqual(again.json, first.json)
        streamed = self.chat(session_id="s", message_id="m", stream=True).take_one()
        chunks = [one["chunk"] for one in said(streamed)[:-1]]
        self.assertEqual("".join(chunks), TWO)
        self.assertEqual(len(self.service.asked), 1)

    def test_the_header_names_it_too_and_the_body_wins(self) -> None:
        key = ("Idempotency-Key", "m")
        client = self.ask("POST", "/api/chat", {"message": "help"}, [key])
        self.answer()
        self.assertEqual(client.take_one().json["message_id"], "m")
        body = {"message": "help", "message_id": "other"}
        client = self.ask("POST", "/api/chat", body, [key])
        self.answer()
        self.assertEqual(client.take_one().json["message_id"], "other")

    def test_fifty_at_once(self) -> None:
        clients = [
            self.chat(session_id="s", message_id="m", stream=bool(at % 2))
            for at in range(50)
        ]
        self.assertEqual(len(self.service.asked), 1)
        self.answer("<p>One.</p>", "<p>Two.</p>")
        bodies = {client.take_one().body for client in clients[::2]}
        self.assertEqual(len(bodies), 1)
        streams = [said(client.take_one()) for client in clients[1::2]]
        self.assertEqual(streams, [streams[0]] * 25)
        self.assertEqual(self.call("GET", "/api/session/s").json["message_count"], 2)

    def test_a_key_that_nobody_guesses_finds_its_session(self) -> None:
        first = self.answered(message_id=KEY)
        again = self.chat(message_id=KEY).take_one()
        self.assertEqual(again.json, first.json)
        self.assertNotIn(KEY, again.json["session_id"])

    def test_so_it_does_where_ids_are_not_chosen(self) -> None:
        self.serve(chosen_ids=False)
        first = self.answered(message_id=KEY)
        self.assertEqual(self.chat(message_id=KEY).take_one().json, first.json)

    def test_a_short_key_finds_no_session(self) -> None:
        first, again = self.answered(message_id="m"), self.answered(message_id="m")
        self.assertNotEqual(first.json["session_id"], again.json["session_id"])

    def test_other_words_with_the_same_id(self) -> None:
        self.answered("s", message_id="m")
        self.refused(
            self.chat("help me", session_id="s", message_id="m").take_one(),
            422,
            "#/message_id",
        )
        self.answered(message_id=KEY)
        response = self.chat("help me", message_id=KEY, stream=True).take_one()
        self.refused(response, 422, "#/message_id")

    def test_an_answer_that_was_cut_is_asked_for_again(self) -> None:
        for stream in (False, True):
            client = self.chat(message_id=KEY)
            self.service.last.fail(BodyCut())
            self.assertEqual(client.take_one().json["outcome"], "cut")
            client = self.chat(message_id=KEY, stream=stream)
            self.answer("<p>At last.</p>")
            response = client.take_one()
            told = said(response)[0]["chunk"] if stream else response.json["response"]
            self.assertEqual(told, "<p>At last.</p>")
            self.call("POST", f"/api/reset/{self.session_of(response, stream)}")

    def session_of(self, response: Response, stream: bool) -> str:
        done = said(response)[-1] if stream else response.json
        return str(done["session_id"])

    def test_one_that_fails_at_once_each_time(self) -> None:
        class Resting(ScriptedService):
            async def answer(self, question: object, reply: Reply) -> None:
                raise ServiceUnreachable

        self.service.answer = Resting().answer  # type: ignore[method-assign]
        for _ in range(3):
            answer = self.chat(session_id="s", message_id="m").take_one().json
            self.assertEqual(answer["outcome"], "cut")

    def test_a_message_from_before_a_reset_is_a_new_one(self) -> None:
        self.answered("s", message_id="m")
        self.call("POST", "/api/reset/s")
        client = self.chat("help me", session_id="s", message_id="m")
        self.answer("<p>New.</p>")
        self.assertEqual(client.take_one().json["response"], "<p>New.</p>")


class SlowAgainTests(HeldScene):
    """Where a store takes its time, the same id is the same message as well."""

    def test_fifty_at_once_cost_one_session_and_one_message(self) -> None:
        self.serve(self.held, address_sessions=1, address_messages=1, messages=1)
        body = {"message": "help", "message_id": KEY}
        clients = [
            self.ask("POST", "/api/chat", body, host="192.0.2.1") for _ in range(50)
        ]
        self.held.settle()
        self.answer("<p>One.</p>")
        self.held.settle()
        self.assertEqual({client.take_one().status for client in clients}, {200})
        self.assertEqual(len(self.service.asked), 1)

    def test_the_new_answer_is_shown_and_not_the_one_that_was_cut(self) -> None:
        for stream in (False, True):
            session = f"s{stream}"
            client = self.chat(session_id=session, message_id="m")
            self.held.settle()
            self.service.last.reply.paragraph("<p>Half.</p>")
            self.service.last.fail(BodyCut())
            self.held.settle()
            self.assertEqual(client.take_one().json["outcome"], "cut")
            client = self.chat(session_id=session, message_id="m", stream=stream)
            self.held.settle()
            self.answer("<p>Whole.</p>")
            self.held.settle()
            response = client.take_one()
            told = said(response)[0]["chunk"] if stream else response.json["response"]
            self.assertEqual(told, "<p>Whole.</p>")


class ReconnectTests(HttpScene):
    """A browser that lost a stream asks for the same URL again."""

    URL = "/api/chat/stream?message=help"

    def test_the_rest_comes_from_every_position(self) -> None:
        client = self.ask("GET", self.URL)
        reply = self.service.last.reply
        for text in ("<p>a</p>", "<p>b</p>"):
            reply.paragraph(text)
        reply.revise(1)
        self.answer("<p>c</p>")
        everything = [one for one in frames(client.take_one()) if one.id]
        self.assertEqual(len(everything), 6)  # one has no data
        for at, last in enumerate(everything[:-1]):
            response = self.back(last.id)
            rest = [one for one in frames(response) if one.data is not None]
            self.assertEqual(rest, everything[at + 1 :])
        self.assertEqual(self.back(everything[-1].id).status, 204)
        self.assertEqual(len(self.service.asked), 1)

    def back(self, last: str, url: str = URL) -> Response:
        return self.call("GET", url, None, [("Last-Event-ID", last)])

    def test_while_the_answer_is_coming(self) -> None:
        client = self.ask("GET", self.URL)
        self.service.last.reply.paragraph("<p>One.</p>")
        last = frames(client.take_one())[-1].id
        client.vanish()
        self.service.last.reply.paragraph("<p>Two.</p>")
        client = self.ask("GET", self.URL, None, [("Last-Event-ID", last)])
        self.assertEqual(said(client.take_one()), [{"chunk": "<p>Two.</p>"}])
        self.answer("<p>Three.</p>")
        told = said(client.take_one())
        self.assertEqual(told[1], {"chunk": "<p>Three.</p>"})
        self.assertTrue(told[2]["done"])
        self.assertEqual(len(self.service.asked), 1)

    def test_an_answer_that_was_cut_is_shown_to_its_end(self) -> None:
        client = self.ask("GET", self.URL)
        self.service.last.reply.paragraph("<p>One.</p>")
        last = frames(client.take_one())[-1].id
        client.vanish()
        self.service.last.fail(BodyCut())
        error, done = said(self.back(last))
        self.assertTrue(error["error"])
        self.assertEqual(done["outcome"], "cut")
        self.assertEqual(len(self.service.asked), 1)

    def test_another_answer_replaces_what_was_shown(self) -> None:
        url = f"{self.URL}&session_id=s&message_id=m"
        client = self.ask("GET", url)
        self.service.last.reply.paragraph("<p>Half.</p>")
        last = frames(client.take_one())[-1].id
        client.vanish()
        self.service.last.fail(BodyCut())
        self.chat(session_id="s", message_id="m")
        self.answer("<p>Whole.</p>")
        replace, chunk, done = said(self.back(last, url))
        self.assertEqual(replace, {"replace": ""})
        self.assertEqual(chunk, {"chunk": "<p>Whole.</p>"})
        self.assertEqual(done["outcome"], "complete")

    def test_what_was_deleted_or_reset_is_not_said_again(self) -> None:
        for method in ("POST", "DELETE"):
            client = self.ask("GET", f"{self.URL}&session_id=s")
            self.service.last.reply.paragraph("<p>One.</p>")
            last = frames(client.take_one())[-1].id
            client.vanish()
            self.call(method, "/api/reset/s")
            response = self.back(last, f"{self.URL}&session_id=s")
            self.assertEqual(response.status, 204)
        self.assertEqual(len(self.service.asked), 2)
        self.assertEqual(self.call("GET", "/api/session/s").status, 404)

    def test_an_id_that_is_none_of_ours_is_ignored(self) -> None:
        for last in ("", "7", "a:b", "a:b:x", "a:b:" + "9" * 10, "other:m:0"):
            client = self.ask(
                "GET", f"{self.URL}&session_id=s", None, [("Last-Event-ID", last)]
            )
            self.answer()
            self.assertTrue(said(client.take_one())[-1]["done"])


class OutcomeTests(HttpScene):
    def test_every_outcome_is_told_by_name(self) -> None:
        self.assertEqual(
            [outcome.value for outcome in Outcome],
            ["complete", "cut", "stopped", "refused", "failed"],
        )


class DrainTests(HttpScene):
    def test_new_messages_are_refused_and_old_answers_end(self) -> None:
        streamed, whole = self.chat(stream=True), self.chat()
        late = self.join()
        drained = self.desk.drain(self.clock, 25)
        self.server.drain(28)
        late.request("POST", "/api/chat", [("Content-Type", "application/json")], b"{}")
        self.refused(late.take_one(), 422, "#/message")
        late = self.ask("POST", "/api/chat", {"message": "help"})
        response = late.take_one()
        self.refused(response, 503)
        self.assertEqual(response.headers["retry-after"], "5")
        self.refused(self.call("POST", "/api/session/new"), 503)
        self.assertNoResult(drained)
        for asked in self.service.asked:
            asked.reply.paragraph("<p>One.</p>")
            asked.end()
        self.assertTrue(said(streamed.take_one())[-1]["done"])
        self.assertEqual(whole.take_one().json["outcome"], "complete")
        self.successResultOf(drained)

    def test_what_takes_too_long_is_interrupted(self) -> None:
        streamed, waiting = self.chat(stream=True, session_id="s"), None
        waiting = self.chat(session_id="s")
        drained = self.desk.drain(self.clock, 25)
        self.clock.advance(25)
        self.successResultOf(drained)
        error, done = said(streamed.take_one())
        self.assertTrue(error["error"])
        self.assertEqual(done["outcome"], "cut")
        self.refused(waiting.take_one(), 503)
