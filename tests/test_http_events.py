"""Following a session over HTTP: from every number, live, and to its end."""

from __future__ import annotations

from supportbot.errors import StoreError
from supportbot.settings import ConversationSettings
from tests.http_client import HttpClient, Response
from tests.http_fakes import Frame, HeldScene, HttpScene, comments, frames


def numbered(client: HttpClient) -> list[int]:
    """The numbers of the events that came, in order."""
    return [int(one.id) for one in events(client.take_one()) if one.id]


def events(response: Response) -> list[Frame]:
    return [one for one in frames(response) if one.data is not None]


class PastTests(HttpScene):
    def setUp(self) -> None:
        super().setUp()
        self.answered("s")  # events 1 to 5

    def test_an_event_has_its_number_its_type_and_its_fields(self) -> None:
        response = self.follow("s").take_one()
        self.assertEqual(
            response.headers["content-type"], "text/event-stream; charset=utf-8"
        )
        self.assertEqual(response.headers["x-accel-buffering"], "no")
        first = events(response)[0]
        self.assertEqual((first.id, first.event), ("1", "customer_said"))
        self.assertEqual(first.data["type"], "customer_said")
        self.assertEqual((first.data["seq"], first.data["text"]), (1, "help"))
        self.assertEqual(
            [one.event for one in events(response)],
            [
                "customer_said",
                "reply_started",
                "paragraph_said",
                "paragraph_said",
                "reply_ended",
            ],
        )

    def test_from_every_number_on(self) -> None:
        for after in range(8):
            expected = [seq for seq in range(1, 6) if seq > after]
            self.assertEqual(numbered(self.follow("s", f"?after={after}")), expected)
            last = [("Last-Event-ID", str(after))]
            self.assertEqual(numbered(self.follow("s", "?after=1", last)), expected)

    def test_a_last_event_id_that_is_no_number_does_not_count(self) -> None:
        for last in ("x", "", "-1", "1.5", "\u00b2", "s:m:4", "9" * 30):
            client = self.follow("s", "?after=4", [("Last-Event-ID", last)])
            self.assertEqual(numbered(client), [5])

    def test_numbers_that_do_not_fit(self) -> None:
        for query in ("after=x", "after=-1", "after=2147483648", "live=perhaps"):
            name = query.partition("=")[0]
            response = self.follow("s", f"?{query}").take_one()
            self.refused(response, 422, f"#/{name}")

    def test_what_is_not_live_ends_when_nothing_is_under_way(self) -> None:
        client = self.follow("s", "?live=0")
        response = client.take_one()
        self.assertTrue(response.whole)
        *told, end = events(response)
        self.assertEqual(len(told), 5)
        self.assertEqual((end.event, end.data), ("end", {"reason": "idle"}))
        self.assertEqual(self.follow("s", "?live=0&after=5").take_one().status, 204)
        self.assertEqual(self.follow("s", "?live=0&after=9").take_one().status, 204)

    def test_what_is_not_live_stays_for_the_reply_that_is_under_way(self) -> None:
        self.chat(session_id="s")
        client = self.follow("s", "?live=0&after=7")
        self.answer("<p>One.</p>")
        response = client.take_one()
        self.assertTrue(response.whole)
        self.assertEqual([one.id for one in events(response)], ["8", "9", ""])


class LiveTests(HttpScene):
    def setUp(self) -> None:
        super().setUp()
        self.call("POST", "/api/session/new")

    def test_what_is_said_later(self) -> None:
        clients = [self.follow("session-0", f"?after={after}") for after in (0, 0, 2)]
        self.answered("session-0")
        self.assertEqual(numbered(clients[0]), [1, 2, 3, 4, 5])
        self.assertEqual(
            clients[0].take_one().body.partition(b"id")[2],
            clients[1].take_one().body.partition(b"id")[2],
        )
        self.assertEqual(numbered(clients[2]), [3, 4, 5])

    def test_what_is_growing_has_no_number(self) -> None:
        client = self.follow("session-0")
        self.chat(session_id="session-0")
        self.service.last.reply.delta("On")
        self.service.last.reply.notice("It takes a while.")
        delta, notice = events(client.take_one())[2:]
        self.assertEqual(delta, Frame({"text": "On"}, "delta"))
        self.assertEqual(notice, Frame({"text": "It takes a while."}, "notice"))

    def test_silence_is_broken(self) -> None:
        client = self.follow("session-0")
        self.clock.pump([1] * 60)
        self.assertEqual(comments(client.take_one()), 1 + 4 + 4)

    def test_a_client_that_does_not_read_gets_it_all_in_order_afterwards(self) -> None:
        client = self.follow("session-0")
        client.stop_reading()
        self.chat(session_id="session-0")
        for at in range(500):
            self.service.last.reply.paragraph(f"<p>{at} {'x' * 1_000}</p>")
            self.service.last.reply.delta("more")
        self.assertLess(len(client._unread), 70_000)
        self.answer()
        while len(client._unread) > 0:
            client.sip()
        client.read_on()
        self.assertEqual(numbered(client), list(range(1, 504)))

    def test_no_more_than_so_many_may_follow(self) -> None:
        self.serve(conversation=ConversationSettings(followers=3))
        self.call("POST", "/api/session/new")
        clients = [self.follow("session-0") for _ in range(4)]
        response = clients[3].take_one()
        self.assertIn("Too many", self.refused(response, 429))
        self.assertEqual(response.headers["retry-after"], "10")
        clients[0].hang_up()
        self.assertEqual(self.follow("session-0").take_one().status, 200)

    def test_followers_are_counted_down(self) -> None:
        clients = [self.follow("session-0") for _ in range(3)]
        self.assertEqual(self.desk.followers, 3)
        clients[0].hang_up()
        clients[1].vanish()
        self.assertEqual(self.desk.followers, 1)
        clients[2].vanish()
        self.assertEqual(self.desk.followers, 0)

    def test_a_follower_that_goes_away_leaves_the_reply_alone(self) -> None:
        chat = self.chat(session_id="session-0")
        self.follow("session-0", "?live=0").vanish()
        self.follow("session-0").hang_up()
        self.answer("<p>One.</p>")
        self.assertEqual(chat.take_one().json["response"], "<p>One.</p>")

    def test_asking_for_the_head_only(self) -> None:
        response = self.call("HEAD", "/api/session/session-0/events")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(self.desk.followers, 0)


