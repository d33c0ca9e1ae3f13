"""Saying something in a session that there is: stored, once, and answered later."""

from __future__ import annotations

from typing import Any

from supportbot.channels.http.routing import DELETED
from supportbot.errors import BodyCut, StoreError
from tests.http_client import HttpClient, Response
from tests.http_fakes import JSON, KEY, HeldScene, HttpScene

SESSION = "session-0"
PATH = f"/api/session/{SESSION}/messages"


def stored(message_id: str = "m", seq: int = 1, session: str = SESSION) -> Any:
    return {
        "message": "Message stored",
        "session_id": session,
        "message_id": message_id,
        "seq": seq,
        "status": "success",
    }


class SayingTests(HttpScene):
    def setUp(self) -> None:
        super().setUp()
        self.call("POST", "/api/session/new")

    def say(
        self, message: str = "help", *headers: tuple[str, str], **fields: Any
    ) -> Response:
        return self.call("POST", PATH, {"message": message, **fields}, headers)

    def texts(self, session: str = SESSION) -> list[str]:
        told = self.call("GET", f"/api/session/{session}").json
        return [turn["content"] for turn in told["history"]]

    def test_it_is_answered_when_it_is_stored(self) -> None:
        response = self.say(message_id="m", colour="red")
        self.assertEqual((response.status, response.json), (200, stored()))
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(self.service.texts, ["help"])
        self.assertFalse(self.service.last.over)
        self.answer("<p>One.</p>")
        self.assertEqual(self.texts(), ["help", "<p>One.</p>"])
        self.assertEqual(self.desk.followers, 0)

    def test_those_that_wait_are_stored_too(self) -> None:
        answers = [self.say(f"help {at}").json for at in range(3)]
        self.assertEqual([answer["seq"] for answer in answers], [1, 3, 4])
        self.assertEqual(len({answer["message_id"] for answer in answers}), 3)
        self.assertEqual(self.service.texts, ["help 0"])

    def test_the_session_of_a_header(self) -> None:
        session = ("Session-Id", SESSION)
        body = {"message": "help", "message_id": "m"}
        target = "/api/session/@me/messages"
        self.assertEqual(self.call("POST", target, body, [session]).json, stored())
        self.refused(self.call("POST", target, body), 400)
        other = ("Session-Id", "session-1")
        self.refused(self.call("POST", target, body, [other]), 404)
        self.assertEqual(len(self.service.asked), 1)

    def test_the_same_id_is_the_same_message(self) -> None:
        self.assertEqual(self.say(message_id="m").json, stored())
        self.assertEqual(self.say(" help ", message_id="m").json, stored())
        key = ("Idempotency-Key", "m")
        self.assertEqual(self.say("help", key).json, stored())
        self.answer("<p>One.</p>")
        self.assertEqual(self.say("help", key).json, stored())
        self.assertEqual(self.chat_with("m").json["response"], "<p>One.</p>")
        self.assertEqual(self.service.texts, ["help"])
        self.refused(self.say("hello", key), 422, "#/message_id")
        other = self.say("help", key, message_id="n").json  # the body's wins
        self.assertEqual(other, stored("n", 5))

    def chat_with(self, message_id: str) -> Response:
        body = {"message": "help", "session_id": SESSION, "message_id": message_id}
        return self.call("POST", "/api/chat", body)

    def test_one_whose_answer_broke_is_asked_again(self) -> None:
        self.say(message_id="m")
        self.service.last.fail(BodyCut())
        self.assertEqual(self.say(message_id="m").json, stored())
        self.answer("<p>One.</p>")
        self.assertEqual(self.service.texts, ["help", "help"])
        self.assertEqual(self.chat_with("m").json["response"], "<p>One.</p>")

    def test_what_does_not_fit(self) -> None:
        for body, pointer in (
            ({}, "#/message"),
            ({"message": None}, "#/message"),
            ({"message": ""}, "#/message"),
            ({"message": " \n\t "}, "#/message"),
            ({"message": "x" * 4_001}, "#/message"),
            ({"message": "help", "message_id": "é"}, "#/message_id"),
            ({"message": "help", "message_id": ""}, "#/message_id"),
            ([], "#"),
        ):
            with self.subTest(body=body):
                self.refused(self.call("POST", PATH, body), 422, pointer)
        for key in ("a b", "x" * 129, "é", ""):
            self.refused(self.say("help", ("Idempotency-Key", key)), 400)
        twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        self.refused(self.say("help", *twice), 400)
        self.refused(self.call("POST", PATH, b"{", [JSON]), 400)
        self.refused(self.call("POST", PATH, b'{"message": "help"}'), 415)
        self.assertEqual(self.service.asked, [])
        self.assertEqual(self.texts(), [])

    def test_methods_that_are_not_meant(self) -> None:
        for method in ("GET", "HEAD", "PUT"):
            response = self.call(method, PATH)
            self.assertEqual(response.status, 405)
            self.assertEqual(response.headers["allow"], "OPTIONS, POST")
        self.assertEqual(self.call("OPTIONS", PATH).headers["allow"], "OPTIONS, POST")

    def test_no_session_is_opened(self) -> None:
        self.serve(address_sessions=1)
        for session in ("session-9", "a b", "x" * 129):
            for key in (KEY, "m"):
                response = self.call(
                    "POST",
                    f"/api/session/{session.replace(' ', '%20')}/messages",
                    {"message": "help", "message_id": key},
                    host="192.0.2.1",
                )
                self.assertIn("not found", self.refused(response, 404))
        self.assertEqual(self.service.asked, [])
        opened = self.call("POST", "/api/session/new", None, host="192.0.2.1")
        self.assertEqual(opened.status, 200)  # what was refused has cost nothing

    def test_nor_one_that_a_key_would_find(self) -> None:
        opened = self.chat("help", message_id=KEY)
        self.answer("<p>One.</p>")
        session = opened.take_one().json["session_id"]
        self.assertEqual(self.say(message_id=KEY).json, stored(KEY))
        self.assertNotEqual(session, SESSION)
        self.assertEqual(self.texts(session), ["help", "<p>One.</p>"])

    def test_messages_in_one_session_and_from_one_address(self) -> None:
        self.serve(messages=2, address_messages=3)
        for _ in range(2):
            self.call("POST", "/api/session/new")
        host = "192.0.2.1"

        def said(session: str, **fields: str) -> Response:
            body = {"message": "hello", **fields}
            return self.call("POST", f"/api/session/{session}/messages", body, (), host)

        for _ in range(3):  # one that is known costs nothing
            self.assertEqual(said("session-0", message_id="m").status, 200)
        self.assertEqual(said("session-0").status, 200)
        response = said("session-0")
        self.assertIn("messages in this session", self.refused(response, 429))
        self.assertEqual(response.headers["retry-after"], "30")
        self.assertEqual(said("session-1").status, 200)
        response = said("session-1")
        self.assertIn("messages from this address", self.refused(response, 429))
        self.assertEqual(response.headers["retry-after"], "20")

    def test_a_service_hears_where_it_came_from(self) -> None:
        for host in ("192.0.2.1", "127.0.0.1"):
            self.call("POST", PATH, {"message": "help"}, host=host)
        self.answer()
        clients = [asked.question.client for asked in self.service.asked]
        self.assertEqual(clients, ["192.0.2.1", ""])  # no proxy counts

    def test_too_many_that_wait(self) -> None:
        responses = [self.say() for _ in range(101)]
        self.assertEqual({one.status for one in responses[:-1]}, {200})
        self.assertIn("waiting", self.refused(responses[-1], 429))
        self.assertEqual(responses[-1].headers["retry-after"], "5")

    def test_at_the_end_of_the_process(self) -> None:
        self.desk.drain(self.clock, 25)
        response = self.say()
        self.refused(response, 503)
        self.assertEqual(response.headers["retry-after"], "5")
        self.assertEqual(self.service.asked, [])


