"""Logging in and out over HTTP, and what the API tells of the customer."""

from __future__ import annotations

import time

import msgspec
from twisted.internet.defer import Deferred

from supportbot.channels.http.shapes import LoginRequest
from supportbot.errors import BodyCut, ServiceUnreachable, StoreError
from supportbot.events import Called, CustomerSaid, ReplyStarted, ToolCalled
from supportbot.interfaces import Credentials, Customer, Known, Tool, Verdict
from supportbot.settings import ConversationSettings
from tests.http_fakes import Held, HttpScene, frames

ALICE = Customer("c-1", "Alice Johnson", "alice@example.com")
RIGHT = {"email": "alice@example.com", "pin": "1234"}


class Door:
    """Knows one customer.

    Attributes:
        tries: what it was asked, and by whom.
        verdict: what it says to whoever is not her; an error, if it can't count.
        asking: it says nothing before this fires.
    """

    asking: Deferred[None] | None = None

    def __init__(self) -> None:
        self.tries: list[tuple[str | None, str | None, str, str]] = []
        self.verdict: Verdict | StoreError = Verdict(None, "Wrong.")

    async def verify(
        self, credentials: Credentials, conversation_id: str, client: str
    ) -> Verdict:
        who = (credentials.email, credentials.pin)
        self.tries.append((*who, conversation_id, client))
        if self.asking is not None:
            await self.asking
        if who == (RIGHT["email"], RIGHT["pin"]):
            return Verdict(ALICE, "Welcome, Alice Johnson!")
        if isinstance(self.verdict, StoreError):
            raise self.verdict
        return self.verdict


class CustomerScene(HttpScene):
    def setUp(self) -> None:
        self.doorkeeper = self.door = Door()
        super().setUp()
        self.session = self.call("POST", "/api/session/new").json["session_id"]

    def log_in(self, host: str = "127.0.0.1", **credentials: str):  # type: ignore[no-untyped-def]
        body = {**RIGHT, **credentials}
        return self.call("POST", f"/api/session/{self.session}/login", body, host=host)

    def told(self, session: str | None = None) -> tuple[bool, object]:
        """What the session says of its customer."""
        shown = self.call("GET", f"/api/session/{session or self.session}").json
        return shown["is_authenticated"], shown["customer_info"]


