"""A session's events a page at a time: what is there, else the first that come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from supportbot.channels.http.polling import Polled
from supportbot.errors import StoreError
from supportbot.events import CustomerSaid
from supportbot.settings import ConversationSettings
from tests.fakes import Held
from tests.http_client import HttpClient
from tests.http_fakes import Held as Store
from tests.http_fakes import HeldScene, HttpScene, frames

SESSION = "session-0"


def seqs(page: Any) -> list[int]:
    return [event["seq"] for event in page["events"]]


class PollScene(HttpScene):
    def poll(self, after: int = 0, wait: int = 0, session: str = SESSION) -> HttpClient:
        """A client that asks for what is behind a number."""
        return self.follow(session, f"?stream=false&after={after}&wait={wait}")

    def page(self, client: HttpClient) -> Any:
        """The one page that a client got."""
        response = client.take_one()
        self.assertEqual(response.status, 200, response.body)
        self.assertTrue(response.whole)
        self.assertEqual([*response.json], ["events", "more", "notice"])
        return response.json

    def say(self, message: str = "help", session: str = SESSION) -> None:
        self.ask("POST", f"/api/session/{session}/messages", {"message": message})

    def waits(self, *clients: HttpClient) -> None:
        """So many wait, and are followers as long as they do."""
        for client in clients:
            self.assertEqual(client.take(), [])
        self.assertEqual(self.desk.followers, len(clients))

    def empty(self, client: HttpClient) -> None:
        told = {"events": [], "more": False, "notice": ""}
        self.assertEqual(self.page(client), told)
        self.assertEqual(self.desk.followers, 0)


class PastTests(PollScene):
    def setUp(self) -> None:
        super().setUp()
        self.serve(conversation=ConversationSettings(batch=3))
        self.answered("s")  # events 1 to 5

    def test_events_are_those_of_the_stream(self) -> None:
        response = self.poll(session="s").take_one()
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["cache-control"], "no-store")
        pages = [response.json, self.page(self.poll(3, session="s"))]
        streamed = frames(self.follow("s", "?live=0").take_one())
        data = [frame.data for frame in streamed if frame.id]
        self.assertEqual([one for page in pages for one in page["events"]], data)
        self.assertEqual([page["more"] for page in pages], [True, False])
        self.assertEqual([page["notice"] for page in pages], ["", ""])

    def test_from_every_number_on(self) -> None:
        for wait in (0, 30):
            for after in range(5):
                page = self.page(self.poll(after, wait, "s"))
                expected = [seq for seq in range(1, 6) if seq > after][:3]
                self.assertEqual(seqs(page), expected)
                self.assertEqual(page["more"], after < 2)
        for after in (5, 6, 2**31 - 1):
            self.empty(self.poll(after, session="s"))

    def test_the_number_in_a_header_wins_here_too(self) -> None:
        last = [("Last-Event-ID", "4")]
        page = self.page(self.follow("s", "?stream=0&after=1", last))
        self.assertEqual(seqs(page), [5])

    def test_what_does_not_fit(self) -> None:
        for name, values in (
            ("wait", ("-1", "31", "x", "1.5", "nan", "1e9")),
            ("stream", ("perhaps", "2")),
        ):
            for value in values:
                response = self.follow("s", f"?{name}={value}").take_one()
                self.refused(response, 422, f"#/{name}")

    def test_what_is_meant_for_streams_only_does_not_count(self) -> None:
        self.empty(self.follow("s", "?stream=false&live=false&after=5"))
        client = self.follow("s", "?stream=false&live=false&after=5&wait=1")
        self.waits(client)
        self.clock.advance(1)
        self.empty(client)

    def test_streams_do_not_wait(self) -> None:
        response = self.follow("s", "?wait=30&after=5").take_one()
        self.assertEqual(
            response.headers["content-type"], "text/event-stream; charset=utf-8"
        )
        self.assertEqual(
            self.follow("s", "?wait=9&live=0&after=5").take_one().status, 204
        )

    def test_one_that_nobody_knows(self) -> None:
        for target in ("x", "a%20b"):
            for last in ([], [("Last-Event-ID", "4")]):
                client = self.follow(target, "?stream=false&wait=9", last)
                self.refused(client.take_one(), 404)

    def test_the_session_of_a_header(self) -> None:
        session = [("Session-Id", "s")]
        page = self.page(self.follow("@me", "?stream=false&after=4", session))
        self.assertEqual(seqs(page), [5])
        self.refused(self.follow("@me", "?stream=false").take_one(), 400)

    def test_asking_for_the_head_only(self) -> None:
        target = "/api/session/s/events?stream=false&wait=5"
        response = self.call("HEAD", target)
        self.assertEqual((response.status, response.body), (200, b""))
        length = len(self.call("GET", target).body)
        self.assertEqual(response.headers["content-length"], str(length))
        self.assertEqual(self.desk.followers, 0)

    def test_html_is_made_harmless(self) -> None:
        self.chat(session_id="s")
        self.answer("<p>One.<script>alert(1)</script></p>")
        page = self.page(self.poll(7, session="s"))
        self.assertEqual(page["events"][0]["text"], "<p>One.</p>")

    def test_what_a_reset_forgot(self) -> None:
        self.call("POST", "/api/reset/s")
        for after in range(6):
            page = self.page(self.poll(after, session="s"))
            self.assertEqual((seqs(page), page["more"]), ([6], False))


class WaitingTests(PollScene):
    def setUp(self) -> None:
        super().setUp()
        self.call("POST", "/api/session/new")

    def turn(self) -> None:
        """The next turn of the reactor, in which no time goes by."""
        self.clock.advance(0)

    def test_for_as_long_as_was_asked_for(self) -> None:
        for wait in (1, 7, 30):
            client = self.poll(wait=wait)
            self.clock.advance(wait - 0.5)
            self.waits(client)
            self.clock.advance(0.5)
            self.empty(client)

    def test_for_the_first_event(self) -> None:
        client = self.poll(wait=30)
        self.clock.advance(29)
        self.say("hello")  # is answered at once
        self.turn()
        page = self.page(client)
        self.assertEqual((seqs(page), page["more"]), ([1, 2, 3, 4], False))
        self.assertEqual(self.desk.followers, 0)

    def test_each_paragraph_comes_at_once(self) -> None:
        self.say()
        for seq in (3, 4, 5):
            client = self.poll(seq - 1, 30)
            self.waits(client)
            self.service.last.reply.paragraph("<p>One.</p>")
            self.turn()
            self.assertEqual(seqs(self.page(client)), [seq])

    def test_events_that_come_together_go_together(self) -> None:
        self.say()
        client = self.poll(2, 30)
        self.answer("<p>One.</p>", "<p>Two.</p>")
        self.assertEqual(client.take(), [])
        self.turn()
        self.assertEqual(seqs(self.page(client)), [3, 4, 5])

    def test_but_not_more_of_them_than_fit(self) -> None:
        self.serve(conversation=ConversationSettings(batch=2))
        self.call("POST", "/api/session/new")
        client = self.poll(0, 30)
        self.say()
        page = self.page(client)
        self.assertEqual((seqs(page), page["more"]), ([1, 2], False))
        client = self.poll(2, 30)
        self.answer(*["<p>.</p>"] * 5)
        page = self.page(client)
        self.assertEqual((seqs(page), page["more"]), ([3, 4], False))  # at that moment
        page = self.page(self.poll(4, 30))
        self.assertEqual((seqs(page), page["more"]), ([5, 6], True))
        page = self.page(self.poll(6, 30))
        self.assertEqual((seqs(page), page["more"]), ([7, 8], False))
        self.turn()

    def test_events_of_long_ago_are_not_waited_for(self) -> None:
        client = self.poll(9, 3)
        self.answered(SESSION)
        self.turn()
        self.assertEqual(client.take(), [])
        self.clock.advance(3)
        self.empty(client)

    def test_for_a_notice(self) -> None:
        self.say()
        client = self.poll(2, 30)
        self.service.last.reply.delta("On")
        self.turn()
        self.assertEqual(client.take(), [])  # nothing of what only grows
        self.service.last.reply.notice("It takes a while.")
        self.turn()
        told = {"events": [], "more": False, "notice": "It takes a while."}
        self.assertEqual(self.page(client), told)

    def test_for_both(self) -> None:
        self.say()
        client = self.poll(2, 30)
        self.service.last.reply.notice("It takes a while.")
        self.service.last.reply.notice("It takes two.")
        self.service.last.reply.paragraph("<p>One.</p>")
        self.turn()
        page = self.page(client)
        self.assertEqual((seqs(page), page["notice"]), ([3], "It takes two."))

    def test_those_who_go_away_leave_nothing(self) -> None:
        hung_up, gone, stays = (self.poll(wait=30) for _ in range(3))
        self.waits(hung_up, gone, stays)
        gone.vanish()
        hung_up.hang_up()
        self.waits(stays)
        self.answered(SESSION)
        self.turn()
        self.assertEqual(seqs(self.page(stays)), [1, 2, 3, 4, 5])
        self.assertEqual(gone.take() + hung_up.take(), [])

    def test_who_goes_away_in_the_turn_of_the_answer(self) -> None:
        client = self.poll(wait=30)
        self.answered(SESSION)
        client.vanish()
        self.turn()
        self.assertEqual(client.take(), [])
        self.assertEqual(self.desk.followers, 0)

    def test_a_deleted_session(self) -> None:
        clients = [self.poll(wait=30) for _ in range(2)]
        self.say()
        clients.append(self.poll(2, 30))
        self.call("DELETE", f"/api/reset/{SESSION}")
        for client in clients:
            self.assertIn("not found", self.refused(client.take_one(), 404))
        self.assertEqual(self.desk.followers, 0)

    def test_a_reset_session(self) -> None:
        self.answered(SESSION)
        client = self.poll(5, 30)
        self.call("POST", f"/api/reset/{SESSION}")
        self.turn()
        page = self.page(client)
        self.assertEqual(page["events"][0]["type"], "conversation_reset")
        self.assertEqual(seqs(page), [6])

    def test_no_more_than_so_many_may_follow(self) -> None:
        self.serve(conversation=ConversationSettings(followers=3))
        self.call("POST", "/api/session/new")
        waiting, again = self.poll(wait=30), self.poll(wait=30)
        self.follow(SESSION)
        for client in (self.poll(), self.poll(wait=30), self.follow(SESSION)):
            response = client.take_one()
            self.assertIn("Too many", self.refused(response, 429))
            self.assertEqual(response.headers["retry-after"], "10")
        self.clock.advance(30)
        self.empty_page(waiting, again)
        self.assertEqual(self.follow(SESSION).take_one().status, 200)
        self.assertEqual(self.page(self.poll())["events"], [])

    def empty_page(self, *clients: HttpClient) -> None:
        for client in clients:
            self.assertEqual(self.page(client)["events"], [])

    def test_at_the_end_of_the_process_it_is_answered_at_once(self) -> None:
        self.say()
        client = self.poll(2, 30)
        self.desk.drain(self.clock, 25)
        self.server.drain(28)
        response = client.take_one()
        self.assertEqual(response.json, {"events": [], "more": False, "notice": ""})
        self.assertEqual(response.headers["connection"], "close")
        self.answer()
        self.clock.advance(0)

    def test_many_rounds_leave_nothing(self) -> None:
        client = self.join()
        for seq in range(1, 50):
            target = f"/api/session/{SESSION}/events?stream=false&wait=30&after={seq}"
            client.request("GET", target)
            self.clock.advance(30)
            self.assertEqual(self.page(client)["events"], [])
            self.assertEqual(self.desk.followers, 0)
            timers = len(self.clock.getDelayedCalls())
            self.assertLessEqual(timers, len(self.clients))

    def test_a_wait_that_is_cancelled(self) -> None:
        finding = Deferred.fromCoroutine(self.desk.find(SESSION))
        conversation = self.successResultOf(finding)
        assert conversation is not None
        timers = len(self.clock.getDelayedCalls())
        polled = Polled(self.clock, conversation, 0, 30, self.settings)
        self.assertEqual(self.desk.followers, 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), timers + 1)
        polled.page.cancel()
        self.failureResultOf(polled.page, CancelledError)
        self.assertEqual(self.desk.followers, 0)
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)
        for too_late in (polled.end, polled.over, polled.lost):
            too_late()


class SlowTests(PollScene, HeldScene):
    """A store that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(self.held, ConversationSettings(batch=3))
        self.chat(session_id=SESSION)
        self.held.settle()
        self.answer("<p>One.</p>", "<p>Two.</p>")
        self.held.settle()  # events 1 to 5

    def test_what_is_there_is_read_however_long_it_takes(self) -> None:
        for wait in (0, 5):
            client = self.poll(3, wait)
            self.waits(client)
            self.clock.advance(60)
            self.waits(client)
            self.held.give()
            self.assertEqual(seqs(self.page(client)), [4, 5])
            self.assertEqual(self.held.reads, [])  # nothing more is read
            self.assertEqual(self.desk.followers, 0)

    def test_one_page_is_read_and_no_more(self) -> None:
        client = self.poll(1)
        self.held.give()
        page = self.page(client)
        self.assertEqual((seqs(page), page["more"]), ([2, 3, 4], True))
        self.assertEqual(self.held.reads, [])

    def test_what_comes_while_it_is_read(self) -> None:
        client = self.poll(4, 30)
        self.chat("hello", session_id=SESSION)
        self.held.store()
        self.held.give()  # of the two
        self.assertEqual(seqs(self.page(client)), [5, 6])

    def test_an_event_is_sent_when_it_is_stored(self) -> None:
        client = self.poll(5, 30)
        self.chat("hello", session_id=SESSION)
        self.clock.advance(0)
        self.waits(client)
        self.held.store()
        self.clock.advance(0)
        self.assertEqual(seqs(self.page(client)), [6])

    def test_at_the_end_of_the_process_no_reading_is_waited_for(self) -> None:
        client = self.poll(3, 30)
        self.desk.drain(self.clock, 25)
        self.server.drain(28)
        self.assertEqual(self.page(client), {"events": [], "more": True, "notice": ""})
        self.held.settle()

    def test_who_goes_away_meanwhile(self) -> None:
        self.poll(3, 30).vanish()
        self.assertEqual(self.desk.followers, 0)
        self.held.settle()

    def test_what_can_not_be_read_is_told(self) -> None:
        client = self.poll(1, 30)
        self.held.reads.pop(0).done.errback(StoreError("gone"))
        response = client.take_one()
        self.refused(response, 503)
        self.assertEqual(response.headers["retry-after"], "5")
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(self.desk.followers, 0)
        client = self.poll(1, 30)
        self.held.settle()
        self.assertEqual(seqs(self.page(client)), [2, 3, 4])

    def test_what_can_not_be_found_is_told(self) -> None:
        client = self.poll(session="other")
        self.held.searches.pop(0).done.errback(StoreError("gone"))
        self.refused(client.take_one(), 503)

    def test_who_has_gone_before_it_is_found(self) -> None:
        self.poll(0, 30, session="other").vanish()
        self.held.transcripts["other"] = self.held.transcripts[SESSION][:1]
        self.held.settle()
        self.assertEqual(self.desk.followers, 0)