class SlowTests(HeldScene):
    def setUp(self) -> None:
        super().setUp()
        self.ask("POST", "/api/session/new")
        self.held.settle()

    def say(self, message_id: str = "m") -> HttpClient:
        return self.ask("POST", PATH, {"message": "help", "message_id": message_id})

    def test_nothing_is_told_before_it_is_stored(self) -> None:
        client, again = self.say(), self.say()
        self.assertEqual(client.take() + again.take(), [])
        self.held.store()
        self.assertEqual(client.take_one().json, stored())
        self.assertEqual(again.take_one().json, stored())
        self.held.settle()
        self.assertEqual(self.service.texts, ["help"])

    def test_what_can_not_be_stored_is_told_and_works_later(self) -> None:
        client = self.say()
        self.held.lose()
        response = client.take_one()
        self.refused(response, 503)
        self.assertEqual(response.headers["retry-after"], "5")
        client = self.say()
        self.held.settle()
        self.assertEqual(client.take_one().json, stored())
        self.assertEqual(self.service.texts, ["help"])

    def test_who_goes_away_has_said_it_all_the_same(self) -> None:
        self.say().vanish()
        self.held.settle()
        self.assertEqual(self.service.texts, ["help"])
        client = self.say()
        self.assertEqual(client.take_one().json, stored())

    def test_during_a_reset(self) -> None:
        self.ask("POST", f"/api/reset/{SESSION}")
        response = self.say().take_one()
        self.refused(response, 409)
        self.assertEqual(response.headers["retry-after"], "1")
        self.held.settle()
        self.say()
        self.held.settle()
        self.assertEqual(self.service.texts, ["help"])

    def test_during_a_deletion(self) -> None:
        client = self.say()
        self.ask("DELETE", f"/api/reset/{SESSION}")
        self.held.settle()
        self.assertEqual(client.take_one().json, stored())  # it was faster
        self.refused(self.settled(self.say()), 404)
        self.assertEqual(self.held.transcripts, {})

    def test_in_one_that_somebody_else_erases(self) -> None:
        self.held.lasting = True
        self.serve(self.held)
        self.ask("POST", "/api/session/new")
        self.held.settle()
        self.say("m1")
        self.held.settle()
        late = self.say("m2")
        self.held.transcripts.clear()
        self.assertEqual(self.refused(self.settled(late), 409), DELETED)
        self.refused(self.settled(self.say("m3")), 404)

    def test_what_can_not_be_found_is_told(self) -> None:
        body = {"message": "help"}
        client = self.ask("POST", "/api/session/other/messages", body)
        self.held.searches.pop(0).done.errback(StoreError("gone"))
        self.refused(client.take_one(), 503)
        self.assertEqual(self.service.asked, [])

    def settled(self, client: HttpClient) -> Response:
        self.held.settle()
        return client.take_one()
