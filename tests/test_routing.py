"""From requests to handlers: what the table says, and what becomes of failures."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.channels.http.operations import Operation
from supportbot.channels.http.problems import refused
from supportbot.channels.http.routing import Call, Router
from supportbot.channels.http.server import HttpServer
from supportbot.errors import (
    AnsweredElsewhere,
    BadRequest,
    ConversationBusy,
    ConversationClosed,
    MessageEmpty,
    MessageIdTaken,
    MessageTooLong,
    StoreError,
    TooManyWaiting,
    TranscriptMoved,
)
from supportbot.settings import HttpSettings
from tests.http_client import HttpClient, Response

JSON = ("Content-Type", "application/json")


class Place(msgspec.Struct, frozen=True):
    """Where."""

    city: str
    floors: tuple[int, ...] = ()


class Wish(msgspec.Struct, frozen=True):
    """What somebody wants."""

    name: str
    places: list[Place] = []


class Which(msgspec.Struct, frozen=True):
    """A part of them."""

    limit: int = 3
    whole: bool = False


class RoutingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.calls = Clock(), list[Call]()
        self.raised: Exception | None = None
        settings = HttpSettings(admin_token="token")
        router = Router(
            [
                self.row("GET", "/things", query=Which),
                self.row("POST", "/things", body=Wish),
                self.row("GET", "/things/{id}"),
                self.row("POST", "/things/{id}/stop"),
                self.row("GET", "/files/{path}"),
                self.row("GET", "/sessions/{session_id}"),
                self.row("POST", "/sessions/{session_id}/say", body=Wish),
                self.row("DELETE", "/api/sessions/{session_id}"),
                self.row("DELETE", "/locked", operator=True),
                self.row("GET", "/says", safe=False),
                self.row("GET", "/socket", upgrades=True),
            ],
            settings,
        )
        server = HttpServer(self.clock, settings)
        self.client = HttpClient(self.clock)
        self.client.connect(server.factory(router.answer))

    def tearDown(self) -> None:
        self.client.vanish()
        self.clock.advance(0)

    def row(self, method: str, path: str, **others: Any) -> Operation:
        async def answer(call: Call) -> object:
            self.calls.append(call)
            if self.raised is not None:
                raise self.raised
            return {"path": path, "argument": call.argument}

        return Operation(method=method, path=path, name=path, answer=answer, **others)

    def ask(
        self, method: str, target: str, body: Any = None, *headers: tuple[str, str]
    ) -> Response:
        if body is not None:
            body, headers = msgspec.json.encode(body), (JSON, *headers)
        self.client.request(method, target, headers, body)
        return self.client.take_one()

    def test_a_path_finds_its_handler(self) -> None:
        for method, target, path, argument in (
            ("GET", "/things", "/things", ""),
            ("GET", "/things?limit=1", "/things", ""),
            ("GET", "/things/a", "/things/{id}", "a"),
            ("GET", "/things/a%20b", "/things/{id}", "a b"),
            ("GET", "/things/stop", "/things/{id}", "stop"),
            ("POST", "/things/a/stop", "/things/{id}/stop", "a"),
            ("GET", "/files/a", "/files/{path}", "a"),
            ("GET", "/files/a/b/c", "/files/{path}", "a/b/c"),
        ):
            with self.subTest(target=target):
                response = self.ask(method, target)
                self.assertEqual(response.json, {"path": path, "argument": argument})

    def test_other_paths_find_none(self) -> None:
        for target in ("/", "/thing", "/things/", "/things/a/b", "/files/", "/THINGS"):
            self.assertEqual(self.ask("GET", target).status, 404)
        self.assertEqual(self.ask("POST", "/things//stop").status, 404)
        self.assertEqual(self.calls, [])

    def test_methods(self) -> None:
        for method, status in (("DELETE", 405), ("PATCH", 405), ("BREW", 501)):
            response = self.ask(method, "/things")
            self.assertEqual(response.status, status)
            self.assertEqual(response.headers["allow"], "GET, HEAD, OPTIONS, POST")
        response = self.ask("OPTIONS", "/things/a/stop")
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["allow"], "OPTIONS, POST")
        response = self.ask("HEAD", "/things/a")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertGreater(int(response.headers["content-length"]), 0)

    def test_a_get_that_does_more_than_look_is_not_tried_with_head(self) -> None:
        for target in ("/says", "/socket"):
            with self.subTest(target=target):
                response = self.ask("HEAD", target)
                self.assertEqual(response.status, 405)
                self.assertEqual(response.headers["allow"], "GET, OPTIONS")
                self.assertEqual(self.calls, [])
                self.assertEqual(self.ask("GET", target).status, 200)
                self.calls.clear()

    def test_bodies_and_queries_have_their_shapes(self) -> None:
        wish = {"name": "sock", "places": [{"city": "Bonn", "floors": [1]}]}
        self.ask("POST", "/things", {**wish, "colour": "red"})
        self.ask("GET", "/things?limit=7&whole=true&colour=red&colour=blue")
        self.ask("GET", "/things?limit=&whole=")
        self.assertEqual(
            [self.calls[0].body, self.calls[1].query, self.calls[2].query],
            [Wish("sock", [Place("Bonn", (1,))]), Which(7, True), Which()],
        )

    def test_what_does_not_fit_is_pointed_at(self) -> None:
        for body, pointer in (
            ({}, "#/name"),
            ({"name": "a", "places": {}}, "#/places"),
            ({"name": "a", "places": [{"city": "b"}, 3]}, "#/places/1"),
            ({"name": "a", "places": [{}]}, "#/places/0/city"),
            ({"name": "a", "places": [{"city": 1}]}, "#/places/0/city"),
            (
                {"name": "a", "places": [{"city": "b", "floors": [1, "c"]}]},
                "#/places/0/floors/1",
            ),
        ):
            with self.subTest(body=body):
                response = self.ask("POST", "/things", body)
                self.assertEqual(response.status, 422)
                (error,) = response.json["errors"]
                self.assertEqual(error["pointer"], pointer)
                self.assertTrue(error["detail"].startswith("Expected"))
        self.assertEqual(self.calls, [])

    def test_failures_that_have_names(self) -> None:
        for error, status, retry in (
            (refused(418, "No."), 418, None),
            (MessageEmpty(), 422, None),
            (MessageTooLong(3), 422, None),
            (MessageIdTaken(), 422, None),
            (TooManyWaiting(3), 429, "5"),
            (AnsweredElsewhere(), 409, "1"),
            (ConversationBusy(), 409, "1"),
            (ConversationClosed(), 503, "5"),
            (StoreError("secret"), 503, "5"),
            (TranscriptMoved("secret"), 503, "5"),
        ):
            with self.subTest(error=error):
                self.raised = error
                response = self.ask("GET", "/things")
                self.assertEqual(response.status, status)
                self.assertEqual(response.headers.get("retry-after"), retry)
                self.assertNotIn(b"secret", response.body)
                if isinstance(error, BadRequest) and status == 422:
                    pointer = response.json["errors"][0]["pointer"]
                    self.assertEqual(pointer, f"#/{error.field}")

    def test_a_failure_without_a_name_is_ours(self) -> None:
        self.raised = RuntimeError("secret")
        response = self.ask("GET", "/things")
        self.assertEqual(response.status, 500)
        self.assertNotIn(b"secret", response.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.raised = None
        self.assertEqual(self.ask("GET", "/things").status, 200)

    def test_a_header_may_name_the_session(self) -> None:
        session = ("Session-Id", "~a.B-7_")
        for method, target, body in (
            ("GET", "/sessions/@me", None),
            ("GET", "/sessions/%40me?limit=1", None),
            ("POST", "/sessions/@me/say", {"name": "a"}),
            ("DELETE", "/api/sessions/@me", None),
        ):
            with self.subTest(target=target):
                response = self.ask(method, target, body, session)
                self.assertEqual(response.json["argument"], "~a.B-7_")
        response = self.ask("HEAD", "/sessions/@me", None, session)
        self.assertEqual((response.status, response.body), (200, b""))
        for _, value in [session, ("Session-Id", "x" * 128)]:
            response = self.ask("GET", "/sessions/@me", None, ("session-id", value))
            self.assertEqual(response.json["argument"], value)

    def test_a_session_that_is_not_named_as_it_should_be(self) -> None:
        for value in ("", "@me", "a b", "a/b", "a,b", "é", "x" * 129, "\xb2"):
            with self.subTest(value=value):
                header = ("Session-Id", value)
                response = self.ask("GET", "/sessions/@me", None, header)
                self.assertEqual(response.status, 400)
                self.assertIn("Session-Id is not", response.json["detail"])
        twice = ("Session-Id", "a"), ("Session-Id", "a")
        for headers in ((), twice):
            response = self.ask("GET", "/sessions/@me", None, *headers)
            self.assertEqual(response.status, 400)
            self.assertIn("session-id", response.json["detail"].lower())
            self.assertEqual("wants the header" in response.json["detail"], not headers)
        evil = ("Origin", "https://evil.example")
        self.assertEqual(
            self.ask("DELETE", "/api/sessions/@me", None, evil).status, 403
        )
        self.assertEqual(self.calls, [])
        self.assertEqual(self.ask("OPTIONS", "/sessions/@me").status, 204)

    def test_the_header_means_nothing_elsewhere(self) -> None:
        twice = ("Session-Id", "a"), ("Session-Id", " b")
        for target, argument in (
            ("/sessions/s", "s"),
            ("/sessions/@ME", "@ME"),
            ("/sessions/@me%20", "@me "),
            ("/things/@me", "@me"),
            ("/files/@me", "@me"),
        ):
            response = self.ask("GET", target, None, *twice)
            self.assertEqual(response.json["argument"], argument)

    def test_who_may_not_ask_learns_nothing_of_the_rest(self) -> None:
        self.assertEqual(self.ask("DELETE", "/locked").status, 401)
        self.assertEqual(self.calls, [])
        token = ("Authorization", "Bearer token")
        self.assertEqual(self.ask("DELETE", "/locked", None, token).status, 200)


class WelcomeTests(SynchronousTestCase):
    """Whose pages may open a WebSocket."""

    def setUp(self) -> None:
        self.clock, self.opened = Clock(), 0
        self.serve(hosts=("chat.example",))

    def serve(self, **changes: Any) -> None:
        async def answer(call: Call) -> None:
            self.opened += 1
            call.respond(204)

        row = Operation(
            method="GET", path="/ws", name="ws", answer=answer, upgrades=True
        )
        settings = HttpSettings(**changes)
        server = HttpServer(self.clock, settings)
        self.factory = server.factory(Router([row], settings).answer)

    def ask(
        self, *headers: tuple[str, str], host: str = "chat.example", method: str = "GET"
    ) -> Response:
        client = HttpClient(self.clock)
        client.connect(self.factory)
        client.request(method, "/ws", headers, host=host)
        response = client.take_one()
        client.vanish()
        return response

    def refuses(self, status: int, *asked: Any, **others: Any) -> None:
        before = self.opened
        response = self.ask(*asked, **others)
        self.assertEqual(response.status, status)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(self.opened, before)

    def test_our_own_pages_and_those_who_are_no_page(self) -> None:
        for host, *headers in (
            ("chat.example",),
            ("chat.example", ("Origin", "http://chat.example")),
            ("chat.example", ("Origin", "https://chat.example")),  # by way of a proxy
            ("chat.example:443", ("Origin", "https://chat.example")),
            ("chat.example:8443", ("Origin", "https://chat.example:8443")),
            ("localhost:8000", ("Origin", "http://localhost:8000")),
            ("[::1]:8000", ("Origin", "http://[::1]:8000")),
            ("127.0.0.1", ("Origin", "https://x.y"), ("Sec-Fetch-Site", "same-origin")),
        ):
            with self.subTest(host=host, headers=headers):
                self.assertEqual(self.ask(*headers, host=host).status, 204)

    def test_nobody_else_s(self) -> None:
        for origin in (
            "https://evil.example",
            "https://chat.example.evil.example",
            "https://evil.example/chat.example",
            "https://chat.example@evil.example",
            "https://chat.example:444",
            "https://chat.example https://evil.example",
            "https://chat.example, https://evil.example",
            "ws://chat.example",
            "chat.example",
            "null",
            "",
        ):
            with self.subTest(origin=origin):
                self.refuses(403, ("Origin", origin))
        self.refuses(403, ("Sec-Fetch-Site", "cross-site"))
        self.refuses(403, ("Origin", "null"), ("Sec-Fetch-Site", "cross-site"))
        self.refuses(403, ("Origin", "http://a.chat.example"))
        self.refuses(403, ("Origin", "http://localhost:3000"), host="localhost:8000")

    def test_two_origins_are_none(self) -> None:
        ours = ("Origin", "https://chat.example")
        self.refuses(400, ours, ours)
        self.refuses(400, ours, ("Origin", "https://evil.example"))

    def test_a_name_that_an_attacker_lets_point_to_us(self) -> None:
        self.refuses(421, ("Origin", "http://evil.example"), host="evil.example")
        same = ("Sec-Fetch-Site", "same-origin")
        self.refuses(421, ("Origin", "http://evil.example"), same, host="evil.example")

    def test_those_of_the_settings(self) -> None:
        self.serve(hosts=("chat.example",), origins=("https://shop.example",))
        for site in ("cross-site", "same-site"):
            shop = ("Origin", "https://shop.example"), ("Sec-Fetch-Site", site)
            self.assertEqual(self.ask(*shop).status, 204)
        self.refuses(403, ("Origin", "http://shop.example"))
        self.refuses(403, ("Origin", "null"))
        self.serve(hosts=("chat.example",), origins=("*",))
        self.assertEqual(self.ask(("Origin", "https://evil.example")).status, 204)

    def test_browsers_need_not_ask_before(self) -> None:
        self.serve(hosts=("chat.example",), origins=("*",))
        response = self.ask(
            ("Origin", "https://shop.example"),
            ("Access-Control-Request-Method", "GET"),
            method="OPTIONS",
        )
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["allow"], "GET, OPTIONS")
        self.assertFalse([one for one in response.headers if "access-control" in one])
        self.assertEqual(self.opened, 0)