class LoginTests(CustomerScene):
    def test_the_right_pin(self) -> None:
        self.assertEqual(self.told(), (False, None))
        response = self.log_in()
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.json,
            {
                "message": "Welcome, Alice Johnson!",
                "session_id": self.session,
                "customer_info": msgspec.to_builtins(ALICE),
                "status": "success",
            },
        )
        self.assertEqual(self.told(), (True, msgspec.to_builtins(ALICE)))

    def test_the_pin_is_stored_nowhere(self) -> None:
        self.log_in()
        self.log_in(pin="98765432")
        events = self.successResultOf(self.store.read(self.session, 0, 100))
        self.assertEqual(len(events), 1)
        self.assertNotIn("1234", repr(events))
        self.assertNotIn("1234", repr(LoginRequest(**RIGHT)))

    def test_a_wrong_pin(self) -> None:
        self.assertEqual(self.refused(self.log_in(pin="9999"), 401), "Wrong.")
        self.assertEqual(self.told(), (False, None))

    def test_too_early(self) -> None:
        self.door.verdict = Verdict(None, "Please wait.", wait=29.5, tried=False)
        response = self.log_in(pin="9999")
        self.assertEqual(self.refused(response, 429), "Please wait.")
        self.assertEqual(response.headers["retry-after"], "30")

    def test_wrong_and_how_long_to_wait(self) -> None:
        self.door.verdict = Verdict(None, "Wrong.", wait=2.0)
        response = self.log_in(pin="9999")
        self.refused(response, 401)
        self.assertEqual(response.headers["retry-after"], "2")

    def test_nobody_can_tell(self) -> None:
        self.door.verdict = Verdict(None, "Not at the moment.", unknown=True)
        response = self.log_in(pin="9999")
        self.assertEqual(self.refused(response, 503), "Not at the moment.")
        self.assertEqual(response.headers["retry-after"], "5")

    def test_it_can_not_be_counted(self) -> None:
        self.door.verdict = StoreError("down")
        self.refused(self.log_in(pin="9999"), 503)

    def test_the_address_is_told_unless_it_is_a_proxy(self) -> None:
        self.log_in()
        self.log_in(host="192.0.2.7")
        self.log_in(host="2001:db8::1")
        clients = [client for *_, client in self.door.tries]
        self.assertEqual(clients, ["", "192.0.2.7", "2001:db8::/64"])

    def test_what_does_not_fit_is_not_tried_and_not_echoed(self) -> None:
        for pin in ("123", "123456789", "12a4", "1234\n", ""):
            told = self.refused(self.log_in(pin=pin), 422, "#/pin")
            self.assertNotIn("12", told)
        self.refused(self.log_in(email=""), 422, "#/email")
        self.assertEqual(self.door.tries, [])

    def test_an_unknown_session(self) -> None:
        self.session = "nobody"
        self.refused(self.log_in(), 404)
        self.assertEqual(self.door.tries, [])

    def test_a_session_whose_id_was_chosen(self) -> None:
        self.answered("my-session-123")
        self.session = "my-session-123"
        told = self.refused(self.log_in(), 409)
        self.assertEqual(self.door.tries, [])
        self.session = told.rpartition(" ")[2]
        self.assertEqual(self.log_in().status, 200)
        self.assertEqual(self.told("my-session-123"), (False, None))

    def test_new_sessions_for_those_that_were_chosen_are_counted(self) -> None:
        self.serve(address_sessions=3)
        host, body = "192.0.2.7", {"message": "help", "session_id": "my-session-123"}
        self.ask("POST", "/api/chat", body, host=host)
        self.session = "my-session-123"
        for status in (409, 409, 429, 429):
            self.refused(self.log_in(host), status)
        self.answer()

    def test_it_left_the_memory_while_the_pin_was_tried(self) -> None:
        self.serve(conversation=ConversationSettings(kept=1))
        self.session = self.call("POST", "/api/session/new").json["session_id"]
        self.door.asking = Deferred()
        path = f"/api/session/{self.session}/login"
        client = self.ask("POST", path, RIGHT)
        self.answered("another")
        self.door.asking.callback(None)
        self.assertEqual(client.take_one().status, 200)
        self.assertTrue(self.told()[0])

    def test_it_was_deleted_and_chosen_while_the_pin_was_tried(self) -> None:
        self.door.asking = Deferred()
        path = f"/api/session/{self.session}"
        client = self.ask("POST", f"{path}/login", RIGHT)
        self.call("DELETE", f"/api/reset/{self.session}")
        self.answered(self.session)
        self.door.asking.callback(None)
        self.refused(client.take_one(), 409)
        self.assertEqual(self.told(), (False, None))

    def test_while_an_answer_is_under_way(self) -> None:
        client = self.chat(session_id=self.session)
        self.assertEqual(self.log_in().status, 200)
        self.answer("<p>One.</p>")
        self.assertEqual(client.take_one().json["outcome"], "complete")
        self.assertTrue(self.told()[0])

    def test_while_another_process_answers(self) -> None:
        held = Held()
        held.lasting = held.shared = True
        self.serve(held)
        creating = self.ask("POST", "/api/session/new")
        held.settle()
        self.session = creating.take_one().json["session_id"]
        said = CustomerSaid(seq=1, at=0.0, text="Hello", message_id="m1")
        started = ReplyStarted(seq=2, at=0.0, service="tech", intent="", to=1)
        held.transcripts[self.session] = [said, started]
        for path in ("login", "logout"):
            body = RIGHT if path == "login" else None
            target = f"/api/session/{self.session}/{path}"
            client = self.ask("POST", target, body)
            known = held.searches.pop()
            known.done.callback(Known(2, elsewhere=True))
            held.settle()
            response = client.take_one()
            self.assertEqual(response.status, 409 if path == "login" else 200)
        self.assertEqual(self.door.tries, [])
        self.assertEqual(held.transcripts[self.session], [said, started])

    def test_it_stays_chosen_when_it_is_reset_and_found_again(self) -> None:
        self.serve(conversation=ConversationSettings(kept=1))
        self.answered("my-session-123")
        self.call("POST", "/api/reset/my-session-123")
        self.answered("another")  # which takes its place in memory
        self.session = "my-session-123"
        self.refused(self.log_in(), 409)

    def test_an_id_that_follows_from_a_key_is_as_good_as_chosen(self) -> None:
        key = "0123456789-a-key-of-a-client"
        self.session = self.answered(message_id=key).json["session_id"]
        self.refused(self.log_in(), 409)

    def test_an_id_of_ours_that_came_with_the_first_message(self) -> None:
        self.session = self.answered().json["session_id"]
        self.assertEqual(self.log_in().status, 200)

    def test_where_nobody_can_log_in(self) -> None:
        self.doorkeeper = None
        self.serve()
        self.session = self.call("POST", "/api/session/new").json["session_id"]
        self.refused(self.log_in(), 409)


