"""Sessions whose connections are lost: who goes on with them, and what is told then."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.channels.limits import Allowance
from supportbot.channels.websocket import sessions as sessions_module
from supportbot.channels.websocket.session import Session
from supportbot.channels.websocket.sessions import Sessions, new_id
from supportbot.channels.websocket.shapes import Post, Sent
from supportbot.dispatcher import Dispatcher, Route
from supportbot.errors import BodyCut
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.frontdesk import FrontDesk
from supportbot.services.signpost import Signpost
from supportbot.settings import (
    ConversationSettings,
    HttpSettings,
    WebSocketSettings,
)
from tests.fakes import Asked, ScriptedService
from tests.http_fakes import Held
from tests.websocket_client import WebSocketClient
from tests.websocket_fakes import (
    BEGUN,
    CLOSED,
    END,
    FAILED,
    GRACE,
    NOT_FOUND,
    OVER,
    HeldLasting,
    Lasting,
    Passing,
    Shown,
    WebSocketScene,
    Written,
    error,
    kinds,
)

UNKNOWN = "00000000-0000-4000-8000-ffffffffffff"
REACTS = 2.0


def resumed(session: str, last_seq: int) -> dict[str, object]:
    """What comes first when a session is gone on with."""
    told = {"session_id": session, "last_seq": last_seq}
    return {"type": "session_resume", "data": told}


def absent(session: str) -> list[dict[str, object]]:
    """What is told when it can't be."""
    return [error(NOT_FOUND, session_id=session)]


