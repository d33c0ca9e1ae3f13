"""Sessions over HTTP: opened, read, reset, deleted, stopped; and limits on all that."""

from __future__ import annotations

import json
import re
from io import StringIO

from twisted.logger import globalLogPublisher

from supportbot.channels.http.routing import DELETED
from supportbot.errors import StoreError
from supportbot.frontdesk import new_id
from supportbot.logs import json_lines
from tests.http_client import HttpClient, Response
from tests.http_fakes import HeldScene, HttpScene, said


class SessionTests(HttpScene):
    def test_a_new_session(self) -> None:
        response = self.call("POST", "/api/session/new")
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.json,
            {
                "status": "success",
                "message": "New session created",
                "session_id": "session-0",
            },
        )
        self.assertEqual(self.call("GET", "/api/session/session-0").status, 200)

    def test_what_was_said(self) -> None:
        self.answered("s")
        told = self.call("GET", "/api/session/s").json
        self.assertEqual(
            told,
            {
                "session_id": "s",
                "message_count": 2,
                "history": [
                    {"role": "user", "content": "help"},
                    {"role": "assistant", "content": "<p>One.</p><p>Two.</p>"},
                ],
                "is_authenticated": False,
                "customer_info": None,
                "last_seq": 5,
            },
        )

    def test_an_empty_session(self) -> None:
        self.call("POST", "/api/session/new")
        told = self.call("GET", "/api/session/session-0").json
        self.assertEqual((told["history"], told["message_count"]), ([], 0))
        self.assertEqual(told["last_seq"], 0)

    def test_what_is_told_of_a_reply_that_is_under_way_comes_behind_last_seq(
        self,
    ) -> None:
        self.chat(session_id="s")
        self.service.last.reply.paragraph("<p>One.</p>")
        told = self.call("GET", "/api/session/s").json
        self.assertEqual([turn["role"] for turn in told["history"]], ["user"])
        client = self.follow("s", f"?after={told['last_seq']}")
        types = [one["type"] for one in said(client.take_one())]
        self.assertEqual(types, ["reply_started", "paragraph_said"])

    def test_a_long_session_is_told_whole(self) -> None:
        for at in range(40):
            client = self.chat(f"hello {at}", session_id="s")
            self.assertEqual(client.take_one().status, 200)
        history = self.call("GET", "/api/session/s").json["history"]
        self.assertEqual(
            [one["content"] for one in history if one["role"] == "user"],
            [f"hello {at}" for at in range(40)],
        )

    def test_one_that_nobody_knows(self) -> None:
        for method, target in (
            ("GET", "/api/session/no"),
            ("POST", "/api/session/no/stop"),
            ("GET", "/api/session/no/events"),
        ):
            told = self.refused(self.call(method, target), 404)
            self.assertEqual(told, "Session no not found")

    def test_ids_that_are_none_are_not_repeated(self) -> None:
        for id in ("%3Cb%3E", "a%20b", "x" * 129, "%0a", "%C3%A9"):
            response = self.call("GET", f"/api/session/{id}")
            if response.status != 400:  # not even a path
                self.assertEqual(self.refused(response, 404), "Session not found")
                for method in ("POST", "DELETE"):
                    response = self.call(method, f"/api/reset/{id}")
                    self.refused(response, 404)

    def test_sessions_do_not_see_each_other(self) -> None:
        self.answered("mine", message_id="m")
        self.answered("yours", message_id="m")
        for id in ("mine", "yours"):
            self.assertEqual(
                self.call("GET", f"/api/session/{id}").json["message_count"], 2
            )
        self.call("DELETE", "/api/reset/mine")
        told = self.call("GET", "/api/session/yours").json
        self.assertEqual(told["message_count"], 2)

    def test_ids_are_chosen_only_where_that_is_allowed(self) -> None:
        self.serve(chosen_ids=False)
        told = self.chat(session_id="my-session-123").take_one()
        self.assertEqual(self.refused(told, 404), "Session my-session-123 not found")
        session = self.call("POST", "/api/session/new").json["session_id"]
        self.assertEqual(self.answered(session).json["session_id"], session)

    def test_an_id_of_ours_has_128_bits(self) -> None:
        self.assertEqual(len({new_id() for _ in range(1_000)}), 1_000)
        self.assertTrue(all(len(new_id()) == 22 for _ in range(100)))

    def test_the_tools(self) -> None:
        self.assertEqual(self.call("GET", "/api/tools").json, {"tools": []})

    def test_there_is_nothing_elsewhere(self) -> None:
        for target in ("/api", "/api/", "/api/session/", "/api/session/a/b", "/x"):
            self.refused(self.call("GET", target), 404)