class SharedTests(PollScene, HeldScene):
    """Another process may write to the same transcripts, and erase them."""

    def setUp(self) -> None:
        super().setUp()
        self.held.lasting = self.held.shared = True
        self.serve(self.held)
        self.chat(session_id=SESSION)
        self.held.settle()
        self.answer()
        self.held.settle()  # events 1 to 3
        self.client = self.poll(3, 30)
        self.held.settle()

    def test_looks_for_what_others_stored(self) -> None:
        looks = []
        for second in range(1, 31):
            self.clock.advance(1)
            if self.held.searches:
                looks.append(second)
            self.held.settle()
        self.assertEqual(looks, [1, 3, 7, 15, 25])
        self.empty(self.client)
        self.clock.advance(30)
        self.assertEqual(self.held.searches, [])

    def test_finds_what_others_stored(self) -> None:
        said = CustomerSaid(seq=4, at=0.0, text="hello", message_id="m")
        self.held.transcripts[SESSION].append(said)
        self.waits(self.client)
        self.clock.advance(1)
        self.held.settle()
        self.clock.advance(0)
        self.assertEqual(seqs(self.page(self.client))[0], 4)
        self.held.settle()

    def test_finds_that_others_erased_it(self) -> None:
        self.held.transcripts.clear()
        self.clock.advance(1)
        self.waits(self.client)
        self.held.settle()
        self.refused(self.client.take_one(), 404)
        self.assertEqual(self.desk.followers, 0)

    def test_a_store_that_is_gone_meanwhile_does_no_harm(self) -> None:
        for _ in range(3):
            self.clock.advance(4)
            for held in self.held.searches:
                held.done.errback(StoreError("gone"))
            self.held.searches.clear()
        self.waits(self.client)
        self.clock.advance(18)
        self.empty(self.client)

    def test_who_goes_away_looks_no_more(self) -> None:
        self.client.vanish()
        self.clock.advance(30)
        self.assertEqual(self.held.searches, [])