class TestResuming(WebSocketScene):
    def setUp(self) -> None:
        self.serve(Lasting())

    def test_the_rest_of_an_answer(self) -> None:
        client, session = self.begun(stream=True, message_id="m1")
        self.service.last.reply.paragraph("<p>1</p>")
        self.lose(client)
        self.assertEqual(self.desk.followers, 0)
        self.service.last.reply.paragraph("<p>2</p>")
        self.assertFalse(self.service.last.over)
        client = self.meet()
        mark = {"session_id": session, "message_id": "m1"}
        self.assertEqual(
            self.resume(client, session, 3, stream=True),
            [
                resumed(session, 4),
                {**BEGUN, **mark, "seq": 1},
                {
                    "type": "message_chunk",
                    "data": {"seq": 4, "text": "<p>2</p>", "format": "html"},
                    **mark,
                },
            ],
        )
        self.answer("<p>3</p>")
        _, message, end = client.take()
        self.assertEqual(
            message,
            {"type": "message", "data": "<p>1</p><p>2</p><p>3</p>", "seq": 6, **mark},
        )
        self.assertEqual(end, {**END, **mark})

    def test_whole_answers_to_who_does_not_stream(self) -> None:
        client, session = self.begun()
        self.say(client, session, "help 2")
        self.lose(client)
        self.answer("<p>1</p>")
        client = self.meet()
        told = self.resume(client, session)
        self.answer("<p>2</p>")
        told += client.take()
        self.assertEqual(
            kinds(told),
            [
                *("session_resume", "processing_start", "message", "processing_end"),
                *("processing_start", "message", "processing_end"),
            ],
        )
        ids = [
            one.message_id
            for one in self.events(session)
            if isinstance(one, CustomerSaid)
        ]
        for one, id in zip(told[1:], [ids[0]] * 3 + [ids[1]] * 3, strict=True):
            self.assertEqual((one["session_id"], one["message_id"]), (session, id))
        self.assertEqual(
            [one["data"] for one in told if one["type"] == "message"],
            ["<p>1</p>", "<p>2</p>"],
        )
        self.say(client, session)
        self.assertEqual(client.take(), [BEGUN])  # as it asks for it itself

    def test_the_number_of_a_whole_answer_is_enough_to_go_on_from(self) -> None:
        client, session = self.begun()
        self.answer("<p>1</p>")
        _, first, _ = client.take()
        self.say(client, session, "help 2")
        self.answer("<p>2</p>")
        self.lose(client)
        client = self.meet()
        _, _, message, end = self.resume(client, session, first["seq"])
        last = self.events(session)[-1].seq
        self.assertEqual((message["data"], message["seq"]), ("<p>2</p>", last))
        self.assertEqual(end["type"], "processing_end")
        self.lose(client)
        client = self.meet()
        told = self.resume(client, session, message["seq"])
        self.assertEqual(told, [resumed(session, last)])

    def test_from_each_number(self) -> None:
        client, session = self.begun()
        reply = self.service.last.reply
        reply.paragraph("<p>1</p>")
        reply.paragraph("<p>2</p>")
        reply.revise(1)
        self.answer("<p>3</p>")
        self.say(client, session, "help 2")
        self.say(client, session, "help 3")
        self.answer("<p>4</p>")
        self.service.last.fail(BodyCut("cut"))
        self.say(client, session, "help 4")
        self.service.last.reply.paragraph("<p>5</p>")
        events = self.events(session)
        last = events[-1].seq
        numbers = {
            "message_chunk": "paragraph_said",
            "message_revised": "reply_revised",
            "message": "reply_ended",
            "error": "reply_ended",
        }
        for after in range(last + 2):
            self.lose(client)
            client = self.meet()
            told = self.resume(client, session, after, stream=True)
            self.assertEqual(told[0], resumed(session, last))
            came = [
                (numbers[one["type"]], one.get("seq") or one["data"]["seq"])
                for one in told
                if one["type"] in numbers
                and not (one["type"] == "message_revised" and not one["data"]["keep"])
            ]
            due = [
                (str(one.__struct_config__.tag), one.seq)
                for one in events
                if one.seq > after
                and str(one.__struct_config__.tag) in numbers.values()
            ]
            self.assertEqual(came, due, after)
            texts = [one["data"] for one in told if one["type"] == "message"]
            whole = ["<p>1</p><p>3</p>", "<p>4</p>"]
            self.assertEqual(texts, whole[2 - len(texts) :])

    def test_cut_at_each_moment(self) -> None:
        """What came before the cut and after it is the transcript, once, in order."""

        def cut(reply: Any) -> None:
            self.service.last.fail(BodyCut("cut"))

        steps: list[Callable[[Any], None]] = [
            lambda reply: reply.delta("<p>gr"),
            lambda reply: reply.paragraph("<p>1</p>"),
            lambda reply: reply.paragraph("<p>2</p>"),
            lambda reply: reply.revise(1),
            lambda reply: reply.paragraph("<p>3</p>"),
            lambda reply: self.service.last.end(),
            lambda reply: reply.paragraph("<p>4</p>"),
            cut,
            lambda reply: reply.revise(0),
            lambda reply: reply.paragraph("<p>5</p>"),
            lambda reply: self.service.last.end(),
        ]
        for first in range(len(steps) + 1):
            for away in range(4):
                self.serve(Lasting())
                client = self.meet()
                session = self.start(client)
                shown = Shown(session)
                for id in ("m1", "m2", "m3"):
                    self.say(client, session, stream=True, message_id=id)
                for number, step in enumerate(steps):
                    if number == first:
                        for one in client.take():
                            shown.take(one)
                        self.lose(client)
                    if number == first + away:
                        client = self.meet()
                        for one in self.resume(
                            client, session, shown.after, stream=True
                        ):
                            shown.take(one)
                    step(self.service.last.reply)
                if client.closed:
                    client = self.meet()
                    for one in self.resume(client, session, shown.after, stream=True):
                        shown.take(one)
                for one in client.take():
                    shown.take(one)
                self.compare(shown)
                self.lose(client)
                self.clock.advance(GRACE)

    def compare(self, shown: Shown) -> None:
        written = Written(self.events(shown.session))
        self.assertEqual(shown.faults, [])
        self.assertEqual(set(shown.ends), written.ended)
        for id, chunks in written.chunks.items():
            self.assertEqual(shown.chunks[id], chunks)
        for id, text in shown.ends.items():
            self.assertEqual(text, written.texts.get(id))

    def test_pieces_of_an_earlier_try_are_taken_back(self) -> None:
        client, session = self.begun(stream=True, message_id="m1")
        self.service.last.reply.paragraph("<p>1</p>")
        self.service.last.fail(BodyCut("cut"))  # 4
        self.say(client, session, stream=True, message_id="m1")
        self.service.last.reply.paragraph("<p>2</p>")  # 6
        mark = {"session_id": session, "message_id": "m1"}
        back = {"type": "message_revised", "data": {"seq": 5, "keep": 0}, **mark}
        for after, told in ((0, []), (1, []), (3, [back]), (4, [back]), (5, [])):
            self.lose(client)
            client = self.meet()
            came = self.resume(client, session, after, stream=True)
            self.assertEqual(came[2:-1], told, after)
            self.assertEqual(came[-1]["data"]["seq"], 6)
        self.lose(client)
        client = self.meet()
        came = self.resume(client, session, 6, stream=True)
        self.assertEqual(kinds(came), ["session_resume", "processing_start"])

    def test_it_was_asked_again_and_that_has_not_begun(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client, session = self.begun(stream=True, message_id="m1")
        store.settle()
        self.service.last.fail(BodyCut("cut"))
        store.settle()
        cut = client.take()[-1]["seq"]
        self.say(client, session, stream=True, message_id="m1")
        store.searches.pop().fire()
        self.assertEqual(len(store.appends), 1)  # that it begins
        self.lose(client)
        client = self.meet()
        told = self.resume(client, session, cut, stream=True)
        store.settle()
        self.answer("<p>2</p>")
        store.settle()
        self.assertEqual(
            kinds(told + client.take()),
            [
                *("session_resume", "processing_start", "message_revised"),
                *("message_chunk", "message", "processing_end"),
            ],
        )

    def test_what_was_asked_on_the_lost_connection_is_told_in_its_place(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client, session = self.begun(stream=True)
        store.settle()
        self.answer("<p>1</p>")
        store.settle()
        seen = client.take()[-2]["seq"]
        self.say(client, session, "help 2", stream=True)  # it waits for the store
        for _ in range(2):
            self.lose(client)
            client = self.meet()
            resume = {"session_id": session, "after": seen, "stream": True}
            client.post({"action": "chatbot_session_resume", **resume})
        store.settle()
        self.answer("<p>2</p>")
        store.settle()
        self.assertEqual(
            kinds(client.take()),
            [
                *("session_resume", "processing_start", "message_chunk"),
                *("message", "processing_end"),
            ],
        )

    def test_one_is_asked_again_while_an_earlier_answer_is_told(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client, session = self.begun(stream=True, message_id="m0")
        store.settle()
        self.answer("<p>0</p>")
        store.settle()
        for id in ("m1", "m2"):
            self.say(client, session, id + " help", stream=True, message_id=id)
            store.settle()
        self.lose(client)
        self.service.last.fail(BodyCut("cut"))  # m1; m2 is being answered now
        store.settle()
        client = self.meet()
        asked = {"action": "chatbot_session_resume", "session_id": session}
        client.post({**asked, "after": 0, "stream": True})
        while store.searches:  # found; but nothing of m0 is read yet
            store.searches.pop(0).fire()
        self.say(client, session, "m1 help", stream=True, message_id="m1")
        while store.searches:
            store.searches.pop(0).fire()
        store.settle()
        self.answer("<p>2</p>")  # m2
        store.settle()
        self.answer("<p>1</p>")  # m1, asked again
        store.settle()
        told = client.take()
        ends = [one["seq"] for one in told if one["type"] in {"message", "error"}]
        self.assertEqual(ends, sorted(ends))
        self.assertEqual(len(ends), 4)

    def test_answers_come_in_the_order_in_which_they_were_given(self) -> None:
        client, session = self.begun(message_id="m1")
        self.service.last.fail(BodyCut("cut"))
        self.say(client, session, message_id="m2")
        self.say(client, session, message_id="m3")
        self.say(client, session, message_id="m1")
        self.answer("<p>2</p>")
        for _ in range(3):
            self.lose(client)
            client = self.meet()
            told = self.resume(client, session, stream=True)
            ids = [
                one["message_id"] for one in told if "processing_start" in one["type"]
            ]
            self.assertEqual(ids, ["m2", "m3", "m1"][: len(ids)])
            self.answer(f"<p>{len(self.service.asked)}</p>")
            if len(self.service.asked) == 4 and self.service.last.over:
                break
        told += client.take()
        self.lose(client)
        client = self.meet()
        told = self.resume(client, session, stream=True)
        seqs = [one["seq"] for one in told if one["type"] == "message"]
        self.assertEqual(len(seqs), 3)
        self.assertEqual(seqs, sorted(seqs))

    def test_what_is_not_stored_yet_is_told_when_it_is(self) -> None:
        for fails in (False, True):
            store = HeldLasting()
            self.serve(store)
            client = self.meet()
            session = self.start(client)
            for _ in range(2):
                self.say(client, session, message_id="m1")
            self.say(client, session)
            self.assertEqual(len(store.appends), 1)
            self.lose(client)
            client = self.meet()
            self.assertEqual(
                self.resume(client, session, stream=True), [resumed(session, 0)]
            )
            if fails:
                store.lose()
                store.settle()
                told = client.take()
                self.assertEqual(
                    [one["data"] for one in told], [None, FAILED, None, FAILED]
                )
                self.assertEqual(told[1]["message_id"], "m1")
                self.assertEqual(told[3]["session_id"], session)
            else:
                store.settle()
                self.answer("<p>1</p>")
                store.settle()
                self.answer("<p>2</p>")
                store.settle()
                told = client.take()
                answer = [
                    *("processing_start", "message_chunk", "message"),
                    "processing_end",
                ]
                self.assertEqual(kinds(told), answer * 2)
                self.assertEqual(told[0]["message_id"], "m1")
                self.assertNotIn(told[4]["message_id"], {"m1", ""})
            self.lose(client)
            self.clock.advance(GRACE)
            store.settle()

    def test_what_could_not_be_stored_meanwhile_is_told(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.say(client, session, message_id="m1")
        self.lose(client)
        store.lose()
        client = self.meet()
        self.resume(client, session)
        store.settle()
        told = client.take()
        self.assertEqual(
            [one["data"] for one in told[1:]], [None, FAILED], "it was forgotten"
        )
        self.assertEqual(told[2]["message_id"], "m1")
        self.resume(client, session)
        store.settle()
        self.assertEqual(kinds(client.take()), ["session_resume"])

    def test_what_is_being_taken_while_the_connection_is_lost_is_not_lost(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.say(client, session, "help 1", message_id="m1")
        self.say(client, session, "help 2", message_id="m2")
        self.lose(client)
        store.settle()
        client = self.meet()
        self.assertEqual(
            kinds(self.resume(client, session)), ["session_resume", "processing_start"]
        )
        self.answer("<p>1</p>")
        store.settle()
        self.answer("<p>2</p>")
        store.settle()
        told = client.take()
        self.assertEqual([one["message_id"] for one in told], ["m1"] * 2 + ["m2"] * 3)

    def test_twice_in_a_row_and_by_the_same_connection(self) -> None:
        client, session = self.begun(stream=True, message_id="m1")
        self.service.last.reply.paragraph("<p>1</p>")
        client.take()
        for after in (0, 3, 3, 0):
            told = self.resume(client, session, after, stream=True)
            self.assertEqual(told[0], resumed(session, 3))
            self.assertEqual(len(told), 2 if after else 3)
        self.answer("<p>2</p>")
        self.assertEqual(
            kinds(client.take()), ["message_chunk", "message", "processing_end"]
        )
        self.lose(client)
        for _ in range(2):
            client = self.meet()
            told = self.resume(client, session, 4)
            self.assertEqual(
                kinds(told),
                ["session_resume", "processing_start", "message", "processing_end"],
            )
            self.lose(client)

    def test_nothing_is_told_that_the_client_has(self) -> None:
        client, session = self.begun()
        self.answer("<p>1</p>")
        self.lose(client)
        client = self.meet()
        last = self.events(session)[-1].seq
        self.assertEqual(self.resume(client, session, last), [resumed(session, last)])
        self.say(client, session)
        self.assertEqual(client.take(), [BEGUN])

    def test_one_in_which_nothing_was_said(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.lose(client)
        client = self.meet()
        self.assertEqual(self.resume(client, session), [resumed(session, 0)])
        self.say(client, session)
        self.answer("<p>1</p>")
        self.assertEqual(
            kinds(client.take()), ["processing_start", "message", "processing_end"]
        )

    def test_messages_that_came_over_http_are_told_as_well(self) -> None:
        client, session = self.begun(message_id="m1")
        self.answer("<p>1</p>")
        self.lose(client)
        http = self.chat("help 2", session_id=session, message_id="h2")
        self.answer("<p>2</p>")
        self.assertEqual(http.take_one().status, 200)
        client = self.meet()
        told = self.resume(client, session, 4)
        self.assertEqual({one["message_id"] for one in told[1:]}, {"h2"})
        self.assertEqual(told[2]["data"], "<p>2</p>")

    def test_it_can_not_be_read_at_the_moment(self) -> None:
        store = Lasting()
        self.serve(store)
        client, session = self.begun()
        self.answer("<p>1</p>")
        self.lose(client)
        client = self.meet()
        store.broken = {"find"}
        failed = [error(FAILED, session_id=session)]
        self.assertEqual(self.resume(client, session), failed)
        self.assertEqual(
            self.resume(client, UNKNOWN), [error(FAILED, session_id=UNKNOWN)]
        )
        store.broken = set()
        self.assertEqual(
            kinds(self.resume(client, session)),
            ["session_resume", "processing_start", "message", "processing_end"],
        )

    def test_who_does_not_read_gets_it_all_in_the_end(self) -> None:
        client, session = self.begun(stream=True, message_id="m1")
        shown = Shown(session)
        page = "<p>" + "x" * 500 + "</p>"
        for _ in range(100):
            self.service.last.reply.paragraph(page)
        self.lose(client)
        client = self.meet(room=1_000)
        client.stop_reading()
        client.post(
            {
                "action": "chatbot_session_resume",
                "session_id": session,
                "after": 50,
                "stream": True,
            }
        )
        self.assertLess(len(client._unread), 3_000)
        for _ in range(100):
            self.service.last.reply.paragraph(page)
        self.service.last.end()
        self.assertLess(len(client._unread), 3_000)
        shown.after = 50
        client.read_on()
        for one in client.take():
            shown.take(one)
        self.assertEqual(shown.faults, [])
        seqs = [seq for seq, _ in shown.chunks["m1"]]
        self.assertEqual(seqs, [*range(51, 203)])
        self.assertEqual(shown.ends, {"m1": page * 200})


class TestWhoMayResume(WebSocketScene):
    def react(self) -> None:
        """Let clients answer pings."""
        self.clock.advance(0)
        self.clock.advance(0)

    def test_nobody_while_the_owner_is_there(self) -> None:
        owner, session = self.begun()
        stranger = self.meet()
        self.assertEqual(self.resume(stranger, session), [])
        self.react()
        self.assertEqual(stranger.take(), absent(session))
        self.answer("<p>1</p>")
        self.assertEqual(
            kinds(owner.take()), ["processing_start", "message", "processing_end"]
        )
        self.assertEqual(stranger.take(), [])

    def test_one_whose_old_connection_does_not_react(self) -> None:
        old = self.meet(mute=True)
        session = self.start(old)
        self.say(old, session)
        old.take()
        new = self.meet()
        self.assertEqual(self.resume(new, session), [])
        self.clock.advance(REACTS / 2)
        self.assertEqual(new.take(), [])
        self.clock.advance(REACTS / 2)
        self.assertEqual(kinds(new.take()), ["session_resume", "processing_start"])
        self.say(old, session)
        self.end(old, session)
        self.stop(old, session)
        unknown = error(f"Session with ID {session} not found.")
        self.assertEqual(old.take(), [BEGUN, error(NOT_FOUND), unknown, unknown])
        self.answer("<p>1</p>")
        self.assertEqual(kinds(new.take()), ["message", "processing_end"])
        self.assertEqual(old.take(), [])
        self.lose(old)
        self.say(new, session)
        self.assertEqual(new.take(), [BEGUN])
        self.assertEqual(self.api.sessions.counts(), {"here": 1, "lost": 0})

    def test_two_at_once_and_one_gets_it(self) -> None:
        for mute in (False, True):
            old = self.meet(mute=mute)
            session = self.start(old)
            self.say(old, session)
            if not mute:
                self.lose(old)
            one, two = self.meet(), self.meet()
            for client in (one, two):
                self.resume(client, session)
                client._heard = []
            for client in (one, two):
                client.post({"action": "chatbot_session_resume", "session_id": session})
            self.clock.advance(REACTS)
            self.react()
            self.clock.advance(REACTS)
            self.react()
            told = [kinds(client.take()) for client in (one, two)]
            self.assertEqual(sum("session_resume" in each for each in told), 1, told)
            has, has_not = (one, two) if "session_resume" in told[0] else (two, one)
            self.service.last.end()
            self.assertEqual(kinds(has.take()), ["message", "processing_end"])
            self.say(has_not, session)
            self.assertEqual(has_not.take(), [BEGUN, error(NOT_FOUND)])
            for client in (old, one, two):
                self.lose(client)

    def test_the_owner_comes_back_on_a_second_connection_and_the_first_is_lost(
        self,
    ) -> None:
        old = self.meet(mute=True)
        session = self.start(old)
        new = self.meet()
        self.assertEqual(self.resume(new, session), [])
        self.clock.advance(1)
        self.lose(old)  # before the time is up
        self.assertEqual(new.take(), [resumed(session, 0)])
        self.assertEqual(self.api.sessions.counts(), {"here": 1, "lost": 0})
        self.clock.advance(GRACE - 1)
        self.say(new, session)
        self.assertEqual(new.take(), [BEGUN])

    def test_who_asked_is_gone_when_it_turns_out(self) -> None:
        old = self.meet(mute=True)
        session = self.start(old)
        self.say(old, session)
        new = self.meet()
        self.resume(new, session)
        self.lose(new)
        self.clock.advance(REACTS)
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 1})
        third = self.meet()
        self.assertEqual(
            kinds(self.resume(third, session)), ["session_resume", "processing_start"]
        )

    def test_it_is_ended_while_another_asks_for_it(self) -> None:
        owner = self.meet(mute=True)
        session = self.start(owner)
        other = self.meet()
        self.resume(other, session)
        self.end(owner, session)
        self.assertEqual(owner.take(), [OVER])
        self.clock.advance(REACTS)
        self.assertEqual(other.take(), absent(session))

    def test_within_its_time_only(self) -> None:
        for store in (None, Lasting()):
            self.serve(store)
            client, session = self.begun()
            self.lose(client)
            self.clock.advance(GRACE - 0.1)
            client = self.meet()
            self.assertEqual(
                kinds(self.resume(client, session)),
                ["session_resume", "processing_start"],
            )
            self.clock.advance(2 * GRACE / 3)  # it does not wait any more
            self.lose(client)
            asked = self.service.last
            self.assertFalse(asked.over)
            self.clock.advance(GRACE)
            self.assertTrue(asked.cancelled)
            client = self.meet()
            self.assertEqual(self.resume(client, session), absent(session))
            self.assertEqual(self.desk.unanswered, 0)
            self.lose(client)

    def test_never_if_there_is_no_time_for_it(self) -> None:
        for store in (None, Lasting()):
            self.serve(store, websocket=WebSocketSettings(grace=0))
            client, session = self.begun()
            client.take()
            self.assertEqual(self.resume(client, session), absent(session))
            self.assertFalse(self.service.last.over)
            self.lose(client)
            self.assertTrue(self.service.last.cancelled)
            client = self.meet()
            self.assertEqual(self.resume(client, session), absent(session))
            self.lose(client)

    def test_not_after_its_end(self) -> None:
        for store in (None, Lasting()):
            self.serve(store)
            client, session = self.begun()
            self.end(client, session)
            client.take()
            self.assertEqual(self.resume(client, session), absent(session))
            self.say(client, session)
            self.assertEqual(client.take(), [BEGUN, error(CLOSED)])
            other = self.meet()
            self.assertEqual(self.resume(other, session), absent(session))
            self.lose(client)
            self.lose(other)
            other = self.meet()
            self.assertEqual(self.resume(other, session), absent(session))
            self.lose(other)

    def test_not_what_is_not_ours(self) -> None:
        self.serve(Lasting())
        chosen = "my-session-123"
        self.chat("help", session_id=chosen)
        own = self.answered().json["session_id"]
        client = self.meet()
        for id in (chosen, own, "", "*", UNKNOWN.upper(), UNKNOWN + "\n", "x" * 9_000):
            self.assertEqual(self.resume(client, id), absent(id))
        self.assertEqual(self.desk.followers, 1)  # who chats over HTTP
        self.service.asked[0].end()

    def test_those_on_a_connection_are_counted(self) -> None:
        store = HeldLasting()
        self.serve(store, websocket=WebSocketSettings(sessions=1, grace=GRACE))
        ids = []
        for _ in range(4):
            client = self.meet()
            ids.append(self.start(client))
            self.lose(client)
        client = self.meet()
        for id in ids:
            client.post({"action": "chatbot_session_resume", "session_id": id})
        store.settle()
        told = client.take()
        self.assertEqual(kinds(told).count("session_resume"), 1)
        self.assertEqual(kinds(told).count("error"), 3)
        refused = [str(one["data"]) for one in told if one["type"] == "error"]
        self.assertIn("1 sessions on this connection", refused[0])
        self.assertEqual(self.api.sessions.counts(), {"here": 1, "lost": 3})

    def test_who_has_too_many_prolongs_nothing(self) -> None:
        self.serve(websocket=WebSocketSettings(sessions=1, grace=GRACE))
        client, session = self.begun()
        self.lose(client)
        self.clock.advance(GRACE - 1)
        client = self.meet()
        self.start(client)
        self.assertEqual(kinds(self.resume(client, session)), ["error"])
        self.clock.advance(1)
        self.assertTrue(self.service.last.cancelled)

    def test_too_many_that_another_process_had(self) -> None:
        transcripts: dict[str, list[Event]] = {}
        self.serve(Lasting(transcripts))
        client = self.meet()
        ids = [self.start(client) for _ in range(4)]
        for id in ids:
            self.say(client, id, "hi")
        store = HeldLasting()
        store.transcripts.update(transcripts)
        self.restart(store, websocket=WebSocketSettings(sessions=1, grace=GRACE))
        client = self.meet()
        for id in ids:  # all at once
            client.post({"action": "chatbot_session_resume", "session_id": id})
        store.settle()
        told = client.take()
        self.assertEqual(kinds(told).count("session_resume"), 1)
        self.assertEqual(kinds(told).count("error"), 3)
        self.assertIsNone(client.closed_with)
        self.assertEqual(self.api.sessions.counts(), {"here": 1, "lost": 3})
        self.lose(client)
        self.clock.advance(GRACE)
        store.settle()

    def test_the_end_is_still_coming_when_the_connection_is_lost(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.say(client, session)
        self.end(client, session)
        self.lose(client)
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 0})
        store.settle()
        self.assertEqual(self.service.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TestAnotherProcess(WebSocketScene):
    def setUp(self) -> None:
        self.transcripts: dict[str, list[Event]] = {}
        self.serve(Lasting(self.transcripts))

    def again(self) -> None:
        self.restart(Lasting(self.transcripts))

    def test_the_answer_goes_on_there(self) -> None:
        client, session = self.begun(stream=True, message_id="m1")
        self.say(client, session, "help 2", message_id="m2")
        self.service.last.reply.paragraph("<p>1</p>")
        self.again()
        self.clock.advance(GRACE)
        client = self.meet()
        told = self.resume(client, session, 4, stream=True)
        self.assertEqual(
            kinds(told),
            [
                *("session_resume", "processing_start", "error"),
                *("processing_start", "message_revised"),
            ],
        )
        self.assertEqual(told[2]["outcome"], "cut")
        self.assertEqual(told[4]["data"]["keep"], 0)
        self.answer("<p>2</p>")
        told = client.take()
        self.assertEqual(kinds(told), ["message_chunk", "message", "processing_end"])
        self.assertEqual(told[1]["message_id"], "m2")

    def test_within_its_time_only(self) -> None:
        client, session = self.begun()
        self.clock.advance(10)
        self.answer("<p>1</p>")
        self.again()
        self.clock.advance(GRACE + 1)
        client = self.meet()
        self.assertEqual(self.resume(client, session), absent(session))
        self.assertEqual(self.desk.unanswered, 0)

    def test_one_in_which_nothing_was_said_is_forgotten(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.again()
        client = self.meet()
        self.assertEqual(self.resume(client, session), absent(session))

    def test_not_at_all_if_transcripts_end_with_the_process(self) -> None:
        self.serve()
        client, session = self.begun()
        self.restart(Passing())
        client = self.meet()
        self.assertEqual(self.resume(client, session), absent(session))

    def test_its_client_went_on_elsewhere_meanwhile_and_comes_back(self) -> None:
        for ends in (False, True):
            client, session = self.begun()
            self.answer("<p>1</p>")
            if ends:
                self.end(client, session)
            self.lose(client)
            self.clock.advance(GRACE)
            client = self.meet()
            self.assertEqual(self.resume(client, session), absent(session))
            now, events = self.clock.seconds(), self.transcripts[session]
            last = events[-1].seq
            events += [
                CustomerSaid(seq=last + 1, at=now + 1, text="a", message_id="m9"),
                ReplyStarted(
                    seq=last + 2, at=now + 1, service="s", intent="", to=last + 1
                ),
                ReplyEnded(seq=last + 3, at=now + 1, outcome=Outcome.COMPLETE),
            ]
            self.clock.advance(2)
            told = self.resume(client, session, last)
            if ends:
                self.assertEqual(told, absent(session))
            else:
                self.assertEqual(told[0], resumed(session, last + 3))
                self.assertEqual({one["message_id"] for one in told[1:]}, {"m9"})
                self.assertEqual(len(told), 4)

    def test_it_was_erased(self) -> None:
        client, session = self.begun()
        self.again()
        response = self.call("DELETE", f"/api/reset/{session}")
        self.assertEqual(response.status, 200)
        client = self.meet()
        self.assertEqual(self.resume(client, session), absent(session))

    def test_it_is_erased_when_it_was_taken_up(self) -> None:
        client, session = self.begun()
        self.answer("<p>1</p>")
        self.again()
        client = self.meet()
        self.resume(client, session)
        response = self.call("DELETE", f"/api/reset/{session}")
        self.assertEqual(response.status, 200)
        self.say(client, session)
        self.assertEqual(client.take(), [BEGUN, error(CLOSED)])
        self.assertEqual(self.transcripts, {})

    def test_two_at_once(self) -> None:
        client, session = self.begun()
        self.lose(client)
        store = HeldLasting()
        store.transcripts.update(self.transcripts)
        self.restart(store)
        one, two = self.meet(), self.meet()
        for client in (one, two):
            self.resume(client, session)
        store.settle()
        self.clock.advance(REACTS)
        store.settle()
        told = [kinds(client.take()) for client in (one, two)]
        self.assertEqual(sorted(map(len, told)), [1, 3])
        self.assertEqual(sum("session_resume" in each for each in told), 1)
        self.lose(one)
        self.lose(two)
        self.clock.advance(GRACE)
        store.settle()

    def test_it_is_looked_for_while_the_connection_is_lost(self) -> None:
        client, session = self.begun()
        store = HeldLasting()
        store.transcripts.update(self.transcripts)
        self.lose(client)
        self.restart(store)
        client = self.meet()
        self.resume(client, session)
        self.lose(client)
        store.settle()
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 1})
        self.clock.advance(GRACE)
        store.settle()
        self.assertEqual(self.desk.unanswered, 0)

    def test_the_connection_is_lost_again_before_it_is_found(self) -> None:
        client, session = self.begun(message_id="m1")
        self.lose(client)
        store = HeldLasting()
        store.transcripts.update(self.transcripts)
        self.restart(store)
        client = self.meet()
        self.resume(client, session)
        self.lose(client)
        client = self.meet()
        self.resume(client, session)
        store.settle()
        self.assertEqual(kinds(client.take())[0], "session_resume")
        self.lose(client)
        self.clock.advance(GRACE)
        store.settle()

    def test_it_fails_on_the_way(self) -> None:
        client, session = self.begun()
        self.answer("<p>1</p>")
        store = Lasting(self.transcripts)
        self.restart(store)
        client = self.meet()
        for name in ("find", "read"):
            store.broken = {name}
            self.assertEqual(
                self.resume(client, session), [error(FAILED, session_id=session)]
            )
        store.broken = set()
        self.assertEqual(
            kinds(self.resume(client, session)),
            ["session_resume", "processing_start", "message", "processing_end"],
        )


class TestNothingIsLeft(WebSocketScene):
    def test_when_all_are_gone(self) -> None:
        self.serve(Passing())
        for number in range(30):
            client = self.meet()
            session = self.start(client)
            self.say(client, session, stream=bool(number % 2))
            self.say(client, session)
            if number % 3 == 0:
                self.answer("<p>1</p>")
            if number % 5 == 0:
                self.end(client, session)
            self.lose(client)
        self.clock.advance(GRACE)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.desk.followers, 0)
        self.assertEqual(self.desk.unanswered, 0)
        self.assertEqual(len(self.desk._open), 0)
        self.assertEqual(self.api.sessions._held, {})
        self.assertEqual(len(self.api.sessions._waiting), 0)
        self.assertTrue(all(asked.over for asked in self.service.asked))

    def test_their_transcripts_go_too_where_they_do_not_last(self) -> None:
        transcripts: dict[str, list[Event]] = {}
        self.serve(Passing(transcripts), conversation=ConversationSettings(kept=1))
        for _ in range(5):
            client = self.meet()
            session = self.start(client)
            self.say(client, session, "hi")
            self.lose(client)
        self.assertEqual(len(transcripts), 5)
        self.clock.advance(GRACE)
        self.assertEqual(transcripts, {})

    def test_what_comes_too_late_is_not_said(self) -> None:
        store = Held()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.say(client, session)
        self.lose(client)
        self.clock.advance(GRACE)
        store.settle()
        self.assertEqual(self.service.asked, [])
        self.assertEqual(store.transcripts, {})

    def test_it_can_not_be_erased(self) -> None:
        store = Lasting()
        self.serve(store)
        client, _ = self.begun()
        store.broken = {"append"}
        self.lose(client)
        self.clock.advance(GRACE)
        self.assertEqual(self.flushLoggedErrors(), [])


class Nobody:
    """A connection that is not there."""

    address, request, full = "192.0.2.7", "r", False

    def __init__(self) -> None:
        self.told: list[Sent] = []
        self.there: Deferred[bool] = Deferred()

    def send(self, what: Sent) -> None:
        self.told.append(what)

    def rests(self) -> None:
        """Nothing."""

    def restart(self) -> None:
        """Nothing."""

    def alive(self) -> Deferred[bool]:
        return self.there

    def forget(self, session: Session) -> None:
        """Nothing."""


class TestSessions(SynchronousTestCase):
    def test_ids_can_not_be_guessed_and_are_known_again(self) -> None:
        ids = [new_id() for _ in range(100)]
        self.assertEqual(len(set(ids)), 100)
        for id in ids:
            self.assertTrue(sessions_module._OURS.fullmatch(id))

    def test_no_more_are_remembered_than_so_many(self) -> None:
        self.patch(sessions_module, "_REMEMBERED", 10)
        clock = Clock()
        service = ScriptedService("tech")
        desk = FrontDesk(
            Lasting(),
            Dispatcher([Route("help", service)], Signpost([])),
            clock.seconds,
            ConversationSettings(),
        )
        allowance = Allowance(clock, HttpSettings(address_sessions=1_000))
        sessions = Sessions(
            clock, clock.seconds, desk, allowance, WebSocketSettings(grace=GRACE)
        )
        for _ in range(25):
            sessions.leave(sessions.start(Nobody(), ""))
        self.assertEqual(sessions.counts(), {"here": 0, "lost": 10})
        self.assertEqual(len(sessions._over), 10)
        self.assertEqual(len(clock.getDelayedCalls()), 10)
        clock.advance(GRACE)
        self.assertEqual(sessions.counts(), {"here": 0, "lost": 0})
        self.assertEqual(len(sessions._over), 10)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_one_that_went_on_in_another_process_may_come_back(self) -> None:
        clock, transcripts = Clock(), dict[str, list[Event]]()
        clock.advance(1_000_000)

        def process() -> Sessions:
            desk = FrontDesk(
                Lasting(transcripts),
                Dispatcher([], Signpost([])),
                clock.seconds,
                ConversationSettings(),
            )
            allowance = Allowance(clock, HttpSettings())
            websocket = WebSocketSettings(grace=GRACE)
            return Sessions(clock, clock.seconds, desk, allowance, websocket)

        def resumed(there: Sessions, id: str) -> Session | None:
            return self.successResultOf(
                Deferred.fromCoroutine(there.resume(Nobody(), id))
            )

        first, second = process(), process()
        session = first.start(Nobody(), "")
        session.post(Post(session.id, "hello"))
        first.leave(session)
        clock.advance(GRACE / 2)
        moved = resumed(second, session.id)
        assert moved is not None
        clock.advance(GRACE / 2)
        self.assertIsNone(resumed(first, session.id))
        clock.advance(1)
        moved.post(Post(session.id, "hello again"))
        second.leave(moved)
        self.assertIsNotNone(resumed(first, session.id))

    def test_one_without_a_word_of_its_client_can_not_be_resumed_later(self) -> None:
        clock = Clock()
        desk = FrontDesk(
            Lasting(),
            Dispatcher([], Signpost([])),
            clock.seconds,
            ConversationSettings(),
        )
        id = new_id()
        self.successResultOf(desk.open(id).reset())
        for grace, found in ((GRACE, True), (1e-9, False)):
            websocket = WebSocketSettings(grace=grace)
            allowance = Allowance(clock, HttpSettings())
            sessions = Sessions(clock, clock.seconds, desk, allowance, websocket)
            resumed = Deferred.fromCoroutine(sessions.resume(Nobody(), id))
            self.assertEqual(self.successResultOf(resumed) is not None, found)
            clock.advance(1)


class TestLeaving(WebSocketScene):
    def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        """Thousands of connections that are would stop everything when it comes."""
        self.serve()
        client = self.meet()
        session = self.start(client)
        socket = client.protocol._upgraded
        held = [weakref.ref(one) for one in (socket._user, socket._protocol)]
        del socket
        gc.disable()
        try:
            self.assertNotIn(None, [one() for one in held])
            self.lose(client)
            client.unregisterProducer()  # a real connection lets go of it
            self.assertEqual([one() for one in held], [None, None])
        finally:
            gc.enable()
        self.assertEqual(kinds(self.resume(self.meet(), session)), ["session_resume"])


# Anything can happen


class Person:
    """Somebody who has a few sessions, and comes back when the connection is lost.

    Attributes:
        client: None while there is no connection.
        shown: what it has of each session.
        ready: the sessions that it has on this connection.
    """

    def __init__(self) -> None:
        self.client: WebSocketClient | None = None
        self.shown: dict[str, Shown] = {}
        self.ready: list[str] = []

    def look(self) -> None:
        """Take what has come."""
        if self.client is None:
            return
        for one in self.client.take():
            if one["type"] == "session_start":
                session = one["data"]["session_id"]
                self.shown[session] = Shown(session)
                self.ready.append(session)
            elif one["type"] == "session_resume":
                session = one["data"]["session_id"]
                self.shown[session].take(one)
                self.ready.append(session)
            elif one["data"] == NOT_FOUND:  # nothing was said in it
                assert not self.shown[one["session_id"]].after
            else:
                self.shown[one["session_id"]].take(one)


HAPPENS = (
    *("meet", "meet", "start", "post", "post", "post", "lose", "again", "stop"),
    *("paragraph", "paragraph", "paragraph", "paragraph", "revise", "delta"),
    *("end", "end", "fail", "full", "read", "fire", "fire", "settle", "settle"),
    *("settle", "time"),
)
"""What can happen, and how often that is; a restart is rare."""


class TestAnything(WebSocketScene):
    def setUp(self) -> None:
        self.held = HeldLasting()
        self.serve(self.held)

    @settings(max_examples=60, deadline=None, phases=[Phase.reuse, Phase.generate])
    @given(st.integers(0, 2**32), st.booleans())
    def test_who_comes_back_has_seen_the_transcript(
        self, seed: int, slow: bool
    ) -> None:
        random = Random(seed)
        self.again(None)
        self.said: dict[Asked, int] = {}  # paragraphs that stand
        people, self.number = [Person(), Person()], 0
        for person in people:
            for name in ("meet", "start", "start", "post"):
                getattr(self, f"do_{name}")(person, 0, name)
        for _ in range(120):
            name, number = random.choice(HAPPENS), random.randrange(1_000)
            if not random.randrange(100):
                name = "restart"
            person = people[number % 2]
            if name == "restart":
                for one in people:
                    one.look()
                    one.client, one.ready = None, []
                    for shown in one.shown.values():
                        shown.restarted()
                self.again(self.held)
            else:
                getattr(self, f"do_{name}", self.do_reply)(person, number // 2, name)
            if not slow:
                self.held.settle()
        self.finish(people)
        for person in people:
            for shown in person.shown.values():
                self.compare(shown)

    def again(self, before: HeldLasting | None) -> None:
        """A new process; what the last one had not stored is lost."""
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        for asked in self.service.asked:
            if not asked.over:
                asked.end()  # which nobody stores
        self.held = HeldLasting()
        if before is not None:
            self.held.transcripts.update(before.transcripts)
        self.restart(self.held, conversation=ConversationSettings(batch=3))

    def do_meet(self, person: Person, number: int, name: str) -> None:
        if person.client is not None:
            return
        person.client = self.meet(room=300)
        for session, shown in person.shown.items():
            person.client.post(
                {
                    "action": "chatbot_session_resume",
                    "session_id": session,
                    "after": shown.after,
                    "stream": True,
                }
            )

    def do_start(self, person: Person, number: int, name: str) -> None:
        if person.client is not None and len(person.shown) < 3:
            person.client.post({"action": "chatbot_session_start"})
            person.look()

    def do_post(self, person: Person, number: int, name: str) -> None:
        person.look()
        if person.client is None or not person.ready:
            return
        shown = person.shown[person.ready[number % len(person.ready)]]
        self.number += 1
        self.post(person, shown, f"m{self.number}")

    def do_again(self, person: Person, number: int, name: str) -> None:
        """Post once more what has failed."""
        person.look()
        failed = [
            (shown, id)
            for shown in map(person.shown.__getitem__, person.ready)
            for id, end in shown.ends.items()
            if end is None
        ]
        if person.client is not None and failed:
            self.post(person, *failed[number % len(failed)])

    def post(self, person: Person, shown: Shown, id: str) -> None:
        assert person.client is not None
        shown.ask(id)
        self.say(person.client, shown.session, stream=True, message_id=id)

    def do_stop(self, person: Person, number: int, name: str) -> None:
        if person.client is not None and person.ready:
            self.stop(person.client, person.ready[number % len(person.ready)])

    def do_lose(self, person: Person, number: int, name: str) -> None:
        if person.client is not None:
            person.look()
            self.lose(person.client)
            person.client, person.ready = None, []

    def do_full(self, person: Person, number: int, name: str) -> None:
        if person.client is not None:
            person.client.stop_reading()

    def do_read(self, person: Person, number: int, name: str) -> None:
        if person.client is not None:
            person.client.read_on()
            person.look()

    def do_time(self, person: Person, number: int, name: str) -> None:
        for _ in range(number % 3):
            self.clock.advance(0.5)

    def do_fire(self, person: Person, number: int, name: str) -> None:
        queues: list[list[Any]] = [
            self.held.appends,
            self.held.reads,
            self.held.searches,
        ]
        busy = [queue for queue in queues if queue]
        if busy:
            busy[number % len(busy)].pop(0).fire()

    def do_settle(self, person: Person, number: int, name: str) -> None:
        self.held.settle()

    def do_reply(self, person: Person, number: int, name: str) -> None:
        """Something that a service does."""
        open = [asked for asked in self.service.asked if not asked.over]
        if not open:
            return
        asked: Asked = open[number % len(open)]
        if name == "paragraph":
            asked.reply.paragraph(f"<p>{number}{'.' * 100}</p>")
            self.said[asked] = self.said.get(asked, 0) + 1
        elif name == "revise":
            keep = number % (self.said.get(asked, 0) + 1)
            asked.reply.revise(keep)
            self.said[asked] = keep
        elif name == "delta":
            asked.reply.delta(f"{number}")
        elif name == "end":
            asked.end()
        else:
            asked.fail(BodyCut("cut"))

    def finish(self, people: list[Person]) -> None:
        """All come back, and all is answered."""
        self.held.settle()
        for person in people:
            self.do_lose(person, 0, "")
            self.do_meet(person, 0, "")
        while True:
            self.held.settle()
            for person in people:
                self.do_read(person, 0, "")
            self.clock.advance(0)
            open = [asked for asked in self.service.asked if not asked.over]
            if not open and not self.held.appends and not self.held.reads:
                break
            for asked in open:
                asked.end()
        self.clock.advance(0)
        for person in people:
            person.look()

    def compare(self, shown: Shown) -> None:
        written = Written(self.held.transcripts.get(shown.session, []))
        self.assertEqual(shown.faults, [])
        for id in (written.chunks.keys() | written.ended) - shown.again:
            self.assertIn(id, written.ended)
            self.assertEqual(shown.chunks[id], written.chunks[id])
            self.assertEqual(shown.ends[id], written.texts.get(id))

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.clock.advance(GRACE)
        self.held.settle()
        super().tearDown()