class StopTests(HttpScene):
    def test_from_another_connection(self) -> None:
        client = self.chat(session_id="s")
        self.service.last.reply.paragraph("<p>One.</p>")
        told = self.call("POST", "/api/session/s/stop").json
        self.assertEqual(told["message"], "Reply stopped")
        self.assertEqual((told["status"], told["session_id"]), ("success", "s"))
        self.assertTrue(self.service.last.cancelled)
        answer = client.take_one().json
        self.assertEqual(answer["outcome"], "stopped")
        self.assertEqual(answer["response"], "<p>One.</p>")

    def test_when_nothing_runs(self) -> None:
        self.answered("s")
        told = self.call("POST", "/api/session/s/stop").json
        self.assertEqual(told["message"], "No reply was under way")

    def test_the_next_message_is_answered(self) -> None:
        self.chat(session_id="s")
        waiting = self.chat(session_id="s")
        self.call("POST", "/api/session/s/stop")
        self.answer("<p>Two.</p>")
        self.assertEqual(waiting.take_one().json["response"], "<p>Two.</p>")


class ResetTests(HttpScene):
    def test_it_forgets_and_goes_on(self) -> None:
        self.answered("s")
        follower = self.follow("s", "?after=5")
        response = self.call("POST", "/api/reset/s")
        self.assertEqual(
            response.json,
            {"status": "success", "message": "Session reset", "session_id": "s"},
        )
        told = self.call("GET", "/api/session/s").json
        self.assertEqual((told["history"], told["last_seq"]), ([], 6))
        (event,) = said(follower.take_one())
        self.assertEqual((event["type"], event["seq"]), ("conversation_reset", 6))
        self.answered("s")
        seqs = [one["seq"] for one in said(follower.take_one())]
        self.assertEqual(seqs, [6, 7, 8, 9, 10, 11])

    def test_an_unknown_session_is_as_good_as_reset_or_deleted(self) -> None:
        for method, did in (("POST", "reset"), ("DELETE", "deleted")):
            response = self.call(method, "/api/reset/nobody")
            self.assertEqual(
                response.json,
                {
                    "status": "success",
                    "message": f"Session {did}",
                    "session_id": "nobody",
                },
            )
            self.assertEqual(self.call("GET", "/api/session/nobody").status, 404)

    def test_while_a_reply_runs_and_messages_wait(self) -> None:
        running = self.chat(session_id="s")
        streamed = self.chat(session_id="s", stream=True)
        waiting = self.chat(session_id="s")
        self.assertEqual(self.call("POST", "/api/reset/s").status, 200)
        self.assertEqual(running.take_one().json["outcome"], "stopped")
        self.busy(waiting.take_one(), streamed.take_one())
        self.assertEqual(self.call("GET", "/api/session/s").json["history"], [])
        self.assertEqual(self.answered("s").json["outcome"], "complete")

    def busy(self, whole: Response, streamed: Response) -> None:
        told = self.refused(whole, 409)
        self.assertTrue(told)
        error, done = said(streamed)
        self.assertEqual(error, {"error": told})
        self.assertEqual((done["done"], done["outcome"]), (True, "failed"))

    def test_deleting_while_a_reply_runs_and_messages_wait(self) -> None:
        running = self.chat(session_id="s")
        streamed = self.chat(session_id="s", stream=True)
        waiting = self.chat(session_id="s")
        response = self.call("DELETE", "/api/reset/s")
        self.assertEqual(
            response.json,
            {"status": "success", "message": "Session deleted", "session_id": "s"},
        )
        for client in (running, waiting):
            self.assertEqual(self.refused(client.take_one(), 409), DELETED)
        error, done = said(streamed.take_one())[-2:]
        self.assertEqual(error, {"error": DELETED})
        self.assertEqual((done["done"], done["outcome"]), (True, "failed"))
        self.refused(self.call("GET", "/api/session/s"), 404)
        self.assertEqual(self.desk.unanswered, 0)
        self.answered("s")
        self.assertEqual(self.call("GET", "/api/session/s").json["last_seq"], 5)


