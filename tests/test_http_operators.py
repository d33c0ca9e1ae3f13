"""What operators and their tools can ask over HTTP."""

from __future__ import annotations

import base64
import hmac
from unittest.mock import patch

from prometheus_client.parser import text_string_to_metric_families

from supportbot import __version__
from supportbot.channels.http.api import api
from supportbot.channels.limits import Allowance
from supportbot.errors import BodyCut, ByteRepeated, StoreError
from tests.http_client import Response
from tests.http_fakes import HeldScene, HttpScene

TOKEN = ("Authorization", "Bearer token")


class TokenTests(HttpScene):
    def sessions(self, *headers: tuple[str, str]) -> Response:
        return self.call("GET", "/api/sessions", None, headers)

    def test_the_right_one(self) -> None:
        for value in ("Bearer token", "bearer token", "BEARER  token "):
            response = self.sessions(("Authorization", value))
            self.assertEqual(response.status, 200)
            self.assertEqual(response.json, {"sessions": [], "count": 0, "next": None})
            self.assertEqual(response.headers["cache-control"], "no-store")

    def test_a_wrong_one_or_none(self) -> None:
        for headers in (
            [],
            [("Authorization", "Bearer wrong")],
            [("Authorization", "Bearer toke")],
            [("Authorization", "Bearer token2")],
            [("Authorization", "Bearer ")],
            [("Authorization", "Bearer \u00e9")],
            [("Authorization", "token")],
            [("Authorization", "Basic dG9rZW4=")],
        ):
            response = self.sessions(*headers)
            self.refused(response, 401)
            self.assertEqual(
                response.headers["www-authenticate"], 'Bearer realm="supportbot"'
            )
            self.assertNotIn(b"toke2", response.body)
        self.refused(self.sessions(TOKEN, TOKEN), 400)

    def test_it_is_compared_in_constant_time(self) -> None:
        with patch.object(hmac, "compare_digest", return_value=False) as compare:
            self.refused(self.sessions(TOKEN), 401)
        compare.assert_called_once_with(b"token", b"token")

    def test_one_that_is_no_ascii(self) -> None:
        self.serve(admin_token="schl\u00fcssel")
        value = "Bearer schl\u00fcssel".encode().decode("latin-1")
        self.assertEqual(self.sessions(("Authorization", value)).status, 200)

    def test_without_one_in_the_settings_all_is_closed(self) -> None:
        for none in (None, ""):
            self.serve(admin_token=none)
            for headers in ([], [TOKEN], [("Authorization", "Bearer ")]):
                told = self.refused(self.sessions(*headers), 403)
                self.assertIn("SUPPORTBOT_ADMIN_TOKEN", told)

    def test_customers_need_none(self) -> None:
        for target in ("/api/tools", "/health", "/healthz", "/readyz", "/metrics"):
            self.assertEqual(self.call("GET", target).status, 200)


class SessionsTests(HttpScene):
    def list(self, query: str = "") -> Response:
        return self.call("GET", f"/api/sessions{query}", None, [TOKEN])

    def test_what_is_told_of_a_session(self) -> None:
        self.clock.advance(7)
        self.answered("s")
        (one,) = self.list().json["sessions"]
        self.assertEqual(
            one,
            {
                "session_id": "s",
                "message_count": 2,
                "last_message": {
                    "role": "assistant",
                    "content": "<p>One.</p><p>Two.</p>",
                },
                "is_authenticated": False,
                "customer_name": None,
                "opened_at": 7.0,
                "heard_at": 7.0,
            },
        )

    def test_one_in_which_nothing_was_said(self) -> None:
        self.call("POST", "/api/session/new")
        (one,) = self.list().json["sessions"]
        self.assertEqual((one["message_count"], one["last_message"]), (0, None))

    def test_the_newest_message_stands_first(self) -> None:
        for session in ("a", "b", "a"):
            self.clock.advance(1)
            self.chat("hello", session_id=session)
        told = self.list().json
        ids = [one["session_id"] for one in told["sessions"]]
        self.assertEqual((ids, told["count"]), (["a", "b"], 2))

    def test_part_by_part(self) -> None:
        for at in range(7):
            if at % 2:  # some of them at the same time
                self.clock.advance(0.1)
            self.chat("hello", session_id=f"s{at}")
        everything = [one["session_id"] for one in self.list().json["sessions"]]
        self.assertEqual(len(everything), 7)
        told, query = list[str](), "?limit=3"
        while query:
            part = self.list(query).json
            self.assertEqual(part["count"], len(part["sessions"]))
            told += [one["session_id"] for one in part["sessions"]]
            query = part["next"] and f"?limit=3&before={part['next']}"
        self.assertEqual(told, everything)

    def test_parts_that_do_not_fit(self) -> None:
        self.refused(self.list("?limit=0"), 422, "#/limit")
        self.refused(self.list("?limit=501"), 422, "#/limit")
        self.refused(self.list("?limit=ten"), 422, "#/limit")
        other = base64.urlsafe_b64encode(b'["x", "y"]').decode().rstrip("=")
        for before in ("x", "%C3%A9", "e30", other, "A" * 500):
            self.refused(self.list(f"?before={before}"), 422, "#/before")