class Reader:
    """Somebody who reads a session, one way or the other.

    Attributes:
        seen: numbers of the events that came, in order.
    """

    def __init__(self, scene: PollScene, after: int) -> None:
        self._scene, self._after, self.seen = scene, after, list[int]()
        self._client: HttpClient | None = None
        self._polls = False
        self._taken = 0  # of the stream

    @property
    def last(self) -> int:
        """The number of the last event that it has."""
        return self.seen[-1] if self.seen else self._after

    @property
    def waits(self) -> bool:
        """Whether it waits for a page."""
        self.read()
        return self._polls and self._client is not None

    def poll(self, wait: int) -> None:
        self.leave()
        self._polls, self._client = True, self._scene.poll(self.last, wait)

    def stream(self) -> None:
        self.leave()
        query = f"?after={self.last}"
        self._polls, self._client = False, self._scene.follow(SESSION, query)
        self._taken = 0

    def read(self) -> None:
        """Take what has come."""
        if self._client is None:
            return
        for response in self._client.take():
            if self._polls:
                self.seen += seqs(response.json)
                self._client = None
            else:
                came = [int(one.id) for one in frames(response) if one.id]
                self.seen += came[self._taken :]
                self._taken = len(came)

    def leave(self) -> None:
        """Go away, whatever has come and was not read."""
        if self._client is not None:
            self._client.vanish()
            self._client = None