class EndTests(HttpScene):
    def test_a_deleted_session_ends(self) -> None:
        self.answered("s")
        client = self.follow("s")
        self.call("DELETE", "/api/reset/s")
        response = client.take_one()
        self.assertTrue(response.whole)
        last = events(response)[-1]
        self.assertEqual((last.event, last.data), ("end", {"reason": "deleted"}))
        again = self.follow("s", "", [("Last-Event-ID", "5")])
        self.assertEqual(again.take_one().status, 204)
        self.refused(self.follow("s").take_one(), 404)

    def test_a_reset_is_an_event(self) -> None:
        self.answered("s")
        live, past = self.follow("s"), ["?after=2", "?after=5"]
        self.call("POST", "/api/reset/s")
        self.assertEqual(numbered(live), [1, 2, 3, 4, 5, 6])
        for query in past:
            self.assertEqual(numbered(self.follow("s", query)), [6])

    def test_at_the_end_of_the_process_idle_followers_are_sent_elsewhere(self) -> None:
        self.call("POST", "/api/session/new")
        idle = self.follow("session-0")
        self.chat(session_id="s")
        busy = self.follow("s")
        self.desk.drain(self.clock, 25)
        self.server.drain(28)
        self.bye(idle.take_one())
        self.assertFalse(busy.take_one().whole)
        self.answer("<p>One.</p>")
        response = busy.take_one()
        self.assertEqual(events(response)[-2].event, "reply_ended")
        self.bye(response)

    def bye(self, response: Response) -> None:
        self.assertTrue(response.whole)
        last = frames(response)[-1]
        self.assertEqual((last.event, last.data), ("bye", {"reason": "closing"}))
        self.assertTrue(1000 <= int(last.retry) <= 3000)
        self.assertEqual(last.id, "")


class SlowTests(HeldScene):
    def test_from_a_store_that_takes_its_time(self) -> None:
        self.serve(self.held, ConversationSettings(batch=2))
        self.chat(session_id="s")
        self.held.settle()
        self.answer("<p>One.</p>", "<p>Two.</p>")
        self.held.settle()
        live, past = self.follow("s"), self.follow("s", "?live=0&after=1")
        self.assertEqual(numbered(live), [])
        self.chat(session_id="s")
        self.held.settle()
        self.assertEqual(numbered(live), [1, 2, 3, 4, 5, 6, 7])
        self.assertEqual(numbered(past), [2, 3, 4, 5])
        self.assertEqual(past.take(), [])  # it is whole

    def test_an_event_is_sent_when_it_is_stored(self) -> None:
        self.chat(session_id="s")
        self.held.settle()
        client = self.follow("s", "?after=2")
        self.service.last.reply.paragraph("<p>One.</p>")
        self.assertEqual(numbered(client), [])
        self.held.store()
        self.assertEqual(numbered(client), [3])

    def test_what_can_not_be_read_ends_the_stream_and_goes_on_later(self) -> None:
        self.chat(session_id="s")
        self.held.settle()
        client = self.follow("s", "?after=1")
        self.held.reads.pop(0).done.errback(StoreError("gone"))
        response = client.take_one()
        self.assertTrue(response.whole)
        self.assertEqual(events(response), [])
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        client = self.follow("s", "?after=1")
        self.held.settle()
        self.assertEqual(numbered(client), [2])

    def test_what_can_not_be_found_is_told(self) -> None:
        client = self.follow("s")
        self.held.searches.pop(0).done.errback(StoreError("gone"))
        self.refused(client.take_one(), 503)


class SharedTests(HeldScene):
    """Another process may write to the same transcripts."""

    def setUp(self) -> None:
        super().setUp()
        self.held.lasting = self.held.shared = True
        self.serve(self.held)

    def test_each_sign_of_life_looks_for_what_others_stored(self) -> None:
        self.chat(session_id="s")
        self.held.settle()
        self.answer("<p>One.</p>")
        self.held.settle()
        client = self.follow("s", "?after=4")
        self.held.settle()
        other, self.clients = self.clients, []
        clock, desk, server = self.clock, self.desk, self.server
        self.serve(self.held, clock=clock)  # the other process
        self.chat("hello", session_id="s")
        self.held.settle()
        self.desk, self.server = desk, server
        self.clients += other
        self.assertEqual(numbered(client), [])
        clock.advance(1)
        self.held.settle()
        self.assertEqual(numbered(client), [5, 6, 7, 8])

    def test_a_store_that_is_gone_meanwhile_does_no_harm(self) -> None:
        self.chat("hello", session_id="s")
        self.held.settle()
        client = self.follow("s", "?after=4")
        self.held.settle()
        for _ in range(2):
            self.clock.advance(2)
            for held in self.held.searches:
                held.done.errback(StoreError("gone"))
            self.held.searches.clear()
        self.assertFalse(client.take_one().whole)