class HealthTests(HeldScene):
    def test_the_process_answers(self) -> None:
        for target in ("/health", "/healthz"):
            response = self.call("GET", target)
            self.assertEqual(
                response.json, {"status": "healthy", "version": __version__}
            )

    def ready(self) -> Response:
        client = self.ask("GET", "/readyz")
        self.held.settle()
        return client.take_one()

    def test_ready(self) -> None:
        response = self.ready()
        self.assertEqual(response.status, 200)
        checks = {"database": "ok", "tech": "ok"}
        self.assertEqual(response.json, {"status": "ready", "checks": checks})

    def test_a_service_that_rests_degrades_us(self) -> None:
        self.resting = {"tech": True}
        response = self.ready()
        self.assertEqual((response.status, response.json["status"]), (200, "degraded"))
        self.assertNotEqual(response.json["checks"]["tech"], "ok")

    def test_a_database_that_refuses_or_is_silent(self) -> None:
        refused = self.ask("GET", "/readyz")
        self.held.checks.pop(0).done.errback(StoreError("the disk is full"))
        silent = self.ask("GET", "/readyz")
        self.clock.advance(2)
        for client in (refused, silent):
            response = client.take_one()
            self.assertEqual(response.status, 503)
            self.assertEqual(response.json["status"], "unready")
            self.assertNotIn(b"disk", response.body)
        self.held.settle()  # it answers, but nobody listens any more

    def test_while_shutting_down(self) -> None:
        self.desk.drain(self.clock, 1)
        response = self.ready()
        self.assertEqual(response.status, 503)
        self.assertEqual(response.json["checks"]["process"], "shutting down")

    def test_a_list_that_can_not_be_read(self) -> None:
        client = self.ask("GET", "/api/sessions", None, [TOKEN])
        self.held.listings.pop(0).done.errback(StoreError("gone"))
        self.refused(client.take_one(), 503)


class FiguresTests(HttpScene):
    def figures(self) -> dict[str, float]:
        """All figures of ours, by name and labels."""
        response = self.call("GET", "/metrics")
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.headers["content-type"],
            "text/plain; version=0.0.4; charset=utf-8",
        )
        figures = {}
        for family in text_string_to_metric_families(response.body.decode()):
            for sample in family.samples:
                labels = ",".join(sample.labels.values())
                figures[f"{sample.name}({labels})"] = sample.value
        return figures

    def test_what_a_story_leaves(self) -> None:
        self.metrics.attempt("tech", None)
        self.metrics.attempt("tech", ByteRepeated(48, 512))
        self.chat(session_id="s")
        self.clock.advance(3)
        self.answer("<p>One.</p>", "<p>Two.</p>")
        self.chat(session_id="s")
        self.service.last.fail(BodyCut())
        self.chat("hello", session_id="other")
        follower = self.follow("s")
        figures = self.figures()
        for name, value in {
            "supportbot_messages_total()": 3,
            "supportbot_paragraphs_total(tech)": 2,
            "supportbot_replies_total(complete,tech)": 1,
            "supportbot_replies_total(cut,tech)": 1,
            "supportbot_replies_total(complete,signpost)": 1,
            "supportbot_first_paragraph_seconds_count(tech)": 1,
            "supportbot_first_paragraph_seconds_sum(tech)": 3,
            "supportbot_first_paragraph_seconds_bucket(2.0,tech)": 0,
            "supportbot_first_paragraph_seconds_bucket(4.0,tech)": 1,
            "supportbot_attempts_total(whole,tech)": 1,
            "supportbot_attempts_total(ByteRepeated,tech)": 1,
            "supportbot_runaways_total(tech)": 1,
            "supportbot_followers()": 1,
            "supportbot_store_failures_total()": 0,
        }.items():
            self.assertEqual(figures[name], value, name)
        self.assertGreater(figures["supportbot_store_append_seconds_count()"], 8)
        follower.vanish()
        self.assertEqual(self.figures()["supportbot_followers()"], 0)


class WholeApiTests(HttpScene):
    """All of it together, as the process serves it."""

    def setUp(self) -> None:
        super().setUp()
        self.listen(
            api(
                self.clock,
                self.desk,
                self.store,
                self.settings,
                self.metrics,
                lambda: self.resting,
                Allowance(self.clock, self.settings.http),
                self.offered,
                self.doorkeeper,
            )
        )

    def test_the_api_and_what_is_written_about_it(self) -> None:
        self.assertEqual(self.answered().json["outcome"], "complete")
        paths = self.call("GET", "/openapi.json").json["paths"]
        self.assertIn("/api/chat", paths)
        self.assertNotIn("/docs", paths)
        for target in ("/", "/docs", "/redoc"):
            response = self.call("GET", target)
            self.assertEqual(response.status, 200)
            self.assertIn("text/html", response.headers["content-type"])
        self.refused(self.call("GET", "/static/../settings.py"), 404)
        self.refused(self.call("GET", "/static/none.css"), 404)