class RhythmTests(PollScene, HeldScene):
    """Whoever polls and streams as it comes sees every event once and in order."""

    def queues(self) -> list[list[Held[Any]]]:
        queues: tuple[list[Held[Any]], ...] = (
            self.held.appends,
            self.held.reads,
            self.held.searches,
        )
        return [queue for queue in queues if queue]

    # What happens, with a number

    def says(self, number: int) -> None:
        self.say("help" if number else "hello")

    def paragraphs(self, number: int) -> None:
        if self.service.asked and not self.service.last.over:
            for _ in range(number):
                self.service.last.reply.paragraph("<p>.</p>")

    def ends(self, number: int) -> None:
        if self.service.asked and not self.service.last.over:
            self.service.last.reply.notice("It takes a while.")
            self.service.last.end()

    def polls(self, number: int) -> None:
        self.reader(number).poll(wait=number)

    def streams(self, number: int) -> None:
        self.reader(number).stream()

    def reads(self, number: int) -> None:
        self.reader(number).read()

    def leaves(self, number: int) -> None:
        self.reader(number).leave()

    def stores(self, number: int) -> None:
        if queues := self.queues():
            queues[number % len(queues)].pop(0).fire()

    def settles(self, number: int) -> None:
        self.held.settle()

    def time_passes(self, number: int) -> None:
        self.clock.advance(number / 2)

    def reader(self, number: int) -> Reader:
        return self.readers[number % len(self.readers)]

    @given(
        lasting=st.booleans(),
        afters=st.lists(st.integers(0, 7), min_size=1, max_size=3),
        happenings=st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        *(says, paragraphs, paragraphs, ends),
                        *(polls, polls, polls, streams, reads, leaves),
                        *(stores, stores, settles, time_passes),
                    ]
                ),
                st.integers(0, 7),
            ),
            max_size=60,
        ),
    )
    def test_every_event_once_and_in_order(
        self,
        lasting: bool,
        afters: list[int],
        happenings: list[tuple[Callable[[RhythmTests, int], None], int]],
    ) -> None:
        self.held = Store()
        self.held.lasting = lasting
        self.serve(self.held, ConversationSettings(batch=3))
        self.ask("POST", "/api/session/new")
        self.held.settle()
        transcript = self.held.transcripts[SESSION]
        self.say()
        self.held.settle()
        self.paragraphs(5)
        self.held.settle()  # events 1 to 7
        self.readers = [Reader(self, after) for after in afters]
        for happen, number in happenings:
            happen(self, number)
            if not self.queues():  # nobody waits for what is there
                self.clock.advance(0)
                for reader in self.readers:
                    waits = reader.waits
                    self.assertFalse(waits and reader.last < len(transcript))
        self.held.settle()
        for reader, after in zip(self.readers, afters, strict=True):
            reader.read()
            while reader.last < len(transcript):
                reader.poll(wait=0)
                self.held.settle()
                reader.read()
            self.assertEqual(reader.seen, [*range(after + 1, len(transcript) + 1)])
            reader.leave()
        self.assertEqual(self.desk.followers, 0)
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.held.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])