class LogoutTests(CustomerScene):
    def log_out(self) -> None:
        response = self.call("POST", f"/api/session/{self.session}/logout")
        self.assertEqual(response.json["message"], "Logged out")

    def test_logged_out(self) -> None:
        self.log_in()
        self.log_out()
        self.assertEqual(self.told(), (False, None))

    def test_nobody_was_logged_in(self) -> None:
        self.log_out()
        self.assertEqual(self.told(), (False, None))

    def test_a_reset_logs_out(self) -> None:
        self.answered(self.session)
        self.log_in()
        self.call("POST", f"/api/reset/{self.session}")
        self.assertEqual(self.told(), (False, None))

    def test_after_a_while_without_a_message(self) -> None:
        self.log_in()
        self.clock.advance(900)
        self.assertTrue(self.told()[0])
        self.clock.advance(1)
        self.assertEqual(self.told(), (False, None))

    def test_messages_keep_it(self) -> None:
        self.log_in()
        for _ in range(3):
            self.clock.advance(600)
            self.answered(self.session)
        self.assertTrue(self.told()[0])

    def test_a_message_after_too_long_does_not_bring_it_back(self) -> None:
        self.log_in()
        self.clock.advance(901)
        self.answered(self.session)
        self.assertEqual(self.told(), (False, None))

    def test_an_unknown_session(self) -> None:
        self.refused(self.call("POST", "/api/session/nobody/logout"), 404)


class ToldTests(CustomerScene):
    def test_operators_see_who_is_logged_in(self) -> None:
        self.clock.advance(time.time())
        self.answered(self.session)
        self.log_in()
        token = ("Authorization", "Bearer token")
        (listed,) = self.call("GET", "/api/sessions", None, [token]).json["sessions"]
        self.assertTrue(listed["is_authenticated"])
        self.assertEqual(listed["customer_name"], "Alice Johnson")

    def test_operators_see_nobody_who_has_left(self) -> None:
        self.clock.advance(time.time() - 901)
        self.answered(self.session)
        self.log_in()
        token = ("Authorization", "Bearer token")
        (listed,) = self.call("GET", "/api/sessions", None, [token]).json["sessions"]
        self.assertFalse(listed["is_authenticated"])
        self.assertIsNone(listed["customer_name"])

    def test_tools(self) -> None:
        self.assertEqual(self.call("GET", "/api/tools").json, {"tools": []})
        schema = {"type": "object", "properties": {}}
        self.tools = [Tool("list_products", "Lists them.", schema)]
        listed = {"name": "list_products", "description": "Lists them."}
        self.assertEqual(
            self.call("GET", "/api/tools").json,
            {"tools": [{**listed, "parameters": schema}]},
        )

    def test_tools_that_nobody_can_be_asked_for(self) -> None:
        async def offered() -> list[Tool]:
            raise ServiceUnreachable

        self.offered = offered  # type: ignore[method-assign]
        self.serve()
        response = self.call("GET", "/api/tools")
        self.assertIn("at the moment", self.refused(response, 503))
        self.assertEqual(response.headers["retry-after"], "5")

    def test_what_a_model_did_stands_in_the_answer(self) -> None:
        client = self.chat()
        record = self.service.last.reply.record
        arguments = '{"sku":"MON-0054"}'
        record(ToolCalled, name="a", arguments=arguments, outcome=Called.OK)
        record(ToolCalled, name="b", arguments="broken", outcome=Called.FAILED)
        self.answer("<p>Here.</p>")
        self.assertEqual(
            client.take_one().json["tool_calls"],
            [
                {"name": "a", "arguments": {"sku": "MON-0054"}, "outcome": "ok"},
                {"name": "b", "arguments": {}, "outcome": "failed"},
            ],
        )
        self.assertIsNone(self.answered().json["tool_calls"])

    def test_where_a_message_came_from_that_is_asked_again(self) -> None:
        host, target = "192.0.2.7", "/api/chat/stream?message=help&message_id=m1"
        client = self.ask("GET", f"{target}&session_id=s", host=host)
        self.assertEqual(self.service.last.question.client, host)
        self.service.last.reply.paragraph("<p>One.</p>")
        self.service.last.fail(BodyCut("early"))
        (first, *_) = frames(client.take_one())
        client = self.ask(
            "GET", f"{target}&session_id=s", None, [("Last-Event-ID", first.id)], host
        )
        self.answer("<p>One.</p>")
        client.take_one()
        self.assertEqual(len(self.service.asked), 2)
        self.assertEqual(self.service.last.question.client, host)

    def test_a_pin_in_a_message_is_not_stored(self) -> None:
        self.chat("My email is alice@example.com and PIN is 1234", session_id="s")
        (said, *_) = self.successResultOf(self.store.read("s", 0, 100))
        assert isinstance(said, CustomerSaid)
        self.assertIn("PIN ****", said.text)
        self.assertNotIn("1234", said.text)