class ErasedElsewhereTests(HeldScene):
    """Another program erases a session that this one has in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.held.lasting = True
        self.serve(self.held)

    def settled(self, client: HttpClient) -> Response:
        self.held.settle()
        return client.take_one()

    def answered_and_erased(self) -> None:
        client = self.chat(session_id="s", message_id="m1")
        self.held.settle()
        self.answer("<p>One.</p>")
        self.assertEqual(self.settled(client).json["outcome"], "complete")
        self.held.transcripts.clear()

    def test_it_is_unknown(self) -> None:
        for method, path in (
            ("GET", "/api/session/s"),
            ("GET", "/api/session/s/events"),
            ("GET", "/api/session/s/events?live=false"),
            ("POST", "/api/session/s/stop"),
        ):
            self.answered_and_erased()
            self.refused(self.settled(self.ask(method, path)), 404)
        last = [("Last-Event-ID", "4")]
        self.answered_and_erased()
        self.assertEqual(self.settled(self.follow("s", "", last)).status, 204)

    def test_the_same_message_begins_it_anew(self) -> None:
        self.answered_and_erased()
        again = self.chat(session_id="s", message_id="m1")
        self.held.settle()
        self.answer("<p>Two.</p>")
        self.assertEqual(self.settled(again).json["response"], "<p>Two.</p>")
        self.assertEqual(len(self.held.transcripts["s"]), 4)

    def test_who_waits_for_an_answer_is_told(self) -> None:
        whole = self.chat(session_id="s")
        streamed = self.chat(session_id="s", stream=True)
        self.held.settle()
        self.held.transcripts.clear()
        self.service.last.reply.paragraph("<p>One.</p>")
        self.assertEqual(self.refused(self.settled(whole), 409), DELETED)
        error, done = said(streamed.take_one())
        self.assertEqual(error, {"error": DELETED})
        self.assertEqual((done["done"], done["outcome"]), (True, "failed"))
        self.assertTrue(self.service.last.cancelled)
        self.assertEqual(self.held.transcripts, {})

    def test_a_message_that_is_just_being_stored(self) -> None:
        self.chat(session_id="s")
        self.held.settle()
        self.chat(session_id="s").hang_up()
        late = self.chat(session_id="s")
        self.held.transcripts.clear()
        self.assertEqual(self.refused(self.settled(late), 409), DELETED)

    def test_a_reset_that_finds_nothing_more(self) -> None:
        self.answered_and_erased()
        resetting = self.ask("POST", "/api/reset/s")
        self.assertEqual(self.settled(resetting).status, 200)
        self.assertEqual(self.held.transcripts, {})

    def test_followers_are_told_with_the_next_sign_of_life(self) -> None:
        client = self.chat(session_id="s")
        self.held.settle()
        self.answer()
        self.held.settle()
        client.take_one()
        follower = self.follow("s", "?after=99")
        self.held.settle()
        self.held.transcripts.clear()
        self.assertFalse(follower.take_one().whole)
        self.clock.advance(1)
        response = self.settled(follower)
        self.assertTrue(response.whole)
        self.assertEqual(said(response)[-1], {"reason": "deleted"})


class SlowSessionTests(HeldScene):
    def test_a_message_that_comes_during_a_reset_is_told_so(self) -> None:
        first = self.chat(session_id="s")
        self.held.settle()
        resetting = self.ask("POST", "/api/reset/s")
        during = self.chat(session_id="s")
        self.refused(during.take_one(), 409)
        again = self.ask("POST", "/api/reset/s")
        self.refused(again.take_one(), 409)
        self.held.settle()
        self.assertEqual(first.take_one().json["outcome"], "stopped")
        self.assertEqual(resetting.take_one().status, 200)

    def test_a_message_that_comes_during_a_deletion_is_told_so(self) -> None:
        self.chat(session_id="s")
        self.held.settle()
        deleting = self.ask("DELETE", "/api/reset/s")
        during = self.chat(session_id="s")
        self.assertIn(during.take_one().status, {409, 503})
        self.held.settle()
        self.assertEqual(deleting.take_one().status, 200)
        self.assertEqual(self.desk.unanswered, 0)

    def test_who_waits_for_an_answer_hears_of_the_deletion(self) -> None:
        whole = self.chat(session_id="s")
        streamed = self.chat(session_id="s", stream=True)
        self.held.settle()
        self.ask("DELETE", "/api/reset/s")
        told = self.refused(whole.take_one(), 409)
        self.assertIn("deleted", told)
        error, done = said(streamed.take_one())
        self.assertEqual(error, {"error": told})
        self.assertEqual(done["outcome"], "failed")
        self.held.settle()

    def test_what_a_reset_could_not_erase_is_not_told_any_more(self) -> None:
        self.chat(session_id="s")
        self.held.settle()
        self.answer("<p>One.</p>")
        self.held.settle()
        resetting = self.ask("POST", "/api/reset/s")
        self.held.store()  # the fact, but not what it is about
        self.held.cuts.pop().done.errback(StoreError("the disk is full"))
        self.refused(resetting.take_one(), 503)
        asked = self.ask("GET", "/api/session/s")
        self.held.settle()
        session = asked.take_one().json
        self.assertEqual((session["message_count"], session["history"]), (0, []))

    def test_a_message_that_is_being_stored_while_a_reset_begins(self) -> None:
        message = self.chat(session_id="s")
        self.held.searches.pop(0).fire()
        resetting = self.ask("POST", "/api/reset/s")
        self.held.settle()
        self.refused(message.take_one(), 409)
        self.assertEqual(resetting.take_one().status, 200)

    def test_what_the_store_refuses_is_told_and_works_later(self) -> None:
        self.refuse("POST", "/api/session/new", self.held.openings)
        client = self.chat("hello", session_id="s")
        self.held.settle()
        self.assertEqual(client.take_one().status, 200)
        self.refuse("GET", "/api/session/s", self.held.reads)
        self.refuse("POST", "/api/reset/s", self.held.appends)
        self.refuse("DELETE", "/api/reset/s", self.held.erasures)
        self.refuse("GET", "/api/session/s", self.held.searches)

    def refuse(self, method: str, target: str, queue: list) -> None:  # type: ignore[type-arg]
        client = self.ask(method, target)
        queue.pop(0).done.errback(StoreError("the disk is full"))
        response = client.take_one()
        told = self.refused(response, 503)
        self.assertIn("Nothing that was said is lost", told)
        self.assertNotIn("disk", told)
        self.assertEqual(response.headers["retry-after"], "5")
        client = self.ask(method, target)
        self.held.settle()
        self.assertIn(client.take_one().status, {200, 404})


class LimitTests(HttpScene):
    FAR = "192.0.2.1"

    def say(self, host: str | None = FAR, *headers: tuple[str, str]) -> Response:
        return self.call("POST", "/api/chat", {"message": "hello"}, headers, host)

    def test_messages_in_one_session(self) -> None:
        self.serve(messages=2)
        for _ in range(2):
            self.assertEqual(self.call_in("s").status, 200)
        response = self.call_in("s")
        self.assertIn("too many messages", self.refused(response, 429))
        self.assertEqual(response.headers["retry-after"], "30")
        self.assertEqual(self.call_in("other").status, 200)
        self.clock.advance(30)
        self.assertEqual(self.call_in("s").status, 200)
        self.assertEqual(self.call_in("s").status, 429)

    def call_in(self, session: str, **fields: str) -> Response:
        body = {"message": "hello", "session_id": session, **fields}
        return self.call("POST", "/api/chat", body)

    def test_a_message_that_is_known_costs_nothing(self) -> None:
        self.serve(messages=1)
        for _ in range(3):
            self.assertEqual(self.call_in("s", message_id="m").status, 200)
        self.assertEqual(self.call_in("s", message_id="n").status, 429)

    def test_messages_from_one_address(self) -> None:
        self.serve(address_messages=2)
        statuses = [self.say().status for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])
        self.assertEqual(self.say("192.0.2.2").status, 200)

    def test_what_is_refused_costs_nothing(self) -> None:
        self.serve(messages=1, address_messages=3, address_sessions=3)
        body = {"message": "hello", "session_id": "s"}
        statuses = [
            self.call("POST", "/api/chat", body, host=self.FAR).status for _ in range(6)
        ]
        self.assertEqual(statuses, [200] + [429] * 5)
        self.assertEqual([self.say().status for _ in range(4)], [200, 200, 429, 429])
        self.assertEqual(self.opened(self.FAR).status, 429)
        self.clock.advance(60)
        self.assertEqual(self.say().status, 429)
        self.clock.advance(1_200)
        self.assertEqual(self.say().status, 200)

    def test_sessions_from_one_address(self) -> None:
        self.serve(address_sessions=2)
        for _ in range(2):
            self.assertEqual(self.opened(self.FAR).status, 200)
        response = self.opened(self.FAR)
        self.assertIn("too many sessions", self.refused(response, 429))
        self.assertEqual(response.headers["retry-after"], "1800")
        self.refused(self.say(), 429)
        self.assertEqual(self.opened("192.0.2.2").status, 200)

    def opened(self, host: str, *headers: tuple[str, str]) -> Response:
        return self.call("POST", "/api/session/new", None, headers, host)

    def test_a_trusted_proxy_names_its_clients(self) -> None:
        self.serve(address_sessions=1)
        for host in ("127.0.0.1", None):
            for client in ("198.51.100.1", "198.51.100.2"):
                named = ("X-Forwarded-For", f"203.0.113.9, {client}{host is None:d}")
                response = self.call("POST", "/api/session/new", None, [named], host)
                self.assertEqual(response.status, 200)
                response = self.call("POST", "/api/session/new", None, [named], host)
                self.assertEqual(response.status, 429)

    def test_the_many_addresses_of_one_client_count_as_one(self) -> None:
        self.serve(address_sessions=1, address_messages=1)
        self.assertEqual(self.opened("2001:db8::1").status, 200)
        self.assertEqual(self.opened("2001:db8::2").status, 429)
        self.assertEqual(self.opened("2001:db8:0:1::1").status, 200)

    def test_nobody_else_does(self) -> None:
        self.serve(address_sessions=1)
        self.assertEqual(self.opened(self.FAR).status, 200)
        named = ("X-Forwarded-For", "198.51.100.1")
        self.assertEqual(self.opened(self.FAR, named).status, 429)

    def test_too_many_that_wait(self) -> None:
        clients = [self.chat(session_id="s") for _ in range(101)]
        response = clients[-1].take_one()
        self.assertIn("waiting", self.refused(response, 429))
        self.assertEqual(response.headers["retry-after"], "5")


class CrossSiteTests(HttpScene):
    SHOP = ("Origin", "https://shop.example")
    EVIL = ("Origin", "https://evil.example")

    def get(self, *headers: tuple[str, str], target: str = "/api/tools") -> Response:
        return self.call("GET", target, None, headers)

    def test_pages_of_strangers_may_not_call(self) -> None:
        for value in (
            "https://evil.example",
            "null",
            "",
            "http://[",
            "http://localhost.evil.example",
            "http://localhost:81",
            "ftp://localhost",
            "http://evil@localhost",
        ):
            with self.subTest(origin=value):
                response = self.get(("Origin", value))
                self.refused(response, 403)
                self.assertNotIn("access-control-allow-origin", response.headers)
        self.refused(self.get(self.EVIL, self.SHOP), 400)
        self.refused(self.get(("Sec-Fetch-Site", "cross-site")), 403)
        self.refused(self.get(self.EVIL, ("Sec-Fetch-Site", "cross-site")), 403)
        body = {"message": "help"}
        self.refused(self.call("POST", "/api/chat", body, [self.EVIL]), 403)
        self.assertEqual(self.service.asked, [])

    def test_our_own_pages_may(self) -> None:
        for headers in (
            (),
            (("Origin", "http://localhost"),),
            (("Origin", "https://localhost"),),
            (("Sec-Fetch-Site", "same-origin"),),
            (("Sec-Fetch-Site", "none"),),
            (("Origin", "https://help.example"), ("Sec-Fetch-Site", "same-origin")),
        ):
            self.assertEqual(self.get(*headers).status, 200)

    def test_the_default_port_need_not_be_named(self) -> None:
        self.serve(hosts=("help.example",))
        for origin, host, status in (
            ("https://help.example", "help.example:443", 200),
            ("http://help.example", "help.example:80", 200),
            ("http://help.example:8000", "HELP.example:8000", 200),
            ("http://help.example", "help.example:8000", 403),
        ):
            client = self.join()
            client.request("GET", "/api/tools", [("Origin", origin)], host=host)
            self.assertEqual(client.take_one().status, status)

    def test_an_old_request_without_a_host_has_no_origin_of_its_own(self) -> None:
        for origin in ("null", "http://", "https://"):
            client = self.join()
            headers = [("Origin", origin)]
            client.request("GET", "/api/tools", headers, host=None, version="1.0")
            self.clock.advance(0)
            self.refused(client.take_one(), 403)

    def test_the_origins_of_the_settings_may_read_the_answers(self) -> None:
        self.serve(origins=("https://shop.example",))
        self.chat(session_id="s")
        for response in (
            self.get(self.SHOP),
            self.get(self.SHOP, target="/api/none"),
            self.get(self.SHOP, target="/api/session/none"),
            self.get(self.SHOP, target="/api/session/s/events"),
            self.get(self.SHOP, target="/api/chat/stream?message=hello"),
            self.get(self.SHOP, ("Last-Event-ID", "7"), target="/api/session/x/events"),
            self.get(self.SHOP, ("Last-Event-ID", "x:y:7"), target=self.STREAM),
        ):
            headers = response.headers
            self.assertEqual(
                headers["access-control-allow-origin"], "https://shop.example"
            )
            self.assertEqual(headers["vary"], "Origin")
            readable = headers["access-control-expose-headers"]
            self.assertEqual(readable, "Date, Retry-After")
        self.refused(self.get(self.EVIL), 403)
        self.assertEqual(self.get().headers["vary"], "Origin")
        self.assertNotIn("access-control-allow-origin", self.get().headers)

    STREAM = "/api/chat/stream?message=hello"

    def test_a_browser_asks_before(self) -> None:
        self.serve(origins=("https://shop.example",))
        asked = ("Access-Control-Request-Method", "POST")
        response = self.call("OPTIONS", "/api/chat", None, [self.SHOP, asked])
        headers = response.headers
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(headers["access-control-allow-origin"], "https://shop.example")
        self.assertEqual(headers["access-control-allow-methods"], "OPTIONS, POST")
        for name in ("Content-Type", "Idempotency-Key", "Last-Event-ID", "Session-Id"):
            self.assertIn(name, headers["access-control-allow-headers"])
        response = self.call("OPTIONS", "/api/chat", None, [self.EVIL, asked])
        self.assertNotIn("access-control-allow-methods", response.headers)
        self.assertEqual(response.headers["allow"], "OPTIONS, POST")

    def test_all_origins(self) -> None:
        self.serve(origins=("*",))
        response = self.get(self.EVIL)
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.headers["access-control-allow-origin"], "https://evil.example"
        )
        self.assertNotIn("access-control-allow-credentials", response.headers)

    def test_what_is_no_api_is_for_all(self) -> None:
        self.assertEqual(self.get(self.EVIL, target="/health").status, 200)


class LogTests(HttpScene):
    """Logs tell sessions and requests apart, and give no session away."""

    def setUp(self) -> None:
        super().setUp()
        self.file = StringIO()
        observer = json_lines(self.file)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.file.getvalue().splitlines()]

    def told(self, session: str, *headers: tuple[str, str]) -> list[dict[str, object]]:
        self.file.seek(0)
        self.file.truncate()
        body = {"message": "help", "session_id": session}
        self.ask("POST", "/api/chat", body, headers)
        self.answer("<p>One.</p>")
        return self.lines()

    def test_ids_are_never_whole(self) -> None:
        for session in ("a", "ab", "abc", "Zq7-session", "x" * 60):
            lines = self.told(session)
            self.assertTrue(lines)
            for line in lines:
                shown = str(line["conversation"])
                self.assertLessEqual(len(shown), min(6, len(session) // 2))
                self.assertTrue(session.startswith(shown))
            if len(session) > 2:
                self.assertNotIn(session, self.file.getvalue())

    def test_requests_have_names(self) -> None:
        first, second = (self.told("sess")[-1]["request"] for _ in range(2))
        self.assertRegex(str(first), r"\A[0-9a-f]{6}-\d+\Z")
        self.assertNotEqual(first, second)

    def test_a_proxy_names_them(self) -> None:
        (line,) = self.told("sess", ("X-Request-Id", "proxy-7.a_B"))
        self.assertEqual(line["request"], "proxy-7.a_B")

    def test_names_that_are_none_are_not_taken(self) -> None:
        for name in ('x" {y}', "x" * 65, "", "é"):
            (line,) = self.told("sess", ("X-Request-Id", name))
            self.assertTrue(re.fullmatch(r"[0-9a-f]{6}-\d+", str(line["request"])))
